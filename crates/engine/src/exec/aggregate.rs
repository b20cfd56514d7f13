//! Aggregates over the objects of one shard: the values of few properties are read, from columns where there are any, else
//! from rows.

mod counter;

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use counter::{Counter, Meter};
use uuid::Uuid;

use super::ReadContext;
use super::fetch::read_objects;
use super::search::Search;
use crate::ids::{DocId, ShardKey};
use crate::inverted::IndexView;
use crate::inverted::form::column::{self, Stored};
use crate::inverted::form::terms::{self, ColumnOf};
use crate::inverted::reader::columns::ColumnReader;
use crate::object::{Beacon, Date, Object, Projection, Value};
use crate::query::{Aggregate, Among, Group, GroupValue, Include};
use crate::schema::{Collection, Property};
use crate::{Error, Result, interrupt};

/// Objects of one chunk from which on their columns are read and not their rows.
const COLUMN_DOCS_MIN: usize = 32;
/// Rows that are in memory at once.
const ROWS_MAX: usize = 256;
/// Bytes of a group beside its value and its summaries.
const GROUP_BYTES: usize = 96;

impl ReadContext<'_> {
    /// Aggregates over objects of a shard: one group, or with [`Aggregate::group_by`] those that have objects, ascending by
    /// their values. Objects that cannot be read are counted where all objects are one group, and have no values.
    ///
    /// # Errors
    /// As [`ReadContext::search`]; [`Error::Invalid`] for a summarised property that the schema does not have, or that has no
    /// values to summarise; those of [`Aggregate::charge`].
    pub(crate) fn aggregate(self, at: ShardKey, among: &Among, aggregate: &Aggregate) -> Result<Vec<Group>> {
        let (schema, shard) = self.state.known(at)?;
        let search = Search::begin(self, &schema, &shard, &BTreeSet::new())?;
        let live = &search.view.state.live;
        let selected: Option<roaring::RoaringTreemap> = match among {
            Among::All => None,
            Among::Matching(filter) => Some(search.matches(filter)?),
            Among::Versions(doc_ids) => {
                Some(doc_ids.iter().map(|doc_id| doc_id.0).filter(|doc_id| live.contains(*doc_id)).collect())
            }
        };
        let count = selected.as_ref().map_or(live.len(), roaring::RoaringTreemap::len);
        let parts = Parts::new(&schema, aggregate)?;
        if aggregate.group_by.is_none() && aggregate.properties.is_empty() {
            return Ok(vec![Group { value: None, count, properties: Vec::new() }]);
        }
        if aggregate.group_by.is_some() && parts.by.is_none() {
            // No object has a value of a property that does not exist.
            return Ok(Vec::new());
        }
        let view = search.view.index();
        let columns = parts.have_columns();
        if columns && !view.has_columns() {
            self.maintenance.rebuild_inverted(at);
        }
        let by_columns = columns && view.has_columns();
        let counted = search.tally(&parts, selected.as_ref(), aggregate, by_columns.then_some(&view));
        let counted = match counted {
            Err(Error::DamagedIndex(why)) if by_columns => {
                self.maintenance.begin_rebuild(at, &why);
                search.tally(&parts, selected.as_ref(), aggregate, None)
            }
            counted => counted,
        };
        let mut groups = counted?;
        if let (None, [all]) = (&aggregate.group_by, groups.as_mut_slice()) {
            all.count = count;
        }
        Ok(groups)
    }
}

impl Search<'_> {
    fn tally(
        &self,
        parts: &Parts<'_>,
        selected: Option<&roaring::RoaringTreemap>,
        aggregate: &Aggregate,
        view: Option<&IndexView<'_>>,
    ) -> Result<Vec<Group>> {
        let hidden = self.shard.unreadable.known().unwrap_or_default();
        let all: Box<dyn Iterator<Item = u64>> = match selected {
            Some(selected) => Box::new(selected.iter()),
            None => Box::new(self.view.state.live.iter()),
        };
        let mut all = all.filter(|doc_id| !hidden.contains(*doc_id)).peekable();
        let mut tallies = Tallies::new(parts, aggregate);
        let mut columns = view.map(|view| Columns::new(view, parts));
        let include = Include { properties: parts.projection(), ..Include::default() };
        let (mut docs, mut pending) = (Vec::new(), BTreeMap::new());
        while let Some(first) = all.next() {
            interrupt::check()?;
            docs.clear();
            docs.push(first);
            let chunk = column::chunk_of(first);
            docs.extend(std::iter::from_fn(|| all.next_if(|doc_id| chunk.contains(doc_id))));
            pending.clear();
            match &mut columns {
                Some(columns) if docs.len() >= COLUMN_DOCS_MIN => columns.tally(&docs, &mut tallies, &mut pending)?,
                _ => pending.extend((0..docs.len()).map(|at| (at, Pending::Everything))),
            }
            let from_rows: Vec<(&usize, &Pending)> = pending.iter().collect();
            for rows in from_rows.chunks(ROWS_MAX) {
                let doc_ids: Vec<DocId> = rows.iter().map(|(at, _)| DocId(docs[**at])).collect();
                let objects = read_objects(self.shard, &self.view, self.schema, &doc_ids, &include)?;
                for ((_, pending), object) in rows.iter().zip(objects) {
                    let Some(object) = object else { continue };
                    tallies.take_row(parts, pending, &object)?;
                }
            }
        }
        tallies.finish()
    }
}

/// The values of an object that columns do not have.
enum Pending {
    /// All of them, the group too.
    Everything,
    /// Those of the properties at these positions, for the groups that the object belongs to.
    Part { properties: Vec<usize>, groups: Vec<u32> },
}

/// The properties that a read looks at.
struct Parts<'a> {
    by: Option<&'a Property>,
    summarised: Vec<&'a Property>,
}

impl<'a> Parts<'a> {
    fn new(schema: &'a Collection, aggregate: &Aggregate) -> Result<Self> {
        let by = aggregate.group_by.as_ref().and_then(|name| schema.property(name));
        let property = |name: &str| {
            let property = schema.property(name).filter(|property| Counter::new(property, false).is_some());
            property.ok_or_else(|| Error::Invalid(format!("property {name} has no values to aggregate")))
        };
        let summarised = aggregate.properties.iter().map(|summarised| property(&summarised.name));
        Ok(Self { by, summarised: summarised.collect::<Result<_>>()? })
    }

    fn have_columns(&self) -> bool {
        self.by.iter().chain(&self.summarised).all(|property| terms::has_column(property))
    }

    fn projection(&self) -> Projection {
        Projection::of(self.by.iter().chain(&self.summarised).map(|property| property.name.as_str()))
    }
}

/// The columns of the properties.
struct Columns<'a, 'v> {
    by: Option<ColumnReader<'a, 'v>>,
    summarised: Vec<ColumnReader<'a, 'v>>,
    /// The groups of each document of the chunk.
    groups: Vec<Vec<u32>>,
    /// Documents whose value was taken already.
    seen: Vec<bool>,
}

impl<'a, 'v> Columns<'a, 'v> {
    fn new(view: &'a IndexView<'v>, parts: &Parts<'_>) -> Self {
        let reader = |property: &&Property| ColumnReader::new(view, property.id, ColumnOf::Values);
        let summarised = parts.summarised.iter().map(reader).collect();
        Self { by: parts.by.as_ref().map(reader), summarised, groups: Vec::new(), seen: Vec::new() }
    }

    /// Takes the values of documents of one chunk; those that only rows have are left in `pending`.
    fn tally(&mut self, docs: &[u64], tallies: &mut Tallies, pending: &mut BTreeMap<usize, Pending>) -> Result<()> {
        let Self { by, summarised, groups, seen } = self;
        groups.iter_mut().for_each(Vec::clear);
        groups.resize_with(docs.len().max(groups.len()), Vec::new);
        match by {
            None => groups.iter_mut().for_each(|groups| groups.push(0)),
            Some(by) => by.each(docs, |at, value| {
                if matches!(value, Stored::InRow) {
                    pending.insert(at, Pending::Everything);
                    return Ok(());
                }
                // A value may come twice: the second time finds its groups.
                stored_items(&value, &mut |item| tallies.enter(item, &mut groups[at]))
            })?,
        }
        tallies.count(&groups[..docs.len()]);
        for (n, reader) in summarised.iter_mut().enumerate() {
            seen.clear();
            seen.resize(docs.len(), false);
            reader.each(docs, |at, value| {
                if groups[at].is_empty() || std::mem::replace(&mut seen[at], true) {
                    return Ok(());
                }
                if matches!(value, Stored::InRow) {
                    let of_doc = || Pending::Part { properties: Vec::new(), groups: groups[at].clone() };
                    if let Pending::Part { properties, .. } = pending.entry(at).or_insert_with(of_doc) {
                        properties.push(n);
                    }
                    return Ok(());
                }
                stored_items(&value, &mut |item| tallies.add(&groups[at], n, item))
            })?;
        }
        Ok(())
    }
}

/// One value that is counted: an element of a list, or a value that is none.
#[derive(Clone, Copy)]
enum Item<'a> {
    Bool(bool),
    Int(i64),
    Number(f64),
    Text(&'a str),
    Date(Date),
    Uuid(Uuid),
    Reference(&'a Beacon),
}

type Take<'t> = &'t mut dyn FnMut(Item<'_>) -> Result<()>;

fn stored_items(value: &Stored<'_>, take: Take<'_>) -> Result<()> {
    let item = match value {
        Stored::Bool(value) => Item::Bool(*value),
        Stored::Int(value) => Item::Int(*value),
        Stored::Number(value) => Item::Number(*value),
        Stored::Text(text) => Item::Text(text),
        Stored::Date(date) => Item::Date(*date),
        Stored::Uuid(id) => Item::Uuid(*id),
        Stored::Other(value) => return items(value, take),
        Stored::InRow => return Ok(()),
    };
    take(item)
}

fn items(value: &Value, take: Take<'_>) -> Result<()> {
    let item = match value {
        Value::Bool(value) => Item::Bool(*value),
        Value::Int(value) => Item::Int(*value),
        Value::Number(value) => Item::Number(*value),
        Value::Text(text) | Value::Blob(text) => Item::Text(text),
        Value::Date(date) => Item::Date(*date),
        Value::Uuid(id) => Item::Uuid(*id),
        // Lists of lists do not exist.
        Value::List(values) => return values.iter().try_for_each(|value| items(value, &mut *take)),
        Value::References(beacons) => {
            return beacons.iter().try_for_each(|beacon| take(Item::Reference(beacon)));
        }
        Value::Null | Value::Geo(_) | Value::Phone(_) | Value::Object(_) => return Ok(()),
    };
    take(item)
}

impl Item<'_> {
    fn group_value(self) -> GroupValue {
        match self {
            Self::Bool(value) => GroupValue::Bool(value),
            Self::Int(value) => GroupValue::Int(value),
            Self::Number(value) => GroupValue::Number(value.into()),
            Self::Text(text) => GroupValue::Text(text.to_owned()),
            Self::Date(date) => GroupValue::Date(date),
            Self::Uuid(id) => GroupValue::Uuid(id),
            Self::Reference(beacon) => GroupValue::Reference(beacon.clone()),
        }
    }

    /// Bytes of the value outside of its own size.
    fn heap_bytes(self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Reference(beacon) => beacon.collection.as_ref().map_or(0, String::len),
            _ => 0,
        }
    }
}

/// The groups as they are counted.
struct Tallies {
    /// By their position.
    groups: Vec<Tally>,
    positions: HashMap<GroupValue, u32>,
    /// Counters of a new group.
    new: Vec<Counter>,
    meter: Meter,
}

struct Tally {
    count: u64,
    counters: Vec<Counter>,
}

impl Tallies {
    fn new(parts: &Parts<'_>, aggregate: &Aggregate) -> Self {
        let counters = parts.summarised.iter().zip(&aggregate.properties);
        let new: Vec<Counter> =
            counters.filter_map(|(property, asked)| Counter::new(property, asked.frequencies)).collect();
        let all = Tally { count: 0, counters: new.clone() };
        let groups = if parts.by.is_none() { vec![all] } else { Vec::new() };
        let meter = Meter::new(aggregate.charge);
        Self { groups, positions: HashMap::new(), new, meter }
    }

    /// Adds the group of a value to those of an object.
    fn enter(&mut self, item: Item<'_>, groups: &mut Vec<u32>) -> Result<()> {
        let next = u32::try_from(self.groups.len()).map_err(|_| Error::Limit("too many groups".into()))?;
        let group = match self.positions.entry(item.group_value()) {
            Entry::Occupied(entry) => *entry.get(),
            Entry::Vacant(entry) => {
                let bytes = GROUP_BYTES + 2 * item.heap_bytes() + self.new.len() * size_of::<Counter>();
                self.meter.take(bytes)?;
                self.groups.push(Tally { count: 0, counters: self.new.clone() });
                *entry.insert(next)
            }
        };
        if !groups.contains(&group) {
            groups.push(group);
        }
        Ok(())
    }

    /// Counts objects by the groups of each.
    fn count(&mut self, objects: &[Vec<u32>]) {
        for group in objects.iter().flatten() {
            self.groups[*group as usize].count += 1;
        }
    }

    /// Adds a value of the `n`th property to groups.
    fn add(&mut self, groups: &[u32], n: usize, item: Item<'_>) -> Result<()> {
        for group in groups {
            self.groups[*group as usize].counters[n].add(item, &mut self.meter)?;
        }
        Ok(())
    }

    /// Adds the values of an object that columns do not have.
    fn take_row(&mut self, parts: &Parts<'_>, pending: &Pending, object: &Object) -> Result<()> {
        let value = |property: &Property| object.properties.get(&property.name);
        let mut entered = Vec::new();
        let everything: Vec<usize>;
        let (properties, groups) = match pending {
            Pending::Part { properties, groups } => (properties, groups),
            Pending::Everything => {
                match parts.by {
                    None => entered.push(0),
                    Some(by) => {
                        if let Some(value) = value(by) {
                            items(value, &mut |item| self.enter(item, &mut entered))?;
                        }
                    }
                }
                self.count(std::slice::from_ref(&entered));
                everything = (0..parts.summarised.len()).collect();
                (&everything, &entered)
            }
        };
        for &n in properties {
            if let Some(value) = value(parts.summarised[n]).filter(|_| !groups.is_empty()) {
                items(value, &mut |item| self.add(groups, n, item))?;
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<Group>> {
        self.meter.flush()?;
        let mut values: Vec<Option<GroupValue>> = self.groups.iter().map(|_| None).collect();
        for (value, position) in self.positions {
            values[position as usize] = Some(value);
        }
        let group = |(value, tally): (_, Tally)| Group {
            value,
            count: tally.count,
            properties: tally.counters.into_iter().map(Counter::finish).collect(),
        };
        let mut groups: Vec<Group> = values.into_iter().zip(self.groups).map(group).collect();
        groups.sort_unstable_by(|a, b| a.value.cmp(&b.value));
        Ok(groups)
    }
}
