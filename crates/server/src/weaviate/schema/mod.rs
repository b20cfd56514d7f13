//! Collections as the wire gives and shows them: defaults, validation with the texts that clients know, rendering.
//!
//! [`decode`] makes a collection of a class, [`update`] changes one, [`render`] shows it. A collection that leaves here
//! is valid for the engine.

mod decode;
mod defaults;
#[cfg(test)]
mod fuzz;
mod inverted;
mod modules;
mod property;
mod render;
#[cfg(test)]
pub(crate) mod samples;
mod ttl;
mod update;
mod vector_index;
mod vectors;

pub(crate) use decode::{decode_class, decode_new_property};
pub(crate) use defaults::CONVENTIONS;
pub(crate) use inverted::decode as decode_inverted;
pub(crate) use property::{check_folding, decode_analyzer, tokenization_name, type_names, without_dictionary};
pub(crate) use render::{render_class, render_property};
pub(crate) use update::update_class;

use crate::app::AppError;
use crate::app::schema::names::NameError;
use crate::weaviate::texts;

/// A refusal.
fn invalid(text: impl Into<String>) -> AppError {
    AppError::Invalid(text.into())
}

/// The refusal of a name.
#[expect(clippy::needless_pass_by_value, reason = "`map_err` passes errors by value")]
fn refused_name(error: NameError) -> AppError {
    invalid(texts::name(&error))
}
