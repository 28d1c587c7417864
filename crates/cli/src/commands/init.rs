//! `foregrad init`.

use std::path::PathBuf;

use anyhow::Result;
use burn::tensor::DType;
use clap::Args;
use foregrad::models::ModelConfig;
use foregrad::weights;
use foregrad_lab::train::RunConfig;

use crate::flags::{Flags, Machine, Model};
use crate::{Exit, output, place};

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
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(2..))]
    classes: u32,
    #[command(flatten)]
    model: Flags<Model>,
    #[command(flatten)]
    machine: Flags<Machine>,
}

/// Runs the command.
pub fn run(arguments: Arguments) -> Result<Exit> {
    let placement = arguments.machine.prepared(DType::F32)?;
    place::for_file("--out", &arguments.out)?;
    let mut config = RunConfig { model: ModelConfig::default(), ..Default::default() };
    arguments.model.apply(&mut config)?;
    arguments.machine.apply(&mut config)?;
    let image = parse_image(&arguments.image)?;
    let network = config.model.init(image, arguments.classes as usize, config.seed, &placement)?;
    weights::save(&arguments.out, &network.state(), weights::Metadata::new())?;
    let (trunk, all) = (network.trunk_dimension(), network.parameters().dimension());
    let file = arguments.out.display();
    output::remark(format_args!("{all} parameters ({trunk} without the heads) in {file}"));
    Ok(Exit::Done)
}

/// `CxHxW` as three numbers, none of them 0.
pub fn parse_image(text: &str) -> Result<[usize; 3]> {
    let numbers: Option<Vec<usize>> =
        text.split('x').map(|number| number.parse().ok().filter(|number| *number > 0)).collect();
    let wrong = || {
        let expected = "CHANNELSxHEIGHTxWIDTH, three numbers of at least 1, for instance 3x32x32";
        foregrad::Error::out_of_range("--image", text, expected)
    };
    Ok(numbers.and_then(|numbers| numbers.try_into().ok()).ok_or_else(wrong)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_three_numbers_and_nothing_else() {
        assert_eq!(parse_image("3x32x16").expect("an image"), [3, 32, 16]);
        for wrong in [
            "",
            "3",
            "3x32",
            "3x32x32x",
            "x3x32x32",
            "3x32x32xfoo",
            "foox3x32x32",
            "3x32x32x1",
            "0x32x32",
            "3x0x32",
            "3x32x0",
            "3x32x-1",
            "3x32x3.5",
            "3x 32x32",
            "3X32X32",
            "3x32x99999999999999999999",
        ] {
            let error = parse_image(wrong).expect_err(wrong).to_string();
            assert!(error.starts_with(&format!("--image is {wrong}; expected")), "{error}");
        }
    }
}
