//! Commands: what each does to a data group, and its outcome.
//!
//! Deterministic: everything that decides an outcome is in the command, in the rows, or in an earlier command of the same
//! apply. A command that cannot be carried out changes nothing.

use uuid::Uuid;

use super::records::ProposerRecord;
use super::transaction::{Row, Transaction, dimension_of};
use super::{Attempt, Batch, DataGroup, Entry, EntryBody, Ledger};
use crate::Result;
use crate::command::{At, Command, Outcome, Patch, PutMode};
use crate::limits::{STORED_DEPTH_MAX, value_depth};
use crate::object::{Object, Properties, Value, Vector};
use crate::schema::{Collection, encode_to_apply};
use crate::vector::{DIM_MAX, ROWS_MAX};

/// Applies entries, in order, to `ledger` and the group.
pub(super) fn apply(
    group: &DataGroup,
    ledger: &mut Ledger,
    entries: Vec<Entry>,
    attempt: &Attempt,
) -> Result<Vec<Vec<Outcome>>> {
    let mut transaction = Transaction::new(group);
    let mut next = ledger.clone();
    let mut outcomes = Vec::with_capacity(entries.len());
    for entry in entries {
        next.advance(&mut transaction.changes, group.group, entry.position)?;
        outcomes.push(match entry.body {
            EntryBody::Blank => Vec::new(),
            EntryBody::Membership(members) => {
                next.set_members(&mut transaction.changes, group.group, entry.position, members)?;
                Vec::new()
            }
            EntryBody::Batch(batch) => {
                let record = ProposerRecord { sequence: batch.sequence, index: entry.position.index };
                if next.admit(&mut transaction.changes, group.group, batch.proposer, record)? {
                    run(&mut transaction, batch)?
                } else {
                    vec![Outcome::Repeated; batch.commands.len()]
                }
            }
        });
    }
    if transaction.commit(attempt)? {
        *ledger = next;
    }
    Ok(outcomes)
}

fn run(transaction: &mut Transaction<'_>, batch: Batch) -> Result<Vec<Outcome>> {
    batch.commands.into_iter().map(|command| execute(transaction, command)).collect()
}

fn execute(transaction: &mut Transaction<'_>, command: Command) -> Result<Outcome> {
    match command {
        Command::PutCollection(collection) => put_collection(transaction, *collection),
        Command::DropCollection(id) => {
            if !transaction.was_dropped(id, None) {
                transaction.drop_collection(id);
            }
            Ok(Outcome::Done)
        }
        Command::DropShard(collection, shard) => {
            let known = transaction.collection(collection).is_some();
            if known && !transaction.was_dropped(collection, Some(shard)) {
                transaction.drop_shard(At { collection, shard });
            }
            Ok(Outcome::Done)
        }
        Command::Put { at, mode, object } => put(transaction, at, mode, *object),
        Command::Merge { at, id, patch, updated_ms } => merge(transaction, at, id, *patch, updated_ms),
        Command::Delete { at, id } => delete(transaction, at, id),
        Command::CreateCollection(_) | Command::UpdateCollection { .. } | Command::DeleteCollection(_) => {
            Ok(Outcome::Refused("a data group holds no schema of its own".into()))
        }
    }
}

fn put_collection(transaction: &mut Transaction<'_>, collection: Collection) -> Result<Outcome> {
    let newer = transaction.collection(collection.id).is_some_and(|known| known.version > collection.version);
    if newer || transaction.was_dropped(collection.id, None) {
        return Ok(Outcome::Done);
    }
    match encode_to_apply(&collection) {
        Ok(record) => transaction.put_collection(collection, &record),
        Err(error) => return Ok(Outcome::Refused(error.to_string())),
    }
    Ok(Outcome::Done)
}

fn put(transaction: &mut Transaction<'_>, at: At, mode: PutMode, mut object: Object) -> Result<Outcome> {
    let Some(schema) = transaction.schema_of(at) else { return Ok(Outcome::NotFound) };
    let old = transaction.row(at, object.id)?;
    match (mode, &old) {
        (PutMode::Insert, Some(_)) => return Ok(Outcome::Exists),
        (PutMode::Replace, None) => return Ok(Outcome::NotFound),
        _ => {}
    }
    if let Some(old) = &old {
        object.created_ms = old.header.created_ms;
    }
    write(transaction, at, &schema, object, old.as_ref())
}

fn merge(transaction: &mut Transaction<'_>, at: At, id: Uuid, patch: Patch, updated_ms: i64) -> Result<Outcome> {
    let Some(schema) = transaction.schema_of(at) else { return Ok(Outcome::NotFound) };
    let Some(old) = transaction.row(at, id)? else { return Ok(Outcome::NotFound) };
    let mut object = transaction.object(at, &old, &schema)?;
    object.updated_ms = updated_ms;
    change(&mut object, patch);
    write(transaction, at, &schema, object, Some(&old))
}

fn delete(transaction: &mut Transaction<'_>, at: At, id: Uuid) -> Result<Outcome> {
    if transaction.schema_of(at).is_none() {
        return Ok(Outcome::NotFound);
    }
    let Some(row) = transaction.row(at, id)? else { return Ok(Outcome::NotFound) };
    transaction.remove(at, &row)?;
    Ok(Outcome::Done)
}

/// Checks the vectors, the only part that depends on what is stored, and writes.
fn write(
    transaction: &mut Transaction<'_>,
    at: At,
    schema: &Collection,
    mut object: Object,
    old: Option<&Row>,
) -> Result<Outcome> {
    object.vectors.retain(|_, vector| !is_empty(vector));
    for (&id, vector) in &object.vectors {
        let Some((name, config)) = schema.vector_by_id(id) else {
            return Ok(Outcome::Refused(format!("collection {} has no vector with id {id}", schema.name)));
        };
        if config.multi != matches!(vector, Vector::Multi { .. }) {
            let kind = if config.multi { "several vectors" } else { "a single vector" };
            return Ok(Outcome::Refused(format!("vector {name:?} of collection {} is {kind}", schema.name)));
        }
        if let Some(why) = malformed(vector) {
            return Ok(Outcome::Refused(why));
        }
        let given = dimension_of(vector);
        if let Some(expected) = transaction.dimension(at, id)?
            && expected != given
        {
            return Ok(Outcome::WrongDimension { vector: id, given, expected });
        }
    }
    if let Some(refusal) = too_deep(&object.properties) {
        return Ok(refusal);
    }
    let created_ms = object.created_ms;
    let doc_id = transaction.write(at, schema, object, old)?;
    Ok(Outcome::Written { doc_id, created_ms })
}

/// Why properties cannot be written: no row holds them.
fn too_deep(properties: &Properties) -> Option<Outcome> {
    let (name, _) = properties.iter().find(|(_, value)| value_depth(value) > STORED_DEPTH_MAX)?;
    Some(Outcome::Refused(format!("property {name} is nested deeper than {STORED_DEPTH_MAX} objects and lists")))
}

/// A vector without components is no vector.
fn is_empty(vector: &Vector) -> bool {
    match vector {
        Vector::Single(values) | Vector::Multi { rows: values, .. } => values.is_empty(),
    }
}

fn malformed(vector: &Vector) -> Option<String> {
    let (values, dim) = match vector {
        Vector::Single(values) => (values, values.len()),
        Vector::Multi { dim, rows } => (rows, *dim as usize),
    };
    if dim == 0 || dim > DIM_MAX {
        return Some(format!("vector has {dim} dimensions, 1 to {DIM_MAX} are possible"));
    }
    if values.len() % dim != 0 {
        return Some(format!("{} components are no whole number of rows of {dim}", values.len()));
    }
    if values.len() / dim > ROWS_MAX && matches!(vector, Vector::Multi { .. }) {
        return Some(format!("a multi-vector of {} vectors, {ROWS_MAX} are possible", values.len() / dim));
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
            for beacon in gone {
                let at = present.iter().position(|b| *b == beacon);
                at.into_iter().for_each(|at| drop(present.remove(at)));
            }
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
