//! Settings of the guess `feedback` that its tests look at.

use foregrad::estimate::{
    EstimatorConfig, FeedbackConfig, FeedbackFollows, FeedbackRule, FeedbackSource, FeedbackStart, Space,
};

pub const MEAN: FeedbackConfig = FeedbackConfig {
    source: FeedbackSource::Error,
    start: FeedbackStart::Zero,
    follows: FeedbackFollows::Jacobian,
    rule: FeedbackRule::Mean,
    rate: 0.25,
    decay: 0.0,
};
pub const ALIGNMENT: FeedbackConfig = FeedbackConfig { start: FeedbackStart::Uniform, rate: 0.0, ..MEAN };
pub const TARGETS: FeedbackConfig = FeedbackConfig { source: FeedbackSource::Label, ..ALIGNMENT };
pub const KOLEN_POLLACK: FeedbackConfig = FeedbackConfig {
    start: FeedbackStart::Uniform,
    follows: FeedbackFollows::KolenPollack,
    rate: 0.5,
    decay: 0.1,
    ..MEAN
};
pub const ADAM: FeedbackConfig = FeedbackConfig { rule: FeedbackRule::Adam, rate: 0.01, ..MEAN };

pub fn config(settings: FeedbackConfig) -> EstimatorConfig {
    let mut config =
        EstimatorConfig { guess: "feedback".parse().expect("a guess"), space: Space::Activity, ..Default::default() };
    config.guesses.feedback = settings;
    config
}
