//! Where the comparisons of a query meet: in which list an element has to satisfy them together.
//!
//! The *level* of a comparison is the innermost list of objects on its path, or the root property. Comparisons of one level
//! meet in one element of this list. Comparisons of different levels meet in an element of the innermost list around both.

use std::collections::BTreeMap;

use super::query::{Leaf, NestedQuery, Node, Pin};
use super::test::Test;
use crate::ids::PropertyId;
use crate::schema::{DataType, Property};

/// A plan, evaluated for one object at a time by [`super::evaluate`].
#[derive(Debug)]
pub(super) enum Plan {
    /// An element of the list at `level` satisfies these comparisons and the plans below.
    Group { level: Level, here: Vec<usize>, below: Vec<Plan> },
    /// Each of these elements of the list at `level` satisfies its plan.
    Split { level: Level, branches: Vec<(usize, Plan)> },
    /// One of the operands is satisfied.
    Or { level: Level, operands: Vec<Plan> },
    /// An element of the list at `level`, at these elements of lists, does not satisfy the operand.
    Not { level: Level, pins: Vec<Pin>, operand: Box<Plan> },
}

/// A path of ids; the root property alone, or down to a list of objects.
pub(super) type Level = Vec<PropertyId>;

impl Plan {
    pub(super) fn level(&self) -> &Level {
        match self {
            Self::Group { level, .. }
            | Self::Split { level, .. }
            | Self::Or { level, .. }
            | Self::Not { level, .. } => level,
        }
    }
}

/// Makes plans of the nodes of a query.
pub(super) struct Planner<'q, 's> {
    pub query: &'q NestedQuery<'s>,
}

impl Planner<'_, '_> {
    /// The level of the root property.
    fn top(&self) -> Level {
        vec![self.query.root.id]
    }

    /// A plan of operands that all have to match.
    pub(super) fn all(&self, operands: &[&Node]) -> Plan {
        self.at(operands, &self.top())
    }

    /// A plan of one node that is neither a comparison nor an `And`.
    pub(super) fn one(&self, node: &Node) -> Plan {
        match node {
            Node::Or { operands, .. } => self.or(operands, &self.top()),
            Node::Not(operand) => self.not(operand, &self.top()),
            Node::And(_) | Node::Leaf(_) => self.all(&[node]),
        }
    }

    /// The elements that a node names.
    pub(super) fn pins<'n>(&'n self, node: &Node) -> &'n [Pin] {
        let of_leaf = |node: &Node| match node {
            Node::Leaf(leaf) => self.query.leaves[*leaf].pins.as_slice(),
            Node::And(_) | Node::Or { .. } | Node::Not(_) => &[],
        };
        match node {
            Node::Leaf(_) => of_leaf(node),
            Node::And(operands) | Node::Or { operands, of_members: true } => operands.first().map_or(&[], of_leaf),
            Node::Or { of_members: false, .. } | Node::Not(_) => &[],
        }
    }

    fn at(&self, items: &[&Node], level: &Level) -> Plan {
        let Some(list) = level.last() else { return self.group(items, level) };
        let (mut free, mut pinned) = (Vec::new(), BTreeMap::<usize, Vec<&Node>>::new());
        for &item in items {
            match self.pins(item).iter().find(|pin| pin.path == *list) {
                Some(pin) => pinned.entry(pin.element).or_default().push(item),
                None => free.push(item),
            }
        }
        if pinned.is_empty() {
            return self.group(items, level);
        }
        // Comparisons without an element join those of the only one; beside several elements they say nothing.
        if let (1, Some(mut only)) = (pinned.len(), pinned.first_entry()) {
            only.get_mut().append(&mut free);
        }
        let branches = pinned.into_iter().map(|(element, items)| (element, self.group(&items, level))).collect();
        Plan::Split { level: level.clone(), branches }
    }

    fn group(&self, items: &[&Node], level: &Level) -> Plan {
        let mut flat = Vec::new();
        items.iter().for_each(|item| flatten(item, &mut flat));
        let (mut here, mut deeper) = (Vec::new(), BTreeMap::<Level, Vec<&Node>>::new());
        let mut operators = Vec::new();
        for item in flat {
            let (natural, path) = match item {
                Node::Leaf(leaf) => {
                    let leaf_path = &self.query.leaves[*leaf].path;
                    (list_level(leaf_path), leaf_path.iter().map(|property| property.id).collect())
                }
                Node::And(_) | Node::Or { .. } | Node::Not(_) => {
                    let natural = self.natural(item);
                    (natural.clone(), natural)
                }
            };
            match (self.next_list(level, &path), item) {
                (Some(next), _) if natural != *level => deeper.entry(next).or_default().push(item),
                (_, Node::Leaf(leaf)) => here.push(*leaf),
                (_, Node::Or { operands, .. }) => operators.push(self.or(operands, level)),
                (_, Node::Not(operand)) => operators.push(self.not(operand, level)),
                (_, Node::And(_)) => {}
            }
        }
        let mut below: Vec<Plan> = deeper.iter().map(|(next, items)| self.at(items, next)).collect();
        below.append(&mut operators);
        if let (true, 1) = (here.is_empty(), below.len())
            && !self.needs_group_around(level, &below[0])
        {
            return below.remove(0);
        }
        Plan::Group { level: level.clone(), here, below }
    }

    fn or(&self, operands: &[Node], level: &Level) -> Plan {
        let operands: Vec<Plan> = operands.iter().map(|operand| self.at(&[operand], level)).collect();
        let level = self.common(operands.iter().map(Plan::level));
        Plan::Or { level, operands }
    }

    fn not(&self, operand: &Node, level: &Level) -> Plan {
        let pins = match operand {
            Node::Leaf(leaf) if !self.query.leaves[*leaf].is_compound() => self.query.leaves[*leaf].pins.clone(),
            Node::Leaf(_) | Node::And(_) | Node::Or { .. } | Node::Not(_) => Vec::new(),
        };
        let operand = self.at(&[operand], level);
        Plan::Not { level: operand.level().clone(), pins, operand: Box::new(operand) }
    }

    /// The innermost list that all comparisons below a node have in common.
    fn natural(&self, node: &Node) -> Level {
        match node {
            Node::Leaf(leaf) => list_level(&self.query.leaves[*leaf].path),
            Node::And(operands) | Node::Or { operands, .. } => {
                let levels: Vec<Level> = operands.iter().map(|operand| self.natural(operand)).collect();
                self.common(levels.iter())
            }
            Node::Not(operand) => self.natural(operand),
        }
    }

    fn common<'l>(&self, mut levels: impl Iterator<Item = &'l Level>) -> Level {
        let mut common = levels.next().cloned().unwrap_or_else(|| self.top());
        for level in levels {
            let same = common.iter().zip(level).take_while(|(a, b)| a == b).count();
            common.truncate(same);
        }
        common
    }

    /// The first list of objects on `path` below `level`.
    fn next_list(&self, level: &Level, path: &[PropertyId]) -> Option<Level> {
        let mut around = self.query.root;
        for (at, id) in path.iter().enumerate().skip(1) {
            around = around.nested.iter().find(|nested| nested.id == *id)?;
            if at >= level.len() && around.data_type == (DataType::Object { list: true }) {
                return Some(path[..=at].to_vec());
            }
        }
        None
    }

    /// Whether a group has to stay around its only plan below: elements of a list further down are told apart only within
    /// an element of the list around them.
    fn needs_group_around(&self, level: &Level, below: &Plan) -> bool {
        if level.len() <= 1 {
            return false;
        }
        match below {
            Plan::Split { branches, .. } => {
                branches.len() > 1 || branches.first().is_some_and(|(_, plan)| self.needs_group_around(level, plan))
            }
            Plan::Group { .. } => self.goes_through_elements(below),
            Plan::Or { .. } | Plan::Not { .. } => false,
        }
    }

    /// Whether a group, or one below it, is evaluated element by element.
    fn goes_through_elements(&self, plan: &Plan) -> bool {
        let Plan::Group { level, here, below } = plan else { return false };
        let lists = here.iter().filter(|leaf| self.query.leaves[**leaf].ends_in_list()).count();
        let by_elements = below.len() >= 2
            || self.has_repeated_path(here)
            || lists >= 2
            || (lists >= 1 && !below.is_empty())
            || below.iter().any(|plan| matches!(plan, Plan::Or { .. } | Plan::Not { .. }));
        (level.len() > 1 && by_elements) || below.iter().any(|plan| self.goes_through_elements(plan))
    }

    /// Whether two of the comparisons have the same path.
    pub(super) fn has_repeated_path(&self, leaves: &[usize]) -> bool {
        let mut ids: Vec<_> =
            leaves.iter().filter_map(|leaf| self.query.leaves[*leaf].property()).map(|p| p.id).collect();
        let all = ids.len();
        ids.sort_unstable();
        ids.dedup();
        ids.len() < all
    }
}

/// Puts the operands of an `And`, at any depth, in its place.
fn flatten<'n>(node: &'n Node, into: &mut Vec<&'n Node>) {
    match node {
        Node::And(operands) => operands.iter().for_each(|operand| flatten(operand, into)),
        Node::Leaf(_) | Node::Or { .. } | Node::Not(_) => into.push(node),
    }
}

/// The innermost list of objects on a path, the path's end included, or the root.
pub(super) fn list_level(path: &[&Property]) -> Level {
    let list = |property: &&Property| property.data_type == DataType::Object { list: true };
    let last = path.iter().skip(1).rposition(list).map_or(0, |at| at + 1);
    path.iter().take(last + 1).map(|property| property.id).collect()
}

impl Leaf<'_> {
    /// Whether the compared property is a list of single values.
    pub(super) fn ends_in_list(&self) -> bool {
        self.property().is_some_and(|property| matches!(property.data_type, DataType::Primitive { list: true, .. }))
    }

    /// Whether the comparison consists of several values or terms.
    fn is_compound(&self) -> bool {
        match &self.test {
            Test::Value(test) => test.parts() > 1,
            Test::NoneOf(_) => true,
            Test::IsNull(_) => false,
        }
    }
}
