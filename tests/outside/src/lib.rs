//! One part of every kind that can be brought from outside, each with a wrong twin that the checks must refuse.

pub mod data;
pub mod guess;
pub mod head;
pub mod layer;
pub mod network;
