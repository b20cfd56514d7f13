//! Reads dates as the wire does: RFC 3339 with Go's liberties (a comma before the fraction, a one-digit hour).

use azimuth_engine::object::Date;

/// The date that `text` writes; digits of the fraction beyond nine are cut.
pub(crate) fn parse(text: &str) -> Option<Date> {
    let mut reader = Reader { rest: text.as_bytes() };
    let year = reader.digits(4)?;
    reader.byte(b"-")?;
    let month = reader.digits(2)?;
    reader.byte(b"-")?;
    let day = reader.digits(2)?;
    reader.byte(b"T")?;
    let hour = if reader.rest.get(1).is_some_and(u8::is_ascii_digit) { reader.digits(2)? } else { reader.digits(1)? };
    reader.byte(b":")?;
    let minute = reader.digits(2)?;
    reader.byte(b":")?;
    let second = reader.digits(2)?;
    let nanos = reader.fraction()?;
    let offset_s = reader.offset()?;
    let in_range = (1..=12).contains(&month) && day >= 1 && day <= days_of_month(year, month);
    if !reader.rest.is_empty() || !in_range || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let unix_s = days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - i64::from(offset_s);
    Some(Date { unix_s, nanos, offset_s })
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn byte(&mut self, allowed: &[u8]) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        allowed.contains(first).then_some(*first)
    }

    fn digits(&mut self, count: usize) -> Option<i64> {
        let (head, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        head.iter().try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0')))
    }

    fn fraction(&mut self) -> Option<u32> {
        if !matches!(self.rest.first(), Some(b'.' | b',')) {
            return Some(0);
        }
        self.rest = &self.rest[1..];
        let count = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = self.rest.split_at(count);
        self.rest = rest;
        let nine = digits.iter().map(|digit| u32::from(digit - b'0')).chain(std::iter::repeat(0)).take(9);
        (count > 0).then(|| nine.fold(0, |sum, digit| sum * 10 + digit))
    }

    fn offset(&mut self) -> Option<i32> {
        let sign = match self.byte(b"Z+-")? {
            b'Z' => return Some(0),
            b'+' => 1,
            _ => -1,
        };
        let hours = self.digits(2)?;
        self.byte(b":")?;
        let minutes = self.digits(2)?;
        if hours > 24 || minutes > 59 {
            return None;
        }
        i32::try_from(sign * (hours * 3600 + minutes * 60)).ok()
    }
}

fn days_of_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted_month = (month + 9) % 12;
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn reads_what_the_wire_reads() {
        let check = |text: &str, want: Option<&str>| {
            assert_eq!(parse(text).map(|date| date.to_string()).as_deref(), want, "{text}");
        };
        check("2020-05-06T07:08:09.100Z", Some("2020-05-06T07:08:09.1Z"));
        check("2020-05-06T7:08:09,5+01:30", Some("2020-05-06T07:08:09.5+01:30"));
        check("2000-02-29T12:34:56.1234567899-00:00", Some("2000-02-29T12:34:56.123456789Z"));
        check("0001-01-01T00:00:00Z", Some("0001-01-01T00:00:00Z"));
        for wrong in ["2023-02-29T00:00:00Z", "2021-03-04t05:06:07z", "2021-03-04T24:00:00Z", "2021-03-04T05:06:07.Z"] {
            check(wrong, None);
        }
    }
}
