//! The shards of one collection as an immutable version, by id and by name.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::sync::Arc;

use super::shared_map::SharedMap;
use super::{GivenIds, Shard};
use crate::ids::ShardId;
use crate::level::ApplyLimits;

/// The shards of a collection. A copy takes constant time, and a change of one copy does not affect the others and takes
/// time that hardly depends on the number of shards.
#[derive(Debug, Clone, Default)]
pub struct ShardTable {
    by_id: SharedMap<ShardId, Arc<Shard>>,
    by_name: SharedMap<ByName, ()>,
    given: GivenIds,
}

/// A shard, ordered by its name.
#[derive(Debug, Clone)]
struct ByName(Arc<Shard>);

/// The effect of a record on a table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Put {
    /// Whether the record is new in the table.
    pub changed: bool,
    /// The dropped shard that had the same name before.
    pub replaced: Option<ShardId>,
}

impl ShardTable {
    /// The shard with this name.
    pub fn get(&self, name: &str) -> Option<&Arc<Shard>> {
        self.by_name.get_key(name).map(|ByName(shard)| shard)
    }

    /// The shard with this id.
    pub fn by_id(&self, id: ShardId) -> Option<&Arc<Shard>> {
        self.by_id.get(&id)
    }

    /// The shard with the least name: the only shard of a collection that has one.
    pub fn first(&self) -> Option<&Arc<Shard>> {
        self.iter().next()
    }

    /// The shard at this position in the order of ids.
    pub fn at(&self, position: usize) -> Option<&Arc<Shard>> {
        if self.given.next().0 as usize == self.len() {
            // No shard was dropped, so ids are positions.
            return self.by_id(ShardId(u32::try_from(position).ok()?));
        }
        self.iter_by_id().nth(position)
    }

    /// All shards in the order of names.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Shard>> {
        self.by_name.iter().map(|(ByName(shard), ())| shard)
    }

    /// All shards in the order of ids, which is the order of creation.
    pub fn iter_by_id(&self) -> impl Iterator<Item = &Arc<Shard>> {
        self.by_id.iter().map(|(_, shard)| shard)
    }

    /// Number of shards.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether the table has no shards.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ids below the highest one that the table has not seen.
    pub fn missing(&self) -> impl Iterator<Item = ShardId> + '_ {
        self.given.missing()
    }

    /// The ids that the table has seen.
    pub(crate) fn given(&self) -> &GivenIds {
        &self.given
    }

    /// A table without shards that has seen these ids.
    pub(crate) fn with_given(given: GivenIds) -> Self {
        Self { given, ..Self::default() }
    }

    /// Adds a shard with the next id, or returns the existing shard with this name.
    ///
    /// # Errors
    /// When the ids are used up.
    pub(crate) fn create(&mut self, shard: Shard) -> Result<Arc<Shard>, String> {
        if let Some(existing) = self.get(&shard.name) {
            return Ok(existing.clone());
        }
        let id = self.given.give().ok_or("the ids of the collection's shards are used up")?;
        let shard = Arc::new(Shard { id, ..shard });
        self.list(shard.clone());
        Ok(shard)
    }

    /// Adds the record of a new shard, or replaces an older record of the same shard. Other records change nothing.
    ///
    /// # Errors
    /// As [`GivenIds::hear`]; nothing changes.
    pub(crate) fn put(&mut self, shard: Shard) -> Result<Put, String> {
        if let Some(known) = self.by_id(shard.id) {
            if known.version >= shard.version || known.name != shard.name {
                return Ok(Put::default());
            }
            self.list(Arc::new(shard));
            return Ok(Put { changed: true, replaced: None });
        }
        if !self.given.hear(shard.id)? {
            return Ok(Put::default());
        }
        // Names are unique in the meta group, so the older shard with this name was dropped.
        let replaced = match self.get(&shard.name).map(|other| other.id) {
            Some(other) if other > shard.id => return Ok(Put::default()),
            other => other.inspect(|id| drop(self.remove(*id))),
        };
        self.list(Arc::new(shard));
        Ok(Put { changed: true, replaced })
    }

    /// Removes a dropped shard, and returns it if the table had it.
    ///
    /// # Errors
    /// As [`GivenIds::hear`]; nothing changes.
    pub(crate) fn drop_shard(&mut self, id: ShardId) -> Result<Option<Arc<Shard>>, String> {
        self.given.hear(id)?;
        Ok(self.remove(id))
    }

    /// Adds a stored record.
    pub(crate) fn list(&mut self, shard: Arc<Shard>) {
        let before = self.by_id.insert(shard.id, shard.clone());
        if let Some(before) = before.filter(|before| before.name != shard.name) {
            self.by_name.remove(before.name.as_str());
        }
        self.by_name.insert(ByName(shard), ());
    }

    /// Adopts the shards of a schema of version 1; ids below `next` that the schema does not list become invalid. Returns
    /// the shards that are new or changed.
    pub(crate) fn adopt(&mut self, shards: impl Iterator<Item = Shard>, mut next: u32) -> Vec<Arc<Shard>> {
        let mut changed = Vec::new();
        for shard in shards {
            next = next.max(shard.id.0.saturating_add(1));
            let is_taken = match self.by_id(shard.id) {
                Some(known) => known.version < shard.version,
                None => !self.given.has(shard.id),
            };
            if is_taken {
                let shard = Arc::new(shard);
                self.list(shard.clone());
                changed.push(shard);
            }
        }
        self.given.close(next);
        changed
    }

    fn remove(&mut self, id: ShardId) -> Option<Arc<Shard>> {
        let shard = self.by_id.remove(&id)?;
        self.by_name.remove(shard.name.as_str());
        Some(shard)
    }
}

/// Checks the names of shards in a command that would add `created` shards to a table of `existing`.
///
/// # Errors
/// A text that names the limit.
pub(crate) fn check_names<'a>(
    limits: &ApplyLimits,
    names: impl ExactSizeIterator<Item = &'a str>,
    existing: usize,
    created: usize,
) -> Result<(), String> {
    let ApplyLimits { shards: shards_max, shard_name_bytes: bytes_max, shards_at_once: at_once_max, .. } = *limits;
    if names.len() > at_once_max {
        return Err(format!("a command names {} shards, {at_once_max} are possible", names.len()));
    }
    if created > 0 && existing.saturating_add(created) > shards_max {
        let count = existing.saturating_add(created);
        return Err(format!("the collection would have {count} shards, {shards_max} are possible"));
    }
    for name in names {
        if name.is_empty() || name.len() > bytes_max {
            let bytes = name.len();
            return Err(format!("the name of a shard has {bytes} bytes, 1 to {bytes_max} are possible"));
        }
    }
    Ok(())
}

impl Borrow<str> for ByName {
    fn borrow(&self) -> &str {
        &self.0.name
    }
}

impl PartialEq for ByName {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl Eq for ByName {}

impl PartialOrd for ByName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ByName {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.name.cmp(&other.0.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::GroupId;
    use crate::level::FeatureLevel;
    use crate::limits::{SHARD_NAME_BYTES_MAX, SHARDS_AT_ONCE_MAX, SHARDS_MAX};
    use crate::schema::TenantStatus;

    fn shard(id: u32, name: &str, version: u64) -> Shard {
        let group = GroupId::FIRST_DATA;
        Shard { id: ShardId(id), name: name.into(), group, status: TenantStatus::Hot, read_only: false, version }
    }

    fn names(table: &ShardTable) -> Vec<(u32, &str)> {
        table.iter().map(|shard| (shard.id.0, shard.name.as_str())).collect()
    }

    #[test]
    fn a_name_that_exists_keeps_its_shard_and_a_dropped_one_gets_a_new_id() {
        let mut table = ShardTable::default();
        assert_eq!(table.create(shard(9, "b", 1)).unwrap().id, ShardId(0));
        assert_eq!(table.create(shard(9, "a", 1)).unwrap().id, ShardId(1));
        assert_eq!(table.create(shard(9, "b", 1)).unwrap().id, ShardId(0));
        assert_eq!(names(&table), [(1, "a"), (0, "b")]);
        assert!(table.drop_shard(ShardId(0)).unwrap().is_some() && table.drop_shard(ShardId(0)).unwrap().is_none());
        assert_eq!(table.create(shard(9, "b", 1)).unwrap().id, ShardId(2));
        assert_eq!((names(&table), table.len()), (vec![(1, "a"), (2, "b")], 2));
    }

    #[test]
    fn records_and_drops_are_taken_in_any_order() {
        let mut table = ShardTable::default();
        let changed = |replaced: Option<u32>| Ok(Put { changed: true, replaced: replaced.map(ShardId) });
        assert_eq!(table.put(shard(3, "d", 1)), changed(None));
        assert_eq!(table.missing().map(|id| id.0).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(table.put(shard(0, "a", 2)), changed(None));
        assert_eq!(table.put(shard(0, "a", 2)), Ok(Put::default()), "a repetition");
        assert_eq!(table.put(shard(0, "a", 1)), Ok(Put::default()), "an older record");
        assert_eq!(table.put(shard(0, "a", 3)), changed(None));
        assert!(table.drop_shard(ShardId(1)).unwrap().is_none());
        assert_eq!(table.put(shard(1, "b", 9)), Ok(Put::default()), "dropped before it was heard of");
        // The newest shard gets the name, in either order of the records.
        assert_eq!(table.put(shard(2, "d", 1)), Ok(Put::default()));
        assert_eq!(table.put(shard(4, "a", 1)), changed(Some(0)));
        assert_eq!((names(&table), table.missing().count()), (vec![(4, "a"), (3, "d")], 0));
        assert!(table.put(shard(u32::MAX, "z", 1)).is_err());
    }

    #[test]
    fn names_and_counts_are_bounded() {
        let long = "x".repeat(SHARD_NAME_BYTES_MAX + 1);
        let limits = FeatureLevel::SUPPORTED.limits();
        let check = |name: &str, existing| check_names(limits, [name].into_iter(), existing, 1);
        check(&long[1..], SHARDS_MAX - 1).unwrap();
        assert!(check(&long, 0).unwrap_err().contains("256 bytes, 1 to 255 are possible"));
        assert!(check("", 0).unwrap_err().contains("0 bytes"));
        assert!(check("a", SHARDS_MAX).unwrap_err().contains("would have 1000001 shards"));
        let many = vec!["a"; SHARDS_AT_ONCE_MAX + 1];
        assert!(check_names(limits, many.into_iter(), 0, 1).unwrap_err().contains("names 10001 shards"));
    }
}
