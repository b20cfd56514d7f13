//! The values of a property as they are counted.

use std::collections::HashMap;
use std::hash::Hash;

use super::Item;
use crate::Result;
use crate::object::{Beacon, Date};
use crate::query::{Charge, Number, Summary, Values};
use crate::schema::{DataType, Primitive, Property};

/// Bytes that are charged together.
const CHARGE_BYTES: usize = 1 << 14;

/// Charges in larger steps.
pub(super) struct Meter {
    charge: Charge,
    pending: usize,
}

impl Meter {
    pub(super) fn new(charge: Charge) -> Self {
        Self { charge, pending: 0 }
    }

    pub(super) fn take(&mut self, bytes: usize) -> Result<()> {
        self.pending += bytes;
        if self.pending >= CHARGE_BYTES { self.flush() } else { Ok(()) }
    }

    pub(super) fn flush(&mut self) -> Result<()> {
        self.charge.take(std::mem::take(&mut self.pending))
    }
}

/// The values of a property in a group as they are counted.
#[derive(Clone)]
pub(super) enum Counter {
    Ints(Counts<i64>, i128),
    Numbers(Counts<Number>, f64),
    Texts(Counts<String>),
    Dates(Counts<Date>),
    Booleans { trues: u64, falses: u64 },
    References(Counts<Beacon>),
}

impl Counter {
    /// `None` for a property without values to count.
    pub(super) fn new(property: &Property, frequencies: bool) -> Option<Self> {
        fn counts<V>(frequencies: bool) -> Counts<V> {
            Counts { count: 0, least: None, greatest: None, frequencies: frequencies.then(HashMap::new) }
        }
        Some(match &property.data_type {
            DataType::Reference(_) => Self::References(counts(frequencies)),
            DataType::Object { .. } => return None,
            DataType::Primitive { of, .. } => match of {
                Primitive::Int => Self::Ints(counts(frequencies), 0),
                Primitive::Number => Self::Numbers(counts(frequencies), 0.0),
                Primitive::Text => Self::Texts(counts(frequencies)),
                Primitive::Date => Self::Dates(counts(frequencies)),
                Primitive::Boolean => Self::Booleans { trues: 0, falses: 0 },
                Primitive::Uuid
                | Primitive::GeoCoordinates
                | Primitive::PhoneNumber
                | Primitive::Blob
                | Primitive::BlobHash => return None,
            },
        })
    }

    /// Counts a value; one that is not of the property's type is left out.
    pub(super) fn add(&mut self, item: Item<'_>, meter: &mut Meter) -> Result<()> {
        match (self, item) {
            (Self::Ints(counts, sum), Item::Int(value)) => {
                *sum += i128::from(value);
                counts.add(value, meter)
            }
            (Self::Numbers(counts, sum), Item::Number(value)) => {
                *sum += value;
                counts.add(value.into(), meter)
            }
            (Self::Texts(counts), Item::Text(text)) => counts.add_text(text, meter),
            (Self::Dates(counts), Item::Date(date)) => counts.add(date, meter),
            (Self::Booleans { trues, falses }, Item::Bool(value)) => {
                let count = if value { trues } else { falses };
                *count += 1;
                Ok(())
            }
            (Self::References(counts), Item::Reference(beacon)) => counts.add(beacon.clone(), meter),
            _ => Ok(()),
        }
    }

    pub(super) fn finish(self) -> Summary {
        match self {
            Self::Ints(counts, sum) => Summary::Ints { values: counts.finish(), sum },
            Self::Numbers(counts, sum) => Summary::Numbers { values: counts.finish(), sum },
            Self::Texts(counts) => Summary::Texts(counts.finish()),
            Self::Dates(counts) => Summary::Dates(counts.finish()),
            Self::Booleans { trues, falses } => Summary::Booleans { trues, falses },
            Self::References(counts) => Summary::References(counts.finish()),
        }
    }
}

#[derive(Clone)]
pub(super) struct Counts<V> {
    count: u64,
    least: Option<V>,
    greatest: Option<V>,
    frequencies: Option<HashMap<V, u64>>,
}

impl<V: Ord + Hash + Clone> Counts<V> {
    pub(super) fn add(&mut self, value: V, meter: &mut Meter) -> Result<()> {
        self.count += 1;
        if self.least.as_ref().is_none_or(|least| value < *least) {
            self.least = Some(value.clone());
        }
        if self.greatest.as_ref().is_none_or(|greatest| value > *greatest) {
            self.greatest = Some(value.clone());
        }
        let Some(frequencies) = &mut self.frequencies else { return Ok(()) };
        match frequencies.get_mut(&value) {
            Some(count) => *count += 1,
            None => {
                meter.take(2 * size_of::<(V, u64)>())?;
                frequencies.insert(value, 1);
            }
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Values<V> {
        let mut frequencies: Vec<(V, u64)> = self.frequencies.into_iter().flatten().collect();
        frequencies.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        Values { count: self.count, least: self.least, greatest: self.greatest, frequencies }
    }
}

impl Counts<String> {
    /// As [`Counts::add`], without a copy of a text that was counted before. Texts have no least and greatest one.
    pub(super) fn add_text(&mut self, text: &str, meter: &mut Meter) -> Result<()> {
        self.count += 1;
        let Some(frequencies) = &mut self.frequencies else { return Ok(()) };
        match frequencies.get_mut(text) {
            Some(count) => *count += 1,
            None => {
                meter.take(2 * size_of::<(String, u64)>() + text.len())?;
                frequencies.insert(text.to_owned(), 1);
            }
        }
        Ok(())
    }
}
