//! Filters, answered from the inverted index.
//!
//! Every step gives live doc ids, so that a complement is one with respect to the live objects. Texts of errors are those
//! of the wire.

use std::collections::BTreeMap;
use std::ops::Bound;

use roaring::RoaringTreemap;
use uuid::Uuid;

use super::{condition, nested};
use crate::error::FilterError;
use crate::ids::{DocId, PropertyId};
use crate::inverted::IndexView;
use crate::inverted::form::terms::{self, OBJECT};
use crate::inverted::form::{docset, postings};
use crate::limits::FILTER_DEPTH_MAX;
use crate::object::codec::{self, Wanted};
use crate::object::{Beacon, Value};
use crate::query::{Filter, FilterValue, IdSet, Operator, Path, Projection, Subject};
use crate::schema::{Collection, DataType, Property};
use crate::storage::Family;
use crate::storage::key::{self, DOC_BYTES, InvKind, PREFIX_BYTES};
use crate::{Error, Result, interrupt};

/// Up to this many targets of a reference are looked up one by one; beyond, all references are read.
const TARGETS_MAX: usize = 4_096;

/// Bytes of an id in a key.
const UUID_BYTES: usize = 16;

/// A filter that is looked up in the index of one shard.
pub(crate) struct Lookup<'a> {
    pub context: &'a dyn LookupContext,
    pub schema: &'a Collection,
    pub view: IndexView<'a>,
}

/// The rest of the data group, as far as a lookup needs it. The inverted index knows no shard and no other collection.
pub(crate) trait LookupContext {
    /// Takes notice that an entry of the shard's index fails its checks; `why` says which.
    fn damaged(&self, why: &str);

    /// Takes notice that the shard's index has entries of an earlier version, which are slower to read.
    fn outdated(&self);

    /// Takes notice of an object whose row cannot be decoded.
    fn unreadable(&self, doc_id: DocId, error: &Error);
}

impl Lookup<'_> {
    /// Live doc ids that match.
    ///
    /// # Errors
    /// [`Error::Filter`] when the filter lacks its index or does not fit the schema.
    pub(crate) fn matches(&self, filter: &Filter) -> Result<RoaringTreemap> {
        self.evaluate(filter, 0)
    }

    fn evaluate(&self, filter: &Filter, depth: usize) -> Result<RoaringTreemap> {
        interrupt::check()?;
        if depth > FILTER_DEPTH_MAX {
            return Err(Error::Limit(format!("filters can be nested {FILTER_DEPTH_MAX} deep")));
        }
        if let Some(root) = nested::root(self.schema, filter) {
            return nested::matches(self, root, (true, &[filter]), None);
        }
        match filter {
            Filter::And(operands) => self.joined(operands, depth, true),
            Filter::Or(operands) => self.joined(operands, depth, false),
            Filter::Not(operand) => Ok(self.complement(&self.evaluate(operand, depth + 1)?)),
            Filter::Compare { path, operator, value } => self.compare(path, *operator, value),
            Filter::ReferenceIn { property, collection, ids } => self.referring_to(property, collection, ids),
        }
    }

    /// The matches of all of the operands, or of any, joined one by one: of thousands of operands two sets are in memory.
    /// Comparisons inside of one object property are looked up together, after the others, as they may read rows.
    fn joined(&self, operands: &[Filter], depth: usize, all: bool) -> Result<RoaringTreemap> {
        let mut joined: Option<RoaringTreemap> = None;
        let join = |joined: &mut Option<RoaringTreemap>, set: RoaringTreemap| {
            *joined = Some(match joined.take() {
                Some(before) if all => before & set,
                Some(before) => before | set,
                None => set,
            });
        };
        let mut inside: BTreeMap<PropertyId, (&Property, Vec<&Filter>)> = BTreeMap::new();
        for operand in operands {
            match nested::root(self.schema, operand) {
                Some(root) => inside.entry(root.id).or_insert_with(|| (root, Vec::new())).1.push(operand),
                None => join(&mut joined, self.evaluate(operand, depth + 1)?),
            }
        }
        for (root, operands) in inside.into_values() {
            let among = joined.as_ref().filter(|_| all);
            let set = nested::matches(self, root, (all, &operands), among)?;
            join(&mut joined, set);
        }
        Ok(joined.unwrap_or_default())
    }

    /// Live doc ids whose values compare as the operator says.
    fn compare(&self, path: &Path, operator: Operator, value: &FilterValue) -> Result<RoaringTreemap> {
        if let Some(step) = path.through.first() {
            let property = &step.property;
            return Err(Error::Invalid(format!("a shard cannot follow the reference '{property}' of a condition")));
        }
        match &path.subject {
            Subject::Id => condition::id(self, operator, value),
            Subject::CreatedMs => condition::time(self, InvKind::Created, operator, value),
            Subject::UpdatedMs => condition::time(self, InvKind::Updated, operator, value),
            Subject::Length(name) => condition::length(self, name, operator, value),
            Subject::ReferenceCount(name) => condition::reference_count(self, name, operator, value),
            Subject::Property(name) => condition::property(self, name, operator, value),
        }
    }

    /// Objects whose property refers to one of these objects of `collection`. A beacon without a collection's name
    /// refers to any object with its id.
    fn referring_to(&self, name: &str, collection: &str, ids: &IdSet) -> Result<RoaringTreemap> {
        let property = self.property(name)?;
        if !matches!(property.data_type, DataType::Reference(_)) || ids.as_slice().is_empty() {
            return Ok(RoaringTreemap::new());
        }
        let named = terms::reference_key(Uuid::nil(), Some(collection))[UUID_BYTES..].to_vec();
        let unnamed = terms::reference_key(Uuid::nil(), None)[UUID_BYTES..].to_vec();
        let fits = |value: &[u8]| value.get(UUID_BYTES..).is_some_and(|class| class == named || class == unnamed);
        let (kind, mut found) = (InvKind::ReferenceTo, RoaringTreemap::new());
        if ids.as_slice().len() <= TARGETS_MAX {
            for id in ids.as_slice() {
                let end = key::after_prefix(id.as_bytes());
                let bounds =
                    (Bound::Included(&id.as_bytes()[..]), end.as_deref().map_or(Bound::Unbounded, Bound::Excluded));
                found |= self.values_where(property.id, kind, bounds, |value| Ok(fits(value)))?;
            }
        } else {
            let among = |value: &[u8]| Uuid::from_slice(value).is_ok_and(|id| ids.contains(id));
            found |= self.values_where(property.id, kind, (Bound::Unbounded, Bound::Unbounded), |value| {
                Ok(fits(value) && value.get(..UUID_BYTES).is_some_and(among))
            })?;
        }
        if self.has_any(property.id, InvKind::Reference)? {
            // After a rebuild there are no such entries, and this costs nothing more.
            self.context.outdated();
            found |= self.referring_by_id(property, collection, ids)?;
        }
        Ok(found)
    }

    /// As [`referring_to`](Self::referring_to), by entries of earlier versions, which hold the target's id alone: the
    /// rows of their hits are checked for the collection.
    fn referring_by_id(&self, property: &Property, collection: &str, ids: &IdSet) -> Result<RoaringTreemap> {
        let any = (Bound::Unbounded, Bound::Unbounded);
        let candidates = self.values_where(property.id, InvKind::Reference, any, |value| {
            Ok(Uuid::from_slice(value).is_ok_and(|id| ids.contains(id)))
        })?;
        let mut found = RoaringTreemap::new();
        let projection = Projection::of([property.name.as_str()]);
        let wanted = Wanted::new(self.schema, &projection);
        for doc_id in candidates {
            let row = self.view.store.get(Family::Objects, &self.view.prefix.object(DocId(doc_id)))?;
            let row = row.ok_or_else(|| Error::Damaged(format!("live doc id {doc_id} has no row")))?;
            let object = match codec::decode(&row, &wanted) {
                Ok((_, object)) => object,
                Err(error) => {
                    self.context.unreadable(DocId(doc_id), &error);
                    continue;
                }
            };
            let Some(Value::References(beacons)) = object.properties.get(&property.name) else { continue };
            let fits = |beacon: &Beacon| {
                ids.contains(beacon.id) && beacon.collection.as_deref().is_none_or(|name| name == collection)
            };
            if beacons.iter().any(fits) {
                found.insert(doc_id);
            }
        }
        Ok(found)
    }

    /// Whether there is any entry of that kind, of dead doc ids too.
    fn has_any(&self, property: PropertyId, kind: InvKind) -> Result<bool> {
        let start = self.view.prefix.inverted(property, kind);
        let mut cursor = self.view.store.cursor(Family::Inverted, &start, None);
        cursor.seek(&start);
        if cursor.item()?.is_some() {
            return Ok(true);
        }
        let relative = &start[PREFIX_BYTES..];
        for segment in self.view.parsed_segments()? {
            let (_, segment) = segment?;
            let at = segment.lower_bound(relative)?;
            if at < segment.len() && segment.entry(at)?.0.starts_with(relative) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The top-level property of that name.
    pub(crate) fn property(&self, name: &str) -> Result<&Property> {
        // What is no object has nothing below it: `name.x` is `name`.
        let top = name.split('.').next().unwrap_or(name);
        self.schema.property(top).ok_or_else(|| {
            let (property, collection) = (name.to_owned(), self.schema.name.clone());
            FilterError::NoSuchProperty { property, collection }.into()
        })
    }

    /// Live objects that are not in `set`.
    pub(crate) fn complement(&self, set: &RoaringTreemap) -> RoaringTreemap {
        self.view.live.without(set)
    }

    /// Live objects that have exactly this value.
    pub(crate) fn value(&self, property: PropertyId, kind: InvKind, value: &[u8]) -> Result<RoaringTreemap> {
        let start = self.view.prefix.value(property, kind, value);
        let mut found = RoaringTreemap::new();
        self.entries(&start, key::after_prefix(&start).as_deref(), |key, bytes| {
            read_entry(&mut found, kind, key, bytes)
        })?;
        Ok(self.view.live.and(&found))
    }

    /// Those of `among` that have exactly this value, which has postings. Blocks that can hold none of them are not decoded.
    pub(crate) fn posted_among(
        &self,
        property: PropertyId,
        value: &[u8],
        among: &RoaringTreemap,
    ) -> Result<RoaringTreemap> {
        let start = self.view.prefix.value(property, InvKind::Posting, value);
        let mut found = RoaringTreemap::new();
        self.entries(&start, key::after_prefix(&start).as_deref(), |key, bytes| {
            let blocks = postings::Blocks::parse(key::parse_doc_id(key)?, bytes)?;
            blocks.each_among(among, |doc_id| {
                found.insert(doc_id);
            })
        })?;
        Ok(found)
    }

    /// Hands over all entries with keys from `start` up to `end`: those under keys of their own, then those of the segments.
    /// Keys come without the shard's prefix. Asks for a rebuild when one fails its checks.
    fn entries(&self, start: &[u8], end: Option<&[u8]>, take: impl FnMut(&[u8], &[u8]) -> Result<()>) -> Result<()> {
        let read = self.read_entries(start, end, take);
        if let Err(Error::DamagedIndex(what)) = &read {
            self.context.damaged(what);
        }
        read
    }

    fn read_entries(
        &self,
        start: &[u8],
        end: Option<&[u8]>,
        mut take: impl FnMut(&[u8], &[u8]) -> Result<()>,
    ) -> Result<()> {
        let prefix = self.view.prefix.bytes();
        let mut cursor = self.view.store.cursor(Family::Inverted, prefix, end);
        cursor.seek(start);
        while let Some((key, bytes)) = cursor.item()? {
            take(&key[prefix.len()..], bytes)?;
            cursor.next();
        }
        let (start, end) = (&start[prefix.len()..], end.and_then(|end| end.get(prefix.len()..)));
        for segment in self.view.parsed_segments()? {
            let (_, segment) = segment?;
            for n in segment.lower_bound(start)?..segment.len() {
                interrupt::check()?;
                let (key, bytes) = segment.entry(n)?;
                if end.is_some_and(|end| key >= end) {
                    break;
                }
                take(key, bytes)?;
            }
        }
        Ok(())
    }

    /// Live objects that have a value within `bounds`.
    pub(crate) fn values(
        &self,
        property: PropertyId,
        kind: InvKind,
        bounds: (Bound<&[u8]>, Bound<&[u8]>),
    ) -> Result<RoaringTreemap> {
        self.values_where(property, kind, bounds, |_| Ok(true))
    }

    /// Live objects that have a value within `bounds` that `wanted` picks. It gets the value as it is in
    /// the key, and may be asked more than once.
    pub(crate) fn values_where(
        &self,
        property: PropertyId,
        kind: InvKind,
        bounds: (Bound<&[u8]>, Bound<&[u8]>),
        mut wanted: impl FnMut(&[u8]) -> Result<bool>,
    ) -> Result<RoaringTreemap> {
        let prefix = self.view.prefix.inverted(property, kind);
        let key_of = |value: &[u8]| [prefix.as_slice(), value].concat();
        let start = match bounds.0 {
            Bound::Included(value) => key_of(value),
            Bound::Excluded(value) => key::after_prefix(&key_of(value)).unwrap_or_default(),
            Bound::Unbounded => prefix.clone(),
        };
        let end = match bounds.1 {
            Bound::Included(value) => key::after_prefix(&key_of(value)),
            Bound::Excluded(value) => Some(key_of(value)),
            Bound::Unbounded => None,
        };
        let mut found = RoaringTreemap::new();
        let end = end.or_else(|| key::after_prefix(&prefix));
        let value_start = prefix.len() - PREFIX_BYTES;
        let mut current: Option<(Vec<u8>, bool)> = None;
        self.entries(&start, end.as_deref(), |key, bytes| {
            let value = key.get(value_start..key.len().saturating_sub(DOC_BYTES));
            let value = value.ok_or_else(|| Error::DamagedIndex(format!("key {key:02x?}")))?;
            let take = match &current {
                Some((last, take)) if last == value => *take,
                _ => {
                    let take = wanted(value)?;
                    current = Some((value.to_vec(), take));
                    take
                }
            };
            if take { read_entry(&mut found, kind, key, bytes) } else { Ok(()) }
        })?;
        Ok(self.view.live.and(&found))
    }
}

fn read_entry(into: &mut RoaringTreemap, kind: InvKind, key: &[u8], bytes: &[u8]) -> Result<()> {
    let first = key::parse_doc_id(key)?;
    if kind != InvKind::Posting {
        return docset::decode_into(into, first, bytes);
    }
    into.extend(postings::decode(first, bytes)?.iter().map(|posting| posting.doc_id.0));
    Ok(())
}

/// The id of the object itself, among properties.
pub(crate) const SELF: PropertyId = OBJECT;
