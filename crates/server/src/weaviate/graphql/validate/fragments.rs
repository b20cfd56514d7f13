//! Rules of fragments.

use std::collections::HashSet;

use super::Check;
use crate::weaviate::graphql::GraphqlError;
use crate::weaviate::graphql::lexer::Position;
use crate::weaviate::graphql::syntax::{Fragment, Name, Selection};
use crate::weaviate::graphql::types::Output;

impl<'a> Check<'a> {
    /// `...name` below `parent`.
    pub(super) fn spread(&mut self, parent: &Output, name: &Name, at: Position) {
        let Some(fragment) = self.fragment_named(&name.text) else {
            self.refuse(name.at, format!("Unknown fragment {:?}.", name.text));
            return;
        };
        if let Some(on) = Output::named(self.catalog, &fragment.on.text)
            && !matches!(parent, Output::Opaque)
            && !parent.can_be(&on)
        {
            let text = format!(
                "Fragment {:?} cannot be spread here as objects of type {:?} can never be of type {:?}.",
                name.text,
                parent.name(),
                on.name()
            );
            self.refuse(at, text);
        }
    }

    /// `... on Type { .. }` below `parent`; without a type it is of its parent's.
    pub(super) fn inline(&mut self, parent: &Output, on: Option<&Name>, selections: &'a [Selection], at: Position) {
        let Some(on) = on else { return self.selections(parent, selections) };
        let Some(output) = self.type_of(on) else { return };
        if matches!(parent, Output::Opaque) {
            return;
        }
        if !parent.can_be(&output) {
            let text = format!(
                "Fragment cannot be spread here as objects of type {:?} can never be of type {:?}.",
                parent.name(),
                output.name()
            );
            return self.refuse(at, text);
        }
        self.selections(&output, selections);
    }

    /// A fragment on its own.
    pub(super) fn fragment(&mut self, fragment: &'a Fragment) {
        let mut same = self.document.fragments.iter().filter(|other| other.name.text == fragment.name.text);
        if let Some(first) = same.next().filter(|first| first.at != fragment.at) {
            let text = format!("There can only be one fragment named {:?}.", fragment.name.text);
            self.errors.push(GraphqlError::at_all(vec![first.name.at, fragment.name.at], text));
        }
        self.directives(&fragment.directives);
        if let Some(output) = self.type_of(&fragment.on) {
            self.selections(&output, &fragment.selections);
        }
    }

    fn type_of(&mut self, name: &Name) -> Option<Output> {
        let output = Output::named(self.catalog, &name.text);
        if output.is_none() && !matches!(name.text.as_str(), "Int" | "Float" | "String" | "Boolean") {
            self.refuse(name.at, format!("Unknown type {:?}.", name.text));
        }
        output
    }

    /// A fragment must not come back to itself.
    pub(super) fn cycles(&mut self, fragment: &Fragment) {
        let mut seen: HashSet<&str> = HashSet::new();
        // Fragments on the way, each with the one that puts it in.
        let mut way: Vec<(&Fragment, Option<usize>)> = vec![(fragment, None)];
        let mut open = vec![0];
        while let Some(at) = open.pop() {
            let (current, _) = way[at];
            for name in spreads(&current.selections) {
                if name.text == fragment.name.text {
                    let mut via = Vec::new();
                    let mut around = at;
                    while let Some(before) = way[around].1 {
                        via.push(way[around].0.name.text.as_str());
                        around = before;
                    }
                    via.reverse();
                    let through = if via.is_empty() { String::new() } else { format!(" via {}", via.join(", ")) };
                    let text = format!("Cannot spread fragment {:?} within itself{through}.", fragment.name.text);
                    return self.refuse(name.at, text);
                }
                if let Some(next) = self.fragment_named(&name.text).filter(|_| seen.insert(&name.text)) {
                    open.push(way.len());
                    way.push((next, Some(at)));
                }
            }
        }
    }

    /// Whether any fragment spreads itself, directly or through others.
    pub(super) fn has_cycles(&self) -> bool {
        let mut done: HashSet<&str> = HashSet::new();
        for fragment in &self.document.fragments {
            // Fragments on the way, each with those that it puts in and that were not followed yet.
            let mut way = vec![(fragment.name.text.as_str(), spreads(&fragment.selections))];
            while let Some((name, open)) = way.last_mut() {
                let Some(next) = open.pop() else {
                    done.insert(*name);
                    way.pop();
                    continue;
                };
                if way.iter().any(|(name, _)| *name == next.text) {
                    return true;
                }
                let next = self.fragment_named(&next.text).filter(|next| !done.contains(next.name.text.as_str()));
                way.extend(next.map(|next| (next.name.text.as_str(), spreads(&next.selections))));
            }
        }
        false
    }

    /// Every fragment is put in somewhere.
    pub(super) fn unused_fragments(&mut self) {
        let mut used: HashSet<&str> = HashSet::new();
        let mut open: Vec<&[Selection]> =
            self.document.operations.iter().map(|operation| operation.selections.as_slice()).collect();
        while let Some(selections) = open.pop() {
            for name in spreads(selections) {
                if used.insert(&name.text) {
                    open.extend(self.fragment_named(&name.text).map(|fragment| fragment.selections.as_slice()));
                }
            }
        }
        for fragment in &self.document.fragments {
            if !used.contains(fragment.name.text.as_str()) {
                self.refuse(fragment.at, format!("Fragment {:?} is never used.", fragment.name.text));
            }
        }
    }
}

/// The names of the fragments that are put in, at any depth.
pub(super) fn spreads(selections: &[Selection]) -> Vec<&Name> {
    let mut names = Vec::new();
    let mut open = vec![selections];
    while let Some(selections) = open.pop() {
        for selection in selections {
            match selection {
                Selection::Field(field) => open.push(&field.selections),
                Selection::Inline { selections, .. } => open.push(selections),
                Selection::Spread { name, .. } => names.push(name),
            }
        }
    }
    names
}
