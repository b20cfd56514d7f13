//! The part of a row that a read decodes. Other values are skipped without an allocation.

use std::collections::BTreeMap;

use super::{Reader, Tag, damaged};
use crate::Result;
use crate::ids::PropertyId;
use crate::limits::STORED_DEPTH_MAX;
use crate::object::{Projection, Properties, Value};
use crate::schema::Collection;

/// A projection of the rows of one collection. A read creates it once and uses it for all rows.
pub(crate) struct Wanted<'a> {
    pub(super) schema: &'a Collection,
    pub(super) part: Part<'a>,
}

/// The wanted part of a row's properties.
pub(super) enum Part<'a> {
    Nothing,
    All,
    These(These<'a>),
}

/// Some of the properties.
pub(super) struct These<'a> {
    /// By name, as in the projection.
    members: &'a BTreeMap<String, Projection>,
    /// The properties that the schema has, ascending by id.
    by_id: Vec<(PropertyId, &'a str, &'a Projection)>,
}

impl<'a> Wanted<'a> {
    /// The properties that `projection` selects.
    pub(crate) fn new(schema: &'a Collection, projection: &'a Projection) -> Self {
        let part = match projection {
            Projection::None => Part::Nothing,
            Projection::All => Part::All,
            Projection::These(members) => {
                let named = |property: &'a crate::schema::Property| {
                    Some((property.id, property.name.as_str(), members.get(&property.name)?))
                };
                let mut by_id: Vec<_> = schema.properties().iter().filter_map(named).collect();
                by_id.sort_by_key(|(id, ..)| *id);
                Part::These(These { members, by_id })
            }
        };
        Self { schema, part }
    }

    /// All properties.
    pub(crate) fn all(schema: &'a Collection) -> Self {
        Self { schema, part: Part::All }
    }
}

impl<'a> These<'a> {
    /// Visits the properties of a row up to the last wanted one. Calls `take` with the name of each wanted property; `take`
    /// must consume the bytes of the value.
    pub(super) fn each<'r>(
        &self,
        reader: &mut Reader<'r>,
        mut take: impl FnMut(&mut Reader<'r>, &str, &'a Projection) -> Result<()>,
    ) -> Result<()> {
        let mut missing = self.members.len();
        for _ in 0..reader.count()? {
            if missing == 0 {
                return Ok(());
            }
            let found = match reader.varint_u16()? {
                0 => {
                    let name = reader.str()?;
                    self.members.get(name).map(|projection| (name, projection))
                }
                id => {
                    let at = self.by_id.binary_search_by_key(&PropertyId(id), |(id, ..)| *id);
                    at.ok().map(|at| (self.by_id[at].1, self.by_id[at].2))
                }
            };
            match found {
                Some((name, projection)) => {
                    missing -= 1;
                    take(reader, name, projection)?;
                }
                None => {
                    reader.skip_value(0)?;
                }
            }
        }
        Ok(())
    }
}

impl Reader<'_> {
    /// Decodes the wanted properties of a row. The reader is positioned after the header.
    pub(super) fn wanted(&mut self, wanted: &Wanted<'_>) -> Result<Properties> {
        match &wanted.part {
            Part::Nothing => Ok(Properties::new()),
            Part::All => {
                let properties = self.properties(wanted.schema)?;
                self.end()?;
                Ok(properties)
            }
            Part::These(these) => {
                let mut properties = Properties::new();
                these.each(self, |reader, name, projection| {
                    properties.insert(name.to_owned(), reader.part_of_value(projection, 0)?);
                    Ok(())
                })?;
                Ok(properties)
            }
        }
    }

    /// Decodes the selected members of a value that has `depth` containers around it.
    fn part_of_value(&mut self, projection: &Projection, depth: usize) -> Result<Value> {
        let (Projection::These(members), Some(&tag)) = (projection, self.rest.first()) else {
            return self.value(depth);
        };
        if depth > STORED_DEPTH_MAX {
            return Err(damaged("value nested too deeply"));
        }
        if tag == Tag::List as u8 {
            self.byte()?;
            let count = self.count()?;
            let values = (0..count).map(|_| self.part_of_value(projection, depth + 1));
            return Ok(Value::List(values.collect::<Result<_>>()?));
        }
        if tag != Tag::Object as u8 {
            return self.value(depth);
        }
        self.byte()?;
        let mut object = Properties::new();
        for _ in 0..self.count()? {
            let name = self.str()?;
            match members.get(name) {
                Some(inner) => {
                    object.insert(name.to_owned(), self.part_of_value(inner, depth + 1)?);
                }
                None => {
                    self.skip_value(depth + 1)?;
                }
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use uuid::Uuid;

    use super::super::{Header, decode, encode, weight};
    use super::*;
    use crate::ids::CollectionId;
    use crate::schema::{DataType, Primitive, Property};

    /// Half of the properties are known to the schema.
    fn schema() -> Collection {
        let property = |n: u16| Property {
            id: PropertyId(n + 1),
            name: format!("p{n}"),
            description: None,
            data_type: DataType::one(Primitive::Text),
            tokenization: None,
            filterable: true,
            searchable: false,
            range_filterable: false,
            nested: Vec::new(),
            text_analyzer: None,
            module_config: None,
        };
        let properties = Some((0..10).rev().map(property).collect());
        Collection { id: CollectionId(1), properties, ..Collection::default() }
    }

    fn value(rng: &mut ChaCha8Rng, depth: usize) -> Value {
        match rng.random_range(0..if depth < 4 { 7 } else { 5 }) {
            0 => Value::Null,
            1 => Value::Int(rng.random()),
            2 => Value::Text("x".repeat(rng.random_range(0..300))),
            3 => Value::Number(0.5),
            4 => Value::Bool(rng.random()),
            5 => Value::List((0..rng.random_range(0..4)).map(|_| value(rng, depth + 1)).collect()),
            _ => Value::Object((0..rng.random_range(0..4)).map(|n| (format!("p{n}"), value(rng, depth + 1))).collect()),
        }
    }

    /// The reference implementation: decodes the whole value and removes the other members.
    fn cut(value: &Value, projection: &Projection) -> Value {
        match (value, projection) {
            (Value::Object(members), Projection::These(wanted)) => {
                let of = |(name, value): (&String, &Value)| Some((name.clone(), cut(value, wanted.get(name)?)));
                Value::Object(members.iter().filter_map(of).collect())
            }
            (Value::List(values), _) => Value::List(values.iter().map(|value| cut(value, projection)).collect()),
            _ => value.clone(),
        }
    }

    #[test]
    fn a_part_is_that_of_the_whole() {
        let schema = schema();
        let header = Header { id: Uuid::nil(), created_ms: 1, updated_ms: 2, vectors: vec![], tokens: vec![] };
        for seed in 0..2_000 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let names = (0..20).filter(|_| rng.random()).collect::<Vec<_>>();
            let properties: BTreeMap<_, _> = names.iter().map(|n| (format!("p{n}"), value(&mut rng, 0))).collect();
            let row = encode(&header, &properties, &schema).unwrap();
            let mut projection = Projection::None;
            for _ in 0..rng.random_range(0..4) {
                let path = (0..rng.random_range(1..4)).map(|_| format!("p{}", rng.random_range(0..20)));
                projection.add(&path.collect::<Vec<_>>().join("."));
            }
            let wanted = Wanted::new(&schema, &projection);
            let (found, object) = decode(&row, &wanted).unwrap();
            let expected = match cut(&Value::Object(properties), &projection) {
                Value::Object(expected) if !projection.is_none() => expected,
                _ => BTreeMap::new(),
            };
            assert_eq!((&found, &object.properties), (&header, &expected), "seed {seed}");
            // Values that are not decoded weigh nothing; names that the schema knows weigh a little more when all are decoded.
            let alone = encode(&header, &expected, &schema).unwrap();
            let (part, whole) = (weight(&row, &wanted).unwrap(), weight(&alone, &Wanted::all(&schema)).unwrap());
            assert!(part <= whole && whole <= part + 40 * expected.len(), "seed {seed}: {part} {whole}");
        }
    }

    #[test]
    fn damage_before_the_last_wanted_value_is_found() {
        let schema = schema();
        let header = Header { id: Uuid::nil(), created_ms: 1, updated_ms: 2, vectors: vec![], tokens: vec![] };
        let text = |n: u8| (format!("p{n}"), Value::Text(format!("text {n}")));
        let row = encode(&header, &(0..8).map(text).collect(), &schema).unwrap();
        let projection = Projection::of(["p7", "p1"]);
        let wanted = Wanted::new(&schema, &projection);
        assert_eq!(decode(&row, &wanted).unwrap().1.properties.len(), 2);
        for end in 0..row.len() {
            assert!(decode(&row[..end], &wanted).is_err() && weight(&row[..end], &wanted).is_err(), "cut at {end}");
            let mut flipped = row.clone();
            flipped[end] ^= 0xff;
            drop((decode(&flipped, &wanted), weight(&flipped, &wanted)));
        }
        let deep = [&encode(&header, &BTreeMap::new(), &schema).unwrap()[..35], &[1, 8]].concat();
        let deep = [deep, [Tag::List as u8, 1].repeat(100_000)].concat();
        let projection = Projection::of(["p7.a"]);
        let wanted = Wanted::new(&schema, &projection);
        assert!(decode(&deep, &wanted).is_err() && weight(&deep, &wanted).is_err());
    }
}
