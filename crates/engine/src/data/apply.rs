//! Commands: what each does to a data group, and its outcome.
//!
//! Deterministic: everything that decides an outcome is in the command, in the rows, or in an earlier command of the same
//! apply. A command that cannot be carried out changes nothing.

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use super::draft::{ShardDraft, dimension_of, is_empty};
use super::transaction::Transaction;
use super::{Effects, State, shards};
use crate::Result;
use crate::collections::take_listed;
use crate::command::{Command, Outcome, Patch, PutMode};
use crate::error::readable;
use crate::ids::{DocId, ShardKey, VectorId};
use crate::level::ApplyLimits;
use crate::object::codec::UNKNOWN_MS;
use crate::object::{Beacon, Object, Properties, Value, Vector, value_depth};
use crate::replica::{AppliedState, Attempt, Entry};
use crate::schema::{Collection, VectorConfig, check_kept, encode_to_apply};

/// Named vectors up to which a schema is searched; those of a larger one are looked up.
const VECTORS_SEARCHED: usize = 8;

/// Applies entries, in order, to `applied` and the state. Returns the outcomes of each entry's commands, and the effects on
/// the rest of the group, or `None` if the attempt does not write.
///
/// # Errors
/// Those of the storage, and others that follow from a command that cannot be carried out.
pub(super) fn apply(
    state: &State,
    applied: &mut AppliedState,
    entries: Vec<Entry>,
    attempt: &Attempt,
) -> Result<(Vec<Vec<Outcome>>, Option<Effects>)> {
    let mut transaction = Transaction::new(state);
    let outcomes = applied.apply(state.group, entries, &mut transaction)?;
    Ok((outcomes, transaction.commit(attempt)?))
}

/// Carries out one command.
pub(super) fn execute(transaction: &mut Transaction<'_>, command: Command) -> Result<Outcome> {
    #[cfg(test)]
    super::contained_tests::fail_if_asked(&command);
    match command {
        Command::PutCollection(collection) => put_collection(transaction, *collection),
        Command::DropCollection(id) => {
            if !transaction.was_dropped(id) {
                transaction.drop_collection(id)?;
            }
            Ok(Outcome::Done)
        }
        Command::DropShard(collection, shard) => shards::drop_shard(transaction, ShardKey { collection, shard }),
        Command::PutShards { collection, shards } => shards::put_shards(transaction, collection, shards),
        Command::Put { at, mode, object } => put(transaction, at, mode, *object),
        Command::Merge { at, id, patch, updated_ms } => merge(transaction, at, id, *patch, updated_ms),
        Command::Delete { at, id } => delete(transaction, at, id, None),
        Command::DeleteVersion { at, id, doc_id } => delete(transaction, at, id, Some(doc_id)),
        // The caller carries it out: the level is part of the applied state.
        Command::RaiseLevel(_) => Ok(Outcome::Done),
        Command::CreateCollection(_)
        | Command::UpdateCollection { .. }
        | Command::DeleteCollection(_)
        | Command::CreateSharded { .. }
        | Command::CreateShards { .. }
        | Command::UpdateShards { .. }
        | Command::DropShards { .. }
        | Command::CreateAlias(_)
        | Command::UpdateAlias(_)
        | Command::DropAlias(_) => Ok(Outcome::Refused("a data group holds no schema of its own".into())),
    }
}

fn put_collection(transaction: &mut Transaction<'_>, mut collection: Collection) -> Result<Outcome> {
    let (id, version) = (collection.id, collection.version);
    let known = transaction.collection(id).cloned();
    let newer = known.as_ref().is_some_and(|known| known.schema.version > version);
    if newer || transaction.was_dropped(id) {
        return Ok(Outcome::Done);
    }
    let listed = take_listed(&mut collection);
    if let Some(Err(why)) = known.as_ref().map(|known| check_kept(&known.schema, &collection)) {
        return Ok(Outcome::Refused(why));
    }
    match encode_to_apply(&collection) {
        Ok(record) => transaction.put_schema(collection, &record)?,
        Err(error) => return Ok(Outcome::Refused(error.to_string())),
    }
    if let Some(listed) = listed {
        let mut table = known.map(|known| known.shards).unwrap_or_default();
        let changed = listed.adopt(&mut table, version);
        transaction.set_shards(id, table, &changed)?;
    }
    Ok(Outcome::Done)
}

fn put(transaction: &mut Transaction<'_>, at: ShardKey, mode: PutMode, mut object: Object) -> Result<Outcome> {
    let Some(schema) = transaction.schema_of(at) else { return Ok(Outcome::NotFound) };
    let limits = transaction.limits();
    let draft = transaction.draft(at)?;
    let old = draft.present(object.id)?;
    match (mode, old) {
        (PutMode::Insert, Some(_)) => return Ok(Outcome::Exists),
        (PutMode::Replace, None) => return Ok(Outcome::NotFound),
        _ => {}
    }
    if let Some(old) = old.filter(|old| old.created_ms != UNKNOWN_MS) {
        object.created_ms = old.created_ms;
    }
    object.vectors.retain(|_, vector| !is_empty(vector));
    let vectors = object.vectors.iter().map(|(id, vector)| (*id, Checked { vector, given: true }));
    let refusal = refusal(limits, draft, &schema, vectors).or_else(|| too_deep(limits, &object.properties));
    if let Some(refusal) = refusal {
        return Ok(refusal);
    }
    let created_ms = object.created_ms;
    Ok(Outcome::Written { doc_id: draft.put(object), created_ms })
}

fn merge(transaction: &mut Transaction<'_>, at: ShardKey, id: Uuid, patch: Patch, updated_ms: i64) -> Result<Outcome> {
    let Some(schema) = transaction.schema_of(at) else { return Ok(Outcome::NotFound) };
    let limits = transaction.limits();
    let draft = transaction.draft(at)?;
    let Some(old) = draft.present(id)? else { return Ok(Outcome::NotFound) };
    if readable(draft.load(id, &schema))?.is_none() {
        let name = &schema.name;
        let why = "the stored object cannot be read; it can be replaced or deleted";
        return Ok(Outcome::Refused(format!("object {id} of collection {name} cannot be changed: {why}")));
    }
    let object = draft.object(id)?;
    // The schema may have lost the vector of an object that keeps it; the vector's values were checked when it was
    // written.
    let kept = object.vectors.iter().filter(|(id, _)| !patch.vectors.contains_key(id));
    let kept = kept.map(|(id, vector)| (*id, Checked { vector, given: false }));
    let given =
        patch.vectors.iter().filter_map(|(id, vector)| Some((*id, Checked { vector: vector.as_ref()?, given: true })));
    let vectors: BTreeMap<VectorId, Checked<'_>> =
        kept.chain(given).filter(|(_, checked)| !is_empty(checked.vector)).collect();
    if let Some(refusal) = refusal(limits, draft, &schema, vectors).or_else(|| too_deep(limits, &patch.set)) {
        return Ok(refusal);
    }
    let load = match draft.weigh(id)?.changed(&schema, object, &patch) {
        Ok(load) => load,
        Err(why) => return Ok(Outcome::Refused(why)),
    };
    let doc_id = draft.edit(id, load, |object| {
        object.updated_ms = updated_ms;
        change(object, patch);
        object.vectors.retain(|_, vector| !is_empty(vector));
    })?;
    Ok(Outcome::Written { doc_id, created_ms: old.created_ms })
}

fn delete(transaction: &mut Transaction<'_>, at: ShardKey, id: Uuid, seen: Option<DocId>) -> Result<Outcome> {
    if transaction.schema_of(at).is_none() {
        return Ok(Outcome::NotFound);
    }
    let draft = transaction.draft(at)?;
    let Some(present) = draft.present(id)? else { return Ok(Outcome::NotFound) };
    if seen.is_some_and(|seen| seen != present.doc_id) {
        return Ok(Outcome::Conflict(format!("object {id} was written since it was read")));
    }
    draft.remove(id);
    Ok(Outcome::Done)
}

/// A vector of an object that is to be written.
struct Checked<'v> {
    vector: &'v Vector,
    /// Whether the command brings it; otherwise the object has it already.
    given: bool,
}

/// Why the vectors of an object cannot be written. Vectors are the only part of an object that is checked against
/// stored data.
fn refusal<'v>(
    limits: &ApplyLimits,
    draft: &ShardDraft<'_>,
    schema: &Collection,
    vectors: impl IntoIterator<Item = (VectorId, Checked<'v>)>,
) -> Option<Outcome> {
    let by_id: HashMap<VectorId, (&str, &VectorConfig)> = match schema.vectors.named.len() {
        ..VECTORS_SEARCHED => HashMap::new(),
        _ => schema.vectors.iter().map(|(name, config)| (config.id, (name, config))).collect(),
    };
    for (id, Checked { vector, given }) in vectors {
        let found = if by_id.is_empty() { schema.vector_by_id(id) } else { by_id.get(&id).copied() };
        let Some((name, config)) = found else {
            return Some(Outcome::Refused(format!("collection {} has no vector with id {id}", schema.name)));
        };
        if config.multi != matches!(vector, Vector::Multi { .. }) {
            let kind = if config.multi { "several vectors" } else { "a single vector" };
            return Some(Outcome::Refused(format!("vector {name:?} of collection {} is {kind}", schema.name)));
        }
        if !given {
            continue;
        }
        if let Some(why) = malformed(limits, vector) {
            return Some(Outcome::Refused(why));
        }
        let given = dimension_of(vector);
        if let Some(expected) = draft.dimension(id)
            && expected != given
        {
            return Some(Outcome::WrongDimension { vector: id, given, expected });
        }
    }
    None
}

/// Why properties cannot be written: no row can hold them.
fn too_deep(limits: &ApplyLimits, properties: &Properties) -> Option<Outcome> {
    let depth_max = limits.value_depth;
    let (name, _) = properties.iter().find(|(_, value)| value_depth(value) > depth_max)?;
    Some(Outcome::Refused(format!("property {name} is nested deeper than {depth_max} objects and lists")))
}

fn malformed(limits: &ApplyLimits, vector: &Vector) -> Option<String> {
    let ApplyLimits { dimensions: dim_max, rows: rows_max, .. } = *limits;
    let (values, dim) = match vector {
        Vector::Single(values) => (values, values.len()),
        Vector::Multi { dim, rows } => (rows, *dim as usize),
    };
    if dim == 0 || dim > dim_max {
        return Some(format!("vector has {dim} dimensions, 1 to {dim_max} are possible"));
    }
    if values.len() % dim != 0 {
        return Some(format!("{} components are no whole number of rows of {dim}", values.len()));
    }
    if values.len() / dim > rows_max && matches!(vector, Vector::Multi { .. }) {
        return Some(format!("a multi-vector of {} vectors, {rows_max} are possible", values.len() / dim));
    }
    let at = values.iter().position(|value| !value.is_finite())?;
    Some(format!("vector component {at} is not a finite number"))
}

fn change(object: &mut Object, patch: Patch) {
    for (name, value) in patch.set {
        match (object.properties.get_mut(&name), value) {
            (Some(Value::References(present)), Value::References(more)) => present.extend(more),
            (_, value) => {
                object.properties.insert(name, value);
            }
        }
    }
    for (name, beacons) in patch.replace_references {
        object.properties.insert(name, Value::References(beacons));
    }
    for (name, gone) in patch.remove_references {
        if let Some(Value::References(present)) = object.properties.get_mut(&name) {
            take_out(present, &gone);
        }
    }
    for name in &patch.remove {
        object.properties.remove(name);
    }
    for (id, vector) in patch.vectors {
        match vector {
            Some(vector) => drop(object.vectors.insert(id, vector)),
            None => drop(object.vectors.remove(&id)),
        }
    }
}

/// Removes the first occurrence of each of `gone`; a reference that is named twice is removed twice.
fn take_out(present: &mut Vec<Beacon>, gone: &[Beacon]) {
    let mut left: HashMap<&Beacon, usize> = HashMap::new();
    gone.iter().for_each(|beacon| *left.entry(beacon).or_default() += 1);
    present.retain(|beacon| match left.get_mut(beacon).filter(|count| **count > 0) {
        Some(count) => {
            *count -= 1;
            false
        }
        None => true,
    });
}
