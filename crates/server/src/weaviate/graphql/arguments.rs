//! Arguments of a class. The document was checked: what is there has its type, unless the text says otherwise.

use azimuth_engine::meta::Catalog;
use azimuth_engine::query::{Filter, Sort};
use azimuth_engine::schema::Collection;
use serde_json::Value;

use super::FieldError;
use super::document::Field;
use crate::app::App;
use crate::weaviate::filter::{self, FilterError};

/// An `Int` argument.
pub(super) fn int(class: &Field, name: &str) -> Option<i64> {
    class.argument(name).and_then(Value::as_i64)
}

/// A `String` argument.
pub(super) fn text(class: &Field, name: &str) -> Option<String> {
    class.argument(name).and_then(Value::as_str).map(str::to_owned)
}

/// An argument that is an object.
pub(super) fn object(class: &Field, name: &str) -> Option<Value> {
    class.argument(name).filter(|value| value.is_object()).cloned()
}

/// The `where` argument.
pub(super) fn filter(
    app: &App,
    catalog: &Catalog,
    collection: &Collection,
    class: &Field,
) -> Result<Option<Filter>, FieldError> {
    let Some(clause) = class.argument("where") else { return Ok(None) };
    match filter::from_json(app, catalog, collection, clause) {
        Ok(filter) => Ok(Some(filter)),
        Err(FilterError::Parse(text)) => Err(FieldError(format!("could not extract filters: {text}"))),
        Err(FilterError::Invalid(text)) => Err(FieldError(format!("invalid 'where' filter: {text}"))),
    }
}

/// The `sort` argument: one clause or a list of them.
pub(super) fn sort(class: &Field) -> Result<Vec<Sort>, FieldError> {
    let clauses = match class.argument("sort") {
        None => &[],
        Some(Value::Array(clauses)) => clauses.as_slice(),
        Some(single) => std::slice::from_ref(single),
    };
    let mut sort = Vec::with_capacity(clauses.len());
    for (at, clause) in clauses.iter().enumerate() {
        let property = match clause.get("path") {
            Some(Value::String(path)) => path.clone(),
            Some(Value::Array(path)) => match path.as_slice() {
                [] => String::new(),
                [only] => only.as_str().unwrap_or_default().to_owned(),
                _ => {
                    return Err(FieldError(format!(
                        "invalid 'sort' parameter: sort parameter at position {at}: sorting by reference not supported, \
                         path must have exactly one argument"
                    )));
                }
            },
            _ => String::new(),
        };
        let descending = clause.get("order").and_then(Value::as_str) == Some("desc");
        sort.push(Sort { property, descending });
    }
    Ok(sort)
}
