//! `foregrad init`.

use std::path::PathBuf;

use anyhow::Result;
use burn::tensor::DType;
use clap::Args;
use foregrad::models::ModelConfig;
use foregrad::train::weights;

use crate::args::{MachineFlags, ModelFlags};
use crate::{Ending, device, output, place};

/// The arguments of `init`.
#[derive(Args)]
#[command(after_help = "Example:
  foregrad init --model resnet18-8b --image 3x32x32 --classes 10 --out weights.safetensors")]
pub struct Arguments {
    /// File to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Channels, height and width of an image
    #[arg(long, value_name = "CxHxW", default_value = "3x32x32")]
    image: String,
    /// Classes
    #[arg(long, value_name = "N", default_value_t = 10)]
    classes: usize,
    #[command(flatten)]
    model: ModelFlags,
    #[command(flatten)]
    machine: MachineFlags,
}

/// Runs the command.
pub fn run(arguments: Arguments) -> Result<Ending> {
    let machine = &arguments.machine;
    device::set_threads(machine.threads.unwrap_or(0))?;
    let placement = device::placement(machine.device.as_deref().unwrap_or("cpu"), DType::F32)?;
    place::for_file("--out", &arguments.out)?;
    let mut model = ModelConfig::default();
    arguments.model.apply(&mut model)?;
    let image = parse_image(&arguments.image)?;
    let network = model.init(image, arguments.classes, machine.seed.unwrap_or(0), &placement)?;
    weights::save(&arguments.out, &network.state(), weights::Metadata::new())?;
    let (trunk, all) = (network.trunk_dimension(), network.parameters().dimension());
    let file = arguments.out.display();
    output::remark(format_args!("{all} parameters ({trunk} without the heads) in {file}"));
    Ok(Ending::Done)
}

/// `CxHxW` as three numbers.
pub fn parse_image(text: &str) -> Result<[usize; 3]> {
    let numbers: Vec<usize> = text.split('x').filter_map(|number| number.parse().ok()).collect();
    let wrong = || foregrad::Error::out_of_range("--image", text, "CHANNELSxHEIGHTxWIDTH, for instance 3x32x32");
    Ok(numbers.try_into().map_err(|_| wrong())?)
}
