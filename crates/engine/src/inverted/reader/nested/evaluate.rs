//! Evaluation of a plan for one object, by positions.

use super::plan::{Level, Plan, Planner, list_level};
use super::positions::Positions;
use super::query::{Leaf, Node, Pin};
use super::set::Set;
use super::test::Test;

/// How a query is decided for one object.
pub(super) enum Decision {
    /// By the positions of one comparison.
    Leaf(usize),
    /// By plans that each have to find something: in one element of the root property, or each in its own.
    Plans { plans: Vec<Plan>, one_element: bool },
}

impl Decision {
    pub(super) fn of(planner: &Planner<'_, '_>) -> Self {
        match &planner.query.node {
            Node::Leaf(leaf) => Self::Leaf(*leaf),
            Node::And(operands) => Self::of_all(planner, operands),
            node @ (Node::Or { .. } | Node::Not(_)) => {
                Self::Plans { plans: vec![planner.one(node)], one_element: false }
            }
        }
    }

    /// Comparisons that name different elements of the root property are decided apart from each other.
    fn of_all(planner: &Planner<'_, '_>, operands: &[Node]) -> Self {
        let root = planner.query.root.id;
        let element = |node: &Node| planner.pins(node).iter().find(|pin| pin.path == root).map(|pin| pin.element);
        let mut groups: Vec<(Option<usize>, Vec<&Node>)> = Vec::new();
        for operand in operands {
            let wanted = element(operand);
            match groups.iter_mut().find(|(known, _)| known.is_none() || wanted.is_none() || *known == wanted) {
                Some((known, group)) => {
                    *known = known.or(wanted);
                    group.push(operand);
                }
                None => groups.push((wanted, vec![operand])),
            }
        }
        let one_element =
            operands.iter().any(|operand| planner.pins(operand).first().is_some_and(|pin| pin.path != root));
        Self::Plans { plans: groups.iter().map(|(_, group)| planner.all(group)).collect(), one_element }
    }
}

/// One object whose values are compared.
pub(super) struct Evaluation<'e, 's> {
    planner: &'e Planner<'e, 's>,
    positions: &'e Positions<'e>,
    /// The positions of each comparison.
    found: Vec<Set>,
}

impl<'e, 's> Evaluation<'e, 's> {
    pub(super) fn new(planner: &'e Planner<'e, 's>, positions: &'e Positions<'e>) -> Self {
        let found = planner.query.leaves.iter().map(|leaf| of_leaf(leaf, positions)).collect();
        Self { planner, positions, found }
    }

    /// Whether the object matches.
    pub(super) fn decide(&self, decision: &Decision) -> bool {
        match decision {
            Decision::Leaf(leaf) => !self.found[*leaf].is_empty(),
            Decision::Plans { plans, one_element } => {
                let sets: Vec<Set> = plans.iter().map(|plan| self.plan(plan, None)).collect();
                sets.iter().all(|set| !set.is_empty()) && !(*one_element && Set::in_common_elements(&sets).is_empty())
            }
        }
    }

    /// The positions that satisfy a plan, within `scope`.
    fn plan(&self, plan: &Plan, scope: Option<&Set>) -> Set {
        match plan {
            Plan::Group { level, here, below } => self.group(plan, (level, here, below), scope),
            Plan::Split { level, branches } => self.split(level, branches, scope),
            Plan::Or { operands, .. } => {
                operands.iter().fold(Set::default(), |any, operand| any.or(&self.plan(operand, scope)))
            }
            Plan::Not { level, pins, operand } => {
                let all = within(pinned(self.positions, self.exists(level), pins), scope);
                if all.is_empty() { all } else { all.without(&self.plan(operand, scope)) }
            }
        }
    }

    fn group(&self, plan: &Plan, (level, here, below): (&Level, &[usize], &[Plan]), scope: Option<&Set>) -> Set {
        let together = self.share_positions(here, below);
        if together || level.len() <= 1 {
            let mut sets: Vec<Set> = here.iter().map(|leaf| self.found[*leaf].clone()).collect();
            sets.extend(below.iter().map(|plan| self.plan(plan, scope)));
            sets.extend(scope.cloned());
            return if together { all_of(sets) } else { Set::in_common_elements(&sets) };
        }
        let mut leaves = Vec::new();
        if self.is_chain(plan, &mut leaves) {
            let sets = leaves.iter().map(|leaf| self.found[*leaf].clone()).chain(scope.cloned()).collect();
            return all_of(sets);
        }
        let Some(&list) = level.last() else { return Set::default() };
        let elements = (0..self.positions.elements(list)).map(|at| within(self.positions.element(list, at), scope));
        elements.fold(Set::default(), |any, element| any.or(&self.in_element(here, below, &element)))
    }

    /// The positions within one element of a list that satisfy all comparisons and plans.
    fn in_element(&self, here: &[usize], below: &[Plan], element: &Set) -> Set {
        if element.is_empty() {
            return Set::default();
        }
        let leaves = here.iter().map(|leaf| self.found[*leaf].and(element));
        let sets: Vec<Set> = leaves.chain(below.iter().map(|plan| self.plan(plan, Some(element)))).collect();
        Set::in_common_elements(&sets)
    }

    fn split(&self, level: &Level, branches: &[(usize, Plan)], scope: Option<&Set>) -> Set {
        let Some(&list) = level.last() else { return Set::default() };
        let branch = |(element, plan): &(usize, Plan)| {
            let element = within(self.positions.element(list, *element), scope);
            if element.is_empty() { element } else { self.plan(plan, Some(&element)) }
        };
        let mut sets: Vec<Set> = branches.iter().map(branch).collect();
        match sets.len() {
            1 => sets.remove(0),
            // Different elements of the root property have no position in common.
            _ if level.len() <= 1 => {
                if sets.iter().any(Set::is_empty) {
                    Set::default()
                } else {
                    Set::whole_object()
                }
            }
            _ => Set::in_common_elements(&sets),
        }
    }

    /// Whether comparisons that one element satisfies have a position in common: single values stand at all positions of
    /// their element, while the elements of two lists, and the values of one path, never share any.
    fn share_positions(&self, here: &[usize], below: &[Plan]) -> bool {
        let lists = here.iter().filter(|leaf| self.planner.query.leaves[**leaf].ends_in_list()).count();
        below.is_empty() && (here.len() == 1 || (here.len() > 1 && lists < 2 && !self.planner.has_repeated_path(here)))
    }

    /// Whether a group is a chain of groups whose comparisons share positions. Appends the comparisons to `leaves`.
    fn is_chain(&self, plan: &Plan, leaves: &mut Vec<usize>) -> bool {
        let (mut at, mut deeper) = (plan, 0);
        loop {
            let Plan::Group { here, below, .. } = at else { return false };
            leaves.extend(here);
            match below.as_slice() {
                [] => break,
                [next] => at = next,
                _ => return false,
            }
            deeper += usize::from(matches!(at, Plan::Group { here, .. } if !here.is_empty()));
        }
        let lists = leaves.iter().any(|leaf| self.planner.query.leaves[*leaf].ends_in_list());
        deeper <= 1 && !lists && !self.planner.has_repeated_path(leaves)
    }

    fn exists(&self, level: &Level) -> Set {
        level.last().map_or_else(Set::default, |list| self.positions.exists(*list))
    }
}

/// The positions of one comparison.
fn of_leaf(leaf: &Leaf<'_>, positions: &Positions<'_>) -> Set {
    let Some(property) = leaf.property() else { return Set::default() };
    let existing = pinned(positions, positions.exists(property.id), &leaf.pins);
    match &leaf.test {
        Test::Value(test) => test.positions(property, positions, &existing),
        Test::NoneOf(tests) => {
            let one_of = tests.iter().map(|test| test.positions(property, positions, &existing));
            existing.without(&one_of.fold(Set::default(), |any, found| any.or(&found)))
        }
        Test::IsNull(false) => existing,
        Test::IsNull(true) => {
            let around = leaf.path.len().checked_sub(1).filter(|around| *around > 0);
            let level = around.map(|around| list_level(&leaf.path[..around]));
            let all = level.iter().flatten().last().map_or_else(Set::default, |list| positions.exists(*list));
            pinned(positions, all, &leaf.pins).without(&existing)
        }
    }
}

fn pinned(positions: &Positions<'_>, set: Set, pins: &[Pin]) -> Set {
    pins.iter().fold(set, |set, pin| set.and(&positions.element(pin.path, pin.element)))
}

fn within(set: Set, scope: Option<&Set>) -> Set {
    match scope {
        Some(scope) => set.and(scope),
        None => set,
    }
}

fn all_of(sets: Vec<Set>) -> Set {
    sets.into_iter().reduce(|all, set| all.and(&set)).unwrap_or_default()
}
