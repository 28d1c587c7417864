//! A variant of a study: one combination of its values, over all its seeds.

use serde::Serialize;

use super::spread::Spread;

/// The runs of one combination, which differ in their seeds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Variant {
    /// Its values on the axes that have more than one, for legends.
    pub name: String,
    /// Its values on the crossed axes, by axis.
    pub choices: Vec<(String, String)>,
    /// The values kept of the searched axes, by axis; none as long as no run has ended.
    pub chosen: Vec<(String, Option<String>)>,
    /// The data set.
    pub dataset: String,
    /// The network's name.
    pub network: String,
    /// Its runs, as places in [`Results::runs`](crate::study::Results::runs); with a search, those of the values kept.
    #[serde(skip)]
    pub members: Vec<usize>,
    /// How many of them are done.
    pub done: usize,
    /// How many there are.
    pub planned: usize,
    /// The network's accuracy on the test images, per cent.
    pub test_accuracy: Option<Spread>,
    /// The network's loss on the test images.
    pub test_loss: Option<Spread>,
    /// The network's accuracy on the validation images, per cent.
    pub validation_accuracy: Option<Spread>,
    /// What combinations are compared by: [`Score::quality`](crate::train::Score::quality) on the test images.
    #[serde(skip)]
    pub quality: Option<Spread>,
    /// Whether no other combination on the same data set has a better one.
    pub is_best: bool,
    /// The paper's figure for these settings.
    pub published: Option<Reference>,
    /// What the study says was published of it elsewhere, in another setting.
    pub elsewhere: Option<String>,
    /// The network's loss over the last epoch's training images.
    pub train_loss: Option<Spread>,
    /// Operations of training, products only, TFLOP.
    pub operations: Option<Spread>,
    /// Seconds of training.
    pub seconds: Option<Spread>,
    /// Training images a second.
    pub images_per_second: Option<Spread>,
    /// Largest resident memory of the run's process, MiB.
    pub peak_memory: Option<Spread>,
}

impl Variant {
    /// What those have in common that are compared by what they cost: data set and network.
    pub(super) fn setting(&self) -> [&str; 2] {
        [&self.dataset, &self.network]
    }
}

/// A published figure beside the measured one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Reference {
    /// The published mean, per cent.
    pub mean: f64,
    /// The published deviation, per cent; none of a single run.
    pub deviation: Option<f64>,
    /// Measured less published mean, in published deviations; none of a reduced study.
    pub difference: Option<f64>,
}
