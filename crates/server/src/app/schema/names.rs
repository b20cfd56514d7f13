//! Names of collections, properties and vectors: which are allowed.

use azimuth_engine::meta::Catalog;

/// Endings of property names that are kept for indexes.
const RESERVED_ENDINGS: [&str; 6] =
    ["_searchable", "_rangeable", "_temp", "__meta_count", "_propertyLength", "_nullState"];

/// Bytes of the name of a collection.
pub(crate) const CLASS_BYTES_MAX: usize = 255;
/// Bytes of the name of a property.
pub(crate) const PROPERTY_BYTES_MAX: usize = 231;
/// Bytes of the name of a vector.
pub(crate) const VECTOR_BYTES_MAX: usize = 230;
/// Properties of a collection at most, and of an object property: every change of a schema is written as a whole.
pub(crate) const PROPERTIES_MAX: usize = 5_000;

/// Why a name is refused. Front ends word it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NameError {
    /// Collections cannot have that name.
    ReservedClass(String),
    /// The name of a collection is too long.
    LongClass(String),
    /// The name of a collection has letters that are not allowed.
    BadClass(String),
    /// A collection of that name exists.
    ClassExists(String),
    /// A collection exists whose name, the value, differs in its spelling only.
    SimilarClass(String),
    /// An alias of that name exists.
    AliasExists(String),
    /// An alias exists whose name, the value, differs in its spelling only.
    SimilarAlias(String),
    /// The name of an alias is too long.
    LongAlias(String),
    /// The name of an alias has letters that are not allowed.
    BadAlias(String),
    /// The name of a property is too long.
    LongProperty(String),
    /// The name of a property has letters that are not allowed.
    BadProperty(String),
    /// Names of properties must not end so.
    ReservedEnding {
        /// The name.
        name: String,
        /// Its ending.
        ending: &'static str,
    },
    /// Properties cannot have that name.
    ReservedProperty(String),
    /// The name of a property inside an object property is not allowed.
    BadNested {
        /// The name.
        name: String,
        /// Path of the object property.
        above: String,
    },
    /// A collection, or an object property, has too many properties.
    TooManyProperties,
    /// The name of a vector is too long.
    LongVector(String),
    /// The name of a vector has letters that are not allowed.
    BadVector(String),
}

/// Checks how many properties a collection, or an object property, is to have.
///
/// # Errors
/// [`NameError::TooManyProperties`]
pub(crate) fn check_count(properties: usize) -> Result<(), NameError> {
    if properties > PROPERTIES_MAX { Err(NameError::TooManyProperties) } else { Ok(()) }
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
/// [`NameError::LongClass`], [`NameError::BadClass`]
pub(crate) fn check_class(name: &str) -> Result<(), NameError> {
    let letters = name.strip_prefix(|first: char| first.is_ascii_uppercase());
    if name.len() > CLASS_BYTES_MAX {
        return Err(NameError::LongClass(name.to_owned()));
    }
    if !letters.is_some_and(is_word) {
        return Err(NameError::BadClass(name.to_owned()));
    }
    Ok(())
}

/// Checks the name of a collection that is to be created: as [`check_class`], and that the name is not reserved.
///
/// # Errors
/// As [`check_class`], and [`NameError::ReservedClass`].
pub(crate) fn check_new_class(name: &str) -> Result<(), NameError> {
    if name.eq_ignore_ascii_case("raft") {
        return Err(NameError::ReservedClass(name.to_owned()));
    }
    check_class(name)
}

/// Checks the name of an alias, whose first letter is upper-case already: names of aliases are like those of collections.
///
/// # Errors
/// [`NameError::LongAlias`], [`NameError::BadAlias`]
pub(crate) fn check_alias(name: &str) -> Result<(), NameError> {
    check_class(name).map_err(|error| match error {
        NameError::LongClass(name) => NameError::LongAlias(name),
        _ => NameError::BadAlias(name.to_owned()),
    })
}

/// Checks that no collection and no alias has that name, in whatever spelling.
///
/// # Errors
/// [`NameError::AliasExists`], [`NameError::SimilarAlias`], and as [`check_no_collection`].
pub(crate) fn check_unused(catalog: &Catalog, name: &str) -> Result<(), NameError> {
    check_no_collection(catalog, name)?;
    match catalog.similar_alias(name) {
        Some(same) if same.name == name => Err(NameError::AliasExists(name.to_owned())),
        Some(similar) => Err(NameError::SimilarAlias(similar.name.clone())),
        None => Ok(()),
    }
}

/// Checks that no collection has that name, in whatever spelling.
///
/// # Errors
/// [`NameError::ClassExists`], [`NameError::SimilarClass`]
pub(crate) fn check_no_collection(catalog: &Catalog, name: &str) -> Result<(), NameError> {
    match catalog.find_similar(name) {
        Some(same) if same.name == name => Err(NameError::ClassExists(name.to_owned())),
        Some(similar) => Err(NameError::SimilarClass(similar.name.clone())),
        None => Ok(()),
    }
}

/// Checks the name of a top-level property.
///
/// # Errors
/// A name that is too long, has other letters, or is reserved.
pub(crate) fn check_property(name: &str) -> Result<(), NameError> {
    if name.len() > PROPERTY_BYTES_MAX {
        return Err(NameError::LongProperty(name.to_owned()));
    }
    if !is_property_like(name) {
        return Err(NameError::BadProperty(name.to_owned()));
    }
    if let Some(ending) = RESERVED_ENDINGS.into_iter().find(|ending| name.ends_with(*ending)) {
        return Err(NameError::ReservedEnding { name: name.to_owned(), ending });
    }
    if matches!(name, "_additional" | "_id" | "id") {
        return Err(NameError::ReservedProperty(name.to_owned()));
    }
    Ok(())
}

/// Checks the name of a property inside the object property `above`.
///
/// # Errors
/// [`NameError::BadNested`]
pub(crate) fn check_nested(name: &str, above: &str) -> Result<(), NameError> {
    if is_property_like(name) {
        return Ok(());
    }
    Err(NameError::BadNested { name: name.to_owned(), above: above.to_owned() })
}

/// Checks the name of a vector.
///
/// # Errors
/// [`NameError::LongVector`], [`NameError::BadVector`]
pub(crate) fn check_vector(name: &str) -> Result<(), NameError> {
    if name.len() > VECTOR_BYTES_MAX {
        return Err(NameError::LongVector(name.to_owned()));
    }
    if !is_property_like(name) {
        return Err(NameError::BadVector(name.to_owned()));
    }
    Ok(())
}

fn is_property_like(name: &str) -> bool {
    let rest = name.strip_prefix(|first: char| first == '_' || first.is_ascii_alphabetic());
    rest.is_some_and(is_word)
}

fn is_word(text: &str) -> bool {
    text.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric())
}
