//! The hash of a group's logical content, by which replicas are compared.

/// Murmur3 over length-prefixed parts, chained so that order counts.
#[derive(Default)]
pub(crate) struct StateHasher {
    state: u128,
}

impl StateHasher {
    /// Adds a part.
    pub(crate) fn add(&mut self, part: &[u8]) {
        let hash = |mut bytes: &[u8], seed| murmur3::murmur3_x64_128(&mut bytes, seed).unwrap_or_default();
        let mut chained = [0; 40];
        chained[..16].copy_from_slice(&self.state.to_le_bytes());
        chained[16..32].copy_from_slice(&hash(part, 0).to_le_bytes());
        chained[32..].copy_from_slice(&(part.len() as u64).to_le_bytes());
        self.state = hash(&chained, 1);
    }

    /// The hash of all parts in their order.
    pub(crate) fn finish(self) -> [u8; 16] {
        self.state.to_be_bytes()
    }
}
