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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parsed(given: &Json) -> Result<Phone, String> {
        parse(given.as_object().expect("a map"))
    }

    #[test]
    fn a_number_is_formatted_by_the_plan_of_its_country() {
        let national = parsed(&json!({"input": "030 1234567", "defaultCountry": "de"})).expect("a national number");
        let international = parsed(&json!({"input": "+49 30 1234567"})).expect("an international number");
        assert_eq!((national.default_country.as_str(), international.default_country.as_str()), ("DE", ""));
        for phone in [national, international] {
            assert_eq!((phone.country_code, phone.national, phone.valid), (49, 301_234_567, true));
            assert_eq!(phone.international_formatted, "+49 30 1234567");
            assert_eq!(phone.national_formatted, "030 1234567");
        }
        let odd = parsed(&json!({"input": "+1 23"})).expect("a number outside of the plan");
        assert!(!odd.valid);
    }

    #[test]
    fn what_is_no_number_is_refused() {
        let check = |given: Json, want: &str| {
            let error = parsed(&given).expect_err("no number");
            assert!(error.contains(want), "{given}: {error}");
        };
        check(json!({}), "missing required field 'input'");
        check(json!({"input": 5}), "phoneNumber.input must be a string");
        check(json!({"input": "+49 30 1", "defaultCountry": 5}), "phoneNumber.defaultCountry must be a string");
        check(json!({"input": "030 1234567"}), "invalid or missing defaultCountry");
        check(json!({"input": "030 1234567", "defaultCountry": "XX"}), "invalid or missing defaultCountry");
        check(json!({"input": "word", "defaultCountry": "DE"}), "is not a number");
        check(json!({"input": "1".repeat(300), "defaultCountry": "DE"}), "is not a number");
    }
}
