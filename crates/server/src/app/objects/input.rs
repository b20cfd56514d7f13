//! Properties as a front end read them, before the schema gives them types.
//!
//! Every front end builds an [`InputMap`] of its own form of objects; [`super::convert`] makes the engine's values of it,
//! and [`super::auto_schema`] derives the types of new properties from it.

use std::collections::BTreeMap;

use azimuth_engine::object::Beacon;

/// A value as a front end read it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum InputValue {
    /// No value.
    Null,
    /// A boolean.
    Bool(bool),
    /// A number as its decimal digits, in the syntax of JSON: it may be an integer or not, and of any size.
    Decimal(Box<str>),
    /// An integer, in a form that tells integers from floats.
    Int(i64),
    /// A finite float.
    Float(f64),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<InputValue>),
    /// Values by name.
    Map(Box<InputMap>),
}

/// What a value is, without the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InputKind {
    Null,
    Bool,
    Decimal,
    Int,
    Float,
    Text,
    List,
    Map,
}

/// Values by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct InputMap {
    /// The values, in the order of their names.
    pub(crate) members: BTreeMap<String, InputValue>,
    /// Where the map is one that refers to an object: which object, or the front end's words for a reference that cannot
    /// be read.
    pub(crate) target: Option<Result<Beacon, String>>,
}

impl InputValue {
    /// The kind of the value.
    pub(crate) fn kind(&self) -> InputKind {
        match self {
            Self::Null => InputKind::Null,
            Self::Bool(_) => InputKind::Bool,
            Self::Decimal(_) => InputKind::Decimal,
            Self::Int(_) => InputKind::Int,
            Self::Float(_) => InputKind::Float,
            Self::Text(_) => InputKind::Text,
            Self::List(_) => InputKind::List,
            Self::Map(_) => InputKind::Map,
        }
    }

    /// Whether it is no value.
    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The text, if it is one.
    pub(crate) fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The values by name, if it is a map.
    pub(crate) fn as_map(&self) -> Option<&InputMap> {
        if let Self::Map(map) = self { Some(map) } else { None }
    }

    /// Whether it is a number.
    pub(crate) fn is_number(&self) -> bool {
        matches!(self, Self::Decimal(_) | Self::Int(_) | Self::Float(_))
    }
}

impl InputMap {
    /// The value of that name.
    pub(crate) fn get(&self, name: &str) -> Option<&InputValue> {
        self.members.get(name)
    }

    /// Number of values.
    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }
}

impl FromIterator<(String, InputValue)> for InputMap {
    fn from_iter<I: IntoIterator<Item = (String, InputValue)>>(members: I) -> Self {
        Self { members: members.into_iter().collect(), target: None }
    }
}
