//! A property of a collection: data type, tokenization and which indexes it has.

use serde::{Deserialize, Serialize};

use crate::ids::PropertyId;

/// A property; `object` properties nest further ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Property {
    /// Assigned by the meta group; 0 before.
    pub id: PropertyId,
    /// `^[_A-Za-z][_0-9A-Za-z]{0,230}$`, first letter lower case.
    pub name: String,
    /// Free text; `None` if no request has set it.
    pub description: Option<String>,
    /// Type of the values.
    pub data_type: DataType,
    /// How text is split into terms; `None` for other types than text.
    pub tokenization: Option<Tokenization>,
    /// Whether the property has an index for filters.
    pub filterable: bool,
    /// Whether the property has an index for keyword search.
    pub searchable: bool,
    /// Whether the property has an index for ranges.
    pub range_filterable: bool,
    /// Properties of an `object` value, in the order of creation.
    pub nested: Vec<Property>,
    /// Text analysis before and after tokenization.
    pub text_analyzer: Option<TextAnalyzer>,
    /// Module settings as the JSON text of the request.
    pub module_config: Option<String>,
}

/// Type of the values of a property.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DataType {
    /// A primitive value, or a list of them.
    Primitive {
        /// Type of the value, or of each element.
        of: Primitive,
        /// Whether it is a list.
        list: bool,
    },
    /// A nested object, or a list of them.
    Object {
        /// Whether it is a list.
        list: bool,
    },
    /// References to objects of these collections.
    Reference(Vec<String>),
}

/// Types of single values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Primitive {
    Text,
    Int,
    Number,
    Boolean,
    Date,
    Uuid,
    GeoCoordinates,
    PhoneNumber,
    Blob,
    BlobHash,
}

/// How text is split into terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Tokenization {
    /// Maximal sequences of letters and numbers, lower-cased.
    Word,
    /// Sequences without white space, lower-cased.
    Lowercase,
    /// Sequences without white space, in their original case.
    Whitespace,
    /// The trimmed text as one term.
    Field,
    /// All sequences of three successive letters and numbers, lower-cased.
    Trigram,
    /// Chinese and Japanese segmentation; accepted in the schema only where enabled.
    Gse,
    /// Chinese segmentation.
    GseCh,
    /// Korean morphemes.
    KagomeKr,
    /// Japanese morphemes.
    KagomeJa,
}

/// Text analysis before and after tokenization.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextAnalyzer {
    /// Whether accented letters are folded to ASCII; `None` if no request has set it.
    pub ascii_fold: Option<bool>,
    /// Letters that are not folded.
    pub ascii_fold_ignore: Vec<String>,
    /// Name of the stop-word preset that this property uses instead of the collection's stop words.
    pub stopword_preset: Option<String>,
}

impl DataType {
    /// A single value of that type.
    pub const fn one(of: Primitive) -> Self {
        Self::Primitive { of, list: false }
    }

    /// A list of values of that type.
    pub const fn list(of: Primitive) -> Self {
        Self::Primitive { of, list: true }
    }

    /// Whether values are text or lists of text.
    pub const fn is_text(&self) -> bool {
        matches!(self, Self::Primitive { of: Primitive::Text, .. })
    }
}
