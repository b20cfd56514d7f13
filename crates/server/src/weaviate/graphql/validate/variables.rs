//! Rules of variables.

use std::collections::{HashMap, HashSet};

use super::Check;
use crate::weaviate::graphql::GraphqlError;
use crate::weaviate::graphql::inputs::Input;
use crate::weaviate::graphql::lexer::Position;
use crate::weaviate::graphql::syntax::{
    Argument, Directive, Field, Fragment, Given, Operation, Selection, TypeName, Value, Variable,
};
use crate::weaviate::graphql::types::Output;

/// A variable where it stands, and the type that is wanted there, if one is.
struct Use<'a> {
    name: &'a str,
    at: Position,
    wanted: Option<Input>,
}

impl<'a> Check<'a> {
    /// The variables that an operation declares.
    pub(super) fn variables_of(&mut self, operation: &'a Operation) {
        for (index, variable) in operation.variables.iter().enumerate() {
            if let Some(first) = operation.variables[..index].iter().find(|first| first.name == variable.name) {
                let text = format!("There can only be one variable named {:?}.", variable.name);
                self.errors.push(GraphqlError::at_all(vec![first.at, variable.at], text));
            }
            let Some(input) = Input::declared(self.catalog, &variable.declared) else {
                let named = innermost(&variable.declared);
                if Output::named(self.catalog, &named.text).is_some() {
                    let declared = &variable.declared;
                    let text = format!("Variable \"${}\" cannot be non-input type \"{declared}\".", variable.name);
                    self.refuse(named.at, text);
                } else {
                    self.refuse(named.at, format!("Unknown type {:?}.", named.text));
                }
                continue;
            };
            if let Some(default) = &variable.default {
                let mut wrong = Vec::new();
                input.check(Some(default), &mut wrong, "");
                if !wrong.is_empty() {
                    let why = wrong.join("\n");
                    let text = format!("Variable \"${}\" has invalid default value: {default}.\n{why}", variable.name);
                    self.refuse(default.at, text);
                }
            }
        }
    }

    /// Every variable that is used is declared with a type that fits, and every one that is declared is used.
    pub(super) fn uses_of(&mut self, operation: &'a Operation) {
        let mut uses = Vec::new();
        let mut walk = Walk { check: self, uses: &mut uses, seen: HashSet::new(), open: Vec::new() };
        walk.directives(&operation.directives);
        walk.selections(&Output::Root, &operation.selections);
        // Fragments come one after another: a chain of them may be longer than the stack.
        while let Some(fragment) = walk.open.pop() {
            let on = Output::named(walk.check.catalog, &fragment.on.text).unwrap_or(Output::Opaque);
            walk.selections(&on, &fragment.selections);
        }
        let name = operation.name.as_ref().map(|name| &name.text);
        let declared: HashMap<&str, (&Variable, Option<Input>)> = operation
            .variables
            .iter()
            .map(|variable| (variable.name.as_str(), (variable, effective(self, variable))))
            .collect();
        let mut used_names: HashSet<&str> = HashSet::new();
        for Use { name: used, at, wanted } in &uses {
            used_names.insert(used);
            let Some((variable, declared)) = declared.get(used) else {
                let text = match name {
                    Some(name) => format!("Variable \"${used}\" is not defined by operation {name:?}."),
                    None => format!("Variable \"${used}\" is not defined."),
                };
                self.errors.push(GraphqlError::at_all(vec![*at, operation.at], text));
                continue;
            };
            if let (Some(declared), Some(wanted)) = (declared, wanted)
                && !wanted.takes(declared)
            {
                let (declared, wanted) = (&variable.declared, wanted.name());
                let text =
                    format!("Variable \"${used}\" of type \"{declared}\" used in position expecting type {wanted:?}.");
                self.errors.push(GraphqlError::at_all(vec![variable.at, *at], text));
            }
        }
        for variable in &operation.variables {
            if !used_names.contains(variable.name.as_str()) {
                let text = match name {
                    Some(name) => format!("Variable \"${}\" is never used in operation {name:?}.", variable.name),
                    None => format!("Variable \"${}\" is never used.", variable.name),
                };
                self.refuse(variable.at, text);
            }
        }
    }
}

/// The type of a variable; one with a default is never without a value.
fn effective(check: &Check<'_>, variable: &Variable) -> Option<Input> {
    let declared = Input::declared(check.catalog, &variable.declared)?;
    Some(match (&variable.default, declared) {
        (Some(_), declared @ Input::NonNull(_)) | (None, declared) => declared,
        (Some(_), declared) => Input::NonNull(Box::new(declared)),
    })
}

fn innermost(name: &TypeName) -> &crate::weaviate::graphql::syntax::Name {
    match name {
        TypeName::Named(name) => name,
        TypeName::List(of) | TypeName::NonNull(of) => innermost(of),
    }
}

/// Collects the uses below a selection, fragments once each.
struct Walk<'w, 'a> {
    check: &'w mut Check<'a>,
    uses: &'w mut Vec<Use<'a>>,
    seen: HashSet<&'a str>,
    /// Fragments that are spread and were not visited yet.
    open: Vec<&'a Fragment>,
}

impl<'a> Walk<'_, 'a> {
    fn selections(&mut self, parent: &Output, selections: &'a [Selection]) {
        for selection in selections {
            if !self.check.spend(selection.at()) {
                return;
            }
            self.directives(selection.directives());
            match selection {
                Selection::Field(field) => self.field(parent, field),
                Selection::Inline { on, selections, .. } => {
                    let on = on.as_ref().and_then(|on| Output::named(self.check.catalog, &on.text));
                    self.selections(on.as_ref().unwrap_or(parent), selections);
                }
                Selection::Spread { name, .. } => {
                    let Some(fragment) = self.check.fragment_named(&name.text) else { continue };
                    if self.seen.insert(&fragment.name.text) {
                        self.open.push(fragment);
                    }
                }
            }
        }
    }

    fn field(&mut self, parent: &Output, field: &'a Field) {
        let known = parent.field(self.check.catalog, &field.name);
        for Argument { name, value } in &field.arguments {
            let arguments = known.iter().flat_map(|known| &known.arguments);
            let input = arguments.into_iter().find(|(known, _)| *known == name.text).map(|(_, input)| input.clone());
            self.value(value, input);
        }
        self.selections(&known.map_or(Output::Opaque, |known| known.of), &field.selections);
    }

    fn directives(&mut self, directives: &'a [Directive]) {
        for Argument { value, .. } in directives.iter().flat_map(|directive| &directive.arguments) {
            self.value(value, Some(Input::NonNull(Box::new(Input::Bool))));
        }
    }

    fn value(&mut self, value: &'a Value, wanted: Option<Input>) {
        match &value.given {
            Given::Variable(name) => self.uses.push(Use { name, at: value.at, wanted }),
            Given::List(values) => {
                let element = match wanted.map(required_or_not) {
                    Some(Input::List(element)) => Some(*element),
                    _ => None,
                };
                for value in values {
                    self.value(value, element.clone());
                }
            }
            Given::Object(fields) => {
                let wanted = match wanted.map(required_or_not) {
                    Some(Input::List(of)) => Some(required_or_not(*of)),
                    wanted => wanted,
                };
                for (name, value) in fields {
                    let of_field = match &wanted {
                        Some(Input::Object(object)) => object.fields().find(|(known, _)| *known == name.text),
                        _ => None,
                    };
                    self.value(value, of_field.map(|(_, input)| input));
                }
            }
            _ => {}
        }
    }
}

fn required_or_not(input: Input) -> Input {
    match input {
        Input::NonNull(of) => *of,
        input => input,
    }
}
