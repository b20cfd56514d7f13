//! JSON of answers, as a tree that is written once: like [`Value`], but vectors stay floats until they are written.
//!
//! A number takes some sixty bytes in a [`Value`], which keeps its digits as text; here a float of a vector takes four.

use std::collections::BTreeMap;

use azimuth_engine::object::Vector;
use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::weaviate::objects::render::f64_json;

/// Members of an object, in the order in which they are written: that of their names, as in a [`Value`].
pub(crate) type Members = BTreeMap<String, Tree>;

/// The largest whole number up to which all whole numbers are floats of 32 bits.
const EXACT_MAX: f32 = 16_777_216.0;

/// A value of JSON.
#[derive(Debug)]
pub(crate) enum Tree {
    /// Anything without a vector.
    Value(Value),
    /// A vector `[dim]`, or a multi-vector `[rows, dim]` as a list of rows.
    Vector(Vector, Whole),
    /// A list.
    List(Vec<Self>),
    /// An object.
    Object(Members),
}

/// How floats that are whole numbers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whole {
    /// `3`, as REST does.
    Bare,
    /// `3.0`, as GraphQL does.
    Fraction,
}

impl Tree {
    /// The value `null`.
    pub(crate) const NULL: Self = Self::Value(Value::Null);
}

impl From<Value> for Tree {
    fn from(value: Value) -> Self {
        Self::Value(value)
    }
}

impl From<Members> for Tree {
    fn from(members: Members) -> Self {
        Self::Object(members)
    }
}

impl Serialize for Tree {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Value(value) => value.serialize(serializer),
            Self::Vector(Vector::Single(values), whole) => Row(values, *whole).serialize(serializer),
            Self::Vector(Vector::Multi { dim, rows }, whole) => {
                let rows = rows.chunks((*dim).max(1) as usize);
                serializer.collect_seq(rows.map(|row| Row(row, *whole)))
            }
            Self::List(values) => values.serialize(serializer),
            Self::Object(members) => members.serialize(serializer),
        }
    }
}

/// A list of floats.
struct Row<'a>(&'a [f32], Whole);

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut row = serializer.serialize_seq(Some(self.0.len()))?;
        for value in self.0 {
            row.serialize_element(&Float(*value, self.1))?;
        }
        row.end()
    }
}

struct Float(f32, Whole);

impl Serialize for Float {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(value, whole) = *self;
        if whole == Whole::Fraction || value.fract() != 0.0 || !value.is_finite() {
            return serializer.serialize_f32(value);
        }
        if value.abs() <= EXACT_MAX && (value != 0.0 || value.is_sign_positive()) {
            return serializer.serialize_i32(value as i32);
        }
        f64_json(f64::from(value)).serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn written(tree: &Tree) -> String {
        serde_json::to_string(tree).expect("JSON")
    }

    /// The list as a tree of values, each number by the rules of the wire.
    fn by_values(values: &[f32], whole: Whole) -> Value {
        let number = |value: &f32| match whole {
            Whole::Bare if value.fract() == 0.0 => f64_json(f64::from(*value)),
            _ => Value::from(*value),
        };
        values.iter().map(number).collect()
    }

    #[test]
    fn floats_are_written_as_numbers_of_a_value_are() {
        let mut values = vec![0.0, -0.0, 1.0, -3.0, 0.1, -2.5e-7, 1e-45, f32::MIN_POSITIVE, f32::MAX, f32::MIN];
        values.extend([
            16_777_215.0,
            16_777_216.0,
            16_777_218.0,
            -16_777_218.0,
            1e9,
            1e15,
            1e16,
            1e20,
            1e21,
            1e22,
            3e38,
        ]);
        values.extend([f32::NAN, f32::INFINITY, f32::NEG_INFINITY]);
        let mut bits = 1_u32;
        for _ in 0..20_000 {
            bits = bits.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            values.push(f32::from_bits(bits));
            values.push((bits as i32 >> 12) as f32);
        }
        for whole in [Whole::Bare, Whole::Fraction] {
            for value in &values {
                let tree = Tree::Vector(Vector::Single(vec![*value]), whole);
                assert_eq!(written(&tree), by_values(&[*value], whole).to_string(), "{value:?} {whole:?}");
            }
            let tree = Tree::Vector(Vector::Single(values.clone()), whole);
            assert_eq!(written(&tree), by_values(&values, whole).to_string());
        }
    }

    #[test]
    fn a_tree_is_written_as_a_value_is() {
        let rows = Vector::Multi { dim: 2, rows: vec![1.0, 0.5, -2.0, 3.25] };
        let members = [
            ("vectors".to_owned(), Tree::Vector(rows.clone(), Whole::Bare)),
            ("b".to_owned(), json!("text").into()),
            ("a".to_owned(), Tree::List(vec![Tree::NULL, json!(1).into(), Tree::Vector(rows, Whole::Fraction)])),
            ("empty".to_owned(), Tree::Vector(Vector::Single(Vec::new()), Whole::Bare)),
        ];
        let value = json!({
            "vectors": [[1, 0.5], [-2, 3.25]], "b": "text", "a": [null, 1, [[1.0, 0.5], [-2.0, 3.25]]], "empty": [],
        });
        assert_eq!(written(&Tree::Object(Members::from(members))), value.to_string());
    }
}
