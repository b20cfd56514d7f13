//! The size in memory of the object that a row holds, computed before the row is decoded.
//!
//! A list of small integers takes one byte each in a row and 32 in memory, so the length of a row is no measure. The
//! code here reads [`super`]'s format without keeping anything.

use super::wanted::Part;
use super::{Reader, Tag, Wanted, damaged};
use crate::Result;
use crate::limits::STORED_DEPTH_MAX;
use crate::object::{Beacon, Object, Phone, Projection, Value};

/// Bytes of an entry of a map: name, value and share of the node, without the text of the name.
const ENTRY_BYTES: usize = (size_of::<String>() + size_of::<Value>()) * 3 / 2;
/// Bytes of an element of a list; decoding doubles the capacity of the list as it grows.
const MEMBER_BYTES: usize = size_of::<Value>() * 3 / 2;
/// Overhead of a heap allocation, in bytes.
const BLOCK_BYTES: usize = 16;
/// Bytes of a property name that the schema has.
const NAME_BYTES: usize = 32;
/// Bytes of a row before its lists: version, id, times.
const HEAD_BYTES: usize = 33;

/// Bytes in memory of the object that [`decode`](super::decode) makes of a row.
///
/// # Errors
/// [`Error::Damaged`](crate::Error::Damaged) if the bytes are not a row.
pub(crate) fn weight(row: &[u8], wanted: &Wanted<'_>) -> Result<usize> {
    let mut bytes = size_of::<Object>() + BLOCK_BYTES;
    if matches!(wanted.part, Part::Nothing) {
        return Ok(bytes);
    }
    let mut reader = Reader { rest: row };
    reader.skip_header()?;
    if let Part::These(these) = &wanted.part {
        these.each(&mut reader, |reader, name, projection| {
            bytes += ENTRY_BYTES + name.len() + BLOCK_BYTES + reader.part_weight(projection, 0)?;
            Ok(())
        })?;
        return Ok(bytes);
    }
    for _ in 0..reader.count()? {
        bytes += ENTRY_BYTES + NAME_BYTES;
        if reader.varint()? == 0 {
            bytes += reader.skip_text()?;
        }
        bytes += reader.skip_value(0)?;
    }
    Ok(bytes)
}

impl Reader<'_> {
    /// Skips the head of the row, up to the properties.
    fn skip_header(&mut self) -> Result<()> {
        self.take(HEAD_BYTES)?;
        for _ in 0..self.count()? {
            self.varint()?;
        }
        for _ in 0..self.count()? {
            self.varint()?;
            self.varint()?;
        }
        Ok(())
    }

    /// Skips a value and returns the heap bytes of its selected members.
    fn part_weight(&mut self, projection: &Projection, depth: usize) -> Result<usize> {
        let (Projection::These(members), Some(&tag)) = (projection, self.rest.first()) else {
            return self.skip_value(depth);
        };
        if depth > 2 * STORED_DEPTH_MAX {
            return Err(damaged("value nested too deeply"));
        }
        let mut bytes = 0;
        if tag == Tag::List as u8 {
            self.byte()?;
            for _ in 0..self.count()? {
                bytes += MEMBER_BYTES + self.part_weight(projection, depth + 1)?;
            }
        } else if tag == Tag::Object as u8 {
            self.byte()?;
            for _ in 0..self.count()? {
                let name = self.str()?;
                match members.get(name) {
                    Some(inner) => {
                        bytes += ENTRY_BYTES + name.len() + BLOCK_BYTES + self.part_weight(inner, depth + 1)?;
                    }
                    None => {
                        self.skip_value(depth + 1)?;
                    }
                }
            }
        } else {
            bytes = self.skip_value(depth)?;
        }
        Ok(bytes)
    }

    /// Skips a text and returns its heap bytes.
    fn skip_text(&mut self) -> Result<usize> {
        let len = self.count()?;
        self.take(len)?;
        Ok(len + BLOCK_BYTES)
    }

    /// Skips a value and returns its heap bytes.
    pub(crate) fn skip_value(&mut self, depth: usize) -> Result<usize> {
        // The decoder enforces the depth limit; this check only bounds the recursion.
        if depth > 2 * STORED_DEPTH_MAX {
            return Err(damaged("value nested too deeply"));
        }
        let tag = self.byte()?;
        Ok(match tag {
            t if t == Tag::Null as u8 || t == Tag::False as u8 || t == Tag::True as u8 => 0,
            t if t == Tag::Int as u8 => self.varint().map(|_| 0)?,
            t if t == Tag::Number as u8 || t == Tag::Geo as u8 => self.take(8).map(|_| 0)?,
            t if t == Tag::Uuid as u8 => self.take(16).map(|_| 0)?,
            t if t == Tag::Text as u8 || t == Tag::Blob as u8 => self.skip_text()?,
            t if t == Tag::Date as u8 => {
                self.varint()?;
                self.varint()?;
                self.varint().map(|_| 0)?
            }
            t if t == Tag::Phone as u8 => {
                let texts = (0..4).map(|_| self.skip_text()).sum::<Result<usize>>()?;
                self.varint()?;
                self.varint()?;
                self.byte()?;
                size_of::<Phone>() + texts
            }
            t if t == Tag::Object as u8 => {
                let pair = |reader: &mut Self| Ok(ENTRY_BYTES + reader.skip_text()? + reader.skip_value(depth + 1)?);
                let count = self.count()?;
                (0..count).map(|_| pair(self)).sum::<Result<usize>>()?
            }
            t if t == Tag::List as u8 => {
                let member = |reader: &mut Self| Ok(MEMBER_BYTES + reader.skip_value(depth + 1)?);
                let count = self.count()?;
                (0..count).map(|_| member(self)).sum::<Result<usize>>()?
            }
            t if t == Tag::References as u8 => {
                let count = self.count()?;
                (0..count).map(|_| self.skip_beacon()).sum::<Result<usize>>()?
            }
            unknown => return Err(damaged(&format!("value tag {unknown}"))),
        })
    }

    fn skip_beacon(&mut self) -> Result<usize> {
        let name = if self.flag()? { self.skip_text()? } else { 0 };
        self.take(16)?;
        Ok(size_of::<Beacon>() * 3 / 2 + name)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::super::{Header, encode};
    use super::*;
    use crate::object::{Date, Geo, Properties};
    use crate::schema::Collection;

    fn row(properties: &Properties) -> Vec<u8> {
        let header = Header { id: Uuid::nil(), created_ms: 0, updated_ms: 0, vectors: Vec::new(), tokens: Vec::new() };
        encode(&header, properties, &Collection::default()).expect("values within the limits")
    }

    #[test]
    fn every_kind_of_value_is_walked_to_its_end() {
        let phone = Phone {
            input: "1".into(),
            default_country: "DE".into(),
            international_formatted: "+49 1".into(),
            national_formatted: "1".into(),
            national: 1,
            country_code: 49,
            valid: true,
        };
        let beacon = |collection: Option<&str>| Beacon { collection: collection.map(str::to_owned), id: Uuid::nil() };
        let values = [
            Value::Null,
            Value::Bool(true),
            Value::Int(i64::MIN),
            Value::Number(0.5),
            Value::Text("text".into()),
            Value::Date(Date { unix_s: -1, nanos: 5, offset_s: -3_600 }),
            Value::Uuid(Uuid::nil()),
            Value::Geo(Geo { latitude: 1.0, longitude: 2.0 }),
            Value::Phone(Box::new(phone)),
            Value::Blob("YQ==".into()),
            Value::Object([("a".to_owned(), Value::List(vec![Value::Int(1), Value::Null]))].into()),
            Value::References(vec![beacon(None), beacon(Some("Book"))]),
        ];
        for value in values {
            // The next property is decoded correctly only if skipping ends exactly at the end of the value.
            let pair = [("a".to_owned(), value.clone()), ("b".to_owned(), Value::Text("x".repeat(1_000)))].into();
            let bytes = weight(&row(&pair), &Wanted::all(&Collection::default())).expect("a row");
            assert!((1_000..2_500).contains(&bytes), "{value:?}: {bytes}");
        }
    }

    #[test]
    fn small_members_of_lists_weigh_what_they_become() {
        let list = Value::List(vec![Value::Int(1); 10_000]);
        let row = row(&[("list".to_owned(), list)].into());
        let bytes = weight(&row, &Wanted::all(&Collection::default())).expect("a row");
        assert!(row.len() < 21_000 && bytes >= 10_000 * size_of::<Value>(), "{} {bytes}", row.len());
        assert!(weight(&row, &Wanted::new(&Collection::default(), &Projection::None)).expect("a row") < 1_000);
    }

    #[test]
    fn damaged_rows_are_refused() {
        let good = row(&[("a".to_owned(), Value::Text("text".into()))].into());
        for cut in 0..good.len() {
            assert!(weight(&good[..cut], &Wanted::all(&Collection::default())).is_err(), "{cut}");
        }
    }
}
