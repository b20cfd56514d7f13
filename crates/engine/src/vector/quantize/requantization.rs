//! The state of a change of codes; `maintain::requantize` takes its steps.

use std::sync::Arc;

use super::{CodeKind, Codec, Training};

/// Where a change of codes stands.
#[derive(Default)]
pub(in crate::vector) enum Requantization {
    /// Nothing goes on.
    #[default]
    Idle,
    /// Product codes are trained on these slots.
    Training(Box<ProductTraining>),
    /// A thread has the training with it.
    Away,
    /// Vectors are coded.
    Encoding(Encoding),
}

/// Product codes in training.
pub(in crate::vector) struct ProductTraining {
    pub kind: CodeKind,
    pub slots: Vec<u32>,
    pub training: Training,
}

/// Slots being coded.
pub(in crate::vector) struct Encoding {
    pub codec: Arc<Codec>,
    /// Slots below it are coded or being coded; from `end` on they were coded when they came.
    pub claimed: u32,
    pub end: u32,
    /// Ranges being coded.
    pub open: usize,
}
