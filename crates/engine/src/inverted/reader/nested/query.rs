//! The part of a filter that compares values inside of one object property, resolved against the schema.

use super::super::lookup::Lookup;
use super::test::{Test, ValueTest};
use crate::Result;
use crate::error::FilterError;
use crate::ids::PropertyId;
use crate::query::{Filter, FilterValue, NestedPath, Operator, Path, Subject};
use crate::schema::{Collection, DataType, Property};

/// Conditions on the values inside of one property.
pub(super) struct NestedQuery<'s> {
    pub root: &'s Property,
    /// The comparisons, as [`Node::Leaf`] numbers them.
    pub leaves: Vec<Leaf<'s>>,
    pub node: Node,
}

/// How the comparisons are joined.
#[derive(Debug)]
pub(super) enum Node {
    Leaf(usize),
    And(Vec<Node>),
    Or {
        operands: Vec<Node>,
        /// Whether the operands are the members of one `ContainsAny`, which all have the same path.
        of_members: bool,
    },
    Not(Box<Node>),
}

/// One comparison.
pub(super) struct Leaf<'s> {
    /// The properties that lead to the value, the root first.
    pub path: Vec<&'s Property>,
    /// The elements of lists that count.
    pub pins: Vec<Pin>,
    pub test: Test,
}

/// One element of a list on a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pin {
    pub path: PropertyId,
    pub element: usize,
}

/// The object property that all comparisons of a filter are about; `None` if they are about several, or about others.
pub(in super::super) fn root<'s>(schema: &'s Collection, filter: &Filter) -> Option<&'s Property> {
    match filter {
        Filter::And(operands) | Filter::Or(operands) => {
            let (first, others) = operands.split_first()?;
            let of_first = root(schema, first)?;
            let same = |other: &Filter| root(schema, other).is_some_and(|found| found.id == of_first.id);
            others.iter().all(same).then_some(of_first)
        }
        Filter::Not(operand) => root(schema, operand),
        Filter::Compare { path: Path { through, subject: Subject::Property(name) }, .. } if through.is_empty() => {
            let property = schema.property(NestedPath::root_name(name))?;
            matches!(property.data_type, DataType::Object { .. }).then_some(property)
        }
        Filter::Compare { .. } | Filter::ReferenceIn { .. } => None,
    }
}

impl<'s> NestedQuery<'s> {
    /// The query of operands whose comparisons are all about `root`: all have to match, or one of them.
    ///
    /// # Errors
    /// [`Error::Filter`](crate::Error::Filter) when a path or a value does not fit the schema.
    pub(super) fn of(lookup: &Lookup<'_>, root: &'s Property, all: bool, operands: &[&Filter]) -> Result<Self> {
        let mut query = Self { root, leaves: Vec::new(), node: Node::And(Vec::new()) };
        let nodes = operands.iter().map(|operand| query.node_of(lookup, operand)).collect::<Result<Vec<_>>>()?;
        query.node = joined(all, nodes);
        Ok(query)
    }

    fn node_of(&mut self, lookup: &Lookup<'_>, filter: &Filter) -> Result<Node> {
        match filter {
            Filter::And(operands) | Filter::Or(operands) => {
                let nodes = operands.iter().map(|operand| self.node_of(lookup, operand)).collect::<Result<Vec<_>>>()?;
                Ok(joined(matches!(filter, Filter::And(_)), nodes))
            }
            Filter::Not(operand) => {
                let node = self.node_of(lookup, operand)?;
                if let Node::Leaf(leaf) = node
                    && let Test::IsNull(null) = &mut self.leaves[leaf].test
                {
                    *null = !*null;
                    return Ok(node);
                }
                Ok(Node::Not(Box::new(node)))
            }
            Filter::Compare { path: Path { subject: Subject::Property(name), .. }, operator, value } => {
                self.compare(lookup, name, *operator, value)
            }
            Filter::Compare { .. } | Filter::ReferenceIn { .. } => Err(no_such(lookup, "")),
        }
    }

    fn compare(&mut self, lookup: &Lookup<'_>, name: &str, operator: Operator, value: &FilterValue) -> Result<Node> {
        let (path, pins) = self.resolve(name).ok_or_else(|| no_such(lookup, name))?;
        let property = path.last().copied().unwrap_or(self.root);
        if operator == Operator::IsNull {
            let FilterValue::Bool(null) = value else { return Err(ValueTest::wrong_null(value)) };
            return Ok(self.leaf(path, pins, Test::IsNull(*null)));
        }
        if !matches!(property.data_type, DataType::Primitive { .. }) || !property.filterable {
            return Err(FilterError::NotFilterable(name.to_owned()).into());
        }
        let contains = matches!(operator, Operator::ContainsAny | Operator::ContainsAll | Operator::ContainsNone);
        if !contains {
            return Ok(self.leaf(path, pins, Test::Value(ValueTest::of(lookup, property, operator, value)?)));
        }
        let FilterValue::List(members) = value else { return Err(ValueTest::not_a_list(property, value)) };
        let equal = |member: &FilterValue| ValueTest::of(lookup, property, Operator::Equal, member);
        let tests = operator.of_members(members.iter().map(equal))?;
        if operator == Operator::ContainsNone {
            return Ok(self.leaf(path, pins, Test::NoneOf(tests)));
        }
        let leaf = |test| self.leaf(path.clone(), pins.clone(), Test::Value(test));
        let mut operands: Vec<Node> = tests.into_iter().map(leaf).collect();
        Ok(match operands.len() {
            1 => operands.remove(0),
            _ if operator == Operator::ContainsAny => Node::Or { operands, of_members: true },
            _ => Node::And(operands),
        })
    }

    fn leaf(&mut self, path: Vec<&'s Property>, pins: Vec<Pin>, test: Test) -> Node {
        self.leaves.push(Leaf { path, pins, test });
        Node::Leaf(self.leaves.len() - 1)
    }

    /// The properties on a path below the root.
    fn resolve(&self, name: &str) -> Option<(Vec<&'s Property>, Vec<Pin>)> {
        let parsed = NestedPath::parse(name);
        let (mut path, mut pins) = (vec![self.root], Vec::new());
        for (at, step) in parsed.steps.iter().enumerate() {
            if at > 0 {
                let around: &'s Property = path.last()?;
                path.push(around.nested.iter().find(|nested| nested.name == step.name)?);
            }
            let element = step.element.map(|element| usize::try_from(element).unwrap_or(usize::MAX));
            pins.extend(element.zip(path.last()).map(|(element, property)| Pin { path: property.id, element }));
        }
        Some((path, pins))
    }
}

/// All of the nodes, or one of them.
fn joined(all: bool, mut nodes: Vec<Node>) -> Node {
    match nodes.len() {
        1 => nodes.remove(0),
        _ if all => Node::And(nodes),
        _ => Node::Or { operands: nodes, of_members: false },
    }
}

fn no_such(lookup: &Lookup<'_>, name: &str) -> crate::Error {
    FilterError::NoSuchProperty { property: name.to_owned(), collection: lookup.schema.name.clone() }.into()
}

impl<'s> Leaf<'s> {
    /// The compared property.
    pub(super) fn property(&self) -> Option<&'s Property> {
        self.path.last().copied()
    }

    /// Whether the comparison asks for objects without any element of the root property.
    pub(super) fn asks_for_no_element(&self) -> bool {
        self.path.len() == 1 && matches!(self.test, Test::IsNull(true))
    }

    /// Whether there is no list on the path, so that an object has at most one value there.
    pub(super) fn is_single(&self) -> bool {
        self.path.iter().all(|property| match property.data_type {
            DataType::Object { list } | DataType::Primitive { list, .. } => !list,
            DataType::Reference(_) => false,
        })
    }
}
