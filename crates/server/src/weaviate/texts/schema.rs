//! Texts about names and properties of collections.

use crate::app::schema::names::{self, NameError};

/// The refusal of a name.
pub(crate) fn name(error: &NameError) -> String {
    match error {
        NameError::ReservedClass(_) => "parse class name: class name `raft` is reserved".to_owned(),
        NameError::LongClass(name) => format!(
            "'{name}' is not a valid class name. Name should not be longer than {} characters",
            names::CLASS_BYTES_MAX
        ),
        NameError::BadClass(name) => format!("'{name}' is not a valid class name"),
        NameError::ClassExists(name) => format!("class name {name} already exists"),
        NameError::SimilarClass(similar) => format!("class already exists: found similar class \"{similar}\""),
        NameError::AliasExists(name) => format!("alias name {name} already exists"),
        NameError::SimilarAlias(similar) => format!("class already exists: found similar alias \"{similar}\""),
        NameError::LongAlias(name) => format!(
            "'{name}' is not a valid alias name. Name should not be longer than {} characters",
            names::CLASS_BYTES_MAX
        ),
        NameError::BadAlias(name) => format!("'{name}' is not a valid alias name"),
        NameError::LongProperty(name) => format!(
            "'{name}' is not a valid property name. Name should not be longer than {} characters",
            names::PROPERTY_BYTES_MAX
        ),
        NameError::BadProperty(name) => format!(
            "'{name}' is not a valid property name. Property names in Weaviate are restricted to valid GraphQL names, \
             which must be \u{201c}/[_A-Za-z][_0-9A-Za-z]{{0,230}}/\u{201d}"
        ),
        NameError::ReservedEnding { name, ending } => {
            format!("'{name}' is not a valid property name: suffix '{ending}' is reserved for internal indices")
        }
        NameError::ReservedProperty(name) => format!("'{name}' is a reserved property name"),
        NameError::BadNested { name, above } => format!(
            "'{name}' is not a valid nested property name of '{above}'. NestedProperty names in Weaviate are \
             restricted to valid GraphQL names, which must be \u{201c}/[_A-Za-z][_0-9A-Za-z]*/\u{201d}"
        ),
        NameError::TooManyProperties => {
            format!("more than {} properties at one place are not supported", names::PROPERTIES_MAX)
        }
        NameError::LongVector(name) => format!(
            "class.VectorConfig target vector name \"{name}\" is not valid. Target vector name should not be longer \
             than {} characters.",
            names::VECTOR_BYTES_MAX
        ),
        NameError::BadVector(name) => format!(
            "class.VectorConfig target vector name \"{name}\" is not valid, in Weaviate target vector names are \
             restricted to valid GraphQL names, which must be \u{201c}/[_A-Za-z][_0-9A-Za-z]{{0,229}}/\u{201d}."
        ),
    }
}

/// The refusal of an object property without inner ones.
pub(crate) fn no_nested(path: &str) -> String {
    format!("property '{path}': At least one nested property is required for data type object/object[]")
}
