//! Documents: parsed within limits, one operation chosen, fragments and variables put in.

use std::collections::HashMap;

use async_graphql_parser::types::{
    Directive, DocumentOperations, ExecutableDocument, FragmentDefinition, OperationDefinition, OperationType,
    Selection, SelectionSet,
};
use async_graphql_parser::{Positioned, parse_query};
use async_graphql_value::{ConstValue, Name, Value};
use serde_json::Value as Json;

use super::GraphqlError;

/// Brackets open at once, at most.
const DEPTH_MAX: usize = 128;
/// Bytes of a query, at most.
const QUERY_BYTES_MAX: usize = 4 << 20;
/// Fields after fragments are put in, at most.
const FIELDS_MAX: usize = 20_000;

/// A field with everything put in.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Field {
    /// What is asked for.
    pub(super) name: String,
    /// What it is called in the answer.
    pub(super) key: String,
    /// The type that a fragment around it is on.
    pub(super) on: Option<String>,
    /// Arguments that have a value.
    pub(super) arguments: Vec<Argument>,
    /// What is asked of it.
    pub(super) fields: Vec<Field>,
    /// Line and column.
    pub(super) position: (usize, usize),
}

/// An argument.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Argument {
    pub(super) name: String,
    pub(super) value: ConstValue,
    /// Where the name stands.
    pub(super) position: (usize, usize),
    /// Where the value stands.
    pub(super) value_position: (usize, usize),
}

impl Field {
    /// The argument of that name.
    pub(super) fn argument(&self, name: &str) -> Option<&Argument> {
        self.arguments.iter().find(|argument| argument.name == name)
    }
}

/// The fields of the operation that a request means.
///
/// # Errors
/// What is wrong with the document; nothing was executed.
pub(super) fn read(text: &str, operation: Option<&str>, variables: Option<&Json>) -> Result<Vec<Field>, GraphqlError> {
    check_size(text)?;
    let document = parse_query(text).map_err(|error| {
        let position = error.positions().next().map_or((1, 1), |at| (at.line, at.column));
        let (line, column) = position;
        GraphqlError::at(position, format!("Syntax Error GraphQL request ({line}:{column}) {error}"))
    })?;
    let chosen = choose(&document, operation)?;
    let definition = &chosen.node;
    match definition.ty {
        OperationType::Query => {}
        OperationType::Mutation => {
            return Err(GraphqlError::at(position(chosen), "Schema is not configured for mutations"));
        }
        OperationType::Subscription => {
            return Err(GraphqlError::at(position(chosen), "Schema is not configured for subscriptions"));
        }
    }
    let variables = values_of(definition, variables)?;
    let mut expansion = Expansion { fragments: &document.fragments, variables, open: Vec::new(), left: FIELDS_MAX };
    expansion.fields(&definition.selection_set.node, None)
}

fn position<T>(node: &Positioned<T>) -> (usize, usize) {
    (node.pos.line, node.pos.column)
}

/// Refuses what the recursive parser should not see.
fn check_size(text: &str) -> Result<(), GraphqlError> {
    if text.len() > QUERY_BYTES_MAX {
        return Err(GraphqlError::nowhere(format!("the query is longer than {QUERY_BYTES_MAX} bytes")));
    }
    let (mut depth, mut quoted, mut escaped, mut comment) = (0_usize, false, false, false);
    for byte in text.bytes() {
        match byte {
            b'\n' => (quoted, comment) = (false, false),
            _ if comment => {}
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'#' => comment = true,
            b'{' | b'[' | b'(' => depth += 1,
            b'}' | b']' | b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH_MAX {
            return Err(GraphqlError::nowhere(format!("the query is nested deeper than {DEPTH_MAX}")));
        }
    }
    Ok(())
}

fn choose<'a>(
    document: &'a ExecutableDocument,
    name: Option<&str>,
) -> Result<&'a Positioned<OperationDefinition>, GraphqlError> {
    let unknown = |name: &str| GraphqlError::nowhere(format!("Unknown operation named {name:?}."));
    match (&document.operations, name) {
        (DocumentOperations::Single(operation), None) => Ok(operation),
        (DocumentOperations::Single(_), Some(name)) => Err(unknown(name)),
        (DocumentOperations::Multiple(operations), Some(name)) => operations.get(name).ok_or_else(|| unknown(name)),
        (DocumentOperations::Multiple(operations), None) => {
            let mut operations = operations.values();
            match (operations.next(), operations.next()) {
                (Some(only), None) => Ok(only),
                _ => Err(GraphqlError::nowhere("Must provide operation name if query contains multiple operations.")),
            }
        }
    }
}

/// Values of the variables: those given, else the defaults. What has neither is not in the map.
fn values_of(
    operation: &OperationDefinition,
    given: Option<&Json>,
) -> Result<HashMap<String, Option<ConstValue>>, GraphqlError> {
    let mut values = HashMap::new();
    for definition in &operation.variable_definitions {
        let name = definition.node.name.node.as_str();
        let given = given.and_then(|given| given.get(name)).filter(|value| !value.is_null());
        let value = match given {
            Some(value) => {
                let at = position(definition);
                let value = ConstValue::from_json(value.clone()).map_err(|error| {
                    GraphqlError::at(at, format!("Variable \"${name}\" got invalid value {value}.\n{error}"))
                })?;
                Some(with_enums(value))
            }
            None => definition.node.default_value().cloned(),
        };
        if value.is_none() && !definition.node.var_type.node.nullable {
            let type_name = &definition.node.var_type.node;
            let text = format!("Variable \"${name}\" of required type \"{type_name}\" was not provided.");
            return Err(GraphqlError::at(position(definition), text));
        }
        values.insert(name.to_owned(), value);
    }
    Ok(values)
}

/// JSON has no enums: the fields that hold one get it from their text.
fn with_enums(value: ConstValue) -> ConstValue {
    match value {
        ConstValue::List(items) => ConstValue::List(items.into_iter().map(with_enums).collect()),
        ConstValue::Object(fields) => {
            let field = |(name, value): (Name, ConstValue)| match value {
                ConstValue::String(text) if name == "operator" || name == "order" => {
                    (name, ConstValue::Enum(Name::new(text)))
                }
                value => (name, with_enums(value)),
            };
            ConstValue::Object(fields.into_iter().map(field).collect())
        }
        value => value,
    }
}

struct Expansion<'a> {
    fragments: &'a HashMap<Name, Positioned<FragmentDefinition>>,
    variables: HashMap<String, Option<ConstValue>>,
    /// Fragments that are being put in.
    open: Vec<String>,
    /// Fields that may still come.
    left: usize,
}

impl Expansion<'_> {
    fn fields(&mut self, set: &SelectionSet, on: Option<&str>) -> Result<Vec<Field>, GraphqlError> {
        let mut fields = Vec::new();
        self.add(set, on, &mut fields)?;
        Ok(fields)
    }

    fn add(&mut self, set: &SelectionSet, on: Option<&str>, fields: &mut Vec<Field>) -> Result<(), GraphqlError> {
        for item in &set.items {
            self.left = self.left.checked_sub(1).ok_or_else(|| {
                GraphqlError::at(position(item), format!("the query asks for more than {FIELDS_MAX} fields"))
            })?;
            if !self.wanted(item.node.directives())? {
                continue;
            }
            match &item.node {
                Selection::Field(field) => self.add_field(field, on, fields)?,
                Selection::InlineFragment(inline) => {
                    let on = inline.node.type_condition.as_ref().map(|at| at.node.on.node.as_str()).or(on);
                    self.add(&inline.node.selection_set.node, on, fields)?;
                }
                Selection::FragmentSpread(spread) => {
                    let name = spread.node.fragment_name.node.as_str();
                    self.add_fragment(name, position(&spread.node.fragment_name), fields)?;
                }
            }
        }
        Ok(())
    }

    fn add_fragment(&mut self, name: &str, at: (usize, usize), fields: &mut Vec<Field>) -> Result<(), GraphqlError> {
        if self.open.iter().any(|open| open == name) {
            return Err(GraphqlError::at(at, format!("Cannot spread fragment {name:?} within itself.")));
        }
        let fragments = self.fragments;
        let Some(fragment) = fragments.get(name) else {
            return Err(GraphqlError::at(at, format!("Unknown fragment {name:?}.")));
        };
        self.open.push(name.to_owned());
        let on = fragment.node.type_condition.node.on.node.as_str();
        self.add(&fragment.node.selection_set.node, Some(on), fields)?;
        self.open.pop();
        Ok(())
    }

    fn add_field(
        &mut self,
        field: &Positioned<async_graphql_parser::types::Field>,
        on: Option<&str>,
        fields: &mut Vec<Field>,
    ) -> Result<(), GraphqlError> {
        let key = field.node.response_key().node.to_string();
        let inner = self.fields(&field.node.selection_set.node, None)?;
        let on = on.map(str::to_owned);
        if let Some(same) = fields.iter_mut().find(|same| same.key == key && same.on == on) {
            same.fields.extend(inner);
            return Ok(());
        }
        let mut arguments = Vec::new();
        for (name, value) in &field.node.arguments {
            let (position, value_position) = (position(name), position(value));
            if let Some(value) = self.value(&value.node, value_position)? {
                arguments.push(Argument { name: name.node.to_string(), value, position, value_position });
            }
        }
        let name = field.node.name.node.to_string();
        fields.push(Field { name, key, on, arguments, fields: inner, position: position(field) });
        Ok(())
    }

    /// The value with variables put in; `None` when it is a variable without one.
    fn value(&self, value: &Value, at: (usize, usize)) -> Result<Option<ConstValue>, GraphqlError> {
        if let Value::Variable(name) = value {
            return self.variable(name.as_str(), at).cloned();
        }
        Ok(Some(match value {
            Value::Null => {
                let text = format!("Syntax Error GraphQL request ({}:{}) Unexpected Name \"null\"", at.0, at.1);
                return Err(GraphqlError::at(at, text));
            }
            Value::List(items) => {
                let items = items.iter().map(|item| self.value(item, at));
                ConstValue::List(items.filter_map(Result::transpose).collect::<Result<_, _>>()?)
            }
            Value::Object(entries) => {
                let entries = entries.iter().map(|(name, value)| Ok(self.value(value, at)?.map(|v| (name.clone(), v))));
                ConstValue::Object(entries.filter_map(Result::transpose).collect::<Result<_, GraphqlError>>()?)
            }
            other => match other.clone().into_const() {
                Some(value) => value,
                None => return Ok(None),
            },
        }))
    }

    fn variable(&self, name: &str, at: (usize, usize)) -> Result<&Option<ConstValue>, GraphqlError> {
        self.variables.get(name).ok_or_else(|| GraphqlError::at(at, format!("Variable \"${name}\" is not defined.")))
    }

    /// What `@include` and `@skip` say.
    fn wanted(&self, directives: &[Positioned<Directive>]) -> Result<bool, GraphqlError> {
        for directive in directives {
            let at = position(directive);
            let name = directive.node.name.node.as_str();
            let include = match name {
                "include" => true,
                "skip" => false,
                name => return Err(GraphqlError::at(at, format!("Unknown directive {name:?}."))),
            };
            let condition = directive.node.get_argument("if").map(|value| self.value(&value.node, at)).transpose()?;
            let Some(Some(ConstValue::Boolean(condition))) = condition else {
                let text = format!("Directive \"@{name}\" argument \"if\" of type \"Boolean!\" is required.");
                return Err(GraphqlError::at(at, text));
            };
            if condition != include {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fragments_and_variables_are_put_in() {
        let text = "query Q($n: Int) { Get { Book(limit: $n) { ...F } } } fragment F on Book { title pages }";
        let fields = read(text, None, Some(&json!({"n": 2}))).expect("reads");
        let book = &fields[0].fields[0];
        assert_eq!(book.argument("limit").map(|limit| limit.value.clone()), Some(ConstValue::Number(2.into())));
        assert_eq!(book.fields.iter().map(|field| field.name.as_str()).collect::<Vec<_>>(), ["title", "pages"]);
    }

    #[test]
    fn limits_and_cycles_are_refused() {
        let check = |text: &str, want: &str| {
            let error = read(text, None, None).expect_err(text);
            assert!(error.message.contains(want), "{}", error.message);
        };
        check("{ a { ...F } } fragment F on B { ...F }", "within itself");
        check(&"{a".repeat(200), "nested deeper");
        check("{ a(b: null) }", "Unexpected Name \"null\"");
        check("{ a(b: $c) }", "not defined");
    }
}
