//! A GraphQL document as it was written.

use std::fmt;

use super::lexer::Position;

/// All of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Document {
    pub(super) operations: Vec<Operation>,
    pub(super) fragments: Vec<Fragment>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OperationKind {
    Query,
    Mutation,
    Subscription,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Operation {
    pub(super) kind: OperationKind,
    pub(super) name: Option<Name>,
    pub(super) variables: Vec<Variable>,
    pub(super) directives: Vec<Directive>,
    pub(super) selections: Vec<Selection>,
    pub(super) at: Position,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fragment {
    pub(super) name: Name,
    /// The type that it is on.
    pub(super) on: Name,
    pub(super) directives: Vec<Directive>,
    pub(super) selections: Vec<Selection>,
    pub(super) at: Position,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) text: String,
    pub(super) at: Position,
}

/// A variable that an operation declares.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) declared: TypeName,
    pub(super) default: Option<Value>,
    /// Where its `$` stands.
    pub(super) at: Position,
}

/// A type as variables declare it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TypeName {
    Named(Name),
    List(Box<Self>),
    NonNull(Box<Self>),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Directive {
    pub(super) name: String,
    pub(super) arguments: Vec<Argument>,
    pub(super) at: Position,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Selection {
    Field(Field),
    /// `...Name`
    Spread {
        name: Name,
        directives: Vec<Directive>,
        at: Position,
    },
    /// `... on Type { .. }`
    Inline {
        on: Option<Name>,
        directives: Vec<Directive>,
        selections: Vec<Selection>,
        at: Position,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Field {
    pub(super) alias: Option<String>,
    pub(super) name: String,
    pub(super) arguments: Vec<Argument>,
    pub(super) directives: Vec<Directive>,
    pub(super) selections: Vec<Selection>,
    /// Where the brace of the selections stands.
    pub(super) selections_at: Position,
    pub(super) at: Position,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Argument {
    pub(super) name: Name,
    pub(super) value: Value,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Value {
    pub(super) given: Given,
    pub(super) at: Position,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Given {
    Variable(String),
    /// The digits as they were written.
    Int(String),
    Float(String),
    Text(String),
    Bool(bool),
    Enum(String),
    List(Vec<Value>),
    Object(Vec<(Name, Value)>),
}

impl Field {
    /// What it is called in the answer.
    pub(super) fn key(&self) -> &str {
        self.alias.as_deref().unwrap_or(&self.name)
    }
}

impl Selection {
    pub(super) fn directives(&self) -> &[Directive] {
        match self {
            Self::Field(field) => &field.directives,
            Self::Spread { directives, .. } | Self::Inline { directives, .. } => directives,
        }
    }

    pub(super) fn at(&self) -> Position {
        match self {
            Self::Field(field) => field.at,
            Self::Spread { at, .. } | Self::Inline { at, .. } => *at,
        }
    }
}

impl fmt::Display for TypeName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => out.write_str(&name.text),
            Self::List(of) => write!(out, "[{of}]"),
            Self::NonNull(of) => write!(out, "{of}!"),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.given {
            Given::Variable(name) => write!(out, "${name}"),
            Given::Int(text) | Given::Float(text) | Given::Enum(text) => out.write_str(text),
            Given::Text(text) => write!(out, "\"{text}\""),
            Given::Bool(value) => write!(out, "{value}"),
            Given::List(values) => {
                out.write_str("[")?;
                for (at, value) in values.iter().enumerate() {
                    write!(out, "{}{value}", if at > 0 { ", " } else { "" })?;
                }
                out.write_str("]")
            }
            Given::Object(fields) => {
                out.write_str("{")?;
                for (at, (name, value)) in fields.iter().enumerate() {
                    write!(out, "{}{}: {value}", if at > 0 { ", " } else { "" }, name.text)?;
                }
                out.write_str("}")
            }
        }
    }
}
