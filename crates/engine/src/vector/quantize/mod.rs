//! Quantised vectors: what searches compare in place of f32.
//!
//! Read in this order: `codec` (a kind of code, trained), then the kinds: `rotational`, `scalar`, `signs`, `product`.

mod bytes;
mod codec;
mod kmeans;
mod product;
mod requantization;
mod rotation;
mod rotational;
mod scalar;
mod signs;

pub(in crate::vector) use codec::{CodeKind, Codec, CodedQuery, SavedCodec, WorstError};
pub(in crate::vector) use kmeans::Training;
pub(in crate::vector) use requantization::{Encoding, ProductTraining, Requantization};
pub(in crate::vector) use rotation::splitmix;
pub(in crate::vector) use scalar::Scalar;
