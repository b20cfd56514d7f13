//! The positions of the values of one object property.
//!
//! Each element of a list of values, and each object that has no list and no object below it, is a leaf; the leaves of an
//! element of the root property are numbered depth first. An object stands at the positions of all leaves below it, a
//! single value at those of the object around it. So a value of an object shares a position with everything in the lists
//! and objects beside it, while two elements of one list share none.

use std::collections::HashMap;

use super::set::{Set, position};
use crate::ids::PropertyId;
use crate::inverted::form::terms;
use crate::object::{Properties, Value};
use crate::schema::{DataType, Property};

/// Where the values of one object property of one object lie, by the id of the property on the path.
#[derive(Debug, Default)]
pub(super) struct Positions<'v> {
    /// The positions at which the path has a value.
    exists: HashMap<PropertyId, Vec<u64>>,
    /// The positions of the elements of lists, by their number from 0. Elements with that number of all lists at the path
    /// count together. An object that is not in a list is element 0.
    elements: HashMap<PropertyId, Vec<Vec<u64>>>,
    /// The values at leaves of the schema.
    values: HashMap<PropertyId, Vec<(&'v Value, Vec<u64>)>>,
    /// Element of the root property, and next leaf within it.
    root: u32,
    leaf: u32,
}

impl<'v> Positions<'v> {
    /// Numbers the leaves of a value of `property`, an object or a list of objects.
    pub(super) fn of(property: &Property, value: &'v Value) -> Self {
        let mut positions = Self::default();
        for (at, element) in terms::elements(value).iter().enumerate() {
            let Value::Object(members) = element else { continue };
            positions.root += 1;
            positions.leaf = 0;
            let found = positions.object(&property.nested, members);
            positions.note_element(property.id, at, &found);
        }
        positions
    }

    /// The positions at which the path has a value.
    pub(super) fn exists(&self, path: PropertyId) -> Set {
        self.exists.get(&path).into_iter().flatten().copied().collect()
    }

    /// The positions of the elements with that number.
    pub(super) fn element(&self, path: PropertyId, number: usize) -> Set {
        self.elements.get(&path).and_then(|elements| elements.get(number)).into_iter().flatten().copied().collect()
    }

    /// One more than the greatest number of an element at the path.
    pub(super) fn elements(&self, path: PropertyId) -> usize {
        self.elements.get(&path).map_or(0, Vec::len)
    }

    /// The positions of the values at the path that `wanted` picks.
    pub(super) fn values_where(&self, path: PropertyId, wanted: impl Fn(&Value) -> bool) -> Set {
        let values = self.values.get(&path).into_iter().flatten();
        values.filter(|(value, _)| wanted(value)).flat_map(|(_, positions)| positions).copied().collect()
    }

    fn next_leaf(&mut self) -> u64 {
        self.leaf += 1;
        position(self.root, self.leaf)
    }

    /// The positions of an object.
    fn object(&mut self, nested: &[Property], members: &'v Properties) -> Vec<u64> {
        let given = |property: &Property| members.get(&property.name).filter(|value| **value != Value::Null);
        let mut below = Vec::new();
        for property in nested {
            let Some(value) = given(property) else { continue };
            match property.data_type {
                DataType::Object { .. } => below.extend(self.container(property, value)),
                DataType::Primitive { list: true, .. } => below.extend(self.list(property, value)),
                DataType::Primitive { list: false, .. } | DataType::Reference(_) => {}
            }
        }
        if below.is_empty() {
            below.push(self.next_leaf());
        }
        for property in nested {
            if let (Some(value), DataType::Primitive { list: false, .. }) = (given(property), &property.data_type)
                && terms::is_indexed(property)
            {
                self.exists.entry(property.id).or_default().extend(&below);
                self.values.entry(property.id).or_default().push((value, below.clone()));
            }
        }
        below
    }

    fn container(&mut self, property: &Property, value: &'v Value) -> Vec<u64> {
        let mut all = Vec::new();
        for (at, element) in terms::elements(value).iter().enumerate() {
            let Value::Object(members) = element else { continue };
            let found = self.object(&property.nested, members);
            self.note_element(property.id, at, &found);
            all.extend(found);
        }
        all
    }

    fn list(&mut self, property: &Property, value: &'v Value) -> Vec<u64> {
        let indexed = terms::is_indexed(property);
        let mut all = Vec::new();
        for (at, element) in terms::elements(value).iter().enumerate() {
            let leaf = self.next_leaf();
            all.push(leaf);
            if indexed {
                self.values.entry(property.id).or_default().push((element, vec![leaf]));
                self.note_element(property.id, at, &[leaf]);
            }
        }
        all
    }

    fn note_element(&mut self, path: PropertyId, at: usize, found: &[u64]) {
        let elements = self.elements.entry(path).or_default();
        if elements.len() <= at {
            elements.resize_with(at + 1, Vec::new);
        }
        elements[at].extend(found);
        self.exists.entry(path).or_default().extend(found);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::schema::Primitive;

    fn property(id: u16, name: &str, data_type: DataType, nested: Vec<Property>) -> Property {
        Property {
            id: PropertyId(id),
            name: name.into(),
            description: None,
            data_type,
            tokenization: None,
            filterable: true,
            searchable: false,
            range_filterable: false,
            nested,
            text_analyzer: None,
            module_config: None,
        }
    }

    fn object(members: &[(&str, Value)]) -> Value {
        Value::Object(
            members.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect::<BTreeMap<_, _>>(),
        )
    }

    fn at(positions: &[(u32, u32)]) -> Set {
        positions.iter().map(|(root, leaf)| position(*root, *leaf)).collect()
    }

    #[test]
    fn single_values_stand_where_the_lists_beside_them_stand() {
        let ints = DataType::list(Primitive::Int);
        let code = property(5, "code", DataType::one(Primitive::Int), Vec::new());
        let root = property(
            1,
            "parts",
            DataType::Object { list: true },
            vec![
                property(2, "count", DataType::one(Primitive::Int), Vec::new()),
                property(3, "sizes", ints, Vec::new()),
                property(4, "subs", DataType::Object { list: true }, vec![code]),
            ],
        );
        let subs = Value::List(vec![object(&[("code", Value::Int(7))]), object(&[])]);
        let sizes = Value::List(vec![Value::Int(1), Value::Int(2)]);
        let value = Value::List(vec![
            object(&[("count", Value::Int(5)), ("sizes", sizes), ("subs", subs)]),
            object(&[("count", Value::Int(6)), ("subs", Value::Null)]),
        ]);
        let positions = Positions::of(&root, &value);
        let equal = |path, wanted| positions.values_where(PropertyId(path), |value| *value == Value::Int(wanted));
        assert_eq!(positions.exists(PropertyId(1)), at(&[(1, 1), (1, 2), (1, 3), (1, 4), (2, 1)]));
        assert_eq!(equal(2, 5), at(&[(1, 1), (1, 2), (1, 3), (1, 4)]));
        assert_eq!(equal(2, 6), at(&[(2, 1)]));
        assert_eq!(equal(3, 2), at(&[(1, 2)]));
        assert_eq!(equal(5, 7), at(&[(1, 3)]));
        assert_eq!(positions.exists(PropertyId(4)), at(&[(1, 3), (1, 4)]));
        assert_eq!(positions.element(PropertyId(4), 1), at(&[(1, 4)]));
        assert_eq!((positions.elements(PropertyId(1)), positions.elements(PropertyId(4))), (2, 2));
    }
}
