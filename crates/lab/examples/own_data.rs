//! Data of one's own: a run with batches in seeded order, scores on a test set, checkpoints.
//!
//! `cargo run --release --package foregrad-lab --example own_data`
#![allow(clippy::print_stdout, reason = "an example prints what it finds")]

use burn::tensor::{DType, Device};
use foregrad::optim::{OptimizerConfig, ScheduleConfig};
use foregrad::rng::{Placement, Stream};
use foregrad::{Result, estimate::EstimatorConfig, losses::LabelKind, models::ModelConfig};
use foregrad_lab::data::{Label, Source, Splits};
use foregrad_lab::train::{Control, Outcome, Score, Silent, Trainer, of_network};

/// So many noisy pictures of a bar that lies or stands, of a seed.
struct Bars(usize, u64);

impl Source for Bars {
    fn len(&self) -> usize {
        self.0
    }

    fn shape(&self) -> [usize; 3] {
        [1, 8, 8]
    }

    fn kind(&self) -> LabelKind {
        LabelKind::Classes(2)
    }

    fn sample(&self, index: usize, _vary: Option<Stream>, input: &mut [f32]) -> Result<Label> {
        let stream = Stream::new(self.1, "bars").at(index as u64);
        let (place, class) = (stream.permutation(8)[0], index % 2);
        let on = |pixel: usize| [pixel / 8, pixel % 8][class] == place;
        let noise = stream.named("noise").normal(64);
        for (pixel, (out, noise)) in input.iter_mut().zip(noise).enumerate() {
            *out = if on(pixel) { 1.0 } else { 0.0 } + 0.2 * noise as f32;
        }
        Ok(Label::Class(class))
    }
}

fn main() -> Result<()> {
    let (data, placement) =
        (Splits::new(Bars(256, 0), Bars(128, 1)), Placement { device: Device::flex(), dtype: DType::F32 });
    let model = ModelConfig { width: 0.1, ..Default::default() };
    let network = model.init(data.train.shape(), data.train.kind(), 0, &placement)?;
    let trainer =
        Trainer::new(network, data, EstimatorConfig::default(), OptimizerConfig::default(), ScheduleConfig::default());
    let mut trainer = trainer.epochs(6).batch(16).start()?;
    let Outcome::Done(record) = trainer.run(&Control::default(), &mut Silent)? else { unreachable!("nobody stops it") };
    let accuracy = of_network(&record.test).and_then(Score::accuracy).unwrap_or(0.0);
    println!("{:.1} % of the test pictures are told rightly", 100.0 * accuracy);
    assert!(accuracy > 0.9);
    Ok(())
}

#[test]
fn it_runs() {
    main().expect("a run that learns");
}
