//! Auto-schema: collections and properties that objects name and the schema lacks come into being.

use std::collections::BTreeMap;
use std::sync::Arc;

use azimuth_engine::limits::{self, DEPTH_MAX, PROPERTIES_MAX};
use azimuth_engine::schema::{Collection, DataType, Primitive, Property, Tokenization};
use serde_json::{Map, Value as Json};

use super::convert::property_name;
use super::{Draft, Wire, beacon, date, uuid_text};
use crate::app::schema::{defaults, names};
use crate::app::{App, AppError, AppResult};
use crate::settings::Settings;

/// How often an extension is tried again when somebody else changes the same collection.
const ATTEMPTS_MAX: usize = 5;

/// Extends the schema by what `drafts` need; `create` says whether collections may come into being. The answer is per
/// draft: why its properties cannot be told, if so.
///
/// # Errors
/// What a change of the schema ends with.
pub(crate) async fn extend(app: &App, drafts: &[Draft], create: bool) -> AppResult<Vec<Option<String>>> {
    let mut refused = vec![None; drafts.len()];
    let mut by_collection: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, draft) in drafts.iter().enumerate().filter(|(_, draft)| draft.unreadable.is_none()) {
        by_collection.entry(&draft.collection).or_default().push(index);
    }
    for (name, indexes) in by_collection {
        let result = extend_one(app, name, drafts, &indexes, create, &mut refused).await;
        match result {
            Err(AppError::Invalid(why)) => {
                for index in indexes {
                    refused[index] = Some(why.clone());
                }
            }
            // One object is refused as a request for the collection would be, and so is a call over gRPC.
            Err(limit @ AppError::UsageLimit { .. }) if drafts.len() > 1 && drafts[indexes[0]].wire == Wire::Rest => {
                for index in indexes {
                    refused[index] = Some(format!("auto-schema: create collection: {limit}"));
                }
            }
            other => other?,
        }
    }
    Ok(refused)
}

async fn extend_one(
    app: &App,
    name: &str,
    drafts: &[Draft],
    indexes: &[usize],
    create: bool,
    refused: &mut [Option<String>],
) -> AppResult<()> {
    for attempt in 1.. {
        let old = app.catalog()?.find(name).cloned();
        let mut new = match &old {
            Some(collection) if indexes.iter().all(|index| knows_all(collection, &drafts[*index])) => return Ok(()),
            Some(collection) => (**collection).clone(),
            None if create && !name.is_empty() => new_collection(&app.settings, name)?,
            None => return Ok(()),
        };
        let mut changed = old.is_none();
        for index in indexes {
            let draft = &drafts[*index];
            let builder = Builder { settings: &app.settings, wire: draft.wire };
            match builder.extend_within_limits(&mut new, old.as_deref(), &draft.properties) {
                Ok(grown) => changed |= grown,
                Err(why) => refused[*index] = Some(why),
            }
        }
        // What nobody can be written to does not come into being.
        if !changed || indexes.iter().all(|index| refused[*index].is_some()) {
            return Ok(());
        }
        match apply(app, old, new).await {
            Err(AppError::Invalid(_)) if attempt < ATTEMPTS_MAX => {}
            result => return result,
        }
    }
    Ok(())
}

async fn apply(app: &App, old: Option<Arc<Collection>>, new: Collection) -> AppResult<()> {
    match old {
        Some(old) => app.update_collection(&old, new).await.map(|_| ()),
        None => app.create_collection(new).await.map(|_| ()),
    }
}

/// Whether every property is there, objects inside not looked at: the usual case, told without a copy of the schema.
fn knows_all(collection: &Collection, draft: &Draft) -> bool {
    draft.properties.iter().all(|(name, value)| {
        let property = collection.property(&property_name(name));
        property.is_some_and(|property| !matches!(property.data_type, DataType::Object { .. }) || value.is_null())
    })
}

/// Properties that a value could add, at most: those within lists of objects count once per object.
fn could_add(value: &Json) -> usize {
    match value {
        Json::Object(map) => map.values().map(|value| 1 + could_add(value)).sum(),
        Json::Array(values) => values.iter().map(could_add).sum(),
        _ => 0,
    }
}

/// Refuses values that are nested deeper than any property: before anything is made up for a part of them.
fn check_depth(value: &Json, left: usize) -> Result<(), String> {
    let below = left.checked_sub(1).ok_or_else(|| format!("objects and lists are nested deeper than {DEPTH_MAX}"));
    match value {
        Json::Object(map) => below.and_then(|left| map.values().try_for_each(|value| check_depth(value, left))),
        Json::Array(values) => below.and_then(|left| values.iter().try_for_each(|value| check_depth(value, left))),
        _ => Ok(()),
    }
}

fn new_collection(settings: &Settings, name: &str) -> AppResult<Collection> {
    names::check_class(name)?;
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

struct Builder<'a> {
    settings: &'a Settings,
    wire: Wire,
}

impl Builder<'_> {
    /// As [`Builder::extend`]; what would exceed a limit of collections is refused and adds nothing.
    fn extend_within_limits(
        &self,
        collection: &mut Collection,
        old: Option<&Collection>,
        given: &Map<String, Json>,
    ) -> Result<bool, String> {
        given.values().try_for_each(|value| check_depth(value, DEPTH_MAX))?;
        let more: usize = given.values().map(|value| 1 + could_add(value)).sum();
        if limits::property_count(collection.properties()).saturating_add(more) <= PROPERTIES_MAX {
            return self.extend(collection, given);
        }
        // A copy only where it may be too many: it costs as much as the schema is large.
        let mut extended = collection.clone();
        let grown = self.extend(&mut extended, given)?;
        if grown {
            limits::check_schema(&extended, old).map_err(|error| error.to_string())?;
            *collection = extended;
        }
        Ok(grown)
    }

    /// Adds what is missing; whether anything was.
    fn extend(&self, collection: &mut Collection, given: &Map<String, Json>) -> Result<bool, String> {
        let mut changed = false;
        for (name, value) in given {
            let name = property_name(name);
            let properties = collection.properties.get_or_insert_default();
            // Another spelling may be there: the object is refused when it is converted.
            match properties.iter_mut().find(|property| property.name.eq_ignore_ascii_case(&name)) {
                Some(property) if property.name == *name => changed |= self.grow(property, value, 0)?,
                Some(_) => {}
                None => {
                    names::check_count(properties.len() + 1).map_err(|error| error.to_string())?;
                    names::check_property(&name).map_err(|error| error.to_string())?;
                    properties.push(self.property(&name, value, 0)?);
                    changed = true;
                }
            }
        }
        Ok(changed)
    }

    /// Adds to an object property what its value has and the schema lacks; whether anything was. `depth` objects and
    /// lists are around the value.
    fn grow(&self, property: &mut Property, value: &Json, depth: usize) -> Result<bool, String> {
        let DataType::Object { list } = property.data_type else { return Ok(false) };
        let below = depth + 1 + usize::from(list);
        if below > DEPTH_MAX {
            return Err(format!("objects and lists are nested deeper than {DEPTH_MAX}"));
        }
        let mut changed = false;
        let maps: Vec<&Map<String, Json>> = match value {
            Json::Object(map) if !list => vec![map],
            Json::Array(values) if list => values.iter().filter_map(Json::as_object).collect(),
            _ => return Ok(false),
        };
        for (name, value) in maps.into_iter().flatten() {
            match property.nested.iter_mut().find(|nested| nested.name == *name) {
                Some(nested) => changed |= self.grow(nested, value, below)?,
                None => {
                    names::check_count(property.nested.len() + 1).map_err(|error| error.to_string())?;
                    property.nested.push(self.property(name, value, below)?);
                    changed = true;
                }
            }
        }
        Ok(changed)
    }

    fn property(&self, name: &str, value: &Json, depth: usize) -> Result<Property, String> {
        let nested = depth > 0;
        let data_type = self.data_type(name, value, nested)?;
        let mut property = defaults::new_property(self.settings, name, data_type);
        if property.data_type.is_text() && self.settings.autoschema_default_string == "string" {
            property.tokenization = Some(Tokenization::Whitespace);
        }
        property.description = Some(description(if nested { "nested property" } else { "property" }));
        self.grow(&mut property, value, depth)?;
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
            Some(Err(why)) => return Some(Err(why)),
            None => {}
        }
    }
    (!targets.is_empty()).then_some(Ok(targets))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::app::filter::wire_name;

    /// The type that a property with this value gets, or why it gets none.
    fn made(settings: &Settings, wire: Wire, value: Json) -> Result<String, String> {
        let mut collection = defaults::new_collection(settings, "Book");
        let given = [("p".to_owned(), value)].into_iter().collect();
        let grown = Builder { settings, wire }.extend(&mut collection, &given)?;
        assert!(grown);
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
    fn objects_grow_by_what_their_values_have() {
        let settings = Settings::of_tests();
        let builder = Builder { settings: &settings, wire: Wire::Rest };
        let mut collection = defaults::new_collection(&settings, "Book");
        let mut extend = |given: Json| builder.extend(&mut collection, given.as_object().expect("a map"));
        assert_eq!(extend(json!({"o": {"a": 1}})), Ok(true));
        assert_eq!(extend(json!({"o": {"a": 2}})), Ok(false));
        assert_eq!(extend(json!({"o": {"b": {"c": true}}, "O": null})), Ok(true));
        let names = |property: &Property| property.nested.iter().map(|nested| nested.name.clone()).collect::<Vec<_>>();
        let object = collection.property("o").expect("the object");
        assert_eq!(names(object), ["a", "b"]);
        assert_eq!(names(&object.nested[1]), ["c"]);
    }
}
