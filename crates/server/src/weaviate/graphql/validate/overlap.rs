//! Fields that are answered under one name must ask for the same: OverlappingFieldsCanBeMerged of the GraphQL
//! specification, at every depth and through fragments.
//!
//! All fields of one name in one place are looked at together, each against the first of its type, so that the work
//! grows with the fields of the document once its fragments are put in, which are limited. Objects of different types
//! never stand for one another, so that their fields may differ in all but the shape of the answer.

use std::collections::{HashMap, HashSet};

use super::{Check, ERRORS_MAX};
use crate::weaviate::graphql::GraphqlError;
use crate::weaviate::graphql::lexer::Position;
use crate::weaviate::graphql::syntax::{Argument, Field, Fragment, Given, Name, Operation, Selection, Value};
use crate::weaviate::graphql::types::{Output, OutputField};

/// A field, and the entry of the field around it.
struct Entry<'a> {
    field: &'a Field,
    above: Option<usize>,
    /// Its type among those of its place.
    of: usize,
}

/// Fields of one name and one type, whose selections are one.
struct Set {
    /// The type of the fields' values.
    of: Output,
    entries: Vec<usize>,
}

/// The fields of one place.
#[derive(Default)]
struct Place<'a> {
    types: Vec<Output>,
    /// In the order in which their names came up first.
    groups: Vec<Vec<usize>>,
    by_key: HashMap<&'a str, usize>,
    /// Fragments that were expanded, each with the type around it.
    fragments: HashSet<(&'a str, usize)>,
}

/// All fields of an operation.
struct Overlap<'a, 'c> {
    check: &'c mut Check<'a>,
    entries: Vec<Entry<'a>>,
    told: HashSet<(Position, Position)>,
}

impl<'a> Check<'a> {
    /// Checks the fields of an operation. Its fragments do not spread themselves.
    pub(super) fn overlaps(&mut self, operation: &'a Operation) {
        let mut overlap = Overlap { check: self, entries: Vec::new(), told: HashSet::new() };
        let mut place = Place { types: vec![Output::Root], ..Place::default() };
        overlap.collect(&mut place, &operation.selections, 0, None);
        let mut open = overlap.compare(&place);
        while let Some(sets) = open.pop() {
            if overlap.check.work_left == 0 {
                return;
            }
            let mut place = Place::default();
            for set in sets {
                let of = place.types.len();
                place.types.push(set.of);
                for entry in set.entries {
                    overlap.collect(&mut place, &overlap.entries[entry].field.selections, of, Some(entry));
                }
            }
            open.extend(overlap.compare(&place));
        }
    }
}

impl<'a> Overlap<'a, '_> {
    /// Puts the fields of `selections`, which stand below `above` in objects of the type `of`, into their place.
    fn collect(&mut self, place: &mut Place<'a>, selections: &'a [Selection], of: usize, above: Option<usize>) {
        let mut open: Vec<(std::slice::Iter<'a, Selection>, usize)> = vec![(selections.iter(), of)];
        while let Some((selections, of)) = open.last_mut() {
            let of = *of;
            let Some(selection) = selections.next() else {
                open.pop();
                continue;
            };
            if !self.check.spend(selection.at()) {
                return;
            }
            match selection {
                Selection::Field(field) => {
                    let entry = self.entries.len();
                    self.entries.push(Entry { field, above, of });
                    let next = place.groups.len();
                    let group = *place.by_key.entry(field.key()).or_insert(next);
                    if group == next {
                        place.groups.push(Vec::new());
                    }
                    place.groups[group].push(entry);
                }
                Selection::Inline { on, selections, .. } => {
                    let inner = on.as_ref().map_or(of, |on| self.type_within(place, of, &on.text));
                    open.push((selections.iter(), inner));
                }
                Selection::Spread { name, .. } => {
                    let fragment: Option<&'a Fragment> = self.check.fragment_named(&name.text);
                    if let Some(fragment) = fragment.filter(|_| place.fragments.insert((&name.text, of))) {
                        let inner = self.type_within(place, of, &fragment.on.text);
                        open.push((fragment.selections.iter(), inner));
                    }
                }
            }
        }
    }

    /// The type that a fragment on `name` is of, inside the type `of`.
    fn type_within(&self, place: &mut Place<'a>, of: usize, name: &str) -> usize {
        if !matches!(place.types[of], Output::Targets(..)) {
            return of;
        }
        if let Some(known) = place.types.iter().position(|known| known.name() == name) {
            return known;
        }
        place.types.push(Output::named(self.check.catalog, name).unwrap_or(Output::Opaque));
        place.types.len() - 1
    }

    /// Compares the fields of one place by name. Returns the selections below the fields that are merged.
    fn compare(&mut self, place: &Place<'a>) -> Vec<Vec<Set>> {
        let mut below = Vec::new();
        for group in &place.groups {
            let mut firsts: Vec<(usize, Option<OutputField>, Vec<usize>)> = Vec::new();
            for &entry in group {
                let of = self.entries[entry].of;
                match firsts.iter().position(|(known, ..)| *known == of) {
                    Some(at) => {
                        let first = firsts[at].2[0];
                        self.same(first, entry);
                        firsts[at].2.push(entry);
                    }
                    None => {
                        let answers = self.answers(&place.types[of], self.entries[entry].field);
                        for (other, shape, entries) in &firsts {
                            let first = entries[0];
                            let mixed = [of, *other].iter().any(|of| matches!(place.types[*of], Output::Targets(..)));
                            if mixed {
                                self.same(first, entry);
                            }
                            self.same_shape(first, shape.as_ref(), entry, answers.as_ref());
                        }
                        firsts.push((of, answers, vec![entry]));
                    }
                }
            }
            let sets = firsts
                .into_iter()
                .map(|(_, answers, entries)| Set { of: answers.map_or(Output::Opaque, |answers| answers.of), entries });
            let sets: Vec<Set> = sets.filter(|set| self.asks_more(set)).collect();
            if !sets.is_empty() {
                below.push(sets);
            }
        }
        below
    }

    fn asks_more(&self, set: &Set) -> bool {
        set.entries.iter().any(|&entry| !self.entries[entry].field.selections.is_empty())
    }

    fn answers(&self, of: &Output, field: &Field) -> Option<OutputField> {
        if field.name == "__typename" {
            let of = Output::Scalar("String");
            return Some(OutputField { of, list: false, arguments: Vec::new() });
        }
        of.field(self.check.catalog, &field.name)
    }

    /// Two fields of one object are one field.
    fn same(&mut self, first: usize, other: usize) {
        let (one, two) = (self.entries[first].field, self.entries[other].field);
        if one.name != two.name {
            self.conflict(first, other, &format!("{} and {} are different fields", one.name, two.name));
        } else if !same_arguments(&one.arguments, &two.arguments) {
            self.conflict(first, other, "they have differing arguments");
        }
    }

    /// Fields of objects of different types have answers of one shape.
    fn same_shape(&mut self, first: usize, one: Option<&OutputField>, other: usize, two: Option<&OutputField>) {
        let (Some(one), Some(two)) = (one, two) else { return };
        if matches!(one.of, Output::Opaque) || matches!(two.of, Output::Opaque) {
            return;
        }
        let leaves = one.of.is_leaf() || two.of.is_leaf();
        if one.list != two.list || (leaves && one.of.name() != two.of.name()) {
            let why = format!("they return conflicting types {} and {}", one.type_name(), two.type_name());
            self.conflict(first, other, &why);
        }
    }

    /// Reports two fields that cannot be merged, with the conflicting fields around them.
    fn conflict(&mut self, first: usize, other: usize, why: &str) {
        let at = |entry: usize| self.entries[entry].field.at;
        if self.check.errors.len() >= ERRORS_MAX || at(first) == at(other) || !self.told.insert((at(first), at(other)))
        {
            return;
        }
        let (mut left, mut right) = (vec![first], vec![other]);
        let mut around = (self.entries[first].above, self.entries[other].above);
        while let (Some(one), Some(two)) = around
            && at(one) != at(two)
        {
            left.push(one);
            right.push(two);
            around = (self.entries[one].above, self.entries[two].above);
        }
        let mut text = why.to_owned();
        for &entry in &left[..left.len() - 1] {
            text = format!("subfields {:?} conflict because {text}", self.entries[entry].field.key());
        }
        let outermost = self.entries[left[left.len() - 1]].field.key();
        let text = format!(
            "Fields {outermost:?} conflict because {text}. Use different aliases on the fields to fetch both if this was \
             intentional."
        );
        let places = left.iter().rev().chain(right.iter().rev()).map(|&entry| at(entry)).collect();
        self.check.errors.push(GraphqlError::at_all(places, text));
    }
}

fn same_arguments(one: &[Argument], other: &[Argument]) -> bool {
    let same = |argument: &Argument| {
        let twin = other.iter().find(|twin| twin.name.text == argument.name.text);
        twin.is_some_and(|twin| same_value(&argument.value, &twin.value))
    };
    one.len() == other.len() && one.iter().all(same)
}

/// Whether two values are written in the same way, wherever they stand.
fn same_value(one: &Value, other: &Value) -> bool {
    match (&one.given, &other.given) {
        (Given::List(one), Given::List(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same_value(one, other))
        }
        (Given::Object(one), Given::Object(other)) => {
            let same = |((name, value), (twin, other)): (&(Name, Value), &(Name, Value))| {
                name.text == twin.text && same_value(value, other)
            };
            one.len() == other.len() && one.iter().zip(other).all(same)
        }
        (one, other) => one == other,
    }
}
