//! Filters: the inverted index of one shard, and references into others.

use std::sync::Arc;

use roaring::RoaringTreemap;
use uuid::Uuid;

use super::ReadContext;
use super::fetch::read_id;
use crate::error::readable;
use crate::ids::{DocId, ShardKey};
use crate::inverted::reader::lookup::{Lookup, LookupContext};
use crate::query::{Filter, FilterValue, Operator, Path, PathStep};
use crate::schema::{self, Collection, ShardTable};
use crate::shard::{Shard, ShardView};
use crate::{Error, Result};

/// A shard whose inverted index a filter is looked up in.
pub(super) struct Filtered<'a> {
    pub context: ReadContext<'a>,
    pub schema: &'a Collection,
    pub shard: &'a Shard,
}

impl Filtered<'_> {
    /// Live doc ids of the view that match.
    ///
    /// # Errors
    /// [`Error::Filter`] when the filter lacks its index or does not fit the schema, [`Error::DamagedIndex`] when an
    /// entry fails its checks.
    pub(super) fn matches(&self, view: &ShardView<'_>, filter: &Filter) -> Result<RoaringTreemap> {
        self.lookup(view).matches(filter)
    }

    fn lookup<'v>(&'v self, view: &'v ShardView<'_>) -> Lookup<'v> {
        Lookup { context: self, schema: self.schema, view: view.index() }
    }

    /// Shards of the target collection that references of this shard lead to: the same tenant's, or all.
    fn target_shards(&self, target: &Collection, shards: &ShardTable) -> Vec<ShardKey> {
        let at = |shard: &Arc<schema::Shard>| ShardKey { collection: target.id, shard: shard.id };
        if !target.multi_tenancy.enabled {
            return shards.iter().map(at).collect();
        }
        let own = self.context.state.shards(self.shard.at.collection);
        let of_tenant = own.by_id(self.shard.at.shard).and_then(|tenant| shards.get(&tenant.name));
        of_tenant.map(at).into_iter().collect()
    }
}

impl LookupContext for Filtered<'_> {
    fn referenced(
        &self,
        step: &PathStep,
        rest: &Path,
        operator: Operator,
        value: &FilterValue,
    ) -> Result<Option<Vec<Uuid>>> {
        let state = self.context.state;
        let Some((target, shards)) = state.named(&step.collection) else { return Ok(None) };
        let mut ids: Vec<Uuid> = Vec::new();
        for at in self.target_shards(&target, &shards) {
            let (schema, shard) = state.known(at)?;
            let view = shard.view(&state.store);
            let filtered = Filtered { context: self.context, schema: &schema, shard: &shard };
            for doc_id in filtered.lookup(&view).compare(rest, operator, value)? {
                ids.extend(readable(read_id(&shard, &view, DocId(doc_id)))?);
            }
        }
        Ok(Some(ids))
    }

    fn damaged(&self, why: &str) {
        self.context.maintenance.begin_rebuild(self.shard.at, why);
    }

    fn outdated(&self) {
        self.context.maintenance.rebuild_inverted(self.shard.at);
    }

    fn unreadable(&self, doc_id: DocId, error: &Error) {
        self.shard.unreadable.note(self.shard.at, doc_id, error);
    }
}
