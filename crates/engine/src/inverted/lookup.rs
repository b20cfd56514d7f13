//! Filters, answered from the inverted index.
//!
//! Every step gives live doc ids, so that a complement is one with respect to the live objects. Texts of errors are those
//! of the wire.

use std::ops::Bound;

use roaring::RoaringTreemap;
use uuid::Uuid;

use super::condition;
use super::docset;
use super::postings;
use super::promote;
use super::segment::Segment;
use super::terms::OBJECT;
use crate::command::At;
use crate::group::{DataGroup, Family, ShardView, read_id, readable};
use crate::ids::{DocId, PropertyId};
use crate::key::{self, DOC_BYTES, InvKind, PREFIX_BYTES, ShardPrefix};
use crate::query::{Filter, FilterValue, Operator, Path, PathStep, Subject};
use crate::schema::{Collection, DataType};
use crate::{Error, Result};

/// Deepest nesting of a filter.
const DEPTH_MAX: usize = 256;
/// Up to this many targets of a reference are looked up one by one; beyond, all references are read.
const TARGETS_MAX: usize = 4_096;

/// What a filter is looked up in: a shard at one moment.
pub(crate) struct Lookup<'a> {
    pub group: &'a DataGroup,
    pub schema: &'a Collection,
    pub at: At,
    pub prefix: ShardPrefix,
    pub view: &'a ShardView<'a>,
}

impl Lookup<'_> {
    /// Live doc ids that match.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the filter lacks its index or does not fit the schema.
    pub(crate) fn matches(&self, filter: &Filter) -> Result<RoaringTreemap> {
        self.evaluate(filter, 0)
    }

    fn evaluate(&self, filter: &Filter, depth: usize) -> Result<RoaringTreemap> {
        if depth > DEPTH_MAX {
            return Err(Error::Limit(format!("filters can be nested {DEPTH_MAX} deep")));
        }
        match filter {
            Filter::And(operands) => {
                let mut sets = self.operands(operands, depth)?.into_iter();
                let first = sets.next().unwrap_or_default();
                Ok(sets.fold(first, |all, set| all & set))
            }
            Filter::Or(operands) => {
                Ok(self.operands(operands, depth)?.into_iter().fold(RoaringTreemap::new(), |any, set| any | set))
            }
            Filter::Not(operand) => Ok(self.complement(&self.evaluate(operand, depth + 1)?)),
            Filter::Compare { path, operator, value } => self.compare(path, *operator, value),
        }
    }

    fn operands(&self, operands: &[Filter], depth: usize) -> Result<Vec<RoaringTreemap>> {
        operands.iter().map(|operand| self.evaluate(operand, depth + 1)).collect()
    }

    fn compare(&self, path: &Path, operator: Operator, value: &FilterValue) -> Result<RoaringTreemap> {
        if let Some((step, rest)) = path.through.split_first() {
            let rest = Path { through: rest.to_vec(), subject: path.subject.clone() };
            return self.through(step, &rest, operator, value);
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

    /// Objects that refer to a match in another collection. The path's shards are those of this group.
    fn through(&self, step: &PathStep, rest: &Path, operator: Operator, value: &FilterValue) -> Result<RoaringTreemap> {
        let property = self.property(&step.property)?;
        if !matches!(property.data_type, DataType::Reference(_)) {
            return Ok(RoaringTreemap::new());
        }
        let targets = self.group.collections().into_iter().find(|collection| collection.name == step.collection);
        let Some(target) = targets else { return Ok(RoaringTreemap::new()) };
        let mut ids: Vec<Uuid> = Vec::new();
        for at in self.target_shards(&target) {
            let (schema, shard) = self.group.known(at)?;
            let view = self.group.view(&shard);
            let lookup = Lookup { group: self.group, schema: &schema, at, prefix: shard.prefix, view: &view };
            for doc_id in lookup.compare(rest, operator, value)? {
                ids.extend(readable(read_id(&shard, &view, DocId(doc_id)))?);
            }
        }
        self.referring_to(property.id, ids)
    }

    /// Shards of `target` that references of this shard lead to: the same tenant's, or all.
    fn target_shards(&self, target: &Collection) -> Vec<At> {
        let tenant = self.schema.shards.iter().find(|(_, shard)| shard.id == self.at.shard).map(|(name, _)| name);
        let of_tenant = |name: &str| !target.multi_tenancy.enabled || tenant.is_some_and(|tenant| tenant == name);
        let shards = target.shards.iter().filter(|(name, _)| of_tenant(name));
        shards.map(|(_, shard)| At { collection: target.id, shard: shard.id }).collect()
    }

    fn referring_to(&self, property: PropertyId, mut ids: Vec<Uuid>) -> Result<RoaringTreemap> {
        if ids.len() <= TARGETS_MAX {
            let mut found = RoaringTreemap::new();
            for id in ids {
                found |= self.value(property, InvKind::Reference, id.as_bytes())?;
            }
            return Ok(found);
        }
        ids.sort_unstable();
        self.values_where(property, InvKind::Reference, (Bound::Unbounded, Bound::Unbounded), |value| {
            Ok(Uuid::from_slice(value).is_ok_and(|id| ids.binary_search(&id).is_ok()))
        })
    }

    /// The top-level property of that name.
    pub(crate) fn property(&self, name: &str) -> Result<&crate::schema::Property> {
        // What is no object has nothing below it: `name.x` is `name`.
        let top = name.split('.').next().unwrap_or(name);
        self.schema.property(top).ok_or_else(|| {
            Error::Invalid(format!(
                "no such prop with name '{name}' found in class '{}' in the schema. Check your schema files for which \
                 properties in this class are available",
                self.schema.name
            ))
        })
    }

    /// Live objects that are not in `set`.
    pub(crate) fn complement(&self, set: &RoaringTreemap) -> RoaringTreemap {
        &self.view.state.live - set
    }

    /// Live objects that have exactly this value.
    pub(crate) fn value(&self, property: PropertyId, kind: InvKind, value: &[u8]) -> Result<RoaringTreemap> {
        let start = self.prefix.value(property, kind, value);
        let mut found = RoaringTreemap::new();
        self.entries(&start, key::after_prefix(&start).as_deref(), |key, bytes| {
            read_entry(&mut found, kind, key, bytes)
        })?;
        Ok(found & &self.view.state.live)
    }

    /// Hands over all entries with keys from `start` up to `end`: those under keys of their own, then those of the segments.
    /// Keys come without the shard's prefix.
    fn entries(
        &self,
        start: &[u8],
        end: Option<&[u8]>,
        mut take: impl FnMut(&[u8], &[u8]) -> Result<()>,
    ) -> Result<()> {
        let prefix = self.prefix.bytes();
        let mut cursor = self.view.store.cursor(Family::Inverted, prefix, end);
        cursor.seek(start);
        while let Some((key, bytes)) = cursor.item()? {
            take(&key[prefix.len()..], bytes)?;
            cursor.next();
        }
        let (start, end) = (&start[prefix.len()..], end.and_then(|end| end.get(prefix.len()..)));
        let mut cursor = promote::segments(self.view, self.prefix);
        while let Some((_, bytes)) = cursor.item()? {
            let segment = Segment::parse(bytes)?;
            for n in segment.lower_bound(start)?..segment.len() {
                let (key, bytes) = segment.entry(n)?;
                if end.is_some_and(|end| key >= end) {
                    break;
                }
                take(key, bytes)?;
            }
            cursor.next();
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
        let prefix = self.prefix.inverted(property, kind);
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
            let value = value.ok_or_else(|| Error::Damaged(format!("inverted index: key {key:02x?}")))?;
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
        Ok(found & &self.view.state.live)
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
