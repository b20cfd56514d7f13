//! A request's document, checked, with fragments and variables put in: one tree of fields.

use std::collections::{HashMap, HashSet};

use azimuth_engine::schema::{Collection, DataType};
use serde_json::{Map, Value as Json};

use super::GraphqlError;
use super::inputs::Input;
use super::lexer::Position;
use super::parser::parse;
use super::schema::Schema;
use super::syntax::{self, Directive, Document, Given, Operation, OperationKind, Selection, Value};
use super::validate::validate;

/// Selections after fragments are expanded, at most.
const FIELDS_MAX: usize = 10_000;

/// Nesting of fields after fragments are expanded, at most: as deep as a document may be without them.
const DEPTH_MAX: usize = 128;

/// Nesting of fields and fragments, at most.
const NESTING_MAX: usize = 256;

/// A field with everything put in.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Field {
    /// What is asked for.
    pub(super) name: String,
    /// What it is called in the answer.
    pub(super) key: String,
    /// The type that a fragment around it is on, where objects of several types can be.
    pub(super) on: Option<String>,
    /// Arguments that have a value; enum values are texts.
    pub(super) arguments: Vec<(String, Json)>,
    /// What is asked of it.
    pub(super) fields: Vec<Field>,
    /// Line and column.
    pub(super) position: Position,
}

impl Field {
    /// The value of the argument of that name.
    pub(super) fn argument(&self, name: &str) -> Option<&Json> {
        self.arguments.iter().find(|(given, _)| given == name).map(|(_, value)| value)
    }
}

/// The fields of the operation that a request means.
///
/// # Errors
/// Everything that is wrong with the document; nothing was executed.
pub(super) fn read(
    catalog: &Schema,
    text: &str,
    operation: Option<&str>,
    variables: Option<&Json>,
) -> Result<Vec<Field>, Vec<GraphqlError>> {
    let document = parse(text).map_err(|error| vec![error])?;
    let wrong = validate(catalog, &document);
    if !wrong.is_empty() {
        return Err(wrong);
    }
    expanded(catalog, &document, operation, variables).map_err(|error| vec![error])
}

fn expanded(
    catalog: &Schema,
    document: &Document,
    operation: Option<&str>,
    variables: Option<&Json>,
) -> Result<Vec<Field>, GraphqlError> {
    let operation = choose(document, operation)?;
    match operation.kind {
        OperationKind::Query => {}
        OperationKind::Mutation => {
            return Err(GraphqlError::at(operation.at, "Schema is not configured for mutations"));
        }
        OperationKind::Subscription => {
            return Err(GraphqlError::at(operation.at, "Schema is not configured for subscriptions"));
        }
    }
    let variables = values_of(catalog, operation, variables)?;
    let (nodes, known) = (Vec::new(), HashMap::new());
    let spread = HashSet::new();
    let mut expansion = Expansion { catalog, document, variables, left: FIELDS_MAX, nesting: 0, nodes, known, spread };
    expansion.add(None, &operation.selections, None)?;
    let roots = (0..expansion.nodes.len()).filter(|&node| expansion.nodes[node].depth == 0);
    Ok(roots.map(|root| expansion.field(root)).collect())
}

fn choose<'a>(document: &'a Document, name: Option<&str>) -> Result<&'a Operation, GraphqlError> {
    let named = |operation: &&Operation| operation.name.as_ref().map(|name| name.text.as_str()) == name;
    match (document.operations.as_slice(), name) {
        ([], _) => Err(GraphqlError::nowhere("Must provide an operation.")),
        ([only], None) => Ok(only),
        (_, None) => Err(GraphqlError::nowhere("Must provide operation name if query contains multiple operations.")),
        (operations, Some(name)) => operations
            .iter()
            .find(named)
            .ok_or_else(|| GraphqlError::nowhere(format!("Unknown operation named {name:?}."))),
    }
}

/// Values of the variables: those given, else the defaults. What has neither is not in the map.
fn values_of(
    catalog: &Schema,
    operation: &Operation,
    given: Option<&Json>,
) -> Result<HashMap<String, Json>, GraphqlError> {
    let mut values = HashMap::new();
    for variable in &operation.variables {
        let (name, declared) = (&variable.name, &variable.declared);
        let value = given.and_then(|given| given.get(name)).filter(|value| !value.is_null());
        match (value, &variable.default) {
            (Some(value), _) => {
                let mut wrong = Vec::new();
                if let Some(input) = Input::declared(catalog, declared) {
                    input.check_json(value, &mut wrong, "");
                }
                if !wrong.is_empty() {
                    let (value, why) = (sorted(value), wrong.join("\n"));
                    let text = format!("Variable \"${name}\" got invalid value {value}.\n{why}");
                    return Err(GraphqlError::at(variable.at, text));
                }
                values.insert(name.clone(), value.clone());
            }
            (None, Some(default)) => {
                values.extend(json(default, &HashMap::new()).map(|value| (name.clone(), value)));
            }
            (None, None) if matches!(declared, syntax::TypeName::NonNull(_)) => {
                let text = format!("Variable \"${name}\" of required type \"{declared}\" was not provided.");
                return Err(GraphqlError::at(variable.at, text));
            }
            (None, None) => {}
        }
    }
    Ok(values)
}

/// JSON with the keys of maps in order, as texts show it.
fn sorted(value: &Json) -> String {
    match value {
        Json::Array(values) => format!("[{}]", values.iter().map(sorted).collect::<Vec<_>>().join(",")),
        Json::Object(map) => {
            let mut fields: Vec<String> =
                map.iter().map(|(key, value)| format!("{}:{}", Json::from(key.as_str()), sorted(value))).collect();
            fields.sort();
            format!("{{{}}}", fields.join(","))
        }
        plain => plain.to_string(),
    }
}

/// A value with variables put in; `None` for a variable without one.
fn json(value: &Value, variables: &HashMap<String, Json>) -> Option<Json> {
    Some(match &value.given {
        Given::Variable(name) => return variables.get(name).cloned(),
        Given::Int(text) | Given::Float(text) => text.parse().map_or(Json::Null, Json::Number),
        Given::Text(text) | Given::Enum(text) => Json::from(text.as_str()),
        Given::Bool(value) => Json::from(*value),
        Given::List(values) => values.iter().filter_map(|value| json(value, variables)).collect(),
        Given::Object(fields) => {
            let fields = fields.iter().filter_map(|(name, value)| Some((name.text.clone(), json(value, variables)?)));
            Json::Object(fields.collect::<Map<_, _>>())
        }
    })
}

/// Collects fields as the GraphQL specification defines (CollectFields, MergeSelectionSets): fields of one name in one
/// place are one field, with the selections of all of them.
struct Expansion<'a> {
    catalog: &'a Schema,
    document: &'a Document,
    variables: HashMap<String, Json>,
    /// Selections that may still come.
    left: usize,
    /// Fields and fragments around the next selection.
    nesting: usize,
    nodes: Vec<Node<'a>>,
    /// The node of a key below a node (`None`: at the root), for objects of a type where there can be several.
    known: HashMap<(Option<usize>, &'a str, Option<&'a str>), usize>,
    /// Fragments that were expanded below a node.
    spread: HashSet<(Option<usize>, &'a str)>,
}

/// A field that is not in the tree yet.
struct Node<'a> {
    field: &'a syntax::Field,
    on: Option<&'a str>,
    depth: usize,
    scope: Scope<'a>,
    fields: Vec<usize>,
}

/// The place of a selection: only the objects that a reference leads to can be of several types.
#[derive(Clone)]
enum Scope<'a> {
    Root,
    Get,
    Class(&'a Collection),
    Additional(&'a Collection),
    Group(&'a Collection),
    Targets,
    Other,
}

impl<'a> Scope<'a> {
    /// The scope below a field of this one; `on` is the type of the fragment around it.
    fn below(&self, catalog: &'a Schema, name: &str, on: Option<&str>) -> Self {
        let class = |name: &str| catalog.find(name).map_or(Self::Other, |class| Self::Class(class));
        match (self, name) {
            (Self::Root, "Get") => Self::Get,
            (Self::Get, name) => catalog.resolve(name).map_or(Self::Other, |class| Self::Class(class)),
            (Self::Class(class), "_additional") => Self::Additional(class),
            (Self::Additional(class), "group") => Self::Group(class),
            (Self::Group(class), "hits") => Self::Class(class),
            (Self::Class(class), name) => match class.property(name).map(|property| &property.data_type) {
                Some(DataType::Reference(_)) => Self::Targets,
                _ => Self::Other,
            },
            (Self::Targets, name) => match on.map(class) {
                Some(class @ Self::Class(_)) => class.below(catalog, name, None),
                _ => Self::Other,
            },
            _ => Self::Other,
        }
    }
}

impl<'a> Expansion<'a> {
    /// Adds the fields of `selections` below the node `parent`.
    fn add(
        &mut self,
        parent: Option<usize>,
        selections: &'a [Selection],
        on: Option<&'a str>,
    ) -> Result<(), GraphqlError> {
        if self.nesting >= NESTING_MAX {
            let text = format!("fragments and fields are nested deeper than {NESTING_MAX}");
            return Err(GraphqlError::nowhere(text));
        }
        self.nesting += 1;
        for selection in selections {
            self.left = self.left.checked_sub(1).ok_or_else(|| {
                GraphqlError::at(selection.at(), format!("the query asks for more than {FIELDS_MAX} fields"))
            })?;
            if !self.wanted(selection.directives()) {
                continue;
            }
            match selection {
                Selection::Field(field) => self.add_field(parent, field, on)?,
                Selection::Inline { on: inner, selections, .. } => {
                    let on = inner.as_ref().map(|name| name.text.as_str()).or(on);
                    self.add(parent, selections, on)?;
                }
                Selection::Spread { name, .. } => {
                    // Fragments that spread themselves are refused before.
                    let document = self.document;
                    let fragment = document.fragments.iter().find(|fragment| fragment.name.text == name.text);
                    // The second occurrence of a fragment adds no field.
                    if let Some(fragment) = fragment.filter(|_| self.spread.insert((parent, &name.text))) {
                        self.add(parent, &fragment.selections, Some(&fragment.on.text))?;
                    }
                }
            }
        }
        self.nesting -= 1;
        Ok(())
    }

    fn add_field(
        &mut self,
        parent: Option<usize>,
        field: &'a syntax::Field,
        on: Option<&'a str>,
    ) -> Result<(), GraphqlError> {
        let (scope, depth) = match parent {
            None => (Scope::Root, 0),
            Some(parent) => (self.nodes[parent].scope.clone(), self.nodes[parent].depth + 1),
        };
        if depth >= DEPTH_MAX {
            return Err(GraphqlError::at(field.at, format!("the query is nested deeper than {DEPTH_MAX}")));
        }
        let on = on.filter(|_| matches!(scope, Scope::Targets));
        let next = self.nodes.len();
        let node = *self.known.entry((parent, field.key(), on)).or_insert(next);
        if node == next {
            let scope = scope.below(self.catalog, &field.name, on);
            self.nodes.push(Node { field, on, depth, scope, fields: Vec::new() });
            if let Some(parent) = parent {
                self.nodes[parent].fields.push(node);
            }
        }
        self.add(Some(node), &field.selections, None)
    }

    /// The tree below a node.
    fn field(&self, node: usize) -> Field {
        let Node { field, on, fields, .. } = &self.nodes[node];
        let arguments = field.arguments.iter().filter_map(|argument| {
            json(&argument.value, &self.variables).map(|value| (argument.name.text.clone(), value))
        });
        Field {
            name: field.name.clone(),
            key: field.key().to_owned(),
            on: on.map(str::to_owned),
            arguments: arguments.collect(),
            fields: fields.iter().map(|&node| self.field(node)).collect(),
            position: field.at,
        }
    }

    /// What `@include` and `@skip` say.
    fn wanted(&self, directives: &[Directive]) -> bool {
        directives.iter().all(|directive| {
            let condition = directive.arguments.iter().find(|argument| argument.name.text == "if");
            let condition = condition.and_then(|condition| json(&condition.value, &self.variables));
            condition.and_then(|condition| condition.as_bool()).is_none_or(|yes| yes == (directive.name == "include"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(text: &str, variables: &Json) -> Result<Vec<Field>, Vec<String>> {
        let read = read(&Schema::default(), text, None, Some(variables));
        read.map_err(|errors| errors.into_iter().map(|error| error.message).collect())
    }

    #[test]
    fn mistakes_are_told_all_at_once() {
        let errors = |text: &str| check(text, &Json::Null).expect_err(text);
        let unknown = "Cannot query field \"get\" on type \"WeaviateObj\". Did you mean \"Get\"?";
        assert_eq!(errors("{ get { a } }"), [unknown]);
        assert_eq!(errors("{ Get { B { c } } }"), ["Cannot query field \"B\" on type \"GetObjectsObj\"."]);
        assert_eq!(
            errors("query ($a: Int, $b: Nope) { __typename ...F } fragment G on WeaviateObj { __typename ...G }"),
            [
                "Unknown type \"Nope\".",
                "Unknown fragment \"F\".",
                "Variable \"$a\" is never used.",
                "Variable \"$b\" is never used.",
                "Cannot spread fragment \"G\" within itself.",
                "Fragment \"G\" is never used.",
            ]
        );
        assert_eq!(errors("{ Get }"), ["Field \"Get\" of type \"GetObjectsObj\" must have a sub selection."]);
        assert_eq!(errors(" "), ["Must provide an operation."]);
    }

    #[test]
    fn conditions_and_aliases() {
        let text = "query ($yes: Boolean!) { a: __typename @include(if: $yes) b: __typename @skip(if: $yes) }";
        let fields = check(text, &json!({"yes": true})).expect("fields");
        assert_eq!(fields.iter().map(|field| field.key.as_str()).collect::<Vec<_>>(), ["a"]);
        let missing = check(text, &json!({})).expect_err("a missing variable");
        assert_eq!(missing, ["Variable \"$yes\" of required type \"Boolean!\" was not provided."]);
        let wrong = check(text, &json!({"yes": 1})).expect_err("a wrong variable");
        assert_eq!(wrong, ["Variable \"$yes\" got invalid value 1.\nExpected type \"Boolean\", found \"1\"."]);
    }
}
