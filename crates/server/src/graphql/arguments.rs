//! Arguments of a class, with their types.

use async_graphql_value::ConstValue;
use azimuth_engine::meta::Catalog;
use azimuth_engine::query::{Filter, Sort};
use azimuth_engine::schema::Collection;
use serde_json::Value;

use super::document::{Argument, Field};
use super::{FieldError, GraphqlError};
use crate::app::App;
use crate::app::filter::{self, FilterError};

/// Refuses arguments that a class does not have.
pub(super) fn check_names(
    class: &Field,
    known: &[&str],
    collection: &Collection,
    type_name: &str,
) -> Result<(), GraphqlError> {
    for argument in &class.arguments {
        let name = argument.name.as_str();
        let there = match name {
            "tenant" => collection.multi_tenancy.enabled,
            "consistencyLevel" => collection.replication.factor > 1,
            name => known.contains(&name),
        };
        if !there {
            let near: Vec<_> = if name == "nearText" { vec!["nearVector", "nearObject"] } else { Vec::new() };
            let hint = match near.as_slice() {
                [] => String::new(),
                _ => " Did you mean \"nearVector\" or \"nearObject\"?".to_owned(),
            };
            let text = format!("Unknown argument {name:?} on field {:?} of type {type_name:?}.{hint}", class.name);
            return Err(GraphqlError::at(argument.position, text));
        }
    }
    Ok(())
}

/// An argument that does not have its type.
pub(super) fn wrong_type(argument: &Argument, wanted: &str) -> GraphqlError {
    let (name, value) = (&argument.name, &argument.value);
    let text = format!("Argument {name:?} has invalid value {value}.\nExpected type {wanted:?}, found {value}.");
    GraphqlError::at(argument.value_position, text)
}

/// An `Int` argument.
pub(super) fn int(class: &Field, name: &str) -> Result<Option<i64>, GraphqlError> {
    let Some(argument) = class.argument(name) else { return Ok(None) };
    match &argument.value {
        ConstValue::Number(number) if number.is_i64() || number.is_u64() => {
            Ok(Some(number.as_i64().unwrap_or(i64::MAX)))
        }
        _ => Err(wrong_type(argument, "Int")),
    }
}

/// A `String` argument.
pub(super) fn text(class: &Field, name: &str) -> Result<Option<String>, GraphqlError> {
    let Some(argument) = class.argument(name) else { return Ok(None) };
    match &argument.value {
        ConstValue::String(text) => Ok(Some(text.clone())),
        _ => Err(wrong_type(argument, "String")),
    }
}

/// An argument that is an object, as JSON; enum values become text.
pub(super) fn object(class: &Field, name: &str) -> Result<Option<Value>, GraphqlError> {
    let Some(argument) = class.argument(name) else { return Ok(None) };
    let json = argument.value.clone().into_json().unwrap_or(Value::Null);
    if json.is_object() { Ok(Some(json)) } else { Err(wrong_type(argument, "object")) }
}

/// The `where` argument.
pub(super) fn filter(
    app: &App,
    catalog: &Catalog,
    collection: &Collection,
    class: &Field,
) -> Result<Option<Filter>, FieldError> {
    let Some(clause) = object(class, "where")? else { return Ok(None) };
    if let Some(argument) = class.argument("where") {
        check_where(argument, &argument.value, &collection.name)?;
    }
    match filter::from_json(app, catalog, collection, &clause) {
        Ok(filter) => Ok(Some(filter)),
        Err(FilterError::Parse(text)) => Err(FieldError::Resolver(format!("could not extract filters: {text}"))),
        Err(FilterError::Invalid(text)) => Err(FieldError::Resolver(format!("invalid 'where' filter: {text}"))),
    }
}

const OPERATORS: &[&str] = &[
    "And",
    "Like",
    "Or",
    "Not",
    "Equal",
    "NotEqual",
    "GreaterThan",
    "GreaterThanEqual",
    "LessThan",
    "LessThanEqual",
    "WithinGeoRange",
    "IsNull",
    "ContainsAny",
    "ContainsAll",
    "ContainsNone",
];

/// Refuses fields of a `where` that are unknown or do not have their type.
fn check_where(argument: &Argument, value: &ConstValue, class: &str) -> Result<(), GraphqlError> {
    let refuse = |why: String| {
        let text = format!("Argument \"where\" has invalid value {}.\n{why}", argument.value);
        Err(GraphqlError::at(argument.value_position, text))
    };
    let ConstValue::Object(fields) = value else { return refuse("Expected an object".to_owned()) };
    for (name, value) in fields {
        let name = name.as_str();
        let (fits, wanted): (fn(&ConstValue) -> bool, String) = match name {
            "operator" => {
                let known = match value {
                    ConstValue::Enum(name) => OPERATORS.contains(&name.as_str()),
                    _ => false,
                };
                if !known {
                    let wanted = format!("GetObjects{class}WhereOperatorEnum");
                    return refuse(format!("In field \"operator\": Expected type {wanted:?}, found {value}."));
                }
                continue;
            }
            "operands" => {
                let operands = match value {
                    ConstValue::List(operands) => operands.as_slice(),
                    single => std::slice::from_ref(single),
                };
                for operand in operands {
                    check_where(argument, operand, class)?;
                }
                continue;
            }
            "path" => (is_text, "String".to_owned()),
            "valueText" => (is_text, format!("TextGetObjects{class}")),
            "valueString" => (is_text, format!("StringGetObjects{class}")),
            "valueDate" => (is_text, format!("StringGetObjects{class}")),
            "valueInt" => (is_int, format!("IntGetObjects{class}")),
            "valueNumber" => (is_number, format!("FloatGetObjects{class}")),
            "valueBoolean" => (is_bool, format!("BooleanGetObjects{class}")),
            "valueGeoRange" => continue,
            name => return refuse(format!("In field {name:?}: Unknown field.")),
        };
        let all = match value {
            ConstValue::List(values) => values.iter().all(fits),
            single => fits(single),
        };
        if !all {
            return refuse(format!("In field {name:?}: Expected type {wanted:?}, found {value}."));
        }
    }
    Ok(())
}

fn is_text(value: &ConstValue) -> bool {
    matches!(value, ConstValue::String(_))
}

fn is_int(value: &ConstValue) -> bool {
    matches!(value, ConstValue::Number(number) if number.is_i64() || number.is_u64())
}

fn is_number(value: &ConstValue) -> bool {
    matches!(value, ConstValue::Number(_))
}

fn is_bool(value: &ConstValue) -> bool {
    matches!(value, ConstValue::Boolean(_))
}

/// The `sort` argument: one clause or a list of them.
pub(super) fn sort(class: &Field) -> Result<Vec<Sort>, FieldError> {
    let Some(argument) = class.argument("sort") else { return Ok(Vec::new()) };
    let (clauses, listed) = match &argument.value {
        ConstValue::List(clauses) => (clauses.as_slice(), true),
        single => (std::slice::from_ref(single), false),
    };
    let mut sort = Vec::with_capacity(clauses.len());
    for (at, clause) in clauses.iter().enumerate() {
        let element = if listed { format!("In element #{}: ", at + 1) } else { String::new() };
        let refuse = |why: String| {
            let text = format!("Argument \"sort\" has invalid value {}.\n{element}{why}", argument.value);
            GraphqlError::at(argument.value_position, text)
        };
        let ConstValue::Object(fields) = clause else { return Err(refuse("Expected an object.".to_owned()).into()) };
        let descending = match fields.get("order") {
            None => false,
            Some(ConstValue::Enum(order)) if order == "asc" => false,
            Some(ConstValue::Enum(order)) if order == "desc" => true,
            Some(other) => {
                let wanted = format!("GetObjects{}SortInpObjTypeEnum", class.name);
                return Err(refuse(format!("In field \"order\": Expected type {wanted:?}, found {other}.")).into());
            }
        };
        let property = match fields.get("path") {
            Some(ConstValue::String(path)) => path.clone(),
            Some(ConstValue::List(path)) => match path.as_slice() {
                [] => String::new(),
                [ConstValue::String(only)] => only.clone(),
                _ => {
                    return Err(FieldError::Resolver(format!(
                        "invalid 'sort' parameter: sort parameter at position {at}: sorting by reference not supported, \
                         path must have exactly one argument"
                    )));
                }
            },
            _ => String::new(),
        };
        sort.push(Sort { property, descending });
    }
    Ok(sort)
}
