//! Checks that a changed schema still describes the objects that are stored.

use super::{Collection, DataType, Property};

/// Checks that `new` keeps every property of `old`, with its id, name and data type. Rows name properties by their ids:
/// without this, the outcome of a command would depend on whether the object is read from its row or from memory.
///
/// # Errors
/// A text that names the property.
pub(crate) fn check_kept(old: &Collection, new: &Collection) -> Result<(), String> {
    let Some(property) = first_lost(old.properties(), new.properties()) else { return Ok(()) };
    let (collection, name) = (&old.name, &property.name);
    Err(format!("property {name} of collection {collection} cannot be removed or renamed, nor its data type changed"))
}

fn first_lost<'a>(old: &'a [Property], new: &[Property]) -> Option<&'a Property> {
    old.iter().find_map(|old| {
        let same = |new: &&Property| new.id == old.id && new.name == old.name && fits(&old.data_type, &new.data_type);
        match new.iter().find(same) {
            Some(new) => first_lost(&old.nested, &new.nested),
            None => Some(old),
        }
    })
}

/// Whether all values of one type are values of the other.
fn fits(old: &DataType, new: &DataType) -> bool {
    match (old, new) {
        (DataType::Reference(_), DataType::Reference(_)) => true,
        (old, new) => old == new,
    }
}
