//! The weight of an object in the inverted index, and its limits.
//!
//! Every distinct term, list element and reference of an indexed property is an entry of its own, made when the object
//! is applied, while all other writes wait. The server checks a request with [`check`] before its command is proposed;
//! apply checks merges once more, because only apply knows the whole object.

use std::borrow::Cow;

use hashbrown::HashSet;

use crate::command::Patch;
use crate::inverted::form::terms;
use crate::object::{Object, Properties, Value};
use crate::schema::{Collection, DataType, Property, Tokenization};
use crate::tokenizer;

/// Most entries of the inverted index that an object may have: distinct terms of each text property, list elements, references.
pub const ENTRIES_MAX: u64 = 100_000;

/// Most tokens that the text properties of an object may have together, repetitions included.
pub const TOKENS_MAX: u64 = 500_000;

/// Checks the properties of an object, or those that a change brings. Costs next to nothing unless they are so long that
/// they could be above a limit: see [`is_light`].
///
/// # Errors
/// Which limit is exceeded, as a text for the client.
pub fn check(schema: &Collection, properties: &Properties) -> Result<(), String> {
    if is_light(properties) {
        return Ok(());
    }
    let inside = schema.properties().iter().fold(Weight::default(), |sum, property| {
        sum.plus(properties.get(&property.name).map_or(Weight::default(), |value| Weight::of_nested(property, value)))
    });
    Weight::of(schema, properties).plus(inside).check()
}

/// Whether properties are so short that they cannot be above any limit.
pub fn is_light(properties: &Properties) -> bool {
    properties.values().map(|value| bound_of(value).saturating_add(bound_inside(value))).sum::<u64>() <= ENTRIES_MAX
}

/// The weight of properties.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Weight {
    tokens: u64,
    entries: u64,
}

impl Weight {
    fn of(schema: &Collection, properties: &Properties) -> Self {
        properties.iter().fold(Self::default(), |sum, (name, value)| sum.plus(Self::of_one(schema, name, value)))
    }

    fn of_one(schema: &Collection, name: &str, value: &Value) -> Self {
        let Some(property) = schema.property(name).filter(|property| terms::is_indexed(property)) else {
            return Self::default();
        };
        match value {
            value if property.data_type.is_text() => Self::of_text(property, value),
            Value::References(beacons) => Self { tokens: 0, entries: beacons.len() as u64 },
            value => Self { tokens: 0, entries: terms::elements(value).len() as u64 },
        }
    }

    /// The weight of the values inside of an object. Only requests are checked for it: apply replaces objects as a whole.
    fn of_nested(property: &Property, value: &Value) -> Self {
        let elements = terms::elements(value).iter();
        let members =
            elements.filter_map(|element| if let Value::Object(members) = element { Some(members) } else { None });
        let of_member = |property: &Property, value: &Value| match property.data_type {
            DataType::Object { .. } => Self::of_nested(property, value),
            DataType::Primitive { .. } if !property.filterable => Self::default(),
            DataType::Primitive { .. } if property.data_type.is_text() => Self::of_text(property, value),
            DataType::Primitive { .. } | DataType::Reference(_) => {
                Self { tokens: 0, entries: terms::elements(value).len() as u64 }
            }
        };
        members.fold(Self::default(), |sum, members| {
            let named = property.nested.iter().filter_map(|nested| Some((nested, members.get(&nested.name)?)));
            named.fold(sum, |sum, (nested, value)| sum.plus(of_member(nested, value)))
        })
    }

    fn of_text(property: &Property, value: &Value) -> Self {
        let mut tokens = 0;
        let mut distinct: HashSet<Box<str>> = HashSet::new();
        for element in terms::elements(value) {
            let Value::Text(text) = element else { continue };
            let text: Cow<'_, str> = tokenizer::analyze(property.text_analyzer.as_ref(), text);
            tokenizer::each_term(property.tokenization.unwrap_or(Tokenization::Word), &text, |term| {
                tokens += 1;
                // Above the limit it does not matter by how much.
                if distinct.len() as u64 <= ENTRIES_MAX && !distinct.contains(term) {
                    distinct.insert(term.into());
                }
            });
        }
        Self { tokens, entries: distinct.len() as u64 }
    }

    fn plus(self, more: Self) -> Self {
        Self { tokens: self.tokens + more.tokens, entries: self.entries + more.entries }
    }

    fn less(self, gone: Self) -> Self {
        let Self { tokens, entries } = self;
        Self { tokens: tokens.saturating_sub(gone.tokens), entries: entries.saturating_sub(gone.entries) }
    }

    fn check(self) -> Result<(), String> {
        let (what, max) = if self.entries > ENTRIES_MAX {
            ("distinct terms, list elements and references", ENTRIES_MAX)
        } else if self.tokens > TOKENS_MAX {
            ("tokens", TOKENS_MAX)
        } else {
            return Ok(());
        };
        Err(format!(
            "the indexed properties of the object have more than {max} {what} together: split it into several objects, \
             or switch the filterable and the searchable index of a property off"
        ))
    }
}

/// The weight of an object that is changed repeatedly, kept up to date without reading all of the object each time.
///
/// Whether a change is refused follows from the object and the change alone, not from the `Load` kept so far: replicas
/// apply entries in parts of different sizes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// An upper bound of its entries and of its tokens.
    bound: u64,
    /// The exact weight, once it was computed.
    exact: Option<Weight>,
}

impl Load {
    pub(crate) fn of(object: &Object) -> Self {
        Self { bound: bound(&object.properties), exact: None }
    }

    /// The load of `object` once `patch` has changed it; `None` if the load has to be computed from the changed object.
    ///
    /// # Errors
    /// Why the change is to be refused: it makes the object heavier, beyond a limit.
    pub(crate) fn changed(self, schema: &Collection, object: &Object, patch: &Patch) -> Result<Option<Self>, String> {
        let after = self.bound.saturating_add(bound(&patch.set));
        let replaced = patch.replace_references.values().map(|beacons| beacons.len() as u64).sum::<u64>();
        let after = after.saturating_add(replaced);
        // A patch of scalars adds at most as many entries as the schema has properties: it is never refused, so the
        // weight of the object is not computed for it, whether it was computed before or not.
        let scalars = patch.replace_references.is_empty() && patch.set.values().all(is_scalar);
        if after <= ENTRIES_MAX || (scalars && self.exact.is_none()) {
            // Removed values are not subtracted from the bound: the exact weight is only computed sooner.
            return Ok(Some(Self { bound: after, exact: None }));
        }
        let before = self.exact.unwrap_or_else(|| Weight::of(schema, &object.properties));
        let mut exact = before;
        for (name, value) in &patch.set {
            let more = Weight::of_one(schema, name, value);
            exact = exact.plus(more);
            match (object.properties.get(name), value) {
                (Some(Value::References(_)), Value::References(_)) | (None, _) => {}
                (Some(old), _) => exact = exact.less(Weight::of_one(schema, name, old)),
            }
        }
        for (name, beacons) in &patch.replace_references {
            let old = object.properties.get(name).map_or(Weight::default(), |old| Weight::of_one(schema, name, old));
            exact = exact.plus(Weight { tokens: 0, entries: beacons.len() as u64 }).less(old);
        }
        for name in &patch.remove {
            let old = object.properties.get(name).map_or(Weight::default(), |old| Weight::of_one(schema, name, old));
            exact = exact.less(old);
        }
        if !scalars && (exact.entries > before.entries || exact.tokens > before.tokens) {
            exact.check()?;
        }
        // Where parts of the patch touch the same property the sums above are not exact.
        let simple =
            patch.remove_references.is_empty() && patch.replace_references.is_empty() && patch.remove.is_empty();
        Ok(simple.then_some(Self { bound: after, exact: Some(exact) }))
    }
}

/// Whether a value is one entry at most.
fn is_scalar(value: &Value) -> bool {
    !matches!(value, Value::Text(_) | Value::List(_) | Value::References(_))
}

/// At least as many entries and tokens as properties can give rise to: no token is shorter than a byte.
fn bound(properties: &Properties) -> u64 {
    properties.values().map(bound_of).sum()
}

/// At least as many entries and tokens as the values inside of objects can give rise to.
fn bound_inside(value: &Value) -> u64 {
    match value {
        Value::Object(members) => {
            members.values().map(|value| bound_of(value).saturating_add(bound_inside(value))).sum()
        }
        Value::List(values) => values.iter().map(bound_inside).sum(),
        _ => 0,
    }
}

fn bound_of(value: &Value) -> u64 {
    match value {
        Value::Text(text) => text.len() as u64 + 1,
        Value::List(values) => values.iter().map(bound_of).sum(),
        Value::References(beacons) => beacons.len() as u64,
        Value::Null
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Number(_)
        | Value::Date(_)
        | Value::Uuid(_)
        | Value::Geo(_)
        | Value::Phone(_)
        | Value::Blob(_)
        | Value::Object(_) => 1,
    }
}
