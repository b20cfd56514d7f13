//! The encoding of objects on disk, in the column families `obj` and `vec`.
//!
//! A row of `obj` is: version u8, id 16 bytes, created i64, updated i64 (little-endian), then varint counted lists of
//! vectors (id), of token counts (property id, tokens) and of properties (name, value). Lengths, counts and ids are
//! LEB128 varints. A property's name is its id, or 0 and the name where the schema did not know it. Values are
//! tagged ([`Tag`]). Vectors are rows of their own in `vec` ([`VectorTag`]), so that reading properties never reads them.
//!
//! Decoding validates all bytes and returns [`Error::Damaged`] for invalid ones. It never panics, and never allocates more
//! memory than the input justifies. Every value that encoding accepts decodes to an equal value: both have the same depth
//! limit ([`STORED_DEPTH_MAX`], in objects and lists around a value).

mod wanted;
mod weight;

use uuid::Uuid;

pub(crate) use wanted::Wanted;
pub(crate) use weight::weight;

use super::{Beacon, Date, Geo, Object, Phone, Properties, Value, Vector, Vectors, value_depth};
use crate::ids::{PropertyId, VectorId};
use crate::limits::STORED_DEPTH_MAX;
use crate::schema::{Collection, PropertyLookup};
use crate::{Error, Result};

/// Creation time of an object whose head cannot be read.
pub(crate) const UNKNOWN_MS: i64 = i64::MIN;

/// Version of a row of `obj`, its first byte.
pub(crate) const OBJECT_VERSION: u8 = 1;

/// Tags of values. Never renumber.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Tag {
    /// Nothing follows.
    Null = 0,
    /// Nothing follows.
    False = 1,
    /// Nothing follows.
    True = 2,
    /// Zigzag varint.
    Int = 3,
    /// 8 bytes, f64 little-endian.
    Number = 4,
    /// Length, UTF-8.
    Text = 5,
    /// Zigzag varint seconds, varint nanos, zigzag varint offset.
    Date = 6,
    /// 16 bytes.
    Uuid = 7,
    /// Two f32 little-endian: latitude, longitude.
    Geo = 8,
    /// Input, country, international, national formatted (length, UTF-8 each), national, country code (varints), valid u8.
    Phone = 9,
    /// Length, UTF-8 (base64 as given).
    Blob = 10,
    /// Count, then name (length, UTF-8) and value each.
    Object = 11,
    /// Count, then values.
    List = 12,
    /// Count, then u8 whether a collection is named, its name if so, 16 bytes of id.
    References = 13,
}

/// Tags of values that columns recognise.
pub(crate) const INT_TAG: u8 = Tag::Int as u8;
pub(crate) const NUMBER_TAG: u8 = Tag::Number as u8;
pub(crate) const TEXT_TAG: u8 = Tag::Text as u8;
pub(crate) const UUID_TAG: u8 = Tag::Uuid as u8;

/// First byte of a row of `vec`. Never renumber.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum VectorTag {
    /// Three zero bytes, then the components, f32 little-endian.
    Single = 1,
    /// Three zero bytes, dim u32 little-endian, then the rows' components, f32 little-endian.
    Multi = 2,
}

/// The head of a row: all of it except the properties.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    pub id: Uuid,
    pub created_ms: i64,
    pub updated_ms: i64,
    /// Vectors that the object has, ascending.
    pub vectors: Vec<VectorId>,
    /// Tokens of each searchable property as they were counted into the statistics, ascending.
    pub tokens: Vec<(PropertyId, u32)>,
}

/// Encodes a row of `obj`. `object.vectors` is left out; `header` lists them.
///
/// # Errors
/// As [`encode_properties`].
pub(crate) fn encode(header: &Header, properties: &Properties, schema: &Collection) -> Result<Vec<u8>> {
    Ok(encode_row(header, &encode_properties(properties, schema)?))
}

/// Encodes the properties of a row: the only part that can fail, so callers encode it before they change any state.
///
/// # Errors
/// [`Error::Limit`] for a value that [`decode`] would not read.
pub(crate) fn encode_properties(properties: &Properties, schema: &Collection) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(256);
    put_len(&mut out, properties.len());
    let lookup = PropertyLookup::new(schema, properties.len());
    for (name, value) in properties {
        if value_depth(value) > STORED_DEPTH_MAX {
            return Err(Error::Limit(format!("property {name} is nested deeper than {STORED_DEPTH_MAX}")));
        }
        match lookup.by_name(name) {
            Some(property) if property.id.0 != 0 => put_varint(&mut out, property.id.0.into()),
            _ => {
                out.push(0);
                put_text(&mut out, name);
            }
        }
        put_value(&mut out, value);
    }
    Ok(out)
}

/// Encodes a row from its head and `properties`, which [`encode_properties`] returned.
pub(crate) fn encode_row(header: &Header, properties: &[u8]) -> Vec<u8> {
    let lists = (header.vectors.len() + 1) * 3 + (header.tokens.len() + 1) * 8;
    let mut out = Vec::with_capacity(33 + lists + properties.len());
    out.push(OBJECT_VERSION);
    out.extend_from_slice(header.id.as_bytes());
    out.extend_from_slice(&header.created_ms.to_le_bytes());
    out.extend_from_slice(&header.updated_ms.to_le_bytes());
    put_len(&mut out, header.vectors.len());
    header.vectors.iter().for_each(|vector| put_varint(&mut out, vector.0.into()));
    put_len(&mut out, header.tokens.len());
    for (property, tokens) in &header.tokens {
        put_varint(&mut out, property.0.into());
        put_varint(&mut out, (*tokens).into());
    }
    out.extend_from_slice(properties);
    out
}

/// Decodes the head of a row.
pub(crate) fn decode_header(row: &[u8]) -> Result<Header> {
    Reader { rest: row }.header()
}

/// Decodes a row into an object that has the wanted properties and no vectors. Does not read beyond the last wanted
/// property.
pub(crate) fn decode(row: &[u8], wanted: &Wanted<'_>) -> Result<(Header, Object)> {
    let mut reader = Reader { rest: row };
    let header = reader.header()?;
    let properties = reader.wanted(wanted)?;
    let object = Object {
        id: header.id,
        created_ms: header.created_ms,
        updated_ms: header.updated_ms,
        properties,
        vectors: Vectors::new(),
    };
    Ok((header, object))
}

/// Encodes a row of `vec`.
pub(crate) fn encode_vector(vector: &Vector) -> Vec<u8> {
    match vector {
        Vector::Single(values) => {
            let mut out = Vec::with_capacity(4 + values.len() * 4);
            out.extend_from_slice(&[VectorTag::Single as u8, 0, 0, 0]);
            out.extend_from_slice(bytemuck::cast_slice(values));
            out
        }
        Vector::Multi { dim, rows } => {
            let mut out = Vec::with_capacity(8 + rows.len() * 4);
            out.extend_from_slice(&[VectorTag::Multi as u8, 0, 0, 0]);
            out.extend_from_slice(&dim.to_le_bytes());
            out.extend_from_slice(bytemuck::cast_slice(rows));
            out
        }
    }
}

/// Decodes a row of `vec`.
pub(crate) fn decode_vector(row: &[u8]) -> Result<Vector> {
    let mut reader = Reader { rest: row };
    let tag = reader.byte()?;
    if reader.take(3)? != [0, 0, 0] {
        return Err(damaged("vector: reserved bytes"));
    }
    if tag == VectorTag::Single as u8 {
        return Ok(Vector::Single(reader.floats()?));
    }
    if tag != VectorTag::Multi as u8 {
        return Err(damaged("vector: tag"));
    }
    let dim = u32::from_le_bytes(reader.array()?);
    let rows = reader.floats()?;
    if dim == 0 || !rows.len().is_multiple_of(dim as usize) {
        return Err(damaged("vector: rows are no multiple of the dimension"));
    }
    Ok(Vector::Multi { dim, rows })
}

pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

fn put_zigzag(out: &mut Vec<u8>, value: i64) {
    put_varint(out, ((value << 1) ^ (value >> 63)).cast_unsigned());
}

fn put_len(out: &mut Vec<u8>, len: usize) {
    put_varint(out, len as u64);
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_len(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

/// A lower bound of the number of bytes that [`put_value`] writes for a value.
pub(crate) fn bytes_min(value: &Value) -> usize {
    match value {
        Value::Text(text) | Value::Blob(text) => text.len(),
        Value::List(values) => values.len(),
        _ => 1,
    }
}

/// Appends a text in the format of [`put_value`].
pub(crate) fn put_text_value(out: &mut Vec<u8>, text: &str) {
    out.push(TEXT_TAG);
    put_text(out, text);
}

/// Appends a value in the format of object rows.
pub(crate) fn put_value(out: &mut Vec<u8>, value: &Value) {
    let tag = |out: &mut Vec<u8>, tag: Tag| out.push(tag as u8);
    match value {
        Value::Null => tag(out, Tag::Null),
        Value::Bool(value) => tag(out, if *value { Tag::True } else { Tag::False }),
        Value::Int(value) => {
            tag(out, Tag::Int);
            put_zigzag(out, *value);
        }
        Value::Number(value) => {
            tag(out, Tag::Number);
            out.extend_from_slice(&value.to_le_bytes());
        }
        Value::Text(text) => put_text_value(out, text),
        Value::Date(date) => {
            tag(out, Tag::Date);
            put_zigzag(out, date.unix_s);
            put_varint(out, date.nanos.into());
            put_zigzag(out, date.offset_s.into());
        }
        Value::Uuid(id) => {
            tag(out, Tag::Uuid);
            out.extend_from_slice(id.as_bytes());
        }
        Value::Geo(geo) => {
            tag(out, Tag::Geo);
            out.extend_from_slice(&geo.latitude.to_le_bytes());
            out.extend_from_slice(&geo.longitude.to_le_bytes());
        }
        Value::Phone(phone) => {
            tag(out, Tag::Phone);
            put_phone(out, phone);
        }
        Value::Blob(text) => {
            tag(out, Tag::Blob);
            put_text(out, text);
        }
        Value::Object(properties) => {
            tag(out, Tag::Object);
            put_len(out, properties.len());
            for (name, value) in properties {
                put_text(out, name);
                put_value(out, value);
            }
        }
        Value::List(values) => {
            tag(out, Tag::List);
            put_len(out, values.len());
            values.iter().for_each(|value| put_value(out, value));
        }
        Value::References(beacons) => {
            tag(out, Tag::References);
            put_len(out, beacons.len());
            for beacon in beacons {
                out.push(u8::from(beacon.collection.is_some()));
                beacon.collection.iter().for_each(|name| put_text(out, name));
                out.extend_from_slice(beacon.id.as_bytes());
            }
        }
    }
}

fn put_phone(out: &mut Vec<u8>, phone: &Phone) {
    for text in [&phone.input, &phone.default_country, &phone.international_formatted, &phone.national_formatted] {
        put_text(out, text);
    }
    put_varint(out, phone.national);
    put_varint(out, phone.country_code);
    out.push(u8::from(phone.valid));
}

/// Decodes the parts of a row one after another from the start of `rest`.
pub(crate) struct Reader<'a> {
    pub rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or_else(|| damaged("cut short"))?;
        self.rest = rest;
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or_else(|| damaged("cut short"))?;
        self.rest = rest;
        Ok(*head)
    }

    pub(crate) fn byte(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn varint(&mut self) -> Result<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(damaged("varint too long"))
    }

    pub(crate) fn varint_u32(&mut self) -> Result<u32> {
        u32::try_from(self.varint()?).map_err(|_| damaged("number too large"))
    }

    fn varint_u16(&mut self) -> Result<u16> {
        u16::try_from(self.varint()?).map_err(|_| damaged("number too large"))
    }

    pub(crate) fn zigzag(&mut self) -> Result<i64> {
        let value = self.varint()?;
        Ok((value >> 1).cast_signed() ^ -((value & 1).cast_signed()))
    }

    /// Decodes the number of elements that follow. Each element takes at least one byte, which bounds the count.
    pub(crate) fn count(&mut self) -> Result<usize> {
        let count = usize::try_from(self.varint()?).map_err(|_| damaged("count"))?;
        if count > self.rest.len() { Err(damaged("count exceeds what is there")) } else { Ok(count) }
    }

    fn text(&mut self) -> Result<String> {
        self.str().map(str::to_owned)
    }

    pub(crate) fn str(&mut self) -> Result<&'a str> {
        let len = self.count()?;
        let bytes = self.take(len)?;
        std::str::from_utf8(bytes).map_err(|_| damaged("text is not UTF-8"))
    }

    fn flag(&mut self) -> Result<bool> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(damaged("flag")),
        }
    }

    fn floats(&mut self) -> Result<Vec<f32>> {
        if !self.rest.len().is_multiple_of(4) {
            return Err(damaged("vector: length"));
        }
        let values = self.rest.chunks_exact(4).map(|c| f32::from_le_bytes([c[0], c[1], c[2], c[3]])).collect();
        self.rest = &[];
        Ok(values)
    }

    pub(crate) fn end(&self) -> Result<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(damaged("bytes left over")) }
    }

    fn header(&mut self) -> Result<Header> {
        let version = self.byte()?;
        if version != OBJECT_VERSION {
            return Err(damaged(&format!("object row of unknown version {version}")));
        }
        let id = Uuid::from_bytes(self.array()?);
        let created_ms = i64::from_le_bytes(self.array()?);
        let updated_ms = i64::from_le_bytes(self.array()?);
        let count = self.count()?;
        let vectors = (0..count).map(|_| Ok(VectorId(self.varint_u16()?))).collect::<Result<_>>()?;
        let count = self.count()?;
        let tokens =
            (0..count).map(|_| Ok((PropertyId(self.varint_u16()?), self.varint_u32()?))).collect::<Result<_>>()?;
        Ok(Header { id, created_ms, updated_ms, vectors, tokens })
    }

    fn properties(&mut self, schema: &Collection) -> Result<Properties> {
        let count = self.count()?;
        let mut properties = Properties::new();
        let lookup = PropertyLookup::new(schema, count);
        for _ in 0..count {
            let name = match self.varint_u16()? {
                0 => self.text()?,
                id => (lookup.by_id(PropertyId(id)))
                    .map(|property| property.name.clone())
                    .ok_or_else(|| damaged(&format!("property {id} is not in the schema")))?,
            };
            properties.insert(name, self.value(0)?);
        }
        Ok(properties)
    }

    /// `depth` containers are around the value.
    pub(crate) fn value(&mut self, depth: usize) -> Result<Value> {
        if depth > STORED_DEPTH_MAX {
            return Err(damaged("value nested too deeply"));
        }
        let tag = self.byte()?;
        Ok(match tag {
            t if t == Tag::Null as u8 => Value::Null,
            t if t == Tag::False as u8 => Value::Bool(false),
            t if t == Tag::True as u8 => Value::Bool(true),
            t if t == Tag::Int as u8 => Value::Int(self.zigzag()?),
            t if t == Tag::Number as u8 => Value::Number(f64::from_le_bytes(self.array()?)),
            t if t == Tag::Text as u8 => Value::Text(self.text()?),
            t if t == Tag::Date as u8 => Value::Date(self.date()?),
            t if t == Tag::Uuid as u8 => Value::Uuid(Uuid::from_bytes(self.array()?)),
            t if t == Tag::Geo as u8 => Value::Geo(Geo {
                latitude: f32::from_le_bytes(self.array()?),
                longitude: f32::from_le_bytes(self.array()?),
            }),
            t if t == Tag::Phone as u8 => Value::Phone(Box::new(self.phone()?)),
            t if t == Tag::Blob as u8 => Value::Blob(self.text()?),
            t if t == Tag::Object as u8 => {
                let count = self.count()?;
                let pairs = (0..count).map(|_| Ok((self.text()?, self.value(depth + 1)?)));
                Value::Object(pairs.collect::<Result<_>>()?)
            }
            t if t == Tag::List as u8 => {
                let count = self.count()?;
                Value::List((0..count).map(|_| self.value(depth + 1)).collect::<Result<_>>()?)
            }
            t if t == Tag::References as u8 => {
                let count = self.count()?;
                Value::References((0..count).map(|_| self.beacon()).collect::<Result<_>>()?)
            }
            unknown => return Err(damaged(&format!("value tag {unknown}"))),
        })
    }

    fn date(&mut self) -> Result<Date> {
        let unix_s = self.zigzag()?;
        let nanos = self.varint_u32()?;
        let offset_s = i32::try_from(self.zigzag()?).map_err(|_| damaged("date offset"))?;
        Ok(Date { unix_s, nanos, offset_s })
    }

    fn beacon(&mut self) -> Result<Beacon> {
        let collection = if self.flag()? { Some(self.text()?) } else { None };
        Ok(Beacon { collection, id: Uuid::from_bytes(self.array()?) })
    }

    fn phone(&mut self) -> Result<Phone> {
        Ok(Phone {
            input: self.text()?,
            default_country: self.text()?,
            international_formatted: self.text()?,
            national_formatted: self.text()?,
            national: self.varint()?,
            country_code: self.varint()?,
            valid: self.flag()?,
        })
    }
}

fn damaged(what: &str) -> Error {
    Error::Damaged(format!("object row: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Projection;
    use std::collections::BTreeMap;

    fn schema() -> Collection {
        Collection::default()
    }

    fn row() -> (Header, Properties, Vec<u8>) {
        let header = Header {
            id: Uuid::from_u128(7),
            created_ms: -1,
            updated_ms: i64::MAX,
            vectors: vec![VectorId(0), VectorId(300)],
            tokens: vec![(PropertyId(1), 70_000)],
        };
        let nested = BTreeMap::from([("deep".to_owned(), Value::List(vec![Value::Null, Value::Bool(true)]))]);
        let beacon = |collection: Option<&str>| Beacon { collection: collection.map(str::to_owned), id: Uuid::nil() };
        let properties = BTreeMap::from([
            ("int".to_owned(), Value::List([i64::MIN, -1, 0, 1, i64::MAX].map(Value::Int).to_vec())),
            ("number".to_owned(), Value::Number(-0.0)),
            ("object".to_owned(), Value::Object(nested)),
            ("refs".to_owned(), Value::References(vec![beacon(None), beacon(Some("Book"))])),
            ("text".to_owned(), Value::Text("ÄÖ".into())),
        ]);
        let bytes = encode(&header, &properties, &schema()).unwrap();
        (header, properties, bytes)
    }

    #[test]
    fn rows_read_back() {
        let (header, properties, bytes) = row();
        let (found, object) = decode(&bytes, &Wanted::all(&schema())).unwrap();
        assert_eq!((found, object.properties), (header.clone(), properties));
        assert_eq!(decode_header(&bytes).unwrap(), header);
        assert!(decode(&bytes, &Wanted::new(&schema(), &Projection::None)).unwrap().1.properties.is_empty());
    }

    #[test]
    fn damage_is_an_error_and_never_a_panic() {
        let (_, _, bytes) = row();
        for end in 0..bytes.len() {
            assert!(matches!(decode(&bytes[..end], &Wanted::all(&schema())), Err(Error::Damaged(_))), "cut at {end}");
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[end] ^= 1 << bit;
                drop(decode(&flipped, &Wanted::all(&schema())));
            }
        }
        let vector = encode_vector(&Vector::Multi { dim: 2, rows: vec![1.0; 4] });
        for end in (0..vector.len()).filter(|end| *end < 8 || end % 8 != 0) {
            assert!(matches!(decode_vector(&vector[..end]), Err(Error::Damaged(_))), "cut at {end}");
        }
    }

    #[test]
    fn what_is_encoded_reads_back_at_every_depth() {
        let header = row().0;
        let leaves =
            [Value::Null, Value::List(Vec::new()), Value::Object(Properties::new()), Value::References(vec![])];
        for leaf in leaves {
            let mut value = leaf;
            for depth in 0..STORED_DEPTH_MAX + 4 {
                let properties = Properties::from([("p".to_owned(), value.clone())]);
                match encode(&header, &properties, &schema()) {
                    Ok(bytes) => assert_eq!(decode(&bytes, &Wanted::all(&schema())).unwrap().1.properties, properties),
                    Err(error) => {
                        assert!(matches!(error, Error::Limit(_)) && value_depth(&value) > STORED_DEPTH_MAX, "{error}");
                    }
                }
                let object = |value| Value::Object([("o".to_owned(), value)].into());
                value = if depth % 2 == 0 { Value::List(vec![Value::Null, value]) } else { object(value) };
            }
        }
    }

    /// The bytes of the deepest value that a version without shared limits could write and then not read: 32 lists of
    /// objects around a list.
    #[test]
    fn the_deepest_row_of_earlier_versions_is_read() {
        let mut bytes = encode(&row().0, &Properties::new(), &schema()).unwrap();
        bytes.pop();
        bytes.extend([1, 0, 1, b'p']);
        for _ in 0..32 {
            bytes.extend([Tag::List as u8, 1, Tag::Object as u8, 1, 1, b'a']);
        }
        bytes.extend([Tag::List as u8, 1, Tag::Text as u8, 1, b'x']);
        let (header, object) = decode(&bytes, &Wanted::all(&schema())).unwrap();
        assert_eq!(value_depth(&object.properties["p"]), 65);
        assert_eq!(encode(&header, &object.properties, &schema()).unwrap(), bytes);
    }

    #[test]
    fn depth_and_counts_have_limits() {
        let mut bytes = encode(&row().0, &Properties::new(), &schema()).unwrap();
        bytes.pop();
        // One property without an id and with an empty name, then lists in lists.
        bytes.extend([1, 0, 0]);
        bytes.extend([Tag::List as u8, 1].repeat(100_000));
        assert!(matches!(decode(&bytes, &Wanted::all(&schema())), Err(Error::Damaged(_))));
        let mut reader = Reader { rest: &[0xff, 0xff, 0xff, 0xff, 0x0f, 1] };
        assert!(reader.count().is_err());
    }
}
