//! Changed inputs: bytes and texts as real damage and hostile clients change them.

use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};

use crate::BYTES_MAX;

/// Numbers that stand at the edge of something.
const EDGES: [u64; 12] =
    [0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_ffff, 1 << 53, u64::MAX >> 1, u64::MAX];

/// Pieces of the texts that are parsed here.
const PIECES: [&str; 24] = [
    "{",
    "}",
    "[",
    "]",
    "(",
    ")",
    "\"",
    "\\u",
    "...",
    "null",
    "-0.0",
    "1e999",
    "99999999999999999999",
    "NaN",
    ":",
    ",",
    "$",
    "@",
    "é",
    "\u{0}",
    "\u{202e}",
    "..",
    "/",
    "%",
];

/// One of the inputs with one to six changes.
pub(crate) fn changed(inputs: &[Vec<u8>], random: &mut impl Rng) -> Vec<u8> {
    let mut input = inputs.choose(random).cloned().unwrap_or_default();
    for _ in 0..random.random_range(1..7) {
        change(&mut input, inputs, random);
    }
    input.truncate(BYTES_MAX);
    input
}

fn change(input: &mut Vec<u8>, inputs: &[Vec<u8>], random: &mut impl Rng) {
    let at = random.random_range(0..=input.len());
    let end = (at + 1 + random.random_range(0..16)).min(input.len());
    match random.random_range(0..12) {
        0 | 1 if at < input.len() => input[at] ^= 1 << random.random_range(0..8),
        2 if at < input.len() => input[at] = random.random(),
        3 if at < input.len() => input[at] = *[0, 1, 0x7f, 0x80, 0xff].choose(random).unwrap_or(&0),
        4 => drop(input.drain(at..end.max(at))),
        5 => input.truncate(at),
        6 => {
            let part = input[at..end.max(at)].to_vec();
            input.splice(at..at, part);
        }
        7 => {
            // A part many times over: depth and counts.
            let part = input[at..end.max(at)].to_vec();
            let times = random.random_range(2..300);
            input.splice(at..at, part.repeat(times));
        }
        8 => {
            let number = EDGES.choose(random).copied().unwrap_or(0);
            let bytes = if random.random_bool(0.5) { number.to_le_bytes() } else { number.to_be_bytes() };
            let width = *[1, 2, 4, 8].choose(random).unwrap_or(&4);
            let bytes = if random.random_bool(0.5) { &bytes[..width] } else { &bytes[8 - width..] };
            let end = (at + width).min(input.len());
            input.splice(at..end, bytes.iter().copied());
        }
        9 => {
            let piece = PIECES.choose(random).copied().unwrap_or_default();
            input.splice(at..at, piece.bytes());
        }
        10 => {
            let other = inputs.choose(random).cloned().unwrap_or_default();
            let from = random.random_range(0..=other.len());
            input.splice(at..input.len(), other[from..].iter().copied());
        }
        _ => input.insert(at, random.random()),
    }
}
