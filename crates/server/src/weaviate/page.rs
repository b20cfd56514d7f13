//! Pages: which limits and cursors are accepted, and the texts that refuse the others.

use std::fmt::Display;

use uuid::Uuid;

use super::texts;
use crate::app::search::{RankingKind, hybrid};

/// Refuses a page that reaches beyond `maximum`.
///
/// # Errors
/// The text of the wire, without the path before it.
pub(crate) fn check(offset: i64, limit: i64, maximum: usize) -> Result<(usize, usize), String> {
    if limit == 0 {
        return Err("invalid pagination params: invalid default limit: 0".to_owned());
    }
    let total = offset.checked_add(limit).and_then(|total| usize::try_from(total).ok());
    match (usize::try_from(offset), usize::try_from(limit), total) {
        (Ok(offset), Ok(limit), Some(total)) if total <= maximum => Ok((offset, limit)),
        _ => Err(format!("invalid pagination params: {}", too_far(offset, limit, maximum))),
    }
}

/// As [`check`], with the whole text for a search of that kind. Each part of a hybrid search reaches to the end of the page
/// at least, which is what the refusal names.
///
/// # Errors
/// The text of the wire.
pub(crate) fn check_of(kind: RankingKind, offset: i64, limit: i64, maximum: usize) -> Result<(usize, usize), String> {
    check(offset, limit, maximum).map_err(|why| {
        if kind == RankingKind::Hybrid && offset >= 0 && limit > 0 {
            let reach = offset.saturating_add(limit).max(hybrid::CANDIDATES_MIN as i64);
            return format!("invalid pagination params: {}", too_far(0, reach, maximum));
        }
        texts::refused_page(kind, &why)
    })
}

/// The refusal of a page that reaches beyond `maximum`.
pub(crate) fn too_far(offset: impl Display, limit: impl Display, maximum: usize) -> String {
    format!(
        "query maximum results exceeded: the total limit calculated from the provided offset '{offset}' and limit \
         '{limit}' exceeds the configured value for QUERY_MAXIMUM_RESULTS '{maximum}'. If you've supplied a negative \
         offset or limit, this may be an underflow error"
    )
}

/// What stands beside a cursor in a request.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Beside {
    /// A limit above zero, or a default that counts as one.
    pub(crate) limit: bool,
    /// An offset above zero.
    pub(crate) offset: bool,
    /// A filter.
    pub(crate) filter: bool,
    /// Sort clauses.
    pub(crate) sort: bool,
    /// Any search.
    pub(crate) search: bool,
}

/// Reads `after`; an empty one means from the start.
///
/// # Errors
/// The text of the wire, whole.
pub(crate) fn cursor(after: &str, beside: Beside) -> Result<Option<Uuid>, String> {
    let refuse = |why: String| Err(format!("cursor api: invalid 'after' parameter: {why}"));
    if beside.search {
        return refuse("other params cannot be set with after and limit parameters".to_owned());
    }
    let set: Vec<&str> = [(beside.offset, "offset"), (beside.filter, "where"), (beside.sort, "sort")]
        .into_iter()
        .filter_map(|(set, name)| set.then_some(name))
        .collect();
    if !set.is_empty() {
        return refuse(format!("{} cannot be set with after and limit parameters", set.join(",")));
    }
    if !beside.limit {
        return refuse("limit parameter must be set".to_owned());
    }
    if after.is_empty() {
        return Ok(None);
    }
    Uuid::parse_str(after).map(Some).or_else(|_| {
        refuse(format!("after parameter '{after}' is not a valid uuid: invalid UUID length: {}", after.len()))
    })
}
