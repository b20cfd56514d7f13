//! Types of arguments, as the wire names them, and whether values have them. [`objects`] holds those of classes.

mod objects;

use serde_json::Value as Json;

use super::schema::Schema;
use super::syntax::{Given, Name, TypeName, Value};
pub(super) use objects::{Object, of_aggregate, of_class, of_explore};

/// What is wrong with one value, at most.
const WRONG_MAX: usize = 100;

/// A type of arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Input {
    Int,
    Float,
    Text,
    Bool,
    /// Values that GraphQL itself has no type for.
    Scalar(String, Accepts),
    /// Its name and its words.
    Enum(String, &'static [&'static str]),
    Object(Object),
    List(Box<Self>),
    NonNull(Box<Self>),
}

/// What a scalar accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Accepts {
    /// One of these or a list of them.
    Texts,
    Ints,
    Floats,
    Bools,
    /// A list of numbers, or a list of such lists.
    Vector,
    /// A map of anything.
    Map,
}

impl Input {
    /// The type that a variable declares; `None` when there is none of that name.
    pub(super) fn declared(catalog: &Schema, name: &TypeName) -> Option<Self> {
        Some(match name {
            TypeName::List(of) => Self::List(Box::new(Self::declared(catalog, of)?)),
            TypeName::NonNull(of) => Self::NonNull(Box::new(Self::declared(catalog, of)?)),
            TypeName::Named(name) => match name.text.as_str() {
                "Int" => Self::Int,
                "Float" => Self::Float,
                "String" | "ID" => Self::Text,
                "Boolean" => Self::Bool,
                name => objects::named(catalog, name)?,
            },
        })
    }

    /// The type without lists and requirements around it.
    pub(super) fn inner(&self) -> &Self {
        match self {
            Self::List(of) | Self::NonNull(of) => of.inner(),
            plain => plain,
        }
    }

    /// How the type is written; that of a required list leaves the brackets out, as on the wire.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Int => "Int".to_owned(),
            Self::Float => "Float".to_owned(),
            Self::Text => "String".to_owned(),
            Self::Bool => "Boolean".to_owned(),
            Self::Scalar(name, _) | Self::Enum(name, _) => name.clone(),
            Self::Object(object) => object.name(),
            Self::List(of) => format!("[{}]", of.name()),
            Self::NonNull(of) => match of.as_ref() {
                Self::List(element) => format!("{}!", element.name()),
                plain => format!("{}!", plain.name()),
            },
        }
    }

    /// Whether a variable of the type `declared` can stand where this type is wanted.
    pub(super) fn takes(&self, declared: &Self) -> bool {
        match (self, declared) {
            (Self::NonNull(wanted), Self::NonNull(declared)) => wanted.takes(declared),
            (Self::NonNull(_), _) => false,
            (wanted, Self::NonNull(declared)) => wanted.takes(declared),
            (Self::List(wanted), Self::List(declared)) => wanted.takes(declared),
            (wanted, declared) => wanted == declared,
        }
    }

    /// What is wrong with a value of a document, `None` being no value. Variables are looked at elsewhere.
    pub(super) fn check(&self, value: Option<&Value>, wrong: &mut Vec<String>, place: &str) {
        if wrong.len() >= WRONG_MAX {
            return;
        }
        let mut refuse = |why: String| wrong.push(format!("{place}{why}"));
        let given = match (self, value) {
            (Self::NonNull(of), Some(value)) => return of.check(Some(value), wrong, place),
            (Self::NonNull(_), None) => return refuse(format!("Expected {:?}, found null.", self.name())),
            (_, None) => return,
            (_, Some(value)) => value,
        };
        match (self, &given.given) {
            (_, Given::Variable(_)) => {}
            (Self::List(of), Given::List(values)) => {
                for (at, value) in values.iter().enumerate() {
                    of.check(Some(value), wrong, &format!("{place}In element #{}: ", at + 1));
                }
            }
            (Self::List(of), _) => of.check(value, wrong, place),
            (Self::Object(object), Given::Object(fields)) => {
                let unknown = |name: &&Name| !object.fields().any(|(known, _)| known == name.text);
                for name in fields.iter().map(|(name, _)| name).filter(unknown).take(WRONG_MAX) {
                    wrong.push(format!("{place}In field {:?}: Unknown field.", name.text));
                }
                for (name, input) in object.fields() {
                    let value = fields.iter().find(|(given, _)| given.text == name).map(|(_, value)| value);
                    input.check(value, wrong, &format!("{place}In field {name:?}: "));
                }
            }
            (Self::Object(_), _) => refuse(format!("Expected {:?}, found not an object.", self.name())),
            (_, found) if self.is_literal(found) => {}
            _ => refuse(format!("Expected type {:?}, found {given}.", self.name())),
        }
    }

    fn is_literal(&self, given: &Given) -> bool {
        match (self, given) {
            (Self::Int, Given::Int(digits)) => digits.parse::<i64>().is_ok(),
            (Self::Float, Given::Int(_) | Given::Float(_))
            | (Self::Text, Given::Text(_))
            | (Self::Bool, Given::Bool(_)) => true,
            (Self::Enum(_, words), Given::Enum(word)) => words.contains(&word.as_str()),
            (Self::Scalar(_, accepts), given) => accepts.literal(given),
            _ => false,
        }
    }

    /// What is wrong with the value of a variable.
    pub(super) fn check_json(&self, value: &Json, wrong: &mut Vec<String>, place: &str) {
        if wrong.len() >= WRONG_MAX {
            return;
        }
        match (self, value) {
            (Self::NonNull(of), value) if !value.is_null() => of.check_json(value, wrong, place),
            (Self::NonNull(_), _) => wrong.push(format!("{place}Expected {:?}, found null.", self.name())),
            (_, Json::Null) => {}
            (Self::List(of), Json::Array(values)) => {
                for (at, value) in values.iter().enumerate() {
                    of.check_json(value, wrong, &format!("{place}In element #{}: ", at + 1));
                }
            }
            (Self::List(of), value) => of.check_json(value, wrong, place),
            (Self::Object(object), Json::Object(fields)) => {
                let unknown = |name: &&String| !object.fields().any(|(known, _)| known == name.as_str());
                for name in fields.keys().filter(unknown).take(WRONG_MAX) {
                    wrong.push(format!("{place}In field {name:?}: Unknown field."));
                }
                for (name, input) in object.fields() {
                    let value = fields.get(name).unwrap_or(&Json::Null);
                    input.check_json(value, wrong, &format!("{place}In field {name:?}: "));
                }
            }
            (Self::Object(_), _) => wrong.push(format!("{place}Expected {:?}, found not an object.", self.name())),
            (_, value) if self.is_json(value) => {}
            (_, value) => {
                let found = crate::weaviate::objects::plain(value);
                wrong.push(format!("{place}Expected type {:?}, found \"{found}\".", self.name()));
            }
        }
    }

    fn is_json(&self, value: &Json) -> bool {
        match (self, value) {
            (Self::Int, Json::Number(number)) => number.as_str().parse::<i32>().is_ok(),
            (Self::Float, Json::Number(_)) | (Self::Text, Json::String(_)) | (Self::Bool, Json::Bool(_)) => true,
            (Self::Enum(_, words), Json::String(word)) => words.contains(&word.as_str()),
            (Self::Scalar(_, accepts), value) => accepts.json(value),
            _ => false,
        }
    }
}

impl Accepts {
    /// How the type is described, where its name does not say it.
    pub(super) fn description(self) -> Option<&'static str> {
        match self {
            Self::Texts => Some("String or String[]"),
            Self::Ints => Some("Int or Int[]"),
            Self::Floats => Some("Float or Float[]"),
            Self::Bools => Some("Boolean or Boolean[]"),
            Self::Vector | Self::Map => None,
        }
    }

    fn literal(self, given: &Given) -> bool {
        let one = |given: &Given| match self {
            Self::Texts => matches!(given, Given::Text(_)),
            Self::Ints => matches!(given, Given::Int(_)),
            Self::Floats | Self::Vector => matches!(given, Given::Int(_) | Given::Float(_)),
            Self::Bools => matches!(given, Given::Bool(_)),
            Self::Map => matches!(given, Given::Object(_)),
        };
        let variable = |given: &Given| matches!(given, Given::Variable(_));
        match given {
            Given::List(values) if self == Self::Vector => values.iter().all(|value| match &value.given {
                Given::List(row) => row.iter().all(|value| one(&value.given) || variable(&value.given)),
                value => one(value) || variable(value),
            }),
            Given::List(values) if self != Self::Map => values.iter().all(|v| one(&v.given) || variable(&v.given)),
            given => self != Self::Vector && one(given),
        }
    }

    fn json(self, value: &Json) -> bool {
        let one = |value: &Json| match self {
            Self::Texts => value.is_string(),
            Self::Ints => value.is_i64() || value.is_u64(),
            Self::Floats | Self::Vector => value.is_number(),
            Self::Bools => value.is_boolean(),
            Self::Map => value.is_object(),
        };
        match value {
            Json::Array(values) if self == Self::Vector => values.iter().all(|value| match value {
                Json::Array(row) => row.iter().all(one),
                value => one(value),
            }),
            Json::Array(values) if self != Self::Map => values.iter().all(one),
            value => self != Self::Vector && one(value),
        }
    }
}
