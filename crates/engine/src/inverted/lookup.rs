//! Filters, answered from the inverted index.

use roaring::RoaringTreemap;

use crate::group::{DataGroup, ShardView};
use crate::key::ShardPrefix;
use crate::query::Filter;
use crate::schema::Collection;
use crate::{Error, Result};

/// What a filter is looked up in.
pub(crate) struct Lookup<'a> {
    pub group: &'a DataGroup,
    pub schema: &'a Collection,
    pub prefix: ShardPrefix,
    pub view: &'a ShardView<'a>,
}

/// Live doc ids that match.
pub(crate) fn matches(_lookup: &Lookup<'_>, _filter: &Filter) -> Result<RoaringTreemap> {
    Err(Error::Unsupported("filters".into()))
}
