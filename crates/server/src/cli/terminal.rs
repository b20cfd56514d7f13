//! Writing to the terminal of whoever ran the command. A closed pipe (`azimuth status | head -1`) is no trouble.

use std::fmt::Display;
use std::io::Write;

/// Writes `text` to standard output.
pub(super) fn say(text: impl Display) {
    let _ = write!(std::io::stdout().lock(), "{text}");
}

/// Writes a line about a trouble to standard error.
pub(super) fn complain(text: impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "azimuth: {text}");
}
