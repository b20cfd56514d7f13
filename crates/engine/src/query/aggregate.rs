//! Aggregates: counts, sums and frequencies of the values of properties, of all selected objects or of groups of them.
//!
//! Each shard counts its own objects ([`Group`]s with [`Summary`]s); [`merge_groups`] makes one list of those of several
//! shards, which equals the list of one shard with all objects. Means, medians, modes and the most frequent values follow from
//! the merged summaries alone.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::hash::{Hash, Hasher};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Charge, Filter};
use crate::ids::DocId;
use crate::object::{Beacon, Date};

/// The aggregates that are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aggregate {
    /// Objects are grouped by the values of this property: an object belongs to the group of each of its values, and to none
    /// if it has no value. `None` counts all objects together.
    pub group_by: Option<String>,
    /// Properties whose values are summarised, in the order of [`Group::properties`].
    pub properties: Vec<Summarised>,
    /// Charged with the memory of groups and frequencies.
    #[serde(skip)]
    pub charge: Charge,
}

/// A property whose values are summarised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summarised {
    /// Its name.
    pub name: String,
    /// Whether [`Values::frequencies`] are needed: for medians, modes and the most frequent values.
    pub frequencies: bool,
}

/// The objects of a shard that are aggregated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Among {
    /// All objects.
    All,
    /// Those that match.
    Matching(Filter),
    /// Those of these versions that are still live.
    Versions(Vec<DocId>),
}

/// Objects that have one value in common, or all objects.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// The common value; `None` for all objects.
    pub value: Option<GroupValue>,
    /// Number of objects.
    pub count: u64,
    /// The values of each summarised property.
    pub properties: Vec<Summary>,
}

/// A value that objects are grouped by. Dates with the same instant and different offsets are different values.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum GroupValue {
    /// A boolean.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A number.
    Number(Number),
    /// A date.
    Date(Date),
    /// A UUID.
    Uuid(Uuid),
    /// A text or a blob.
    Text(String),
    /// A reference.
    Reference(Beacon),
}

/// A number with a total order: zero has no sign.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(from = "f64", into = "f64")]
pub struct Number(f64);

/// The values of one property in a group; elements of lists count one by one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Summary {
    /// Integers.
    Ints {
        /// The values.
        values: Values<i64>,
        /// Their sum.
        sum: i128,
    },
    /// Numbers.
    Numbers {
        /// The values.
        values: Values<Number>,
        /// Their sum.
        sum: f64,
    },
    /// Texts.
    Texts(Values<String>),
    /// Dates.
    Dates(Values<Date>),
    /// Booleans.
    Booleans {
        /// How often true.
        trues: u64,
        /// How often false.
        falses: u64,
    },
    /// References.
    References(Values<Beacon>),
}

/// Values of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Values<V> {
    /// How many.
    pub count: u64,
    /// The least.
    pub least: Option<V>,
    /// The greatest.
    pub greatest: Option<V>,
    /// Each different value, ascending, with its number of occurrences. Empty unless [`Summarised::frequencies`] asks for it.
    pub frequencies: Vec<(V, u64)>,
}

impl<V> Default for Values<V> {
    fn default() -> Self {
        Self { count: 0, least: None, greatest: None, frequencies: Vec::new() }
    }
}

impl<V: Ord> Values<V> {
    /// The most frequent value; of several the least.
    pub fn mode(&self) -> Option<&V> {
        let mut best: Option<&(V, u64)> = None;
        for frequency in &self.frequencies {
            if best.is_none_or(|best| frequency.1 > best.1) {
                best = Some(frequency);
            }
        }
        best.map(|(value, _)| value)
    }

    /// The two values in the middle, which are the same one of an odd number of values.
    pub fn middle(&self) -> Option<(&V, &V)> {
        let total: u64 = self.frequencies.iter().map(|(_, count)| count).sum();
        let (lower, upper) = (total.checked_sub(1)? / 2, total / 2);
        let mut before = 0;
        let mut found = None;
        for (value, count) in &self.frequencies {
            let end = before + count;
            if found.is_none() && lower < end {
                found = Some(value);
            }
            if upper < end {
                return found.map(|lower| (lower, value));
            }
            before = end;
        }
        None
    }

    /// The `limit` most frequent values, those of equal frequency ascending.
    pub fn most_frequent(&self, limit: usize) -> Vec<(&V, u64)> {
        let order = |a: &&(V, u64), b: &&(V, u64)| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0));
        let mut all: Vec<&(V, u64)> = self.frequencies.iter().collect();
        if limit < all.len() {
            all.select_nth_unstable_by(limit, order);
            all.truncate(limit);
        }
        all.sort_unstable_by(order);
        all.into_iter().map(|(value, count)| (value, *count)).collect()
    }

    fn merge(&mut self, other: Self) {
        self.count += other.count;
        // `None` is the least of all options.
        self.greatest = self.greatest.take().max(other.greatest);
        self.least = match (self.least.take(), other.least) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        self.frequencies = merged(std::mem::take(&mut self.frequencies), other.frequencies);
    }
}

/// Two ascending lists as one.
fn merged<V: Ord>(a: Vec<(V, u64)>, b: Vec<(V, u64)>) -> Vec<(V, u64)> {
    if a.is_empty() || b.is_empty() {
        return if a.is_empty() { b } else { a };
    }
    let mut all = Vec::with_capacity(a.len().max(b.len()));
    let (mut a, mut b) = (a.into_iter().peekable(), b.into_iter().peekable());
    while let (Some(left), Some(right)) = (a.peek_mut(), b.peek()) {
        match left.0.cmp(&right.0) {
            Ordering::Less => all.extend(a.next()),
            Ordering::Greater => all.extend(b.next()),
            Ordering::Equal => {
                left.1 += right.1;
                b.next();
            }
        }
    }
    all.extend(a);
    all.extend(b);
    all
}

impl Summary {
    /// Number of values.
    pub fn count(&self) -> u64 {
        match self {
            Self::Ints { values, .. } => values.count,
            Self::Numbers { values, .. } => values.count,
            Self::Texts(values) => values.count,
            Self::Dates(values) => values.count,
            Self::Booleans { trues, falses } => trues + falses,
            Self::References(values) => values.count,
        }
    }

    /// Adds the values of the same property in another shard. Summaries of different kinds cannot be of one property.
    fn merge(&mut self, other: Self) {
        match (self, other) {
            (Self::Ints { values, sum }, Self::Ints { values: more, sum: added }) => {
                values.merge(more);
                *sum += added;
            }
            (Self::Numbers { values, sum }, Self::Numbers { values: more, sum: added }) => {
                values.merge(more);
                *sum += added;
            }
            (Self::Texts(values), Self::Texts(more)) => values.merge(more),
            (Self::Dates(values), Self::Dates(more)) => values.merge(more),
            (Self::References(values), Self::References(more)) => values.merge(more),
            (Self::Booleans { trues, falses }, Self::Booleans { trues: more_trues, falses: more_falses }) => {
                *trues += more_trues;
                *falses += more_falses;
            }
            _ => {}
        }
    }
}

/// The groups of several shards as those of one, ascending by their values.
pub fn merge_groups(lists: impl IntoIterator<Item = Vec<Group>>) -> Vec<Group> {
    let mut lists = lists.into_iter();
    let first = lists.next().unwrap_or_default();
    let mut rest = lists.peekable();
    if rest.peek().is_none() {
        return first;
    }
    let mut groups: BTreeMap<Option<GroupValue>, Group> = BTreeMap::new();
    for group in first.into_iter().chain(rest.flatten()) {
        match groups.entry(group.value.clone()) {
            Entry::Vacant(entry) => {
                entry.insert(group);
            }
            Entry::Occupied(entry) => {
                let known = entry.into_mut();
                known.count += group.count;
                known.properties.iter_mut().zip(group.properties).for_each(|(known, more)| known.merge(more));
            }
        }
    }
    groups.into_values().collect()
}

impl From<f64> for Number {
    fn from(value: f64) -> Self {
        // Adding zero takes the sign of zero away.
        Self(value + 0.0)
    }
}

impl From<Number> for f64 {
    fn from(number: Number) -> Self {
        number.0
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Number {}

impl Hash for Number {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn values(of: &[i64]) -> Values<i64> {
        let mut frequencies: BTreeMap<i64, u64> = BTreeMap::new();
        of.iter().for_each(|value| *frequencies.entry(*value).or_default() += 1);
        Values {
            count: of.len() as u64,
            least: of.iter().min().copied(),
            greatest: of.iter().max().copied(),
            frequencies: frequencies.into_iter().collect(),
        }
    }

    #[test]
    fn middles_modes_and_the_most_frequent_follow_from_the_frequencies() {
        assert_eq!((values(&[]).middle(), values(&[]).mode()), (None, None));
        assert_eq!(values(&[5]).middle(), Some((&5, &5)));
        assert_eq!(values(&[1, 9]).middle(), Some((&1, &9)));
        assert_eq!(values(&[1, 1, 9, 9]).middle(), Some((&1, &9)));
        assert_eq!(values(&[1, 1, 1, 9]).middle(), Some((&1, &1)));
        assert_eq!(values(&[3, 1, 3, 1, 2]).mode(), Some(&1));
        let frequent = values(&[4, 2, 2, 3, 3, 1]);
        assert_eq!(frequent.most_frequent(3), [(&2, 2), (&3, 2), (&1, 1)]);
        assert_eq!(frequent.most_frequent(9).len(), 4);
        assert_eq!(frequent.most_frequent(0), []);
    }

    #[test]
    fn merged_parts_are_the_whole() {
        for seed in 0..50 {
            println!("seed {seed}");
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let all: Vec<i64> = (0..rng.random_range(0..40)).map(|_| rng.random_range(-5..5)).collect();
            let at = rng.random_range(0..=all.len());
            let group = |of: &[i64]| Group {
                value: None,
                count: of.len() as u64,
                properties: vec![Summary::Ints {
                    values: values(of),
                    sum: of.iter().map(|value| i128::from(*value)).sum(),
                }],
            };
            let parts = [vec![group(&all[..at])], vec![group(&all[at..])]];
            assert_eq!(merge_groups(parts), [group(&all)]);
        }
    }

    #[test]
    fn zero_has_no_sign() {
        assert_eq!(Number::from(-0.0), Number::from(0.0));
        assert!(Number::from(-1.0) < Number::from(0.0));
    }
}
