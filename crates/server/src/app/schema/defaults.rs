//! Collections and properties that come into being because an object needs them.

use azimuth_engine::ids::PropertyId;
use azimuth_engine::schema::{Collection, DataType, Property, Tokenization};

use crate::settings::Settings;

/// What a front end decides of collections and properties that are derived from objects.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Conventions {
    /// A collection of that name with default settings and without properties.
    pub(crate) new_collection: fn(&Settings, &str) -> Collection,
    /// The description of something that was derived.
    pub(crate) description: fn(Derived) -> String,
}

/// A part of a schema that is derived from an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Derived {
    /// A collection, or a property of it.
    Property,
    /// A property inside an object property.
    NestedProperty,
}

/// A property with all indexes that its type has by default.
pub(crate) fn new_property(name: &str, data_type: DataType) -> Property {
    let text = data_type.is_text();
    Property {
        id: PropertyId(0),
        name: name.to_owned(),
        description: None,
        tokenization: text.then_some(Tokenization::Word),
        filterable: true,
        searchable: text,
        range_filterable: false,
        nested: Vec::new(),
        text_analyzer: None,
        module_config: None,
        data_type,
    }
}
