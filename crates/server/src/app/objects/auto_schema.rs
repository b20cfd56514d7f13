//! Auto-schema: the properties that an object needs and its collection lacks.
//!
//! Pure: an [`Extension`] is made of a schema and an object, by the same checks that changes of the schema go through.
//! [`super::extend`] decides when it comes into effect.

use azimuth_engine::limits::{DEPTH_MAX, PROPERTIES_MAX};
use azimuth_engine::meta::Catalog;
use azimuth_engine::schema::{
    Collection, DataType, Primitive, Property, PropertyLookup, Tokenization, check_schema, property_count,
};
use serde_json::{Map, Value as Json};

use super::convert::property_name;
use super::{Draft, Wire, date, uuid_text};
use crate::app::AppResult;
use crate::app::schema::names;
use crate::settings::Settings;
use crate::weaviate::objects::beacon;
use crate::weaviate::schema::{check_nested_name, check_new_name, check_property_name, defaults, no_nested};

/// Properties that a collection gets, or gets in place of those that it has: objects grow by inner properties.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Extension {
    properties: Vec<Property>,
}

impl Extension {
    /// The properties of `draft` that `collection` lacks.
    ///
    /// # Errors
    /// Why the types of its properties cannot be derived.
    pub(super) fn of(settings: &Settings, collection: &Collection, draft: &Draft) -> Result<Self, String> {
        Builder { settings, wire: draft.wire }.extension(collection, &draft.properties)
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
    /// Names the limit.
    pub(super) fn check_limits(&self, collection: &Collection) -> Result<(), String> {
        let count = property_count(collection.properties());
        if self.is_empty() || count.saturating_add(property_count(&self.properties)) <= PROPERTIES_MAX {
            return Ok(());
        }
        // The collection is copied only if it may exceed a limit: the copy costs as much as the schema is large.
        let mut extended = collection.clone();
        Self { properties: self.properties.clone() }.apply(&mut extended);
        check_schema(&extended, Some(collection)).map_err(|error| error.to_string())
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

/// Whether an extension of `collection` for `draft` is empty, which is the usual case, found without copying anything.
pub(super) fn knows_all(collection: &Collection, draft: &Draft) -> bool {
    let lookup = PropertyLookup::new(collection, draft.properties.len());
    draft.properties.iter().all(|(name, value)| {
        let property = lookup.by_name(&property_name(name));
        property.is_some_and(|property| !lacks(property, value))
    })
}

/// Whether the value has inner properties that its property lacks.
fn lacks(property: &Property, value: &Json) -> bool {
    maps(property, value).any(|map| {
        map.iter().any(|(name, value)| {
            let nested = property.nested.iter().find(|nested| nested.name == *name);
            nested.is_none_or(|nested| lacks(nested, value))
        })
    })
}

/// The maps that an object property holds when it has this value.
fn maps<'a>(property: &Property, value: &'a Json) -> impl Iterator<Item = &'a Map<String, Json>> + use<'a> {
    let values = match (&property.data_type, value) {
        (DataType::Object { list: false }, map @ Json::Object(_)) => std::slice::from_ref(map),
        (DataType::Object { list: true }, Json::Array(values)) => values.as_slice(),
        _ => &[],
    };
    values.iter().filter_map(Json::as_object)
}

/// A collection that is made for an object.
///
/// # Errors
/// A name that is not allowed, or exists in another spelling.
pub(super) fn new_collection(settings: &Settings, catalog: &Catalog, name: &str) -> AppResult<Collection> {
    // The number of collections is checked when the collection is created.
    check_new_name(catalog, name, None)?;
    let mut collection = defaults::new_collection(settings, name);
    collection.description = Some(description("property"));
    collection.properties = Some(Vec::new());
    Ok(collection)
}

/// Says of what was made up that it was, and when.
fn description(what: &str) -> String {
    let now = jiff::Timestamp::now().strftime("%a %b %e %H:%M:%S %Y");
    format!("This {what} was generated by Weaviate's auto-schema feature on {now}")
}

/// Refuses values that are nested deeper than any property may be, before properties are made for a part of them.
fn check_depth(value: &Json, left: usize) -> Result<(), String> {
    let below = left.checked_sub(1).ok_or_else(too_deep);
    match value {
        Json::Object(map) => below.and_then(|left| map.values().try_for_each(|value| check_depth(value, left))),
        Json::Array(values) => below.and_then(|left| values.iter().try_for_each(|value| check_depth(value, left))),
        _ => Ok(()),
    }
}

fn too_deep() -> String {
    format!("objects and lists are nested deeper than {DEPTH_MAX}")
}

struct Builder<'a> {
    settings: &'a Settings,
    wire: Wire,
}

impl Builder<'_> {
    fn extension(&self, collection: &Collection, given: &Map<String, Json>) -> Result<Extension, String> {
        given.values().try_for_each(|value| check_depth(value, DEPTH_MAX))?;
        let mut extension = Extension::default();
        let mut count = collection.properties().len();
        for (name, value) in given {
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
            names::check_count(count).map_err(|error| error.to_string())?;
            check_property_name(&name).map_err(|error| error.to_string())?;
            extension.put(self.property(&name, &name, value, 0)?);
        }
        Ok(extension)
    }

    /// Adds to an object property the inner properties of its value that the schema lacks. `depth` is the number of
    /// objects and lists around the value.
    fn grow(&self, property: &mut Property, path: &str, value: &Json, depth: usize) -> Result<(), String> {
        let DataType::Object { list } = property.data_type else { return Ok(()) };
        let below = depth + 1 + usize::from(list);
        if below > DEPTH_MAX {
            return Err(too_deep());
        }
        for (name, value) in maps(property, value).flatten() {
            let inner = format!("{path}.{name}");
            match property.nested.iter_mut().find(|nested| nested.name == *name) {
                Some(nested) => self.grow(nested, &inner, value, below)?,
                None => {
                    names::check_count(property.nested.len() + 1).map_err(|error| error.to_string())?;
                    check_nested_name(name, path).map_err(|error| error.to_string())?;
                    property.nested.push(self.property(name, &inner, value, below)?);
                }
            }
        }
        Ok(())
    }

    fn property(&self, name: &str, path: &str, value: &Json, depth: usize) -> Result<Property, String> {
        let nested = depth > 0;
        let data_type = self.data_type(name, value, nested)?;
        let mut property = defaults::new_property(self.settings, name, data_type);
        if property.data_type.is_text() && self.settings.autoschema_default_string == "string" {
            property.tokenization = Some(Tokenization::Whitespace);
        }
        property.description = Some(description(if nested { "nested property" } else { "property" }));
        self.grow(&mut property, path, value, depth)?;
        if property.nested.is_empty() && matches!(property.data_type, DataType::Object { .. }) {
            return Err(no_nested(path));
        }
        Ok(property)
    }

    fn data_type(&self, name: &str, value: &Json, nested: bool) -> Result<DataType, String> {
        Ok(match value {
            Json::Null => DataType::one(Primitive::Text),
            Json::Bool(_) => DataType::one(Primitive::Boolean),
            Json::Number(_) => DataType::one(self.number()),
            Json::String(text) => DataType::one(match text_type(text) {
                Primitive::Date if self.settings.autoschema_default_date != "date" => Primitive::Text,
                primitive => primitive,
            }),
            Json::Object(map) if !nested && is_geo(map) => DataType::one(Primitive::GeoCoordinates),
            Json::Object(map) if !nested && is_phone(map) => DataType::one(Primitive::PhoneNumber),
            Json::Object(_) => DataType::Object { list: false },
            Json::Array(values) => return self.list(name, values, nested),
        })
    }

    fn list(&self, name: &str, values: &[Json], nested: bool) -> Result<DataType, String> {
        let Some(first) = values.first() else { return Ok(DataType::list(Primitive::Text)) };
        let mixed = || format!("property '{name}': a list must hold values of one kind");
        if !nested
            && values.iter().all(|value| value.get("beacon").is_some())
            && let Some(targets) = targets(values)
        {
            return Ok(DataType::Reference(targets?));
        }
        let same = |fits: fn(&Json) -> bool| if values.iter().all(fits) { Ok(()) } else { Err(mixed()) };
        Ok(match first {
            Json::Bool(_) => same(Json::is_boolean).map(|()| DataType::list(Primitive::Boolean))?,
            // Over gRPC lists of integers come apart from those of floats, whose numbers have a fraction.
            Json::Number(_) if self.wire == Wire::Grpc && values.iter().all(Json::is_i64) => {
                DataType::list(Primitive::Int)
            }
            Json::Number(_) => same(Json::is_number).map(|()| DataType::list(self.number()))?,
            Json::Object(_) => same(Json::is_object).map(|()| DataType::Object { list: true })?,
            Json::String(first) => {
                same(Json::is_string)?;
                let of = text_type(first);
                let all = values.iter().all(|value| value.as_str().is_some_and(|text| text_type(text) == of));
                DataType::list(if all { of } else { Primitive::Text })
            }
            Json::Null | Json::Array(_) => {
                return Err(format!("property '{name}': a list must not hold null or lists"));
            }
        })
    }

    fn number(&self) -> Primitive {
        let int = self.wire == Wire::Rest && self.settings.autoschema_default_number == "int";
        if int { Primitive::Int } else { Primitive::Number }
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

fn is_geo(map: &Map<String, Json>) -> bool {
    map.len() == 2 && map.contains_key("latitude") && map.contains_key("longitude")
}

fn is_phone(map: &Map<String, Json>) -> bool {
    let country = usize::from(map.contains_key("defaultCountry"));
    map.get("input").is_some_and(Json::is_string) && map.len() == 1 + country
}

/// The collections that beacons name, in order; `None` when none names any.
fn targets(values: &[Json]) -> Option<Result<Vec<String>, String>> {
    let mut targets = Vec::new();
    for value in values {
        match value.get("beacon").and_then(Json::as_str).map(beacon::parse) {
            Some(Ok(beacon)) => {
                targets.extend(beacon.collection.filter(|name| !targets.contains(name)));
            }
            Some(Err(error)) => return Some(Err(error.to_string())),
            None => {}
        }
    }
    (!targets.is_empty()).then_some(Ok(targets))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::weaviate::filter::wire_name;

    /// The type that a property with this value gets, or why it gets none.
    fn made(settings: &Settings, wire: Wire, value: Json) -> Result<String, String> {
        let mut collection = defaults::new_collection(settings, "Book");
        let given = [("p".to_owned(), value)].into_iter().collect();
        let extension = Builder { settings, wire }.extension(&collection, &given)?;
        assert!(!extension.is_empty());
        extension.apply(&mut collection);
        Ok(wire_name(&collection.property("p").expect("the new property").data_type))
    }

    #[test]
    fn types_follow_from_values() {
        let settings = Settings::of_tests();
        let check = |value: Json, want: &str| {
            let (rest, grpc) = (made(&settings, Wire::Rest, value.clone()), made(&settings, Wire::Grpc, value.clone()));
            assert_eq!((rest.as_deref(), grpc.as_deref()), (Ok(want), Ok(want)), "{value}");
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
        let check = |settings: &Settings, wire, value: Json, want: &str| {
            assert_eq!(made(settings, wire, value.clone()).as_deref(), Ok(want), "{value} {wire:?}");
        };
        check(&settings, Wire::Rest, json!([1, 2]), "number[]");
        check(&settings, Wire::Grpc, json!([1, 2]), "int[]");
        check(&settings, Wire::Grpc, json!([1.0, 2.0]), "number[]");
        settings.autoschema_default_number = "int".to_owned();
        check(&settings, Wire::Rest, json!(1), "int");
        check(&settings, Wire::Grpc, json!(1.0), "number");
        settings.autoschema_default_date = "text".to_owned();
        check(&settings, Wire::Rest, json!("2020-01-02T03:04:05Z"), "text");
    }

    #[test]
    fn what_has_no_type_is_refused() {
        let settings = Settings::of_tests();
        let refused = |value: Json| made(&settings, Wire::Rest, value).expect_err("no type");
        assert!(refused(json!([1, "x"])).contains("values of one kind"));
        assert!(refused(json!([null])).contains("must not hold null or lists"));
        let mut deep = json!(1);
        for _ in 0..=DEPTH_MAX {
            deep = json!({ "a": deep });
        }
        assert!(refused(deep).contains("nested deeper"));
        let beacon = refused(json!([{"beacon": "weaviate://localhost/Press/x"}]));
        assert!(beacon.contains("must be uuid"), "{beacon}");
    }

    #[test]
    fn names_are_checked_as_those_of_a_schema() {
        let settings = Settings::of_tests();
        let collection = defaults::new_collection(&settings, "Book");
        let refused = |given: Json, why: &str| {
            let builder = Builder { settings: &settings, wire: Wire::Rest };
            let error = builder.extension(&collection, given.as_object().expect("a map")).expect_err(why);
            assert!(error.contains(why), "{error}");
        };
        for reserved in ["id", "_id", "_additional"] {
            refused(json!({ reserved: 1 }), "is a reserved property name");
        }
        refused(json!({"b-c": 1}), "'b-c' is not a valid property name");
        refused(json!({"": 1}), "'' is not a valid property name");
        refused(json!({"n".repeat(232): 1}), "should not be longer than 231 characters");
        refused(json!({"n_searchable": 1}), "is reserved for internal indices");
        refused(json!({"o": {"b-c": 1}}), "'b-c' is not a valid nested property name of 'o'");
        refused(json!({"o": {"i": [{"1": 1}]}}), "'1' is not a valid nested property name of 'o.i'");
        refused(json!({"o": {}}), "property 'o': At least one nested property is required");
        refused(json!({"o": {"i": [{}]}}), "property 'o.i': At least one nested property is required");
    }

    #[test]
    fn objects_grow_by_what_their_values_have() {
        let settings = Settings::of_tests();
        let builder = Builder { settings: &settings, wire: Wire::Rest };
        let mut collection = defaults::new_collection(&settings, "Book");
        let mut grows = |given: Json| {
            let extension = builder.extension(&collection, given.as_object().expect("a map")).expect("an extension");
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
