//! Whether a document can be answered: all its mistakes, in the order in which they stand there.

mod fragments;
mod overlap;
mod variables;

use std::collections::HashMap;

use super::GraphqlError;
use super::inputs::Input;
use super::lexer::Position;
use super::schema::Schema;
use super::suggest::did_you_mean;
use super::syntax::{Argument, Directive, Document, Field, Fragment, Operation, OperationKind, Selection, Value};
use super::types::{Output, OutputField};

/// Fields looked at, at most: fragments are looked into wherever they are put.
const FIELDS_MAX: usize = 10_000;

/// Fields visited again, at most: each operation visits the fragments that it spreads.
const WORK_MAX: usize = 10 * FIELDS_MAX;

/// Mistakes told, at most.
const ERRORS_MAX: usize = 100;

/// What is wrong with a document.
pub(super) fn validate(catalog: &Schema, document: &Document) -> Vec<GraphqlError> {
    let mut errors = Vec::new();
    check_operations(document, &mut errors);
    let mut fragments = HashMap::new();
    for fragment in &document.fragments {
        fragments.entry(fragment.name.text.as_str()).or_insert(fragment);
    }
    let mut check = Check { catalog, document, errors, fragments, fields_left: FIELDS_MAX, work_left: WORK_MAX };
    if let Some(at) = beyond(document, FIELDS_MAX) {
        check.refuse(at, format!("the query asks for more than {FIELDS_MAX} fields"));
        return check.errors;
    }
    let cyclic = check.has_cycles();
    for operation in &document.operations {
        check.variables_of(operation);
        check.directives(&operation.directives);
        if operation.kind != OperationKind::Query {
            continue;
        }
        check.selections(&Output::Root, &operation.selections);
        if check.fields_left == 0 {
            return check.errors;
        }
        if !cyclic {
            check.overlaps(operation);
        }
        check.uses_of(operation);
    }
    for fragment in &document.fragments {
        check.fragment(fragment);
        if cyclic && check.errors.len() < ERRORS_MAX {
            check.cycles(fragment);
        }
        if check.fields_left == 0 {
            return check.errors;
        }
    }
    check.unused_fragments();
    check.errors.truncate(ERRORS_MAX);
    check.errors
}

/// Where the selections of a document become more than `count`.
fn beyond(document: &Document, mut count: usize) -> Option<Position> {
    let operations = document.operations.iter().map(|operation| &operation.selections);
    let mut open: Vec<&[Selection]> = operations.map(Vec::as_slice).collect();
    open.extend(document.fragments.iter().map(|fragment| fragment.selections.as_slice()));
    while let Some(selections) = open.pop() {
        for selection in selections {
            count = match count.checked_sub(1) {
                Some(left) => left,
                None => return Some(selection.at()),
            };
            match selection {
                Selection::Field(field) => open.push(&field.selections),
                Selection::Inline { selections, .. } => open.push(selections),
                Selection::Spread { .. } => {}
            }
        }
    }
    None
}

/// A nameless operation stands alone, and names are used once.
fn check_operations(document: &Document, errors: &mut Vec<GraphqlError>) {
    let operations = &document.operations;
    for (index, operation) in operations.iter().enumerate() {
        if operation.name.is_none() && operations.len() > 1 {
            let text = "This anonymous operation must be the only defined operation.";
            errors.push(GraphqlError::at(operation.at, text));
        }
        let name = |operation: &Operation| operation.name.as_ref().map_or("", |name| &name.text).to_owned();
        let at = |operation: &Operation| operation.name.as_ref().map_or(operation.at, |name| name.at);
        if let Some(first) = operations[..index].iter().find(|first| name(first) == name(operation)) {
            let text = format!("There can only be one operation named {:?}.", name(operation));
            errors.push(GraphqlError::at_all(vec![at(first), at(operation)], text));
        }
    }
}

struct Check<'a> {
    catalog: &'a Schema,
    document: &'a Document,
    errors: Vec<GraphqlError>,
    /// By name; of several the first.
    fragments: HashMap<&'a str, &'a Fragment>,
    fields_left: usize,
    work_left: usize,
}

impl<'a> Check<'a> {
    fn refuse(&mut self, at: Position, text: impl Into<String>) {
        self.errors.push(GraphqlError::at(at, text));
    }

    fn fragment_named(&self, name: &str) -> Option<&'a Fragment> {
        self.fragments.get(name).copied()
    }

    /// Counts a field that is visited again. Returns false once there were too many, after adding an error.
    fn spend(&mut self, at: Position) -> bool {
        if self.work_left == 1 {
            self.refuse(at, format!("the operations ask for more than {WORK_MAX} fields together"));
        }
        self.work_left = self.work_left.saturating_sub(1);
        self.work_left > 0
    }

    fn selections(&mut self, parent: &Output, selections: &'a [Selection]) {
        for selection in selections {
            if self.errors.len() >= ERRORS_MAX {
                return;
            }
            let Some(left) = self.fields_left.checked_sub(1) else { return };
            self.fields_left = left;
            if left == 0 {
                self.refuse(selection.at(), format!("the query asks for more than {FIELDS_MAX} fields"));
                return;
            }
            match selection {
                Selection::Field(field) => self.field(parent, field),
                Selection::Spread { name, directives, at } => {
                    self.spread(parent, name, *at);
                    self.directives(directives);
                }
                Selection::Inline { on, directives, selections, at } => {
                    self.directives(directives);
                    self.inline(parent, on.as_ref(), selections, *at);
                }
            }
        }
    }

    fn field(&mut self, parent: &Output, field: &'a Field) {
        self.directives(&field.directives);
        if matches!(parent, Output::Opaque) {
            return;
        }
        if field.name == "__typename" {
            return;
        }
        let Some(known) = parent.field(self.catalog, &field.name) else {
            self.unknown_field(parent, field);
            return;
        };
        self.arguments(parent, field, &known);
        self.leaf(field, &known);
        if !known.of.is_leaf() {
            self.selections(&known.of, &field.selections);
        }
    }

    fn unknown_field(&mut self, parent: &Output, field: &Field) {
        let hint = match parent {
            Output::Targets(_, _, targets) => {
                let having = targets.iter().filter_map(|target| Output::named(self.catalog, target));
                let having = having.filter(|target| target.field(self.catalog, &field.name).is_some());
                let names: Vec<String> = having.map(|target| target.name()).collect();
                if names.is_empty() {
                    String::new()
                } else {
                    format!(" Did you mean to use an inline fragment on {}?", super::suggest::any_of(&names))
                }
            }
            parent => did_you_mean(&field.name, parent.field_names(self.catalog)),
        };
        let text = format!("Cannot query field {:?} on type {:?}.{hint}", field.name, parent.name());
        self.refuse(field.at, text);
    }

    /// Whether more must be asked of a field, or cannot.
    fn leaf(&mut self, field: &Field, known: &OutputField) {
        let (name, of) = (&field.name, known.type_name());
        if matches!(known.of, Output::Opaque) {
            return;
        }
        if known.of.is_leaf() && !field.selections.is_empty() {
            let text = format!("Field {name:?} of type {of:?} must not have a sub selection.");
            self.refuse(field.selections_at, text);
        } else if !known.of.is_leaf() && field.selections.is_empty() {
            self.refuse(field.at, format!("Field {name:?} of type {of:?} must have a sub selection."));
        }
    }

    fn arguments(&mut self, parent: &Output, field: &Field, known: &OutputField) {
        if matches!(known.of, Output::Opaque) && known.arguments.is_empty() {
            return;
        }
        self.once(&field.arguments);
        for (name, input) in &known.arguments {
            let given = field.arguments.iter().any(|argument| argument.name.text == *name);
            if matches!(input, Input::NonNull(_)) && !given {
                let (of, input) = (&field.name, input.name());
                let text = format!("Field {of:?} argument {name:?} of type {input:?} is required but not provided.");
                self.refuse(field.at, text);
            }
        }
        for Argument { name, value } in &field.arguments {
            match known.arguments.iter().find(|(known, _)| *known == name.text) {
                Some((_, input)) => self.argument(&name.text, input, value),
                None => {
                    let names = known.arguments.iter().map(|(name, _)| (*name).to_owned()).collect();
                    let hint = did_you_mean(&name.text, names);
                    let (argument, of) = (&name.text, parent.name());
                    let text = format!("Unknown argument {argument:?} on field {:?} of type {of:?}.{hint}", field.name);
                    self.refuse(name.at, text);
                }
            }
        }
    }

    fn argument(&mut self, name: &str, input: &Input, value: &Value) {
        let mut wrong = Vec::new();
        input.check(Some(value), &mut wrong, "");
        if !wrong.is_empty() {
            let text = format!("Argument {name:?} has invalid value {value}.\n{}", wrong.join("\n"));
            self.refuse(value.at, text);
        }
    }

    /// No argument is given twice.
    fn once(&mut self, arguments: &[Argument]) {
        for (index, Argument { name, .. }) in arguments.iter().enumerate() {
            if let Some(first) = arguments[..index].iter().find(|first| first.name.text == name.text) {
                let text = format!("There can be only one argument named {:?}.", name.text);
                self.errors.push(GraphqlError::at_all(vec![first.name.at, name.at], text));
            }
        }
    }

    /// Only `@include` and `@skip`, with the condition that they need.
    fn directives(&mut self, directives: &[Directive]) {
        for Directive { name, arguments, at } in directives {
            if name != "include" && name != "skip" {
                self.refuse(*at, format!("Unknown directive {name:?}."));
                continue;
            }
            self.once(arguments);
            match arguments.iter().find(|argument| argument.name.text == "if") {
                Some(Argument { value, .. }) => self.argument("if", &Input::NonNull(Box::new(Input::Bool)), value),
                None => {
                    let text = format!(
                        "Directive \"@{name}\" argument \"if\" of type \"Boolean!\" is required but not provided."
                    );
                    self.refuse(*at, text);
                }
            }
            for Argument { name: given, .. } in arguments.iter().filter(|argument| argument.name.text != "if") {
                self.refuse(given.at, format!("Unknown argument {:?} on directive \"@{name}\".", given.text));
            }
        }
    }
}
