//! The size in memory of the object that a row holds, computed before the row is decoded.
//!
//! A list of small integers takes one byte each in a row and 32 in memory, so the length of a row is no measure. The
//! code here reads [`super`]'s format without keeping anything.

use super::{Reader, Tag, damaged};
use crate::Result;
use crate::limits::STORED_DEPTH_MAX;
use crate::object::{Beacon, Object, Phone, Value};

/// Bytes of a name and its value in a map, with its part of the node; the name's text comes on top.
const ENTRY_BYTES: usize = (size_of::<String>() + size_of::<Value>()) * 3 / 2;
/// Bytes that a heap block takes beside its content.
const BLOCK_BYTES: usize = 16;
/// Text of a name that the schema knows.
const NAME_BYTES: usize = 32;

/// Bytes in memory of the object that a row holds, without vectors; `properties` is whether properties are decoded at
/// all.
///
/// # Errors
/// [`Error::Damaged`](crate::Error::Damaged) if the bytes are not a row.
pub(crate) fn weight(row: &[u8], properties: bool) -> Result<usize> {
    let fixed = size_of::<Object>() + BLOCK_BYTES;
    if !properties {
        return Ok(fixed);
    }
    let mut reader = Reader { rest: row };
    reader.header()?;
    let mut bytes = fixed;
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
    /// Goes over a text; its bytes on the heap.
    fn skip_text(&mut self) -> Result<usize> {
        let len = self.count()?;
        self.take(len)?;
        Ok(len + BLOCK_BYTES)
    }

    /// Goes over a value; its bytes on the heap.
    fn skip_value(&mut self, depth: usize) -> Result<usize> {
        // The decoder defines the depth limit; the bound here only ends the recursion.
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
                // The list grows by doubling while it is read.
                let member = |reader: &mut Self| Ok(size_of::<Value>() * 3 / 2 + reader.skip_value(depth + 1)?);
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
            // The property after it is found only if the walk ends where the value does.
            let pair = [("a".to_owned(), value.clone()), ("b".to_owned(), Value::Text("x".repeat(1_000)))].into();
            let bytes = weight(&row(&pair), true).expect("a row");
            assert!((1_000..2_500).contains(&bytes), "{value:?}: {bytes}");
        }
    }

    #[test]
    fn small_members_of_lists_weigh_what_they_become() {
        let list = Value::List(vec![Value::Int(1); 10_000]);
        let row = row(&[("list".to_owned(), list)].into());
        let bytes = weight(&row, true).expect("a row");
        assert!(row.len() < 21_000 && bytes >= 10_000 * size_of::<Value>(), "{} {bytes}", row.len());
        assert!(weight(&row, false).expect("a row") < 1_000);
    }

    #[test]
    fn damaged_rows_are_refused() {
        let good = row(&[("a".to_owned(), Value::Text("text".into()))].into());
        for cut in 0..good.len() {
            assert!(weight(&good[..cut], true).is_err(), "{cut}");
        }
    }
}
