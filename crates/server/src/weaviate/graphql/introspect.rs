//! `__schema` and `__type`: the types of the schema, described by themselves.

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};

use serde_json::{Map, Value as Json, json};

use super::document::Field;
use super::inputs::Input;
use super::schema::Schema;
use super::types::{Output, OutputField};
use crate::request_memory::{self, Refusal};
use crate::weaviate::weight;

/// Types looked at, at most.
const TYPES_MAX: usize = 500_000;
/// Bytes of a field of an object, with a short text.
const OBJECT_FIELD_BYTES: usize = weight::MEMBER_BYTES + 96;

/// A type, named or around another one.
#[derive(Debug, Clone)]
enum Type {
    Output(Output),
    Input(Input),
    List(Box<Self>),
    NonNull(Box<Self>),
    /// A scalar that GraphQL has itself.
    Builtin(&'static str),
}

/// Answers `__schema` (`root.name`) or `__type`.
///
/// # Errors
/// There is no memory for the answer: each level of a document can describe all types again.
pub(super) fn answer(catalog: &Schema, root: &Field) -> Result<Json, Refusal> {
    let introspection = Introspection { catalog, refused: Cell::new(None) };
    let answer = if root.name == "__type" {
        let name = root.argument("name").and_then(Json::as_str).unwrap_or_default();
        introspection.find(name).map_or(Json::Null, |found| introspection.described(&found, &root.fields))
    } else {
        introspection.schema(&root.fields)
    };
    introspection.refused.get().map_or(Ok(answer), Err)
}

struct Introspection<'a> {
    catalog: &'a Schema,
    /// Why there is no memory for more. From then on every object is null.
    refused: Cell<Option<Refusal>>,
}

impl Introspection<'_> {
    /// An object with the fields that are asked for, each made by `value`.
    fn object(&self, fields: &[Field], value: impl Fn(&Field) -> Json) -> Json {
        if self.refused.get().is_some() {
            return Json::Null;
        }
        let names: usize = fields.iter().map(|field| field.key.len()).sum();
        if let Err(refusal) = request_memory::charge(fields.len() * OBJECT_FIELD_BYTES + names) {
            self.refused.set(Some(refusal));
            return Json::Null;
        }
        fields.iter().map(|field| (field.key.clone(), value(field))).collect::<Map<_, _>>().into()
    }

    fn schema(&self, fields: &[Field]) -> Json {
        self.object(fields, |field| match field.name.as_str() {
            "queryType" => self.described(&Type::Output(Output::Root), &field.fields),
            "types" => self.all().values().map(|found| self.described(found, &field.fields)).collect(),
            "directives" => self.directives(&field.fields),
            "__typename" => json!("__Schema"),
            _ => Json::Null,
        })
    }

    fn directives(&self, fields: &[Field]) -> Json {
        let places = json!(["FIELD", "FRAGMENT_SPREAD", "INLINE_FRAGMENT"]);
        let condition = || Type::NonNull(Box::new(Type::Builtin("Boolean")));
        let known = [
            ("include", "if", condition(), places.clone()),
            ("skip", "if", condition(), places),
            ("deprecated", "reason", Type::Builtin("String"), json!(["FIELD_DEFINITION", "ENUM_VALUE"])),
        ];
        let directive = |(name, argument, of, locations): &(&str, &'static str, Type, Json)| {
            self.object(fields, |field| match field.name.as_str() {
                "name" => json!(name),
                "locations" => locations.clone(),
                "args" => json!([self.input_value(argument, of, &field.fields)]),
                "onOperation" | "onFragment" | "onField" => json!(*name != "deprecated"),
                "__typename" => json!("__Directive"),
                _ => Json::Null,
            })
        };
        known.iter().map(directive).collect()
    }

    fn described(&self, of: &Type, fields: &[Field]) -> Json {
        self.object(fields, |field| match field.name.as_str() {
            "kind" => json!(of.kind()),
            "name" => of.name().map_or(Json::Null, Json::from),
            "description" => of.description(),
            "ofType" => match of {
                Type::List(inner) | Type::NonNull(inner) => self.described(inner, &field.fields),
                _ => Json::Null,
            },
            "fields" => self.fields(of, &field.fields),
            "interfaces" if of.kind() == "OBJECT" => json!([]),
            "possibleTypes" => self.possible(of, &field.fields),
            "enumValues" => self.values(of, &field.fields),
            "inputFields" => match of {
                Type::Input(Input::Object(inputs)) => {
                    inputs.fields().map(|(name, of)| self.input_value(name, &Type::of(of), &field.fields)).collect()
                }
                _ => Json::Null,
            },
            "__typename" => json!("__Type"),
            _ => Json::Null,
        })
    }

    fn fields(&self, of: &Type, fields: &[Field]) -> Json {
        let Type::Output(output) = of else { return Json::Null };
        if of.kind() != "OBJECT" {
            return Json::Null;
        }
        let known = self.known(output);
        let described = |(name, known): &(String, OutputField)| {
            self.object(fields, |field| match field.name.as_str() {
                "name" => json!(name),
                "type" => self.described(&Type::answered(known), &field.fields),
                "args" => {
                    let arguments = known.arguments.iter();
                    arguments.map(|(name, of)| self.input_value(name, &Type::of(of.clone()), &field.fields)).collect()
                }
                "isDeprecated" => json!(false),
                "__typename" => json!("__Field"),
                _ => Json::Null,
            })
        };
        known.iter().map(described).collect()
    }

    /// The fields of a type by name; those that describe the schema are not among them.
    fn known(&self, output: &Output) -> Vec<(String, OutputField)> {
        let mut names = output.field_names(self.catalog);
        names.sort();
        names.into_iter().filter_map(|name| output.field(self.catalog, &name).map(|field| (name, field))).collect()
    }

    fn possible(&self, of: &Type, fields: &[Field]) -> Json {
        match of {
            Type::Output(output @ Output::Targets(..)) => {
                self.members(output).iter().map(|member| self.described(member, fields)).collect()
            }
            _ => Json::Null,
        }
    }

    /// What a reference can lead to.
    fn members(&self, output: &Output) -> Vec<Type> {
        let Output::Targets(_, _, targets) = output else { return Vec::new() };
        let targets = targets.iter().filter_map(|target| Output::named(self.catalog, target));
        targets.chain([Output::Beacon]).map(Type::Output).collect()
    }

    fn input_value(&self, name: &str, of: &Type, fields: &[Field]) -> Json {
        self.object(fields, |field| match field.name.as_str() {
            "name" => json!(name),
            "type" => self.described(of, &field.fields),
            "__typename" => json!("__InputValue"),
            _ => Json::Null,
        })
    }

    fn values(&self, of: &Type, fields: &[Field]) -> Json {
        let Type::Input(Input::Enum(_, words)) = of else { return Json::Null };
        let value = |word: &&str| {
            self.object(fields, |field| match field.name.as_str() {
                "name" => json!(word),
                "isDeprecated" => json!(false),
                "__typename" => json!("__EnumValue"),
                _ => Json::Null,
            })
        };
        words.iter().map(value).collect()
    }

    fn find(&self, name: &str) -> Option<Type> {
        let mut found = None;
        self.walk(|of| {
            if of.name().as_deref() == Some(name) {
                found = Some(of.clone());
            }
            found.is_none()
        });
        found
    }

    fn all(&self) -> BTreeMap<String, Type> {
        let mut all = BTreeMap::new();
        self.walk(|of| {
            all.insert(of.name().unwrap_or_default(), of.clone());
            true
        });
        all
    }

    /// Looks at every named type once, from the root on, until `look` has enough.
    fn walk(&self, mut look: impl FnMut(&Type) -> bool) {
        let mut seen = std::collections::HashSet::new();
        let builtin = ["Int", "Float", "String", "Boolean"].map(Type::Builtin);
        let mut open: VecDeque<Type> = builtin.into_iter().chain([Type::Output(Output::Root)]).collect();
        while let Some(next) = open.pop_front() {
            let named = next.innermost();
            let Some(name) = named.name().filter(|name| !name.is_empty()) else { continue };
            if seen.len() >= TYPES_MAX || !seen.insert(name) {
                continue;
            }
            if !look(named) {
                return;
            }
            match named {
                Type::Output(output) => {
                    open.extend(self.members(output));
                    for (_, field) in self.known(output) {
                        open.push_back(Type::Output(field.of));
                        open.extend(field.arguments.into_iter().map(|(_, of)| Type::of(of)));
                    }
                }
                Type::Input(Input::Object(inputs)) => open.extend(inputs.fields().map(|(_, of)| Type::of(of))),
                _ => {}
            }
        }
    }
}

impl Type {
    fn of(input: Input) -> Self {
        match input {
            Input::Int => Self::Builtin("Int"),
            Input::Float => Self::Builtin("Float"),
            Input::Text => Self::Builtin("String"),
            Input::Bool => Self::Builtin("Boolean"),
            Input::List(of) => Self::List(Box::new(Self::of(*of))),
            Input::NonNull(of) => Self::NonNull(Box::new(Self::of(*of))),
            named => Self::Input(named),
        }
    }

    fn answered(field: &OutputField) -> Self {
        let of = match &field.of {
            Output::Scalar(name) => Self::Builtin(name),
            of => Self::Output(of.clone()),
        };
        if field.list { Self::List(Box::new(of)) } else { of }
    }

    fn innermost(&self) -> &Self {
        match self {
            Self::List(of) | Self::NonNull(of) => of.innermost(),
            named => named,
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Builtin(_) | Self::Output(Output::Scalar(_)) => "SCALAR",
            Self::Output(Output::Targets(..)) => "UNION",
            Self::Output(_) => "OBJECT",
            Self::Input(Input::Object(_)) => "INPUT_OBJECT",
            Self::Input(Input::Enum(..)) => "ENUM",
            Self::Input(_) => "SCALAR",
            Self::List(_) => "LIST",
            Self::NonNull(_) => "NON_NULL",
        }
    }

    fn name(&self) -> Option<String> {
        match self {
            Self::Builtin(name) => Some((*name).to_owned()),
            Self::Output(output) => Some(output.name()),
            Self::Input(input) => Some(input.name()),
            Self::List(_) | Self::NonNull(_) => None,
        }
    }

    fn description(&self) -> Json {
        match self {
            Self::Input(Input::Scalar(_, accepts)) => accepts.description().map_or(Json::Null, Json::from),
            _ => Json::Null,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::document::read;
    use super::*;

    #[test]
    fn the_root_is_described() {
        let catalog = Schema::default();
        let answer = |text: &str| answer(&catalog, &read(&catalog, text, None, None).expect(text)[0]).expect("room");
        let roots =
            answer("{ __schema { queryType { name fields { name type { kind name } } } mutationType { name } } }");
        let field = |name: &str, of: &str| json!({"name": name, "type": {"kind": "OBJECT", "name": of}});
        let fields = [field("Aggregate", "AggregateObjectsObj"), field("Get", "GetObjectsObj")];
        assert_eq!(roots, json!({"queryType": {"name": "WeaviateObj", "fields": fields}, "mutationType": null}));
        assert_eq!(
            answer("{ __type(name: \"Int\") { kind name ofType { name } } }"),
            json!({"kind": "SCALAR", "name": "Int", "ofType": null})
        );
        assert_eq!(answer("{ __type(name: \"Nothing\") { name } }"), Json::Null);
        let types = answer("{ __schema { types { name } } }");
        assert!(types["types"].as_array().is_some_and(|types| types.len() > 5), "{types}");
    }
}
