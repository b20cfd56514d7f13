//! Objects as Weaviate writes them: beacons, values in the formats of Go, JSON.

pub(crate) mod beacon;
#[cfg(test)]
mod fuzz;
mod gofmt;
pub(crate) mod groups;
pub(crate) mod input;
pub(crate) mod render;

pub(crate) use gofmt::{float, given, list_as_text, literal, plain, type_name};
