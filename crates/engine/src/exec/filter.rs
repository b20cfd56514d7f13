//! Filters: the inverted index of one shard.

use roaring::RoaringTreemap;

use super::ReadContext;
use crate::ids::DocId;
use crate::inverted::reader::lookup::{Lookup, LookupContext};
use crate::query::Filter;
use crate::schema::Collection;
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

    /// The inverted index of the view.
    pub(super) fn lookup<'v>(&'v self, view: &'v ShardView<'_>) -> Lookup<'v> {
        Lookup { context: self, schema: self.schema, view: view.index() }
    }
}

impl LookupContext for Filtered<'_> {
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
