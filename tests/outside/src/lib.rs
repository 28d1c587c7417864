//! One part of every kind that can be brought from outside; those that have checks have a wrong twin that they must refuse.

pub mod combination;
pub mod data;
pub mod guess;
pub mod head;
pub mod layer;
pub mod loss;
pub mod network;
