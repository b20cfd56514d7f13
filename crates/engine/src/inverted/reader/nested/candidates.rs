//! The objects that can match, from the index alone.

use roaring::RoaringTreemap;

use super::super::lookup::Lookup;
use super::plan::list_level;
use super::query::{Leaf, NestedQuery, Node};
use super::test::{Test, ValueTest};
use crate::Result;
use crate::ids::PropertyId;
use crate::storage::key::InvKind;

/// Live objects among which all matches are.
#[derive(Default)]
pub(super) struct Candidates {
    pub set: RoaringTreemap,
    /// Whether all of them match.
    pub exact: bool,
}

/// The candidates of a node.
pub(super) fn of(lookup: &Lookup<'_>, query: &NestedQuery<'_>, node: &Node) -> Result<Candidates> {
    match node {
        Node::Leaf(leaf) => of_leaf(lookup, &query.leaves[*leaf]),
        Node::And(operands) => {
            let mut all: Option<RoaringTreemap> = None;
            for operand in operands {
                let set = of(lookup, query, operand)?.set;
                all = Some(match all {
                    Some(all) => all & set,
                    None => set,
                });
            }
            Ok(Candidates { set: all.unwrap_or_default(), exact: false })
        }
        Node::Or { operands, .. } => {
            let mut any = Candidates { set: RoaringTreemap::new(), exact: true };
            for operand in operands {
                let Candidates { set, exact } = of(lookup, query, operand)?;
                any = Candidates { set: any.set | set, exact: any.exact && exact };
            }
            Ok(any)
        }
        Node::Not(_) => Ok(Candidates { set: present(lookup, query.root.id)?, exact: false }),
    }
}

fn of_leaf(lookup: &Lookup<'_>, leaf: &Leaf<'_>) -> Result<Candidates> {
    let Some(property) = leaf.property() else {
        return Ok(Candidates { set: RoaringTreemap::new(), exact: true });
    };
    // An object has one value at such a path, so that the index tells whether it matches.
    let single = leaf.is_single();
    let decides = |test: &ValueTest| single || test.parts() == 1;
    let every = leaf.pins.is_empty();
    Ok(match &leaf.test {
        Test::Value(test) if !test.negated => {
            let Candidates { set, exact } = test.documents(lookup, property)?;
            Candidates { set, exact: exact && every && decides(test) }
        }
        Test::Value(test) => {
            let mut set = present(lookup, property.id)?;
            if single && every {
                set -= test.documents_of_any(lookup, property)?.set;
            }
            Candidates { set, exact: single && every }
        }
        // Members are compared by equality, which the index always decides.
        Test::NoneOf(tests) => {
            let mut set = present(lookup, property.id)?;
            if single && every {
                for test in tests {
                    set -= test.documents(lookup, property)?.set;
                }
            }
            Candidates { set, exact: single && every }
        }
        Test::IsNull(false) => Candidates { set: present(lookup, property.id)?, exact: every },
        Test::IsNull(true) => {
            let around = leaf.path.len().saturating_sub(1);
            let set = match list_level(&leaf.path[..around]).last() {
                Some(list) => present(lookup, *list)?,
                None => RoaringTreemap::new(),
            };
            Candidates { set, exact: false }
        }
    })
}

/// Live objects that have a value at the path that ends there.
fn present(lookup: &Lookup<'_>, id: PropertyId) -> Result<RoaringTreemap> {
    lookup.value(id, InvKind::Present, &[])
}
