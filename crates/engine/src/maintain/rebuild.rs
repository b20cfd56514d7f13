//! Rebuilds of inverted indexes: when one begins, its steps in the background, and when it is given up.

use std::collections::HashMap;

use parking_lot::Mutex;

use super::{Maintenance, WorkReport};
use crate::Result;
use crate::data::State;
use crate::ids::{DocId, ShardKey};
use crate::inverted::writer::rebuild;
use crate::schema::Collection;
use crate::shard::Shard;
use crate::shard::records::{CompactionRecord, Part, PartRecord, RebuildRecord};

/// Rebuilds of one shard because of damage, until the group is opened again: if an index is damaged again after each
/// rebuild, another rebuild does not help.
const REBUILDS_MAX: u32 = 3;
/// Keys of a step for which one row is indexed: a row has many entries.
const KEYS_PER_ROW: usize = 16;

/// The rebuilds since the group was opened, by shard.
#[derive(Debug, Default)]
pub(crate) struct Rebuilds {
    shards: Mutex<HashMap<ShardKey, ShardRebuild>>,
}

#[derive(Debug, Default, Clone, Copy)]
struct ShardRebuild {
    /// Rebuilds begun because of damage.
    begun: u32,
    /// A rebuild is running, or begins with the next step.
    wanted: bool,
    given_up: bool,
}

impl Rebuilds {
    /// Number of rebuilds because of damage.
    pub(crate) fn begun(&self) -> u64 {
        self.shards.lock().values().map(|progress| u64::from(progress.begun)).sum()
    }

    /// Shards that are damaged and not rebuilt again.
    pub(crate) fn given_up(&self) -> u64 {
        self.shards.lock().values().filter(|progress| progress.given_up).count() as u64
    }
}

impl Maintenance {
    /// Notes that entries of the shard's inverted index fail their checks, and asks for a rebuild. Returns whether one is
    /// to be done.
    pub(crate) fn begin_rebuild(&self, at: ShardKey, why: &str) -> bool {
        {
            let mut shards = self.rebuilds.shards.lock();
            let progress = shards.entry(at).or_default();
            if progress.wanted || progress.given_up {
                return progress.wanted;
            }
            if progress.begun >= REBUILDS_MAX {
                progress.given_up = true;
                tracing::error!(
                    collection = %at.collection, shard = %at.shard, reason = why,
                    "the inverted index is damaged after {REBUILDS_MAX} rebuilds; filters that meet the damage fail. Check \
                     the disk and the memory of this machine"
                );
                return false;
            }
            progress.begun += 1;
            progress.wanted = true;
        }
        tracing::error!(
            collection = %at.collection, shard = %at.shard, reason = why,
            "the inverted index is damaged; it is rebuilt from the objects, filters that meet the damage fail until then"
        );
        self.request_compaction(at);
        true
    }

    /// Asks for a rebuild of an inverted index that is not damaged; filters are right meanwhile.
    pub(crate) fn rebuild_inverted(&self, at: ShardKey) {
        {
            let mut shards = self.rebuilds.shards.lock();
            let progress = shards.entry(at).or_default();
            if progress.wanted || progress.given_up {
                return;
            }
            progress.wanted = true;
        }
        tracing::info!(collection = %at.collection, shard = %at.shard, "the inverted index is written anew");
        self.request_compaction(at);
    }

    /// A step of the rebuild that is wanted or was running when the group was closed; `false` when there is none.
    pub(crate) fn rebuild_step(
        &self,
        state: &State,
        schema: &Collection,
        shard: &Shard,
        keys_max: usize,
        report: &mut WorkReport,
    ) -> Result<bool> {
        let at = shard.at;
        let view = shard.view(&state.store);
        let record = RebuildRecord::load(&state.store, state.group, at)?;
        {
            let mut shards = self.rebuilds.shards.lock();
            let wanted = shards.get(&at).is_some_and(|progress| progress.wanted);
            if record.is_none() && !wanted {
                return Ok(false);
            }
            shards.entry(at).or_default().wanted = true;
        }
        let next_doc_id = view.state.record.next_doc_id;
        let first = || RebuildRecord { began_at: next_doc_id, rows_below: Some(next_doc_id), cursor: None };
        let mut changes = state.store.changes();
        let begun = match record {
            Some(_) => Vec::new(),
            None => begun_parts(state, at, next_doc_id)?,
        };
        begun.iter().try_for_each(|(part, record)| record.put(&mut changes, state.group, at, *part))?;
        let mut record = record.unwrap_or_else(first);
        let began_at = DocId(record.began_at);
        if let Some(below) = record.rows_below {
            let rows_max = (keys_max / KEYS_PER_ROW).max(1);
            let below = rebuild::rows(&view.index(), schema, DocId(below), rows_max as u64, &mut changes)?;
            record.rows_below = below.map(|below| below.0);
            report.compacted += rows_max;
            RebuildRecord::put(Some(&record), &mut changes, state.group, at)?;
            changes.write()?;
            begun.into_iter().for_each(|(part, record)| shard.set_part(part, record));
            return Ok(true);
        }
        let cursor = record.cursor.as_deref();
        let cleaned = rebuild::clean(&view.index(), began_at, cursor, keys_max, &mut changes)?;
        report.compacted += cleaned.keys;
        record.cursor = cleaned.cursor;
        if record.cursor.is_some() {
            RebuildRecord::put(Some(&record), &mut changes, state.group, at)?;
            changes.write()?;
            return Ok(true);
        }
        RebuildRecord::put(None, &mut changes, state.group, at)?;
        // A compaction of everything joins entries that stand twice after the rebuild.
        let merged_below = began_at.0.max(CompactionRecord::load(&state.store, state.group, at)?.merged_below);
        CompactionRecord { merged_below, ..CompactionRecord::default() }.put(&mut changes, state.group, at)?;
        let complete = complete_parts(state, at, record.began_at)?;
        let whole = PartRecord { from: 0, rebuild: None };
        complete.iter().try_for_each(|part| whole.put(&mut changes, state.group, at, *part))?;
        changes.write()?;
        shard.set_segments_from(merged_below);
        complete.into_iter().for_each(|part| shard.set_part(part, whole));
        if let Some(progress) = self.rebuilds.shards.lock().get_mut(&at) {
            progress.wanted = false;
        }
        tracing::info!(collection = %at.collection, shard = %at.shard, "the inverted index is rebuilt");
        Ok(true)
    }
}

/// The records of the parts that a rebuild gives to all objects, at its beginning.
fn begun_parts(state: &State, at: ShardKey, next_doc_id: u64) -> Result<Vec<(Part, PartRecord)>> {
    let mut begun = Vec::with_capacity(Part::ALL.len());
    for part in Part::ALL {
        let known = PartRecord::load(&state.store, state.group, at, part)?;
        let from = known.map_or(next_doc_id, |known| known.from);
        begun.push((part, PartRecord { from, rebuild: Some(next_doc_id) }));
    }
    Ok(begun)
}

/// The parts that all objects have once the rebuild that began at `began_at` has ended. A rebuild that an earlier version
/// began wrote only the parts that this version knew.
fn complete_parts(state: &State, at: ShardKey, began_at: u64) -> Result<Vec<Part>> {
    let mut complete = Vec::with_capacity(Part::ALL.len());
    for part in Part::ALL {
        let known = PartRecord::load(&state.store, state.group, at, part)?;
        complete.extend(known.filter(|known| known.rebuild == Some(began_at)).map(|_| part));
    }
    Ok(complete)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use uuid::Uuid;

    use super::*;
    use crate::Error;
    use crate::command::{Command, PutMode};
    use crate::data::{DataGroup, GroupOptions};
    use crate::ids::{CollectionId, GroupId, PropertyId, ShardId};
    use crate::inverted::form::postings;
    use crate::inverted::form::terms::term_key;
    use crate::maintain::WorkBudget;
    use crate::object::{Beacon, Object, Value, Vectors};
    use crate::query::{Filter, FilterValue, IdSet, Operator, Path, Subject};
    use crate::replica::{Batch, Entry, EntryBody, LogPosition, StateMachine};
    use crate::schema::{DataType, ListedShard, Primitive, Property, TenantStatus, Tokenization};
    use crate::storage::Family;
    use crate::storage::key::{self, InvKind, MetaKey, ShardPrefix, with_doc_id};

    const OBJECTS: u128 = 200;

    fn at(collection: u32) -> ShardKey {
        ShardKey { collection: CollectionId(collection), shard: ShardId::FIRST }
    }

    fn property(name: &str, data_type: DataType) -> Property {
        let text = data_type.is_text();
        Property {
            id: PropertyId(0),
            name: name.into(),
            description: None,
            data_type,
            tokenization: text.then_some(Tokenization::Word),
            filterable: true,
            searchable: text,
            range_filterable: false,
            nested: Vec::new(),
            text_analyzer: None,
            module_config: None,
        }
    }

    fn collection(id: u32, name: &str) -> Command {
        let to = DataType::Reference(vec!["Here".into(), "There".into()]);
        let shard = ListedShard { id: ShardId::FIRST, status: TenantStatus::Hot, read_only: false };
        let mut made = Collection {
            id: CollectionId(id),
            version: 1,
            name: name.into(),
            properties: Some(vec![property("text", DataType::one(Primitive::Text)), property("to", to)]),
            listed: Some(BTreeMap::from([("s0".to_owned(), shard)])),
            ..Collection::default()
        };
        made.assign_ids().unwrap();
        Command::PutCollection(Box::new(made))
    }

    fn put(collection: u32, n: u128, properties: &[(&str, Value)]) -> Command {
        let properties = properties.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let object =
            Object { id: Uuid::from_u128(n), created_ms: 1, updated_ms: 1, properties, vectors: Vectors::default() };
        Command::Put { at: at(collection), mode: PutMode::Upsert, object: Box::new(object) }
    }

    fn apply(group: &DataGroup, commands: Vec<Command>) {
        let last = group.applied().unwrap().position.map_or(0, |position| position.index);
        let position = LogPosition { term: 1, node: 1, index: last + 1 };
        let batch = Batch { proposer: 1, sequence: position.index, commands };
        group.apply(vec![Entry { position, body: EntryBody::Batch(batch) }]).unwrap();
    }

    fn filled(dir: &std::path::Path) -> Arc<DataGroup> {
        let options = GroupOptions {
            segment_entries_min: 60,
            compaction_changes_min: 20,
            ..GroupOptions::new(GroupId::FIRST_DATA)
        };
        let (group, _) = DataGroup::open(dir, options).unwrap();
        apply(&group, vec![collection(1, "Here"), collection(2, "There")]);
        for n in 0..OBJECTS {
            apply(&group, vec![put(1, n, &[("text", Value::Text(format!("lorem {}", n % 3)))])]);
        }
        work(&group);
        group
    }

    fn work(group: &DataGroup) {
        while group.work(&WorkBudget { keys_max: 64, ..WorkBudget::default() }).unwrap().more {}
    }

    fn text(word: &str) -> Filter {
        let path = Path { through: Vec::new(), subject: Subject::Property("text".into()) };
        Filter::Compare { path, operator: Operator::Equal, value: FilterValue::Text(word.into()) }
    }

    fn count(group: &DataGroup, filter: &Filter) -> Result<u64> {
        group.count(at(1), Some(filter))
    }

    /// Overwrites the entry of a term with bytes that are not a valid entry.
    fn damage(group: &DataGroup, term: &str) {
        let prefix = ShardPrefix::new(group.state.group, at(1));
        let key = prefix.value(PropertyId(1), InvKind::Posting, &term_key(term));
        let mut changes = group.state.store.changes();
        let there = group.state.store.entries(Family::Inverted, &key).unwrap();
        assert!(!there.is_empty());
        there.iter().for_each(|(key, _)| changes.put(Family::Inverted, key, b"\x01\xff"));
        changes.put(Family::Inverted, &with_doc_id(&prefix.inverted(PropertyId(1), InvKind::Segment), 0), b"");
        changes.write().unwrap();
    }

    #[test]
    fn what_is_damaged_is_rebuilt_from_the_rows_and_counted() {
        let dir = tempfile::tempdir().unwrap();
        let group = filled(dir.path());
        damage(&group, "lorem");
        assert_eq!(count(&group, &text("1")).unwrap(), 67, "another value");
        assert!(matches!(count(&group, &text("lorem")), Err(Error::DamagedIndex(_))), "never another answer");
        // A reader has asked for the rebuild; writes go on meanwhile.
        apply(&group, vec![put(1, 1_000, &[("text", Value::Text("lorem ipsum".into()))])]);
        assert!(group.work(&WorkBudget { keys_max: 64, ..WorkBudget::default() }).unwrap().more);
        apply(&group, vec![put(1, 5, &[("text", Value::Text("ipsum".into()))])]);
        work(&group);
        assert_eq!(count(&group, &text("lorem")).unwrap(), 200);
        assert_eq!(count(&group, &text("ipsum")).unwrap(), 2);
        assert_eq!(group.audit_inverted(at(1)).unwrap(), Vec::<String>::new());
        assert_eq!((group.metrics().inverted_rebuilds, group.metrics().inverted_damaged), (1, 0));
    }

    #[test]
    fn a_compaction_that_meets_damage_begins_a_rebuild_and_gives_up_in_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let group = filled(dir.path());
        for round in 1..=REBUILDS_MAX + 1 {
            damage(&group, "lorem");
            for n in 0..OBJECTS {
                apply(&group, vec![put(1, n, &[("text", Value::Text(format!("lorem {}", n % 3)))])]);
            }
            work(&group);
            let metrics = group.metrics();
            let given_up = u64::from(round > REBUILDS_MAX);
            assert_eq!((metrics.inverted_rebuilds, metrics.inverted_damaged), (u64::from(round.min(3)), given_up));
            assert_eq!(count(&group, &text("lorem")).is_err(), given_up == 1);
        }
    }

    #[test]
    fn a_rebuild_goes_on_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let group = filled(dir.path());
        damage(&group, "lorem");
        assert!(count(&group, &text("lorem")).is_err());
        assert!(group.work(&WorkBudget { keys_max: 64, ..WorkBudget::default() }).unwrap().more);
        group.flush().unwrap();
        drop(group);
        let (group, _) = DataGroup::open(dir.path(), GroupOptions::new(GroupId::FIRST_DATA)).unwrap();
        assert!(RebuildRecord::load(&group.state.store, group.state.group, at(1)).unwrap().is_some());
        work(&group);
        assert_eq!(count(&group, &text("lorem")).unwrap(), 200);
        assert_eq!(RebuildRecord::load(&group.state.store, group.state.group, at(1)).unwrap(), None);
    }

    /// `parts`, a list of objects with a label, in a collection of its own.
    fn tools() -> Command {
        let parts = Property {
            nested: vec![property("label", DataType::one(Primitive::Text))],
            ..property("parts", DataType::Object { list: true })
        };
        let Command::PutCollection(mut made) = collection(3, "Tool") else { panic!("a schema") };
        made.properties = Some(vec![parts]);
        made.assign_ids().unwrap();
        Command::PutCollection(made)
    }

    fn tool(n: u128, label: &str) -> Command {
        let part = BTreeMap::from([("label".to_owned(), Value::Text(label.into()))]);
        put(3, n, &[("parts", Value::List(vec![Value::Object(part)]))])
    }

    #[test]
    fn values_inside_of_objects_of_earlier_versions_are_found_and_indexed() {
        let dir = tempfile::tempdir().unwrap();
        let open = || DataGroup::open(dir.path(), GroupOptions::new(GroupId::FIRST_DATA)).unwrap().0;
        let group = open();
        apply(&group, vec![tools()]);
        for n in 0..20 {
            apply(&group, vec![tool(n, if n % 2 == 0 { "blade" } else { "screw" })]);
        }
        work(&group);
        // An earlier version wrote no such entries, and no record of them.
        let prefix = ShardPrefix::new(group.state.group, at(3));
        let mut changes = group.state.store.changes();
        for kind in [InvKind::Term, InvKind::Present] {
            let start = prefix.inverted(PropertyId(4), kind);
            let entries = group.state.store.entries(Family::Inverted, &start).unwrap();
            assert!(!entries.is_empty());
            entries.iter().for_each(|(key, _)| changes.delete(Family::Inverted, key));
        }
        changes.delete(Family::Meta, &key::meta(group.state.group, MetaKey::Nested, &key::shard_bytes(at(3))));
        changes.write().unwrap();
        group.flush().unwrap();
        drop(group);
        let group = open();
        let path = Path { through: Vec::new(), subject: Subject::Property("parts.label".into()) };
        let blades = Filter::Compare { path, operator: Operator::Equal, value: FilterValue::Text("blade".into()) };
        let unindexed = || {
            let shard = group.state.shard(at(3)).unwrap();
            shard.view(&group.state.store).index().without_nested().len()
        };
        apply(&group, vec![tool(20, "screw")]);
        assert_eq!((group.count(at(3), Some(&blades)).unwrap(), unindexed()), (10, 20), "read from the rows");
        apply(&group, vec![tool(21, "blade"), tool(0, "screw")]);
        assert_eq!(group.count(at(3), Some(&blades)).unwrap(), 10);
        work(&group);
        assert_eq!(unindexed(), 0, "the first filter has asked for the rebuild");
        assert_eq!(group.count(at(3), Some(&blades)).unwrap(), 10);
        assert_eq!(group.audit_inverted(at(3)).unwrap(), Vec::<String>::new());
    }

    /// The entries of a term that have keys of their own.
    fn entries(group: &DataGroup, term: &str) -> Vec<(DocId, Vec<u8>)> {
        let key = ShardPrefix::new(group.state.group, at(1)).value(PropertyId(1), InvKind::Posting, &term_key(term));
        let entries = group.state.store.entries(Family::Inverted, &key).unwrap();
        entries.into_iter().map(|(key, bytes)| (key::parse_doc_id(&key).unwrap(), bytes)).collect()
    }

    /// Steps that see all entries of a term at once.
    fn work_in_large_steps(group: &DataGroup) {
        while group.work(&WorkBudget::default()).unwrap().more {}
    }

    #[test]
    fn blocks_of_earlier_versions_become_lists() {
        let dir = tempfile::tempdir().unwrap();
        let group = filled(dir.path());
        let lorem = |n: u128| put(1, n, &[("text", Value::Text(format!("lorem rare{}", n / 10_000)))]);
        for batch in 0..60 {
            apply(&group, (batch * 500..batch * 500 + 500).map(|n| lorem(1_000 + n)).collect());
            work_in_large_steps(&group);
        }
        let compact = |from: u128| {
            apply(&group, (from..from + 20_000).map(lorem).collect());
            group.rebuild_inverted(at(1));
            work_in_large_steps(&group);
        };
        compact(20_000);
        let objects = OBJECTS as u64 + 39_000;
        let lists = entries(&group, "lorem");
        let postings = |lists: &[(DocId, Vec<u8>)]| -> usize {
            lists.iter().map(|(first, bytes)| postings::decode(*first, bytes).unwrap().len()).sum()
        };
        assert!(lists.len() < 12 && postings(&lists) as u64 == objects, "{} {}", lists.len(), postings(&lists));
        assert_eq!(count(&group, &text("lorem")).unwrap(), objects);
        let rare = count(&group, &text("rare0")).unwrap();
        assert_eq!(count(&group, &text("lorem rare0")).unwrap(), rare);
        assert_eq!(rare, 9_000);

        // As versions before 2026-11-30 wrote them.
        let prefix = ShardPrefix::new(group.state.group, at(1));
        let key = prefix.value(PropertyId(1), InvKind::Posting, &term_key("lorem"));
        let mut changes = group.state.store.changes();
        for (first, bytes) in &lists {
            for block in postings::decode(*first, bytes).unwrap().chunks(postings::BLOCK_POSTINGS_MAX) {
                changes.put(Family::Inverted, &with_doc_id(&key, block[0].doc_id.0), &postings::encode(block));
            }
        }
        changes.write().unwrap();
        assert!(entries(&group, "lorem").len() > 300);
        assert_eq!(count(&group, &text("lorem")).unwrap(), objects);
        assert_eq!(group.audit_inverted(at(1)).unwrap(), Vec::<String>::new());
        apply(&group, (20_000..40_000).map(lorem).collect());
        work_in_large_steps(&group);
        let lists = entries(&group, "lorem");
        assert!(lists.len() < 12 && lists.iter().any(|(_, bytes)| bytes[0] == postings::LIST_VERSION));
        assert_eq!(
            (count(&group, &text("lorem")).unwrap(), count(&group, &text("rare0 lorem")).unwrap()),
            (objects, rare)
        );
        assert_eq!(group.audit_inverted(at(1)).unwrap(), Vec::<String>::new());
        assert_eq!(group.metrics().inverted_rebuilds, 0);
    }

    /// References as earlier versions indexed them, by the target's id alone.
    #[test]
    fn entries_of_earlier_versions_are_asked_for_the_collection_and_written_anew() {
        let dir = tempfile::tempdir().unwrap();
        let group = filled(dir.path());
        let target = |name: Option<&str>| {
            Value::References(vec![Beacon { collection: name.map(str::to_owned), id: Uuid::from_u128(1) }])
        };
        apply(&group, vec![put(2, 1, &[("text", Value::Text("target".into()))])]);
        let names = [Some("Here"), Some("There"), None];
        apply(&group, names.iter().zip(500..).map(|(name, n)| put(1, n, &[("to", target(*name))])).collect());
        let prefix = ShardPrefix::new(group.state.group, at(1));
        let new =
            group.state.store.entries(Family::Inverted, &prefix.inverted(PropertyId(2), InvKind::ReferenceTo)).unwrap();
        let mut changes = group.state.store.changes();
        for (key, bytes) in &new {
            changes.delete(Family::Inverted, key);
            let doc_id = key::parse_doc_id(key).unwrap();
            let old = prefix.value(PropertyId(2), InvKind::Reference, Uuid::from_u128(1).as_bytes());
            changes.put(Family::Inverted, &with_doc_id(&old, doc_id.0), bytes);
        }
        changes.write().unwrap();
        let to_first = |collection: &str| Filter::ReferenceIn {
            property: "to".into(),
            collection: collection.into(),
            ids: IdSet::new(vec![Uuid::from_u128(1)]),
        };
        let answers = || ["Here", "There"].map(|collection| count(&group, &to_first(collection)).unwrap());
        assert_eq!(answers(), [2, 2], "the named one and the one without a collection");
        work(&group);
        let old =
            group.state.store.entries(Family::Inverted, &prefix.inverted(PropertyId(2), InvKind::Reference)).unwrap();
        assert_eq!(old.len(), 0);
        assert_eq!(answers(), [2, 2]);
        assert_eq!(group.audit_inverted(at(1)).unwrap(), Vec::<String>::new());
        assert_eq!(group.metrics().inverted_rebuilds, 0, "nothing was damaged");
    }
}
