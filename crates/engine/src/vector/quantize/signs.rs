//! Signs: a bit for each component, set if it is above zero, so that 0 and 1 differ as well as -1 and 1.

/// Appends the bits of `vector`, component `i` in bit `i % 8` of byte `i / 8`.
pub(in crate::vector) fn encode(vector: &[f32], row: &mut Vec<u8>) {
    let byte =
        |values: &[f32]| values.iter().enumerate().fold(0u8, |byte, (i, &value)| byte | u8::from(value > 0.0) << i);
    row.extend(vector.chunks(8).map(byte));
}
