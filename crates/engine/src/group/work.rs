//! Background work.

/// How much one step may do. Counts, not time: the engine reads no clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkBudget {
    /// What a vector index may do.
    pub vectors: crate::vector::WorkBudget,
    /// Keys of the inverted index or of dropped shards to look at, at most.
    pub keys_max: usize,
}

impl Default for WorkBudget {
    fn default() -> Self {
        Self { vectors: crate::vector::WorkBudget::default(), keys_max: 4_096 }
    }
}

/// What one step did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WorkReport {
    /// Vectors linked into a graph.
    pub linked: usize,
    /// Keys of the inverted index looked at.
    pub swept: usize,
    /// Keys of dropped collections and shards removed.
    pub purged: usize,
    /// Whether another step would find something to do.
    pub more: bool,
}
