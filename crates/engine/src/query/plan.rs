//! Plans: how a query will be answered, decided before anything is read.

use std::fmt;

/// How a query is answered. `Display` is one line, stable enough for tests.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// What is read, outermost first.
    pub steps: Vec<String>,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.steps.join(" > "))
    }
}
