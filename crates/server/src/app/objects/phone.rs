//! Phone numbers: what was given, parsed and formatted by the plan of its country.

use azimuth_engine::object::Phone;
use phonenumber::Mode;
use phonenumber::country::Id;
use serde_json::{Map, Value as Json};

/// Longest input that is parsed.
const INPUT_CHARS_MAX: usize = 250;

/// The phone number that `map` (`input`, optional `defaultCountry`) describes.
///
/// # Errors
/// Why it is none, in the wire's words.
pub(super) fn parse(map: &Map<String, Json>) -> Result<Phone, String> {
    let input = match map.get("input") {
        None => return Err("phoneNumber is missing required field 'input'".to_owned()),
        Some(Json::String(input)) => input,
        Some(_) => return Err("phoneNumber.input must be a string".to_owned()),
    };
    let country = match map.get("defaultCountry") {
        None => String::new(),
        Some(Json::String(country)) => country.to_uppercase(),
        Some(_) => return Err("phoneNumber.defaultCountry must be a string".to_owned()),
    };
    number(input, country).map_err(|why| format!("invalid phone number: {why}"))
}

fn number(input: &str, country: String) -> Result<Phone, &'static str> {
    let not_a_number = "the phone number supplied is not a number";
    let digits = input.chars().filter(char::is_ascii_digit).count();
    if digits < 2 || input.chars().count() > INPUT_CHARS_MAX {
        return Err(not_a_number);
    }
    let id: Option<Id> = country.parse().ok();
    if id.is_none() && !input.trim_start().starts_with('+') {
        return Err("invalid or missing defaultCountry - this field is optional if the specified number is in the \
                    international format, but required if the number is in national format, use ISO 3166-1 alpha-2");
    }
    let parsed = phonenumber::parse(id, input).map_err(|_| not_a_number)?;
    Ok(Phone {
        input: input.to_owned(),
        default_country: country,
        international_formatted: parsed.format().mode(Mode::International).to_string(),
        national_formatted: parsed.format().mode(Mode::National).to_string(),
        national: parsed.national().value(),
        country_code: u64::from(parsed.country().code()),
        valid: phonenumber::is_valid(&parsed),
    })
}
