//! Filters: from what a wire gives to what the engine asks its indexes.
//!
//! [`json`] reads REST's and GraphQL's `where`, [`grpc`] the message of gRPC; both make a [`Clause`], which
//! [`resolve`] and, for paths into objects, [`nested`] check against the schema.

#[cfg(test)]
mod fuzz;
mod grpc;
mod json;
mod nested;
mod resolve;

use azimuth_engine::meta::Catalog;
use azimuth_engine::query::{Filter, Operator};
use azimuth_engine::schema::Collection;
use serde_json::Value;

pub(crate) use resolve::wire_name;

use crate::app::{App, AppError, AppResult};
use crate::pb::weaviate::Filters;

/// Why a `where` is refused. Each front end puts its own path before the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FilterError {
    /// It cannot be read.
    Parse(String),
    /// It does not fit the schema.
    Invalid(String),
}

/// A condition as a wire gives it.
#[derive(Debug, Clone, PartialEq)]
enum Clause {
    And(Vec<Clause>),
    Or(Vec<Clause>),
    Not(Box<Clause>),
    Leaf(Leaf),
}

/// A comparison as a wire gives it.
#[derive(Debug, Clone, PartialEq)]
struct Leaf {
    /// Property, class, property, .. ; the last one is compared.
    path: Vec<String>,
    operator: Operator,
    value: Given,
    /// gRPC says apart that references are counted.
    count: bool,
}

/// A value or a list of values, all of one kind.
#[derive(Debug, Clone, PartialEq)]
struct Given {
    /// `valueText`, `valueInt`, ..
    field: &'static str,
    scalars: Vec<Scalar>,
    list: bool,
}

#[derive(Debug, Clone, PartialEq)]
enum Scalar {
    Text(String),
    Int(i64),
    Number(f64),
    Bool(bool),
    Geo { latitude: f32, longitude: f32, max_distance_m: f32 },
}

/// Reads a `where` of REST or GraphQL (as JSON, operators as text).
///
/// # Errors
/// [`FilterError`]
pub(crate) fn from_json(
    app: &App,
    catalog: &Catalog,
    collection: &Collection,
    clause: &Value,
) -> Result<Filter, FilterError> {
    let clause = json::clause(clause, app.settings.filter_depth_max)?;
    resolve::filter(catalog, collection, &clause, resolve::Kinds::Strict)
}

/// Reads a filter of gRPC.
///
/// # Errors
/// [`AppError::Invalid`] with the whole text of the wire.
pub(crate) fn from_grpc(app: &App, catalog: &Catalog, collection: &Collection, filters: &Filters) -> AppResult<Filter> {
    let refuse = |error| match error {
        FilterError::Parse(text) | FilterError::Invalid(text) => AppError::Invalid(text),
    };
    let clause = grpc::clause(catalog, collection, filters, app.settings.filter_depth_max).map_err(refuse)?;
    resolve::filter(catalog, collection, &clause, resolve::Kinds::Coerced).map_err(refuse)
}

fn too_deep(depth_max: usize) -> FilterError {
    FilterError::Parse(format!("filters can be nested {depth_max} deep (AZIMUTH_FILTER_DEPTH_MAX)"))
}
