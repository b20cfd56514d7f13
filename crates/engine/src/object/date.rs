//! Points in time, each with the UTC offset of its input.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A point in time in nanoseconds, with the UTC offset of its input (years 0 to 9999).
///
/// Equality and order compare the fields, so `12:00Z` and `13:00+01:00` differ; [`Date::unix_ns`] compares
/// instants. `Display` writes RFC 3339 with trailing zeros of the fraction
/// removed and an offset of zero as `Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Date {
    /// Whole seconds since 1970-01-01T00:00:00Z, rounded down.
    pub unix_s: i64,
    /// `0..1_000_000_000`
    pub nanos: u32,
    /// Seconds east of UTC.
    pub offset_s: i32,
}

impl Date {
    /// Nanoseconds since 1970-01-01T00:00:00Z.
    pub fn unix_ns(self) -> i128 {
        i128::from(self.unix_s) * 1_000_000_000 + i128::from(self.nanos)
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let local_s = self.unix_s + i64::from(self.offset_s);
        let (days, second) = (local_s.div_euclid(86_400), local_s.rem_euclid(86_400));
        let (year, month, day) = civil_from_days(days);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        if self.nanos != 0 {
            let digits = format!("{:09}", self.nanos);
            write!(f, ".{}", digits.trim_end_matches('0'))?;
        }
        if self.offset_s == 0 {
            return f.write_str("Z");
        }
        let minutes = self.offset_s.abs() / 60;
        let sign = if self.offset_s < 0 { '-' } else { '+' };
        write!(f, "{sign}{:02}:{:02}", minutes / 60, minutes % 60)
    }
}

/// Year, month and day of a day number counted from 1970-01-01, in the proleptic Gregorian calendar.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::Date;

    #[test]
    fn writes_rfc_3339() {
        let check = |unix_s, nanos, offset_s, want: &str| {
            assert_eq!(Date { unix_s, nanos, offset_s }.to_string(), want);
        };
        check(0, 0, 0, "1970-01-01T00:00:00Z");
        check(951_827_696, 100_000_000, 0, "2000-02-29T12:34:56.1Z");
        check(951_827_696, 1, 5_400, "2000-02-29T14:04:56.000000001+01:30");
        check(951_827_696, 0, -34_200, "2000-02-29T03:04:56-09:30");
        check(-1, 0, 0, "1969-12-31T23:59:59Z");
        check(-62_135_596_800, 0, 0, "0001-01-01T00:00:00Z");
        check(253_402_300_799, 0, 0, "9999-12-31T23:59:59Z");
    }
}
