//! `cargo xtask demo`: a running server with real documents in it, and answers to real questions.

use crate::Failure;
use std::path::Path;

pub(crate) fn run(_root: &Path, _folder: Option<&Path>) -> Result<(), Failure> {
    Err("not written yet".into())
}

pub(crate) fn stop() -> Result<(), Failure> {
    Err("not written yet".into())
}
