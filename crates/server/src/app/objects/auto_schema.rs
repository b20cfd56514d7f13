//! Auto-schema: the properties that an object needs and its collection lacks.
//!
//! Pure: an [`Extension`] is made of a schema and an object, by the same checks that changes of the schema go through.
//! [`super::extend`] decides when it comes into effect.

use azimuth_engine::limits::{DEPTH_MAX, PROPERTIES_MAX};
use azimuth_engine::meta::Catalog;
use azimuth_engine::schema::{
    Collection, DataType, Primitive, Property, PropertyLookup, Tokenization, check_schema, property_count,
};

use super::convert::property_name;
use super::error::ExtensionError;
use super::input::{InputMap, InputValue};
use super::{date, uuid_text};
use crate::app::schema::defaults::{Conventions, Derived, new_property};
use crate::app::schema::names::{self, NameError};
use crate::settings::Settings;

/// Properties that a collection gets, or gets in place of those that it has: objects grow by inner properties.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Extension {
    properties: Vec<Property>,
}

impl Extension {
    /// The properties of an object that `collection` lacks.
    ///
    /// # Errors
    /// Why the types of its properties cannot be derived.
    pub(super) fn of(
        settings: &Settings,
        conventions: Conventions,
        collection: &Collection,
        properties: &InputMap,
    ) -> Result<Self, ExtensionError> {
        Builder { settings, conventions }.extension(collection, properties)
    }

    /// Whether nothing is missing.
    pub(super) fn is_empty(&self) -> bool {
        self.properties.is_empty()
    }

    /// The property of that name, if it is new or grown.
    pub(super) fn property(&self, name: &str) -> Option<&Property> {
        self.properties.iter().find(|property| property.name == name)
    }

    /// Checks that the collection with this extension is within the limits of collections.
    ///
    /// # Errors
    /// [`ExtensionError::Limit`]
    pub(super) fn check_limits(&self, collection: &Collection) -> Result<(), ExtensionError> {
        let count = property_count(collection.properties());
        if self.is_empty() || count.saturating_add(property_count(&self.properties)) <= PROPERTIES_MAX {
            return Ok(());
        }
        // The collection is copied only if it may exceed a limit: the copy costs as much as the schema is large.
        let mut extended = collection.clone();
        Self { properties: self.properties.clone() }.apply(&mut extended);
        check_schema(&extended, Some(collection)).map_err(|error| ExtensionError::Limit(error.to_string()))
    }

    /// Adds the extension to the collection.
    pub(super) fn apply(self, collection: &mut Collection) {
        let properties = collection.properties.get_or_insert_default();
        for new in self.properties {
            match properties.iter_mut().find(|property| property.name == new.name) {
                Some(old) => *old = new,
                None => properties.push(new),
            }
        }
    }

    fn put(&mut self, new: Property) {
        match self.properties.iter_mut().find(|property| property.name == new.name) {
            Some(old) => *old = new,
            None => self.properties.push(new),
        }
    }
}

/// Whether an extension of `collection` for an object is empty, which is the usual case, found without copying anything.
pub(super) fn knows_all(collection: &Collection, given: &InputMap) -> bool {
    let lookup = PropertyLookup::new(collection, given.len());
    given.members.iter().all(|(name, value)| {
        let property = lookup.by_name(&property_name(name));
        property.is_some_and(|property| !lacks(property, value))
    })
}

/// Whether the value has inner properties that its property lacks.
fn lacks(property: &Property, value: &InputValue) -> bool {
    maps(property, value).any(|map| {
        map.members.iter().any(|(name, value)| {
            let nested = property.nested.iter().find(|nested| nested.name == *name);
            nested.is_none_or(|nested| lacks(nested, value))
        })
    })
}

/// The maps that an object property holds when it has this value.
fn maps<'a>(property: &Property, value: &'a InputValue) -> impl Iterator<Item = &'a InputMap> + use<'a> {
    let values = match (&property.data_type, value) {
        (DataType::Object { list: false }, map @ InputValue::Map(_)) => std::slice::from_ref(map),
        (DataType::Object { list: true }, InputValue::List(values)) => values.as_slice(),
        _ => &[],
    };
    values.iter().filter_map(InputValue::as_map)
}

/// A collection that is made for an object.
///
/// # Errors
/// A name that is not allowed, or exists in another spelling.
pub(super) fn new_collection(
    settings: &Settings,
    conventions: Conventions,
    catalog: &Catalog,
    name: &str,
) -> Result<Collection, NameError> {
    // The number of collections is checked when the collection is created.
    names::check_new_class(name)?;
    names::check_unused(catalog, name)?;
    let mut collection = (conventions.new_collection)(settings, name);
    collection.description = Some((conventions.description)(Derived::Property));
    collection.properties = Some(Vec::new());
    Ok(collection)
}

/// Refuses values that are nested deeper than any property may be, before properties are made for a part of them.
fn check_depth(value: &InputValue, left: usize) -> Result<(), ExtensionError> {
    let below = left.checked_sub(1).ok_or(ExtensionError::TooDeep);
    match value {
        InputValue::Map(map) => {
            below.and_then(|left| map.members.values().try_for_each(|value| check_depth(value, left)))
        }
        InputValue::List(values) => below.and_then(|left| values.iter().try_for_each(|value| check_depth(value, left))),
        _ => Ok(()),
    }
}

struct Builder<'a> {
    settings: &'a Settings,
    conventions: Conventions,
}

impl Builder<'_> {
    fn extension(&self, collection: &Collection, given: &InputMap) -> Result<Extension, ExtensionError> {
        given.members.values().try_for_each(|value| check_depth(value, DEPTH_MAX))?;
        let mut extension = Extension::default();
        let mut count = collection.properties().len();
        for (name, value) in &given.members {
            let name = property_name(name);
            if let Some(known) = extension.property(&name).or_else(|| collection.property(&name)) {
                if lacks(known, value) {
                    let mut grown = known.clone();
                    self.grow(&mut grown, &name, value, 0)?;
                    extension.put(grown);
                }
                continue;
            }
            let mut others = collection.properties().iter().chain(&extension.properties);
            if others.any(|other| other.name.eq_ignore_ascii_case(&name)) {
                // The collection has the name in another spelling: the object is refused when it is converted.
                continue;
            }
            count += 1;
            names::check_count(count)?;
            names::check_property(&name)?;
            extension.put(self.property(&name, &name, value, 0)?);
        }
        Ok(extension)
    }

    /// Adds to an object property the inner properties of its value that the schema lacks. `depth` is the number of
    /// objects and lists around the value.
    fn grow(
        &self,
        property: &mut Property,
        path: &str,
        value: &InputValue,
        depth: usize,
    ) -> Result<(), ExtensionError> {
        let DataType::Object { list } = property.data_type else { return Ok(()) };
        let below = depth + 1 + usize::from(list);
        if below > DEPTH_MAX {
            return Err(ExtensionError::TooDeep);
        }
        for (name, value) in maps(property, value).flat_map(|map| &map.members) {
            let inner = format!("{path}.{name}");
            match property.nested.iter_mut().find(|nested| nested.name == *name) {
                Some(nested) => self.grow(nested, &inner, value, below)?,
                None => {
                    names::check_count(property.nested.len() + 1)?;
                    names::check_nested(name, path)?;
                    property.nested.push(self.property(name, &inner, value, below)?);
                }
            }
        }
        Ok(())
    }

    fn property(&self, name: &str, path: &str, value: &InputValue, depth: usize) -> Result<Property, ExtensionError> {
        let nested = depth > 0;
        let data_type = self.data_type(name, value, nested)?;
        let mut property = new_property(name, data_type);
        if property.data_type.is_text() && self.settings.autoschema_default_string == "string" {
            property.tokenization = Some(Tokenization::Whitespace);
        }
        let derived = if nested { Derived::NestedProperty } else { Derived::Property };
        property.description = Some((self.conventions.description)(derived));
        self.grow(&mut property, path, value, depth)?;
        if property.nested.is_empty() && matches!(property.data_type, DataType::Object { .. }) {
            return Err(ExtensionError::EmptyObject(path.to_owned()));
        }
        Ok(property)
    }

    fn data_type(&self, name: &str, value: &InputValue, nested: bool) -> Result<DataType, ExtensionError> {
        Ok(match value {
            InputValue::Null => DataType::one(Primitive::Text),
            InputValue::Bool(_) => DataType::one(Primitive::Boolean),
            InputValue::Decimal(_) => DataType::one(self.decimal()),
            InputValue::Int(_) | InputValue::Float(_) => DataType::one(Primitive::Number),
            InputValue::Text(text) => DataType::one(match text_type(text) {
                Primitive::Date if self.settings.autoschema_default_date != "date" => Primitive::Text,
                primitive => primitive,
            }),
            InputValue::Map(map) if !nested && is_geo(map) => DataType::one(Primitive::GeoCoordinates),
            InputValue::Map(map) if !nested && is_phone(map) => DataType::one(Primitive::PhoneNumber),
            InputValue::Map(_) => DataType::Object { list: false },
            InputValue::List(values) => return self.list(name, values, nested),
        })
    }

    fn list(&self, name: &str, values: &[InputValue], nested: bool) -> Result<DataType, ExtensionError> {
        let Some(first) = values.first() else { return Ok(DataType::list(Primitive::Text)) };
        if !nested
            && values.iter().all(|value| value.as_map().is_some_and(|map| map.get("beacon").is_some()))
            && let Some(targets) = targets(values)
        {
            return Ok(DataType::Reference(targets?));
        }
        let same = |fits: fn(&InputValue) -> bool| {
            if values.iter().all(fits) { Ok(()) } else { Err(ExtensionError::MixedList(name.to_owned())) }
        };
        Ok(match first {
            InputValue::Bool(_) => {
                same(|value| matches!(value, InputValue::Bool(_))).map(|()| DataType::list(Primitive::Boolean))?
            }
            InputValue::Int(_) if values.iter().all(|value| matches!(value, InputValue::Int(_))) => {
                DataType::list(Primitive::Int)
            }
            InputValue::Int(_) | InputValue::Float(_) => {
                same(InputValue::is_number).map(|()| DataType::list(Primitive::Number))?
            }
            InputValue::Decimal(_) => same(InputValue::is_number).map(|()| DataType::list(self.decimal()))?,
            InputValue::Map(_) => same(|value| value.as_map().is_some()).map(|()| DataType::Object { list: true })?,
            InputValue::Text(first) => {
                same(|value| value.as_text().is_some())?;
                let of = text_type(first);
                let all = values.iter().all(|value| value.as_text().is_some_and(|text| text_type(text) == of));
                DataType::list(if all { of } else { Primitive::Text })
            }
            InputValue::Null | InputValue::List(_) => return Err(ExtensionError::ListOfNothing(name.to_owned())),
        })
    }

    /// The type of numbers that do not say whether they are integers.
    fn decimal(&self) -> Primitive {
        if self.settings.autoschema_default_number == "int" { Primitive::Int } else { Primitive::Number }
    }
}

fn text_type(text: &str) -> Primitive {
    if date::parse(text).is_some() {
        Primitive::Date
    } else if uuid_text::parse(text).is_some() {
        Primitive::Uuid
    } else {
        Primitive::Text
    }
}

fn is_geo(map: &InputMap) -> bool {
    map.len() == 2 && map.get("latitude").is_some() && map.get("longitude").is_some()
}

fn is_phone(map: &InputMap) -> bool {
    let country = usize::from(map.get("defaultCountry").is_some());
    map.get("input").is_some_and(|input| input.as_text().is_some()) && map.len() == 1 + country
}

/// The collections that references name, in order; `None` when none names any.
fn targets(values: &[InputValue]) -> Option<Result<Vec<String>, ExtensionError>> {
    let mut targets = Vec::new();
    for value in values {
        match value.as_map().and_then(|map| map.target.as_ref()) {
            Some(Ok(beacon)) => {
                targets.extend(beacon.collection.clone().filter(|name| !targets.contains(name)));
            }
            Some(Err(text)) => return Some(Err(ExtensionError::Unreadable(text.clone()))),
            None => {}
        }
    }
    (!targets.is_empty()).then_some(Ok(targets))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::weaviate::filter::wire_name;
    use crate::weaviate::objects::input;
    use crate::weaviate::schema::CONVENTIONS;

    fn book(settings: &Settings) -> Collection {
        (CONVENTIONS.new_collection)(settings, "Book")
    }

    fn builder(settings: &Settings) -> Builder<'_> {
        Builder { settings, conventions: CONVENTIONS }
    }

    /// The type that a property with this value gets, or why it gets none.
    fn made(settings: &Settings, value: InputValue) -> Result<String, ExtensionError> {
        let mut collection = book(settings);
        let given = [("p".to_owned(), value)].into_iter().collect();
        let extension = builder(settings).extension(&collection, &given)?;
        assert!(!extension.is_empty());
        extension.apply(&mut collection);
        Ok(wire_name(&collection.property("p").expect("the new property").data_type))
    }

    #[test]
    fn types_follow_from_values() {
        let settings = Settings::of_tests();
        let check = |value: Json, want: &str| {
            assert_eq!(made(&settings, input::value(value.clone())).as_deref(), Ok(want), "{value}");
        };
        let id = "00000000-0000-4000-8000-000000000001";
        check(json!(null), "text");
        check(json!(true), "boolean");
        check(json!("x"), "text");
        check(json!("2020-01-02T03:04:05Z"), "date");
        check(json!(id), "uuid");
        check(json!({"latitude": 1, "longitude": 2}), "geoCoordinates");
        check(json!({"input": "1", "defaultCountry": "DE"}), "phoneNumber");
        check(json!({"input": "1", "other": "DE"}), "object");
        check(json!([]), "text[]");
        check(json!([true, false]), "boolean[]");
        check(json!([id, "x"]), "text[]");
        check(json!([{"a": 1}]), "object[]");
        check(json!([{"beacon": format!("weaviate://localhost/Press/{id}")}]), "Press");
        check(json!(1.5), "number");
    }

    #[test]
    fn integers_are_told_apart_where_the_wire_does() {
        let mut settings = Settings::of_tests();
        let check = |settings: &Settings, value: InputValue, want: &str| {
            assert_eq!(made(settings, value.clone()).as_deref(), Ok(want), "{value:?}");
        };
        let decimal = |digits: &str| InputValue::Decimal(digits.into());
        check(&settings, InputValue::List(vec![decimal("1"), decimal("2")]), "number[]");
        check(&settings, InputValue::List(vec![InputValue::Int(1), InputValue::Int(2)]), "int[]");
        check(&settings, InputValue::List(vec![InputValue::Float(1.0), InputValue::Float(2.0)]), "number[]");
        settings.autoschema_default_number = "int".to_owned();
        check(&settings, decimal("1"), "int");
        check(&settings, InputValue::Float(1.0), "number");
        settings.autoschema_default_date = "text".to_owned();
        check(&settings, InputValue::Text("2020-01-02T03:04:05Z".to_owned()), "text");
    }

    #[test]
    fn what_has_no_type_is_refused() {
        let settings = Settings::of_tests();
        let refused = |value: Json| made(&settings, input::value(value)).expect_err("no type");
        assert_eq!(refused(json!([1, "x"])), ExtensionError::MixedList("p".to_owned()));
        assert_eq!(refused(json!([null])), ExtensionError::ListOfNothing("p".to_owned()));
        let mut deep = json!(1);
        for _ in 0..=DEPTH_MAX {
            deep = json!({ "a": deep });
        }
        assert_eq!(refused(deep), ExtensionError::TooDeep);
        let beacon = refused(json!([{"beacon": "weaviate://localhost/Press/x"}]));
        assert!(matches!(&beacon, ExtensionError::Unreadable(text) if text.contains("must be uuid")), "{beacon:?}");
    }

    #[test]
    fn names_are_checked_as_those_of_a_schema() {
        let settings = Settings::of_tests();
        let collection = book(&settings);
        let refused = |given: Json, why: ExtensionError| {
            let given = input::value(given);
            let error = builder(&settings).extension(&collection, given.as_map().expect("a map"));
            assert_eq!(error, Err(why), "{given:?}");
        };
        let name = |error: fn(String) -> NameError, name: &str| ExtensionError::Name(error(name.to_owned()));
        for reserved in ["id", "_id", "_additional"] {
            refused(json!({ reserved: 1 }), name(NameError::ReservedProperty, reserved));
        }
        refused(json!({"b-c": 1}), name(NameError::BadProperty, "b-c"));
        refused(json!({"": 1}), name(NameError::BadProperty, ""));
        refused(json!({"n".repeat(232): 1}), name(NameError::LongProperty, &"n".repeat(232)));
        let reserved = NameError::ReservedEnding { name: "n_searchable".to_owned(), ending: "_searchable" };
        refused(json!({"n_searchable": 1}), ExtensionError::Name(reserved));
        let nested = |name: &str, above: &str| {
            ExtensionError::Name(NameError::BadNested { name: name.to_owned(), above: above.to_owned() })
        };
        refused(json!({"o": {"b-c": 1}}), nested("b-c", "o"));
        refused(json!({"o": {"i": [{"1": 1}]}}), nested("1", "o.i"));
        refused(json!({"o": {}}), ExtensionError::EmptyObject("o".to_owned()));
        refused(json!({"o": {"i": [{}]}}), ExtensionError::EmptyObject("o.i".to_owned()));
    }

    #[test]
    fn objects_grow_by_what_their_values_have() {
        let settings = Settings::of_tests();
        let mut collection = book(&settings);
        let mut grows = |given: Json| {
            let given = input::value(given);
            let extension = builder(&settings).extension(&collection, given.as_map().expect("a map"));
            let extension = extension.expect("an extension");
            let grows = !extension.is_empty();
            extension.apply(&mut collection);
            grows
        };
        assert!(grows(json!({"o": {"a": 1}})));
        assert!(!grows(json!({"o": {"a": 2}})));
        assert!(grows(json!({"o": {"b": {"c": true}}, "O": null})));
        assert!(!grows(json!({"o": {}})));
        let names = |property: &Property| property.nested.iter().map(|nested| nested.name.clone()).collect::<Vec<_>>();
        let object = collection.property("o").expect("the object");
        assert_eq!(names(object), ["a", "b"]);
        assert_eq!(names(&object.nested[1]), ["c"]);
    }
}
