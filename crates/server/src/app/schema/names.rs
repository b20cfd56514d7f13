//! Names of collections, properties and vectors: which are allowed, and what the wire makes of them.

use crate::app::{AppError, AppResult};

/// Endings of property names that Weaviate keeps for its own indexes.
const RESERVED_ENDINGS: [&str; 6] =
    ["_searchable", "_rangeable", "_temp", "__meta_count", "_propertyLength", "_nullState"];

/// Properties of a collection at most, and of an object property: every change of a schema is written as a whole.
const PROPERTIES_MAX: usize = 5_000;

/// Checks how many properties a collection, or an object property, is to have.
///
/// # Errors
/// [`AppError::Invalid`]
pub(crate) fn check_count(properties: usize) -> AppResult<()> {
    if properties > PROPERTIES_MAX {
        return Err(AppError::Invalid(format!("more than {PROPERTIES_MAX} properties at one place are not supported")));
    }
    Ok(())
}

/// With an upper-case first letter, as names of collections have it.
pub(crate) fn upper_first(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// With a lower-case first letter, as names of properties have it.
pub(crate) fn lower_first(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

/// Checks the name of a collection, whose first letter is upper-case already.
///
/// # Errors
/// [`AppError::Invalid`]
pub(crate) fn check_class(name: &str) -> AppResult<()> {
    let letters = name.strip_prefix(|first: char| first.is_ascii_uppercase());
    if name.len() > 255 {
        return Err(AppError::Invalid(format!(
            "'{name}' is not a valid class name. Name should not be longer than 255 characters"
        )));
    }
    if !letters.is_some_and(is_word) {
        return Err(AppError::Invalid(format!("'{name}' is not a valid class name")));
    }
    Ok(())
}

/// Checks the name of a property, nested or not.
///
/// # Errors
/// [`AppError::Invalid`]
pub(crate) fn check_property(name: &str) -> AppResult<()> {
    if !is_property_like(name, 231) {
        return Err(AppError::Invalid(format!(
            "'{name}' is not a valid property name. Property names in Weaviate are restricted to valid GraphQL names, \
             which must be \u{201c}/[_A-Za-z][_0-9A-Za-z]{{0,230}}/\u{201d}"
        )));
    }
    match RESERVED_ENDINGS.iter().find(|ending| name.ends_with(*ending)) {
        Some(ending) => Err(AppError::Invalid(format!(
            "'{name}' is not a valid property name: suffix '{ending}' is reserved for internal indices"
        ))),
        None => Ok(()),
    }
}

/// Checks that the name of a top-level property is none that the wire uses itself.
///
/// # Errors
/// [`AppError::Invalid`]
pub(crate) fn check_reserved(name: &str) -> AppResult<()> {
    if matches!(name, "_additional" | "_id" | "id") {
        return Err(AppError::Invalid(format!("'{name}' is a reserved property name")));
    }
    Ok(())
}

/// Checks the name of a vector.
///
/// # Errors
/// [`AppError::Invalid`]
pub(crate) fn check_vector(name: &str) -> AppResult<()> {
    if name.len() > 230 {
        return Err(AppError::Invalid(format!(
            "class.VectorConfig target vector name \"{name}\" is not valid. Target vector name should not be longer \
             than 230 characters."
        )));
    }
    if !is_property_like(name, 230) {
        return Err(AppError::Invalid(format!(
            "class.VectorConfig target vector name \"{name}\" is not valid, in Weaviate target vector names are \
             restricted to valid GraphQL names, which must be \u{201c}/[_A-Za-z][_0-9A-Za-z]{{0,229}}/\u{201d}."
        )));
    }
    Ok(())
}

fn is_property_like(name: &str, bytes_max: usize) -> bool {
    let rest = name.strip_prefix(|first: char| first == '_' || first.is_ascii_alphabetic());
    name.len() <= bytes_max && rest.is_some_and(is_word)
}

fn is_word(text: &str) -> bool {
    text.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric())
}
