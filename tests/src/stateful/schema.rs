//! Collections of the model: their configuration, and random ones.

use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

use super::value::{Kind, nested};

/// Names of collections that steps use.
pub const COLLECTIONS: [&str; 4] = ["Alpha", "Beta", "Gamma", "Delta"];

/// The vector of a collection without named ones.
pub const UNNAMED: &str = "";

/// A collection's configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Schema {
    /// Its name.
    pub name: String,
    /// By name.
    pub properties: BTreeMap<String, Property>,
    /// By name; one called "" where there are no named vectors.
    pub vectors: BTreeMap<String, Space>,
    /// `indexNullState`
    pub null_state: bool,
    /// `indexPropertyLength`
    pub property_length: bool,
}

/// A property's configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Property {
    /// Data type of the values.
    pub kind: Kind,
    /// `indexFilterable`
    pub filterable: bool,
    /// `indexSearchable`
    pub searchable: bool,
    /// `indexRangeFilters`
    pub range: bool,
}

/// A vector's configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Space {
    /// `hnsw`, `flat` or `dynamic`.
    pub index: String,
    /// `cosine`, `dot`, `l2-squared`, `manhattan` or `hamming`.
    pub metric: String,
    /// Length of its vectors. Generators keep to it; the server learns it from the first vector.
    pub dimensions: usize,
}

impl Property {
    /// A property of that kind with the server's default indexes.
    pub fn new(kind: Kind) -> Self {
        let searchable = kind.tokenization().is_some();
        Self { filterable: true, searchable, range: false, kind }
    }

    /// A property of a random kind, references included.
    pub fn random(random: &mut impl Rng) -> Self {
        if random.random_bool(0.2) {
            let mut targets: Vec<String> =
                (0..random.random_range(1..3)).map(|_| collection(random).to_owned()).collect();
            targets.dedup();
            return Self::new(Kind::Reference(targets));
        }
        let mut property = Self::new(Kind::random(random));
        if random.random_bool(0.15) {
            property.filterable = false;
        }
        if property.searchable && random.random_bool(0.2) {
            property.searchable = false;
        }
        if matches!(property.kind, Kind::Int | Kind::Number | Kind::Date) && random.random_bool(0.25) {
            property.range = true;
        }
        property
    }

    /// Whether its values have a length.
    pub fn is_measurable(&self) -> bool {
        self.kind.tokenization().is_some() || matches!(self.kind, Kind::List(_))
    }

    /// Whether a filter can compare it.
    pub fn is_indexed(&self) -> bool {
        self.filterable || self.searchable || self.range
    }

    /// As `POST /schema` takes it.
    pub fn json(&self, name: &str) -> Value {
        let mut json = json!({ "name": name, "dataType": self.kind.data_type() });
        if let Some(tokenization) = self.kind.tokenization() {
            json["tokenization"] = tokenization.name().into();
            json["indexSearchable"] = self.searchable.into();
        }
        if !matches!(self.kind, Kind::Reference(_)) {
            json["indexFilterable"] = self.filterable.into();
        }
        if self.range {
            json["indexRangeFilters"] = true.into();
        }
        if self.kind == Kind::Object {
            let parts = nested().map(|(name, kind)| json!({ "name": name, "dataType": kind.data_type() }));
            json["nestedProperties"] = parts.to_vec().into();
        }
        json
    }
}

impl Space {
    fn random(random: &mut impl Rng) -> Self {
        let metrics = ["cosine", "dot", "l2-squared", "manhattan", "hamming"];
        let index = ["hnsw", "hnsw", "flat", "dynamic"].choose(random).copied().unwrap_or("hnsw");
        Self {
            index: index.to_owned(),
            metric: metrics.choose(random).copied().unwrap_or("cosine").to_owned(),
            dimensions: random.random_range(1..7),
        }
    }

    /// A vector of small whole numbers: all distances but those of cosine are exact in f32.
    pub fn vector(&self, random: &mut impl Rng) -> Vec<f32> {
        (0..self.dimensions).map(|_| f32::from(random.random_range(-4_i8..5))).collect()
    }

    /// The distance that the server must answer.
    pub fn distance(&self, left: &[f32], right: &[f32]) -> f64 {
        let pairs = || left.iter().zip(right).map(|(left, right)| (f64::from(*left), f64::from(*right)));
        let dot: f64 = pairs().map(|(left, right)| left * right).sum();
        match self.metric.as_str() {
            "dot" => -dot,
            "l2-squared" => pairs().map(|(left, right)| (left - right).powi(2)).sum(),
            "manhattan" => pairs().map(|(left, right)| (left - right).abs()).sum(),
            "hamming" => pairs().filter(|(left, right)| left != right).count() as f64,
            _ => {
                let norm = |vector: &[f32]| vector.iter().map(|part| f64::from(*part).powi(2)).sum::<f64>().sqrt();
                let norms = norm(left) * norm(right);
                if norms == 0.0 { 1.0 } else { 1.0 - dot / norms }
            }
        }
    }

    fn json(&self) -> Value {
        json!({ "vectorIndexType": self.index, "vectorIndexConfig": { "distance": self.metric } })
    }
}

impl Schema {
    /// A random collection of that name.
    pub fn random(name: &str, random: &mut impl Rng) -> Self {
        let properties =
            (0..random.random_range(1..8)).map(|at| (format!("p{at}"), Property::random(random))).collect();
        let names: &[&str] = if random.random_bool(0.4) { &["a", "b"] } else { &[UNNAMED] };
        let vectors = names.iter().map(|name| ((*name).to_owned(), Space::random(random))).collect();
        let (null_state, property_length) = (random.random_bool(0.5), random.random_bool(0.5));
        Self { name: name.to_owned(), properties, vectors, null_state, property_length }
    }

    /// As `POST /schema` takes it.
    pub fn json(&self) -> Value {
        let properties: Vec<Value> = self.properties.iter().map(|(name, property)| property.json(name)).collect();
        let mut json = match self.vectors.get(UNNAMED) {
            Some(space) => space.json(),
            None => {
                let mut config = serde_json::Map::new();
                for (name, space) in &self.vectors {
                    let mut space = space.json();
                    space["vectorizer"] = json!({ "none": {} });
                    config.insert(name.clone(), space);
                }
                json!({ "vectorConfig": config })
            }
        };
        json["class"] = self.name.as_str().into();
        json["properties"] = properties.into();
        json["invertedIndexConfig"] =
            json!({ "indexNullState": self.null_state, "indexPropertyLength": self.property_length });
        json
    }

    /// One of its properties that is no reference, with its name.
    pub fn any_plain(&self, random: &mut impl Rng) -> Option<(&String, &Property)> {
        let plain: Vec<_> =
            self.properties.iter().filter(|(_, property)| !matches!(property.kind, Kind::Reference(_))).collect();
        plain.choose(random).copied()
    }

    /// One of its references, with its name and targets.
    pub fn any_reference(&self, random: &mut impl Rng) -> Option<(&String, &Vec<String>)> {
        let references: Vec<_> = self
            .properties
            .iter()
            .filter_map(|(name, property)| match &property.kind {
                Kind::Reference(targets) => Some((name, targets)),
                _ => None,
            })
            .collect();
        references.choose(random).copied()
    }
}

/// The name of a collection.
pub fn collection(random: &mut impl Rng) -> &'static str {
    COLLECTIONS.choose(random).copied().unwrap_or(COLLECTIONS[0])
}
