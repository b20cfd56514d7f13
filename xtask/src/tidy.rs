//! placeholder

use crate::Failure;
use std::path::Path;

pub(crate) fn run(_root: &Path, _update: bool) -> Result<(), Failure> {
    Ok(())
}
