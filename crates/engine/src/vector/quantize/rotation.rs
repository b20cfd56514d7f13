//! A random rotation in `O(dim log dim)`: random signs and Walsh-Hadamard transforms over two overlapping windows.

use crate::vector::distance::hadamard;

/// An orthogonal map from `[dim]` to `[dim_padded]`, given by a seed.
#[derive(Debug, Clone)]
pub(in crate::vector) struct Rotation {
    dim_padded: usize,
    /// Largest power of two within `dim_padded`.
    window: usize,
    /// `[ROUNDS * 2 * window]`: a sign over the root of the window, for each transform.
    signs: Vec<f32>,
}

/// Each round transforms the first and the last `window` components.
const ROUNDS: usize = 2;

impl Rotation {
    pub(in crate::vector) fn new(dim_padded: usize, seed: u64) -> Self {
        assert!(dim_padded >= 64, "codes have at least one block");
        let window = 1 << dim_padded.ilog2();
        #[expect(clippy::cast_precision_loss, reason = "a power of two")]
        let size = 1.0 / (window as f32).sqrt();
        let signs = (0..ROUNDS * 2 * window)
            .map(|i| if splitmix(seed ^ (i as u64) << 20) & 1 == 0 { size } else { -size })
            .collect();
        Self { dim_padded, window, signs }
    }

    /// `rotated` becomes `[dim_padded]`.
    pub(in crate::vector) fn rotate(&self, vector: &[f32], rotated: &mut Vec<f32>) {
        rotated.clear();
        rotated.extend_from_slice(vector);
        rotated.resize(self.dim_padded, 0.0);
        for (i, signs) in self.signs.chunks_exact(self.window).enumerate() {
            let start = if i % 2 == 0 { 0 } else { self.dim_padded - self.window };
            let window = &mut rotated[start..start + self.window];
            for (value, sign) in window.iter_mut().zip(signs) {
                *value *= sign;
            }
            hadamard(window);
        }
    }
}

/// A well mixed word from a counter (SplitMix64).
pub(in crate::vector) fn splitmix(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
