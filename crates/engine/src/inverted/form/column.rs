//! Column values as they lie on disk: the values of one property, or of one time or the id, of the objects of a chunk.
//!
//! An entry holds values of objects within one chunk of [`CHUNK`] doc ids; its key ends with the first one's doc id. An apply
//! adds an entry per column and chunk, the background joins them. The value is a version byte, the number of values as a
//! varint, the doc ids in one of the forms of [`Docs`] and the values in one of the forms of [`Form`].
//!
//! A value takes [`VALUE_BYTES_MAX`] bytes at most; of a longer one the entry says only that the row has it.

use crate::ids::DocId;
use crate::object::codec::{self, Reader, put_varint};
use crate::object::{Date, Value};
use crate::{Error, Result};
use uuid::Uuid;

/// Version of an entry, its first byte.
pub(crate) const COLUMN_VERSION: u8 = 1;
/// Doc ids per chunk.
pub(crate) const CHUNK: u64 = 1 << 12;
/// Bytes of a value that is held here, in the form that rows have.
pub(crate) const VALUE_BYTES_MAX: usize = 256;
/// In place of a value's tag: the value is longer, and in the row.
const IN_ROW: u8 = 255;

/// How the doc ids of an entry are written. Never renumber.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Docs {
    /// Each is the next one of that before it. Nothing follows.
    Run = 0,
    /// Distance from the doc id before it, a varint, for all but the first.
    Steps = 1,
}

/// How the values of an entry are written. Never renumber.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Form {
    /// As in rows: tag and body; [`IN_ROW`] alone for a longer value.
    Tagged = 0,
    /// The least one i64, a width of 0, 1, 2, 4 or 8 bytes u8, and the distance of each from the least in so many bytes.
    Ints = 1,
    /// f64 each.
    Numbers = 2,
    /// 16 bytes each.
    Uuids = 3,
}

/// A value of a column.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Stored<'a> {
    Bool(bool),
    Int(i64),
    Number(f64),
    Text(&'a str),
    Date(Date),
    Uuid(Uuid),
    /// A list, or a value that is not of the column's type.
    Other(Value),
    /// The row has the value.
    InRow,
}

/// Values of one column on their way to disk.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Column {
    docs: Vec<u64>,
    /// Where each value ends.
    ends: Vec<usize>,
    /// Values as in rows, one after another.
    values: Vec<u8>,
}

/// Doc ids of the chunk that `doc_id` lies in.
pub(crate) fn chunk_of(doc_id: u64) -> std::ops::Range<u64> {
    let start = doc_id & !(CHUNK - 1);
    start..start + CHUNK
}

impl Column {
    /// Adds the value of a document.
    pub(crate) fn push(&mut self, doc_id: DocId, value: &Value) {
        let start = self.values.len();
        if codec::bytes_min(value) <= VALUE_BYTES_MAX {
            codec::put_value(&mut self.values, value);
        }
        if !(1..=VALUE_BYTES_MAX).contains(&(self.values.len() - start)) {
            self.values.truncate(start);
            self.values.push(IN_ROW);
        }
        self.docs.push(doc_id.0);
        self.ends.push(self.values.len());
    }

    /// Adds the values of an entry; `first` is the doc id from its key.
    ///
    /// # Errors
    /// As [`each`].
    pub(crate) fn decode(&mut self, first: DocId, bytes: &[u8]) -> Result<()> {
        each(
            first,
            bytes,
            |_| true,
            |doc_id, value| {
                self.docs.push(doc_id);
                match value {
                    Stored::Bool(value) => codec::put_value(&mut self.values, &Value::Bool(value)),
                    Stored::Int(value) => codec::put_value(&mut self.values, &Value::Int(value)),
                    Stored::Number(value) => codec::put_value(&mut self.values, &Value::Number(value)),
                    Stored::Text(text) => codec::put_text_value(&mut self.values, text),
                    Stored::Date(date) => codec::put_value(&mut self.values, &Value::Date(date)),
                    Stored::Uuid(id) => codec::put_value(&mut self.values, &Value::Uuid(id)),
                    Stored::Other(value) => codec::put_value(&mut self.values, &value),
                    Stored::InRow => self.values.push(IN_ROW),
                }
                self.ends.push(self.values.len());
                Ok(())
            },
        )
    }

    /// Bytes of the values.
    pub(crate) fn bytes(&self) -> usize {
        self.values.len() + self.docs.len()
    }

    /// Number of values.
    pub(crate) fn len(&self) -> usize {
        self.docs.len()
    }

    /// Doc ids and values, each as in rows.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        self.docs.iter().zip(starts.zip(&self.ends)).map(|(doc_id, (start, end))| (*doc_id, &self.values[start..*end]))
    }

    /// The values of the doc ids that stay, ascending, each doc id once.
    pub(crate) fn cleaned(&self, stays: impl Fn(u64) -> bool) -> Self {
        let mut kept: Vec<(u64, &[u8])> = self.iter().filter(|(doc_id, _)| stays(*doc_id)).collect();
        if !kept.is_sorted_by(|(a, _), (b, _)| a < b) {
            kept.sort_by_key(|(doc_id, _)| *doc_id);
            kept.dedup_by_key(|(doc_id, _)| *doc_id);
        }
        let mut cleaned = Self::default();
        for (doc_id, value) in kept {
            cleaned.docs.push(doc_id);
            cleaned.values.extend_from_slice(value);
            cleaned.ends.push(cleaned.values.len());
        }
        cleaned
    }

    /// One entry per chunk, with its first doc id. The doc ids must ascend.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (DocId, Vec<u8>)> {
        let mut at = 0;
        self.docs.chunk_by(|a, b| chunk_of(*a) == chunk_of(*b)).map(move |docs| {
            let from = at;
            at += docs.len();
            (DocId(docs[0]), self.encode(from, at))
        })
    }

    /// The entry of the values `from..to`.
    fn encode(&self, from: usize, to: usize) -> Vec<u8> {
        let docs = &self.docs[from..to];
        debug_assert!(docs.windows(2).all(|pair| pair[0] < pair[1]), "doc ids ascend");
        let start = from.checked_sub(1).map_or(0, |before| self.ends[before]);
        let values = &self.values[start..self.ends[to - 1]];
        let mut out = Vec::with_capacity(8 + docs.len() + values.len());
        out.push(COLUMN_VERSION);
        put_varint(&mut out, docs.len() as u64);
        if docs.windows(2).all(|pair| pair[0] + 1 == pair[1]) {
            out.push(Docs::Run as u8);
        } else {
            out.push(Docs::Steps as u8);
            docs.windows(2).for_each(|pair| put_varint(&mut out, pair[1] - pair[0]));
        }
        let each = || self.iter().skip(from).take(to - from).map(|(_, value)| value);
        let all = |tag: u8| each().all(|value| value[0] == tag);
        match values[0] {
            codec::INT_TAG if all(codec::INT_TAG) => encode_ints(each(), &mut out),
            codec::NUMBER_TAG if all(codec::NUMBER_TAG) => {
                out.push(Form::Numbers as u8);
                each().for_each(|value| out.extend_from_slice(&value[1..]));
            }
            codec::UUID_TAG if all(codec::UUID_TAG) => {
                out.push(Form::Uuids as u8);
                each().for_each(|value| out.extend_from_slice(&value[1..]));
            }
            _ => {
                out.push(Form::Tagged as u8);
                out.extend_from_slice(values);
            }
        }
        out
    }
}

fn encode_ints<'v>(values: impl Iterator<Item = &'v [u8]>, out: &mut Vec<u8>) {
    let ints: Vec<i64> = values.map(|value| Reader { rest: &value[1..] }.zigzag().unwrap_or_default()).collect();
    let (least, most) = ints.iter().fold((i64::MAX, i64::MIN), |(least, most), int| (least.min(*int), most.max(*int)));
    let width = match most.abs_diff(least) {
        0 => 0,
        0x1..=0xff => 1,
        0x100..=0xffff => 2,
        0x1_0000..=0xffff_ffff => 4,
        _ => 8,
    };
    out.push(Form::Ints as u8);
    out.extend_from_slice(&least.to_le_bytes());
    out.push(width);
    for int in ints {
        out.extend_from_slice(&int.abs_diff(least).to_le_bytes()[..usize::from(width)]);
    }
}

/// Hands over the values of the doc ids that `wanted` picks, ascending. `first` is the doc id from the entry's key.
///
/// # Errors
/// [`Error::DamagedIndex`], and those of `take`.
pub(crate) fn each<'b>(
    first: DocId,
    bytes: &'b [u8],
    wanted: impl FnMut(u64) -> bool,
    take: impl FnMut(u64, Stored<'b>) -> Result<()>,
) -> Result<()> {
    each_checked(first, bytes, wanted, take).map_err(|error| match error {
        // The error of the reader of rows.
        Error::Damaged(what) => damaged(&what),
        other => other,
    })
}

fn each_checked<'b>(
    first: DocId,
    bytes: &'b [u8],
    mut wanted: impl FnMut(u64) -> bool,
    mut take: impl FnMut(u64, Stored<'b>) -> Result<()>,
) -> Result<()> {
    let mut reader = Reader { rest: bytes };
    if reader.byte()? != COLUMN_VERSION {
        return Err(damaged("unknown version"));
    }
    let count = usize::try_from(reader.varint()?).map_err(|_| damaged("count"))?;
    let chunk = chunk_of(first.0);
    if count == 0 || count as u64 > chunk.end - first.0 {
        return Err(damaged("count"));
    }
    let docs = reader.byte()?;
    let mut steps = Reader { rest: reader.rest };
    if docs == Docs::Steps as u8 {
        let mut doc_id = first.0;
        for _ in 1..count {
            let step = reader.varint()?;
            let next = doc_id.checked_add(step).filter(|doc_id| step > 0 && chunk.contains(doc_id));
            doc_id = next.ok_or_else(|| damaged("doc ids"))?;
        }
    } else if docs != Docs::Run as u8 {
        return Err(damaged("form of doc ids"));
    }
    let mut next = first.0;
    let mut step = move |n: usize| -> Result<u64> {
        if n > 0 {
            next += if docs == Docs::Run as u8 { 1 } else { steps.varint()? };
        }
        Ok(next)
    };
    let form = reader.byte()?;
    let width = match form {
        f if f == Form::Tagged as u8 => {
            for n in 0..count {
                let doc_id = step(n)?;
                if wanted(doc_id) {
                    take(doc_id, tagged(&mut reader)?)?;
                } else {
                    skip_tagged(&mut reader)?;
                }
            }
            return reader.end();
        }
        f if f == Form::Ints as u8 => return each_int(reader, count, step, wanted, take),
        f if f == Form::Numbers as u8 => 8,
        f if f == Form::Uuids as u8 => 16,
        _ => return Err(damaged("form of values")),
    };
    if reader.rest.len() != count * width {
        return Err(damaged("length"));
    }
    for (n, value) in reader.rest.chunks_exact(width).enumerate() {
        let doc_id = step(n)?;
        if wanted(doc_id) {
            let mut value = Reader { rest: value };
            let value = match width {
                8 => Stored::Number(f64::from_le_bytes(value.array()?)),
                _ => Stored::Uuid(Uuid::from_bytes(value.array()?)),
            };
            take(doc_id, value)?;
        }
    }
    Ok(())
}

fn each_int<'b>(
    mut reader: Reader<'b>,
    count: usize,
    mut step: impl FnMut(usize) -> Result<u64>,
    mut wanted: impl FnMut(u64) -> bool,
    mut take: impl FnMut(u64, Stored<'b>) -> Result<()>,
) -> Result<()> {
    let least = i64::from_le_bytes(reader.array()?);
    let width = usize::from(reader.byte()?);
    if !matches!(width, 0 | 1 | 2 | 4 | 8) || reader.rest.len() != count * width {
        return Err(damaged("width"));
    }
    for n in 0..count {
        let doc_id = step(n)?;
        let mut bytes = [0; 8];
        bytes[..width].copy_from_slice(reader.take(width)?);
        if wanted(doc_id) {
            // A distance that no encoder wrote wraps around.
            take(doc_id, Stored::Int(least.wrapping_add_unsigned(u64::from_le_bytes(bytes))))?;
        }
    }
    Ok(())
}

fn tagged<'b>(reader: &mut Reader<'b>) -> Result<Stored<'b>> {
    match reader.rest.first() {
        Some(&IN_ROW) => reader.byte().map(|_| Stored::InRow),
        Some(&codec::TEXT_TAG) => {
            reader.byte()?;
            reader.str().map(Stored::Text)
        }
        _ => Ok(match reader.value(0)? {
            Value::Bool(value) => Stored::Bool(value),
            Value::Int(value) => Stored::Int(value),
            Value::Number(value) => Stored::Number(value),
            Value::Date(date) => Stored::Date(date),
            Value::Uuid(id) => Stored::Uuid(id),
            other => Stored::Other(other),
        }),
    }
}

fn skip_tagged(reader: &mut Reader<'_>) -> Result<()> {
    match reader.rest.first() {
        Some(&IN_ROW) => reader.byte().map(drop),
        _ => reader.skip_value(0).map(drop),
    }
}

fn damaged(what: &str) -> Error {
    Error::DamagedIndex(format!("column values: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(values: &[(u64, Value)]) -> Column {
        let mut column = Column::default();
        values.iter().for_each(|(doc_id, value)| column.push(DocId(*doc_id), value));
        column
    }

    fn text(text: &str) -> Value {
        Value::Text(text.into())
    }

    fn examples() -> Vec<Vec<(u64, Value)>> {
        let ints = |ints: &[i64]| ints.iter().zip(8..).map(|(int, doc_id)| (doc_id, Value::Int(*int))).collect();
        vec![
            ints(&[5, 5]),
            ints(&[5, -7, 200]),
            ints(&[i64::MIN, 0, i64::MAX]),
            ints(&[1 << 20, 1 << 30]),
            vec![(3, Value::Number(-0.0)), (4_000, Value::Number(f64::MAX))],
            vec![(7, Value::Uuid(Uuid::from_u128(9)))],
            vec![(1, text("")), (2, text("Ä")), (9, text(&"x".repeat(254))), (12, text("z"))],
            vec![(1, Value::Bool(true)), (2, Value::Bool(false))],
            vec![(1, Value::Date(Date { unix_s: -1, nanos: 5, offset_s: 3_600 }))],
            vec![(1, Value::List(vec![])), (2, Value::List(vec![Value::Int(1)]))],
            vec![(1, Value::Int(1)), (2, Value::Number(1.0)), (3, text("x"))],
        ]
    }

    #[test]
    fn values_read_back_in_every_form() {
        for base in [0, 5 * CHUNK, 1 << 40] {
            for example in examples() {
                let example: Vec<_> = example.into_iter().map(|(doc_id, value)| (base + doc_id, value)).collect();
                let column = column(&example);
                let entries: Vec<_> = column.entries().collect();
                assert_eq!(entries.len(), 1);
                let mut read = Column::default();
                read.decode(entries[0].0, &entries[0].1).unwrap();
                assert_eq!(read, column, "{example:?}");
                let mut some = Vec::new();
                let wanted = |doc_id| doc_id == example[example.len() - 1].0;
                let mut take = |doc_id, value| {
                    some.push((doc_id, value));
                    Ok(())
                };
                each(entries[0].0, &entries[0].1, wanted, &mut take).unwrap();
                assert_eq!((some.len(), some[0].0), (1, example[example.len() - 1].0));
            }
        }
    }

    #[test]
    fn long_values_stay_in_the_row_and_chunks_apart() {
        let list = Value::List(vec![Value::Int(1); 200]);
        let column = column(&[(CHUNK - 1, text(&"x".repeat(300))), (CHUNK, list), (2 * CHUNK, text("short"))]);
        let entries: Vec<_> = column.entries().collect();
        assert_eq!(entries.iter().map(|(first, _)| first.0).collect::<Vec<_>>(), [CHUNK - 1, CHUNK, 2 * CHUNK]);
        for (first, bytes) in &entries[..2] {
            let taken = |_: u64, value| {
                assert_eq!(value, Stored::InRow);
                Ok(())
            };
            each(*first, bytes, |_| true, taken).unwrap();
            assert!(bytes.len() < 8);
        }
        assert_eq!(column.cleaned(|doc_id| doc_id != CHUNK).len(), 2);
    }

    #[test]
    fn damage_is_an_error_and_never_a_panic() {
        for example in examples() {
            let (first, bytes) = column(&example).entries().next().unwrap();
            for end in 0..bytes.len() {
                let read = Column::default().decode(first, &bytes[..end]);
                assert!(matches!(read, Err(Error::DamagedIndex(_))), "{example:?} cut at {end}");
                for bit in 0..8 {
                    let mut flipped = bytes.clone();
                    flipped[end] ^= 1 << bit;
                    drop(Column::default().decode(first, &flipped));
                    drop(each(first, &flipped, |_| false, |_, _| Ok(())));
                }
            }
        }
    }
}
