//! Properties as the wire gives them.

use std::collections::BTreeMap;

use azimuth_engine::schema::{DataType, Primitive, Property, TextAnalyzer, Tokenization};
use azimuth_engine::tokenizer::is_one_character;
use serde_json::Value;

use super::{invalid, refused_name};
use crate::app::AppResult;
use crate::app::schema::defaults::new_property;
use crate::app::schema::names;
use crate::weaviate::texts as words;

/// What a property is checked against.
pub(super) struct Surroundings<'a> {
    /// Whether a collection of that name exists, or is the one being made.
    pub(super) class_exists: &'a dyn Fn(&str) -> bool,
    /// Stop-word lists of the collection.
    pub(super) presets: Option<&'a Presets>,
}

/// Index flags and analysis as given.
struct Given<'a> {
    value: &'a Value,
    data_type: String,
}

/// Names of single types on the wire.
const PRIMITIVES: [(&str, Primitive); 10] = [
    ("text", Primitive::Text),
    ("int", Primitive::Int),
    ("number", Primitive::Number),
    ("boolean", Primitive::Boolean),
    ("date", Primitive::Date),
    ("uuid", Primitive::Uuid),
    ("geoCoordinates", Primitive::GeoCoordinates),
    ("phoneNumber", Primitive::PhoneNumber),
    ("blob", Primitive::Blob),
    ("blobHash", Primitive::BlobHash),
];

/// Reads one top-level property, whose name is checked against the others by the caller.
pub(super) fn decode(value: &Value, around: &Surroundings<'_>) -> AppResult<Property> {
    let name = names::lower_first(text(value, "name"));
    names::check_property(&name).map_err(refused_name)?;
    let given_types = texts(value, "dataType");
    let data_type = data_type(&given_types, around).map_err(|problem| match problem {
        TypeError::Reference => invalid(format!(
            "property '{name}': invalid dataType: [{}]: reference property to nonexistent class",
            given_types.join(" ")
        )),
        TypeError::Other(text) => {
            invalid(format!("property '{name}': invalid dataType: [{}]: {text}", given_types.join(" ")))
        }
    })?;
    let given = Given { value, data_type: given_types.join(" ") };
    let mut property = new_property(&name, data_type);
    property.description = value.get("description").and_then(Value::as_str).map(str::to_owned);
    property.module_config = value.get("moduleConfig").filter(|config| !config.is_null()).map(Value::to_string);
    property.nested = nested(value, &name, &property.data_type, around.presets)?;
    property.tokenization = given.tokenization(&property.data_type)?;
    given.flags(&mut property)?;
    property.text_analyzer = given.analyzer(&name, &property, around.presets)?;
    Ok(property)
}

/// The text of a field; empty when there is none.
fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn texts<'a>(value: &'a Value, field: &str) -> Vec<&'a str> {
    let list = value.get(field).and_then(Value::as_array);
    list.into_iter().flatten().map(|text| text.as_str().unwrap_or_default()).collect()
}

enum TypeError {
    /// A reference to a collection that is not there.
    Reference,
    Other(String),
}

fn data_type(given: &[&str], around: &Surroundings<'_>) -> Result<DataType, TypeError> {
    let other = |text: &str| Err(TypeError::Other(text.to_owned()));
    let Some(first) = given.first() else { return other("dataType must have at least one element") };
    if given.contains(&"") {
        return other("dataType cannot be an empty string");
    }
    if given.len() == 1 && first.starts_with(char::is_lowercase) {
        return match single(first) {
            Some(data_type) => Ok(data_type),
            None => Err(TypeError::Other(format!("unknown primitive data type '{first}'"))),
        };
    }
    for name in given {
        if names::check_class(name).is_err() {
            return Err(TypeError::Other(format!("'{name}' is not a valid class name")));
        }
        if !(around.class_exists)(name) {
            return Err(TypeError::Reference);
        }
    }
    Ok(DataType::Reference(given.iter().map(|name| (*name).to_owned()).collect()))
}

/// The type of that name, unless it is a reference.
fn single(name: &str) -> Option<DataType> {
    let (element, list) = name.strip_suffix("[]").map_or((name, false), |element| (element, true));
    match element {
        "object" => return Some(DataType::Object { list }),
        "string" => return Some(DataType::Primitive { of: Primitive::Text, list }),
        _ => {}
    }
    let of = PRIMITIVES.iter().find(|(known, _)| *known == element)?.1;
    let alone =
        matches!(of, Primitive::GeoCoordinates | Primitive::PhoneNumber | Primitive::Blob | Primitive::BlobHash);
    (!(alone && list)).then_some(DataType::Primitive { of, list })
}

/// Name of a type on the wire; a reference has several.
pub(crate) fn type_names(data_type: &DataType) -> Vec<String> {
    let listed = |name: &str, list: bool| vec![if list { format!("{name}[]") } else { name.to_owned() }];
    match data_type {
        DataType::Primitive { of, list } => {
            let name = PRIMITIVES.iter().find(|(_, known)| known == of).map_or("text", |(name, _)| *name);
            listed(name, *list)
        }
        DataType::Object { list } => listed("object", *list),
        DataType::Reference(targets) => targets.clone(),
    }
}

/// Stop-word lists of a collection by name.
type Presets = BTreeMap<String, Vec<String>>;

fn nested(value: &Value, path: &str, data_type: &DataType, presets: Option<&Presets>) -> AppResult<Vec<Property>> {
    let list = value.get("nestedProperties").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    match data_type {
        DataType::Object { .. } if list.is_empty() => Err(invalid(words::no_nested(path))),
        DataType::Object { .. } => list.iter().map(|value| decode_nested(value, path, presets)).collect(),
        _ if list.is_empty() => Ok(Vec::new()),
        _ => Err(invalid(format!(
            "property '{path}': nestedProperties not allowed for data types other than object/object[]"
        ))),
    }
}

fn decode_nested(value: &Value, above: &str, presets: Option<&Presets>) -> AppResult<Property> {
    let name = text(value, "name");
    names::check_nested(name, above).map_err(refused_name)?;
    let path = format!("{above}.{name}");
    let refuse = |text: String| Err(invalid(format!("property '{path}': {text}")));
    let types = texts(value, "dataType");
    let type_name = match types[..] {
        [one] => one,
        _ => return refuse("reference data type not allowed".to_owned()),
    };
    let data_type = match single(type_name) {
        _ if type_name.trim_end_matches("[]") == "string" => {
            return refuse(format!("data type '{type_name}' is deprecated and not allowed as nested property"));
        }
        Some(DataType::Primitive { of: Primitive::GeoCoordinates | Primitive::PhoneNumber, .. }) => {
            return refuse(format!("data type '{type_name}' not allowed as nested property"));
        }
        Some(data_type) => data_type,
        None => return refuse("reference data type not allowed".to_owned()),
    };
    let is_text = data_type.is_text();
    let tokenization = match text(value, "tokenization") {
        "" => is_text.then_some(Tokenization::Word),
        given if is_text => Some(enabled_tokenization(given)?),
        _ => return refuse(format!("Tokenization is not allowed for data type '{type_name}'")),
    };
    let flag = |name: &str| value.get(name).and_then(Value::as_bool);
    if flag("indexSearchable") == Some(true) && !is_text {
        return refuse("`indexSearchable` is not allowed for other than text/text[] data types".to_owned());
    }
    if flag("indexRangeFilters") == Some(true) && !takes_ranges(&data_type) {
        return refuse("`indexRangeFilters` is not allowed for other than number/int/date data types".to_owned());
    }
    let blob = matches!(data_type, DataType::Primitive { of: Primitive::Blob | Primitive::BlobHash, .. });
    if flag("indexFilterable") == Some(true) && blob {
        return Err(invalid(format!("property: '{path}': indexFilterable is not allowed for blob data type")));
    }
    let mut property = Property {
        id: azimuth_engine::ids::PropertyId(0),
        name: name.to_owned(),
        description: value.get("description").and_then(Value::as_str).map(str::to_owned),
        nested: nested(value, &path, &data_type, presets)?,
        tokenization,
        filterable: flag("indexFilterable").unwrap_or(!blob),
        searchable: flag("indexSearchable").unwrap_or(is_text),
        range_filterable: flag("indexRangeFilters").unwrap_or(false),
        text_analyzer: None,
        module_config: None,
        data_type,
    };
    let given = Given { value, data_type: type_name.to_owned() };
    property.text_analyzer = given.analyzer(&path, &property, presets)?;
    Ok(property)
}

/// Whether values of that type can have an index for ranges.
fn takes_ranges(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Primitive { of: Primitive::Int | Primitive::Number | Primitive::Date, list: false })
}

/// All tokenizations by name.
pub(super) const TOKENIZATIONS: [(&str, Tokenization); 9] = [
    ("word", Tokenization::Word),
    ("lowercase", Tokenization::Lowercase),
    ("whitespace", Tokenization::Whitespace),
    ("field", Tokenization::Field),
    ("trigram", Tokenization::Trigram),
    ("gse", Tokenization::Gse),
    ("kagome_kr", Tokenization::KagomeKr),
    ("kagome_ja", Tokenization::KagomeJa),
    ("gse_ch", Tokenization::GseCh),
];

/// Name of a tokenization on the wire.
pub(crate) fn tokenization_name(tokenization: Tokenization) -> &'static str {
    TOKENIZATIONS.iter().find(|(_, known)| *known == tokenization).map_or("word", |(name, _)| *name)
}

/// A tokenization by name; `None` for unknown ones, and for those that need a dictionary, which this server lacks.
pub(crate) fn without_dictionary(name: &str) -> Option<Tokenization> {
    use Tokenization::{Gse, GseCh, KagomeJa, KagomeKr};
    let known = TOKENIZATIONS.iter().find(|(known, _)| *known == name).map(|(_, tokenization)| *tokenization);
    known.filter(|tokenization| !matches!(tokenization, Gse | GseCh | KagomeJa | KagomeKr))
}

/// Reads a `textAnalyzer`.
pub(crate) fn decode_analyzer(given: &Value) -> TextAnalyzer {
    TextAnalyzer {
        ascii_fold: given.get("asciiFold").and_then(Value::as_bool),
        ascii_fold_ignore: texts(given, "asciiFoldIgnore").into_iter().map(str::to_owned).collect(),
        stopword_preset: Some(text(given, "stopwordPreset")).filter(|name| !name.is_empty()).map(str::to_owned),
    }
}

/// Checks the folding of an analyzer.
///
/// # Errors
/// The text of the refusal.
pub(crate) fn check_folding(analyzer: &TextAnalyzer) -> Result<(), String> {
    if analyzer.ascii_fold != Some(true) && !analyzer.ascii_fold_ignore.is_empty() {
        return Err("asciiFoldIgnore requires asciiFold to be enabled".to_owned());
    }
    match analyzer.ascii_fold_ignore.iter().find(|entry| !is_one_character(entry)) {
        Some(entry) => Err(format!("each asciiFoldIgnore entry must be a single character, got \"{entry}\"")),
        None => Ok(()),
    }
}

/// A tokenization that this server has.
fn enabled_tokenization(name: &str) -> AppResult<Tokenization> {
    let (language, variable) = match name {
        "gse" => ("GSE", "GSE"),
        "gse_ch" => ("Chinese", "GSE_CH"),
        "kagome_kr" => ("Korean", "KAGOME_KR"),
        "kagome_ja" => ("Japanese", "KAGOME_JA"),
        _ => {
            return without_dictionary(name).ok_or_else(|| invalid(format!("tokenization '{name}' is not known")));
        }
    };
    Err(invalid(format!(
        "the {language} tokenizer is not enabled; set 'ENABLE_TOKENIZER_{variable}' to 'true' to enable"
    )))
}

impl Given<'_> {
    fn flag(&self, name: &str) -> Option<bool> {
        self.value.get(name).and_then(Value::as_bool)
    }

    fn tokenization(&self, data_type: &DataType) -> AppResult<Option<Tokenization>> {
        let given = text(self.value, "tokenization");
        let type_name = &self.data_type;
        if type_name.starts_with("string") {
            return match given {
                "" | "word" => Ok(Some(Tokenization::Whitespace)),
                "field" => Ok(Some(Tokenization::Field)),
                _ => Err(invalid(format!("tokenization '{given}' is not allowed for data type '{type_name}'"))),
            };
        }
        match data_type {
            DataType::Primitive { of: Primitive::Text, .. } if given.is_empty() => Ok(Some(Tokenization::Word)),
            DataType::Primitive { of: Primitive::Text, .. } => enabled_tokenization(given).map(Some),
            _ if given.is_empty() => Ok(None),
            DataType::Primitive { .. } => {
                Err(invalid(format!("tokenization is not allowed for data type '{type_name}'")))
            }
            DataType::Object { .. } => Err(invalid("tokenization is not allowed for object/object[] data types")),
            DataType::Reference(_) => Err(invalid("tokenization is not allowed for reference data type")),
        }
    }

    fn flags(&self, property: &mut Property) -> AppResult<()> {
        let (filterable, searchable) = (self.flag("indexFilterable"), self.flag("indexSearchable"));
        let ranges = self.flag("indexRangeFilters");
        let text = property.data_type.is_text();
        if let Some(inverted) = self.flag("indexInverted") {
            if filterable.is_some() || searchable.is_some() || ranges.is_some() {
                return Err(invalid(
                    "`indexInverted` is deprecated and can not be set together with `indexFilterable`, \
                     `indexSearchable` or `indexRangeFilters`",
                ));
            }
            property.filterable = inverted;
            property.searchable = inverted && text;
            return Ok(());
        }
        if searchable == Some(true) && !text {
            return Err(invalid(
                "`indexSearchable` is allowed only for text/text[] data types. For other data types set false or leave \
                 empty",
            ));
        }
        if ranges == Some(true) && !takes_ranges(&property.data_type) {
            return Err(invalid(
                "`indexRangeFilters` is allowed only for number/int/date data types. For other data types set false or \
                 leave empty",
            ));
        }
        property.filterable = filterable.unwrap_or(property.filterable);
        property.searchable = searchable.unwrap_or(property.searchable);
        property.range_filterable = ranges.unwrap_or(false);
        Ok(())
    }

    /// `path` names the property in refusals.
    fn analyzer(&self, path: &str, property: &Property, presets: Option<&Presets>) -> AppResult<Option<TextAnalyzer>> {
        let Some(given) = self.value.get("textAnalyzer").filter(|given| given.is_object()) else { return Ok(None) };
        let refuse = |text: String| Err(invalid(format!("property '{path}': {text}")));
        let analyzer = decode_analyzer(given);
        if analyzer == TextAnalyzer::default() {
            return Ok(None);
        }
        if !property.data_type.is_text() {
            return refuse(format!(
                "processing options are only allowed for text and text[] data types, got '{}'",
                self.data_type
            ));
        }
        if !property.filterable && !property.searchable {
            return refuse(
                "processing options are only allowed for properties with an inverted index, got IndexSearchable=false \
                 and IndexFilterable=false"
                    .to_owned(),
            );
        }
        if let Err(text) = check_folding(&analyzer) {
            return refuse(text);
        }
        if let Some(preset) = &analyzer.stopword_preset {
            let tokenization = property.tokenization.map_or("", tokenization_name);
            if tokenization != "word" {
                return refuse(format!(
                    "stopwordPreset is only supported with tokenization \"word\", got \"{tokenization}\""
                ));
            }
            let known = presets.is_some_and(|presets| presets.contains_key(preset));
            if !known && preset != "en" && preset != "none" {
                return refuse(format!(
                    "unknown stopword preset \"{preset}\"; must be a built-in preset ('en', 'none') or defined in \
                     invertedIndexConfig.stopwordPresets"
                ));
            }
        }
        Ok(Some(analyzer))
    }
}
