//! Means and deviations of channels.

use serde::{Deserialize, Serialize};

use super::dataset::Pixel;

/// How inputs are normalised: `(value - mean) / deviation`, channel by channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Normalisation {
    /// The mean of each channel; of bytes in units of 255.
    pub mean: Vec<f32>,
    /// The standard deviation of each channel; of bytes in units of 255.
    pub deviation: Vec<f32>,
}

impl Normalisation {
    /// That of inputs `[n, channels, height, width]`. A channel that never changes has deviation 1: it becomes 0.
    pub(super) fn of<P: Pixel>(pixels: &[P], [channels, height, width]: [usize; 3]) -> Self {
        let planes = |channel| {
            let planes = pixels.chunks(height * width).skip(channel).step_by(channels);
            planes.flatten().map(|pixel| -> f64 { (*pixel).into() })
        };
        let unit = f64::from(P::UNIT);
        let count = (pixels.len() / channels).max(1) as f64;
        let moments = |channel| {
            let mean = planes(channel).sum::<f64>() / count;
            let variance = planes(channel).map(|pixel| (pixel - mean).powi(2)).sum::<f64>() / count;
            let deviation = if variance > 0.0 { variance.sqrt() / unit } else { 1.0 };
            ((mean / unit) as f32, deviation as f32)
        };
        let (mean, deviation) = (0..channels).map(moments).unzip();
        Self { mean, deviation }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_channel_has_its_own_and_a_still_one_is_not_divided_by_nothing() {
        // Two images of two channels, two pixels each.
        let found = Normalisation::of(&[0u8, 255, 7, 7, 255, 0, 7, 7], [2, 1, 2]);
        assert_eq!(found, Normalisation { mean: vec![0.5, 7.0 / 255.0], deviation: vec![0.5, 1.0] });
        let found = Normalisation::of(&[-1.0f32, 3.0, 5.0, 5.0], [2, 1, 1]);
        assert_eq!(found, Normalisation { mean: vec![2.0, 4.0], deviation: vec![3.0, 1.0] });
    }
}
