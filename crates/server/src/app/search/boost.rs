//! Boosts: hits ordered anew by their rank and by conditions on their properties.
//!
//! The rank of the hits is brought to 0..=1, and so are the conditions; both are weighted, and the sum is brought to 0..=1
//! again. A boost changes the order of the candidates that the search found, and finds no others.

use std::cmp::Ordering;

use azimuth_engine::object::{Object, Value};
use azimuth_engine::query::{Filter, FilterValue, Operator, Path, Projection, Subject};

/// Conditions that raise or lower hits.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Boost {
    /// At least one.
    pub(crate) conditions: Vec<Condition>,
    /// What the conditions count beside the rank of a hit, 0 to 1; 0 leaves the hits as they are.
    pub(crate) weight: f32,
    /// Candidates at least.
    pub(crate) depth: usize,
}

/// A condition and its weight.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Condition {
    /// What the condition counts beside the others; a negative weight lowers hits. Not 0.
    pub(crate) weight: f32,
    /// The scored part of an object.
    pub(crate) measure: Measure,
}

/// The score of a hit, from its properties.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Measure {
    /// 1 if the object matches, else 0. Texts are compared whole and as they are; lists match nothing.
    Matches(Filter),
    /// 1 near the origin, less the farther the value is from it; 0 without a value.
    Decay(Decay),
    /// The value, brought to 0..=1 over the candidates that have one; 0 without a value.
    Value {
        /// The property: a number.
        property: String,
        /// Changes the value first.
        modifier: Modifier,
    },
    /// Always 0.
    Nothing,
}

/// A score that decays with the distance from an origin.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Decay {
    /// The property: a number, or a date, which counts in seconds.
    pub(crate) property: String,
    /// Where the score is 1.
    pub(crate) origin: f64,
    /// The distance behind the offset at which the score is `value`; positive.
    pub(crate) scale: f64,
    /// The distance up to which the score stays 1.
    pub(crate) offset: f64,
    /// Between 0 and 1.
    pub(crate) value: f64,
    /// How the score decays.
    pub(crate) curve: Curve,
}

/// How a score decays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Curve {
    /// `value ^ (distance / scale)`
    #[default]
    Exponential,
    /// `value ^ (distance / scale)^2`
    Gauss,
    /// A straight line.
    Linear,
}

/// A change of a value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Modifier {
    /// None.
    #[default]
    None,
    /// `ln(1 + value)`, of negative values 0.
    Log1p,
    /// The square root, of negative values 0.
    Sqrt,
}

impl Boost {
    /// Adds the properties that the conditions read.
    pub(crate) fn add_properties(&self, to: &mut Projection) {
        for condition in &self.conditions {
            match &condition.measure {
                Measure::Matches(filter) => add_compared(filter, to),
                Measure::Decay(Decay { property, .. }) | Measure::Value { property, .. } => to.add(property),
                Measure::Nothing => {}
            }
        }
    }

    /// The order of these objects, each with its rank (greater is better): positions, best first, with scores of 0 to 1.
    /// Equal ones follow one another by id.
    pub(crate) fn order(&self, ranked: &[(f32, &Object)]) -> Vec<(usize, f32)> {
        let of_conditions = self.scores(ranked);
        let ranks = to_unit(&ranked.iter().map(|(rank, _)| *rank).collect::<Vec<_>>());
        let combined = ranks.iter().zip(of_conditions);
        let combined = combined.map(|(rank, score)| (1.0 - self.weight) * rank + self.weight * score);
        let mut order: Vec<(usize, f32)> = to_unit(&combined.collect::<Vec<_>>()).into_iter().enumerate().collect();
        let id = |position: usize| ranked[position].1.id;
        order.sort_by(|(a, of_a), (b, of_b)| of_b.total_cmp(of_a).then_with(|| id(*a).cmp(&id(*b))));
        order
    }

    /// The weighted mean of the conditions of each object.
    fn scores(&self, ranked: &[(f32, &Object)]) -> Vec<f32> {
        // Sums of 64 bits, which weights of 32 bits cannot exceed.
        let total: f64 = self.conditions.iter().map(|condition| f64::from(condition.weight.abs())).sum();
        let mut sums = vec![0.0_f64; ranked.len()];
        for Condition { weight, measure } in &self.conditions {
            for (sum, score) in sums.iter_mut().zip(measure.scores(ranked)) {
                *sum += f64::from(*weight) * f64::from(score);
            }
        }
        sums.into_iter().map(|sum| if total == 0.0 { 0.0 } else { (sum / total) as f32 }).collect()
    }
}

impl Measure {
    fn scores(&self, ranked: &[(f32, &Object)]) -> Vec<f32> {
        let objects = ranked.iter().map(|(_, object)| *object);
        match self {
            Self::Matches(filter) => objects.map(|object| f32::from(u8::from(matches(filter, object)))).collect(),
            Self::Decay(decay) => objects.map(|object| decay.score(object)).collect(),
            Self::Value { property, modifier } => {
                let modified = objects.map(|object| number(object, property).map(|value| modifier.apply(value)));
                relative(&modified.collect::<Vec<_>>())
            }
            Self::Nothing => objects.map(|_| 0.0).collect(),
        }
    }
}

impl Decay {
    fn score(&self, object: &Object) -> f32 {
        let Some(value) = number(object, &self.property) else { return 0.0 };
        let distance = ((value - self.origin).abs() - self.offset).max(0.0);
        if distance == 0.0 {
            return 1.0;
        }
        let steps = distance / self.scale;
        let score = match self.curve {
            Curve::Exponential => self.value.powf(steps),
            Curve::Gauss => self.value.powf(steps * steps),
            Curve::Linear => (1.0 - (1.0 - self.value) * steps).max(0.0),
        };
        score as f32
    }
}

impl Modifier {
    fn apply(self, value: f64) -> f64 {
        match self {
            Self::None => value,
            Self::Log1p => value.max(0.0).ln_1p(),
            Self::Sqrt => value.max(0.0).sqrt(),
        }
    }
}

/// The number that a property holds; a date in seconds.
fn number(object: &Object, property: &str) -> Option<f64> {
    match object.properties.get(property)? {
        Value::Int(value) => Some(*value as f64),
        Value::Number(value) => Some(*value),
        Value::Date(date) => Some(date.unix_s as f64 + f64::from(date.nanos) / 1e9),
        _ => None,
    }
}

/// Values brought to 0..=1, 1 for all if they are equal; 0 for those that are missing.
fn relative(values: &[Option<f64>]) -> Vec<f32> {
    let unit = unit(values.iter().flatten().copied());
    values.iter().map(|value| value.map_or(0.0, &unit)).collect()
}

/// Scores brought to 0..=1, 1 for all if they are equal.
pub(super) fn to_unit(scores: &[f32]) -> Vec<f32> {
    let unit = unit(scores.iter().copied().map(f64::from));
    scores.iter().map(|score| unit(f64::from(*score))).collect()
}

/// Brings each of these finite values to 0..=1: the least to 0, the greatest to 1; all to 1 if they are equal.
fn unit(values: impl Iterator<Item = f64>) -> impl Fn(f64) -> f32 {
    let (least, greatest) = values
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(least, greatest), value| (least.min(value), greatest.max(value)));
    // Halves differ by a finite number where the values do not.
    let scale = if (greatest - least).is_finite() { 1.0 } else { 0.5 };
    let range = greatest * scale - least * scale;
    move |value| if range > 0.0 { ((value * scale - least * scale) / range) as f32 } else { 1.0 }
}

fn add_compared(filter: &Filter, to: &mut Projection) {
    match filter {
        Filter::And(operands) | Filter::Or(operands) => operands.iter().for_each(|operand| add_compared(operand, to)),
        Filter::Not(operand) => add_compared(operand, to),
        Filter::Compare { path, .. } => match &path.subject {
            Subject::Property(name) | Subject::Length(name) | Subject::ReferenceCount(name) => to.add(name),
            Subject::Id | Subject::CreatedMs | Subject::UpdatedMs => {}
        },
        Filter::ReferenceIn { .. } => {}
    }
}

/// Whether an object in memory matches. What an object lacks matches nothing, and neither does a path through references.
fn matches(filter: &Filter, object: &Object) -> bool {
    match filter {
        Filter::And(operands) => operands.iter().all(|operand| matches(operand, object)),
        Filter::Or(operands) => operands.iter().any(|operand| matches(operand, object)),
        Filter::Not(operand) => !matches(operand, object),
        Filter::Compare { path, operator, value } => {
            compared(path, object, value).is_some_and(|order| match operator {
                Operator::Equal => order.is_eq(),
                Operator::NotEqual => order.is_ne(),
                Operator::GreaterThan => order.is_gt(),
                Operator::GreaterThanEqual => order.is_ge(),
                Operator::LessThan => order.is_lt(),
                Operator::LessThanEqual => order.is_le(),
                Operator::Like
                | Operator::IsNull
                | Operator::ContainsAny
                | Operator::ContainsAll
                | Operator::ContainsNone
                | Operator::WithinGeoRange => false,
            })
        }
        Filter::ReferenceIn { .. } => false,
    }
}

/// The order of the subject and a value; `None` if they cannot be compared.
fn compared(path: &Path, object: &Object, with: &FilterValue) -> Option<Ordering> {
    if !path.through.is_empty() {
        return None;
    }
    match &path.subject {
        Subject::Property(name) => {
            let mut names = name.split('.');
            let first = object.properties.get(names.next()?)?;
            let inner = names.try_fold(first, |value, name| match value {
                Value::Object(members) => members.get(name),
                _ => None,
            });
            compare(inner?, with)
        }
        Subject::Length(name) => compare(&Value::Int(length(object.properties.get(name)?)?), with),
        Subject::ReferenceCount(name) => {
            let count = object.properties.get(name).map_or(Some(0), length)?;
            compare(&Value::Int(count), with)
        }
        Subject::Id => match with {
            FilterValue::Uuid(id) => Some(object.id.cmp(id)),
            _ => None,
        },
        Subject::CreatedMs => compare(&Value::Int(object.created_ms), with),
        Subject::UpdatedMs => compare(&Value::Int(object.updated_ms), with),
    }
}

fn length(value: &Value) -> Option<i64> {
    let length = match value {
        Value::Text(text) => text.chars().count(),
        Value::List(values) => values.len(),
        Value::References(beacons) => beacons.len(),
        _ => return None,
    };
    i64::try_from(length).ok()
}

fn compare(value: &Value, with: &FilterValue) -> Option<Ordering> {
    match (value, with) {
        (Value::Bool(value), FilterValue::Bool(with)) => Some(value.cmp(with)),
        (Value::Int(value), FilterValue::Int(with)) => Some(value.cmp(with)),
        (Value::Int(value), FilterValue::Number(with)) => (*value as f64).partial_cmp(with),
        (Value::Number(value), FilterValue::Int(with)) => value.partial_cmp(&(*with as f64)),
        (Value::Number(value), FilterValue::Number(with)) => value.partial_cmp(with),
        (Value::Text(value), FilterValue::Text(with)) => Some(value.as_str().cmp(with)),
        (Value::Date(value), FilterValue::Date(with)) => Some(value.unix_ns().cmp(&with.unix_ns())),
        (Value::Uuid(value), FilterValue::Uuid(with)) => Some(value.cmp(with)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
