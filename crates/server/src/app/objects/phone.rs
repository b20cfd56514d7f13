//! Phone numbers: what was given, parsed and formatted by the plan of its country.

use azimuth_engine::object::Phone;
use phonenumber::Mode;
use phonenumber::country::Id;

use super::error::ValueError;
use super::input::{InputMap, InputValue};

/// Longest input that is parsed.
const INPUT_CHARS_MAX: usize = 250;

/// The phone number that `map` (`input`, optional `defaultCountry`) describes.
///
/// # Errors
/// Why it is none.
pub(super) fn parse(map: &InputMap) -> Result<Phone, ValueError> {
    let text = |name: &'static str| match map.get(name) {
        None => Ok(None),
        Some(InputValue::Text(text)) => Ok(Some(text.as_str())),
        Some(other) => Err(ValueError::WrongField { name, kind: other.kind() }),
    };
    let input = text("input")?.ok_or(ValueError::MissingField("input"))?;
    let country = text("defaultCountry")?.unwrap_or_default().to_uppercase();
    number(input, country)
}

fn number(input: &str, country: String) -> Result<Phone, ValueError> {
    let digits = input.chars().filter(char::is_ascii_digit).count();
    if digits < 2 || input.chars().count() > INPUT_CHARS_MAX {
        return Err(ValueError::NotAPhoneNumber);
    }
    let id: Option<Id> = country.parse().ok();
    if id.is_none() && !input.trim_start().starts_with('+') {
        return Err(ValueError::NoCountry);
    }
    let parsed = phonenumber::parse(id, input).map_err(|_| ValueError::NotAPhoneNumber)?;
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
    use super::*;
    use crate::app::objects::input::InputKind;

    fn parsed(given: &[(&str, InputValue)]) -> Result<Phone, ValueError> {
        parse(&given.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
    }

    fn text(text: &str) -> InputValue {
        InputValue::Text(text.to_owned())
    }

    #[test]
    fn a_number_is_formatted_by_the_plan_of_its_country() {
        let national = parsed(&[("input", text("030 1234567")), ("defaultCountry", text("de"))]);
        let international = parsed(&[("input", text("+49 30 1234567"))]);
        let (national, international) = (national.expect("a number"), international.expect("a number"));
        assert_eq!((national.default_country.as_str(), international.default_country.as_str()), ("DE", ""));
        for phone in [national, international] {
            assert_eq!((phone.country_code, phone.national, phone.valid), (49, 301_234_567, true));
            assert_eq!(phone.international_formatted, "+49 30 1234567");
            assert_eq!(phone.national_formatted, "030 1234567");
        }
        let odd = parsed(&[("input", text("+1 23"))]).expect("a number outside of the plan");
        assert!(!odd.valid);
    }

    #[test]
    fn what_is_no_number_is_refused() {
        let check = |given: &[(&str, InputValue)], want: ValueError| {
            assert_eq!(parsed(given).expect_err("no number"), want, "{given:?}");
        };
        let wrong = |name| ValueError::WrongField { name, kind: InputKind::Int };
        check(&[], ValueError::MissingField("input"));
        check(&[("input", InputValue::Int(5))], wrong("input"));
        check(&[("input", text("+49 30 1")), ("defaultCountry", InputValue::Int(5))], wrong("defaultCountry"));
        check(&[("input", text("030 1234567"))], ValueError::NoCountry);
        check(&[("input", text("030 1234567")), ("defaultCountry", text("XX"))], ValueError::NoCountry);
        check(&[("input", text("word")), ("defaultCountry", text("DE"))], ValueError::NotAPhoneNumber);
        check(&[("input", text(&"1".repeat(300))), ("defaultCountry", text("DE"))], ValueError::NotAPhoneNumber);
    }
}
