//! Fuzz targets of the on-disk formats: damaged bytes give an error, and a decoded value survives encoding and
//! decoding.

use std::collections::BTreeMap;

use azimuth_fuzz::check;
use roaring::RoaringTreemap;
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::Error;
use crate::command::{Command, NewShard, Patch, PutMode, ShardChange};
use crate::ids::{CollectionId, DocId, GroupId, PropertyId, ShardId, ShardKey, VectorId};
use crate::inverted::form::{column, docset, postings, segment, terms};
use crate::level::FeatureLevel;
use crate::object::codec::{self, Header, Wanted};
use crate::object::{Beacon, Date, Geo, Object, Phone, Properties, Value, Vector, Vectors};
use crate::query::{
    Charge, Filter, FilterValue, IdSet, Include, Operator, Path, ShardAnswer, ShardRead, Subject, decode_answer,
    encode_answer,
};
use crate::replica::Batch;
use crate::schema::{
    Alias, Collection, DataType, GivenIds, Primitive, Property, Shard, TenantStatus, TextAnalyzer, Tokenization,
    decode_schema, encode_schema,
};
use crate::storage::{key, record};
use crate::tokenizer;

/// One value of every kind.
fn properties() -> Properties {
    let phone = Phone {
        input: "020 1234567".into(),
        default_country: "nl".into(),
        international_formatted: "+31 20 1234567".into(),
        national_formatted: "020 1234567".into(),
        national: 201_234_567,
        country_code: 31,
        valid: true,
    };
    let nested = BTreeMap::from([("deep".to_owned(), Value::List(vec![Value::Null, Value::Bool(true)]))]);
    let beacon = |collection: Option<&str>| Beacon { collection: collection.map(str::to_owned), id: Uuid::nil() };
    BTreeMap::from([
        ("blob".to_owned(), Value::Blob("aGk=".into())),
        ("bools".to_owned(), Value::List(vec![Value::Bool(false)])),
        ("date".to_owned(), Value::Date(Date { unix_s: -1, nanos: 5, offset_s: 3_600 })),
        ("geo".to_owned(), Value::Geo(Geo { latitude: 1.5, longitude: -2.5 })),
        ("int".to_owned(), Value::List([i64::MIN, -1, 0, 1, i64::MAX].map(Value::Int).to_vec())),
        ("number".to_owned(), Value::Number(-0.0)),
        ("object".to_owned(), Value::Object(nested)),
        ("phone".to_owned(), Value::Phone(Box::new(phone))),
        ("refs".to_owned(), Value::References(vec![beacon(None), beacon(Some("Book"))])),
        ("text".to_owned(), Value::Text("ÄÖ".into())),
        ("uuid".to_owned(), Value::Uuid(Uuid::from_u128(9))),
    ])
}

fn schema() -> Collection {
    let text = DataType::Primitive { of: Primitive::Text, list: false };
    let property = Property {
        id: PropertyId(7),
        name: "text".into(),
        description: None,
        data_type: text,
        tokenization: Some(Tokenization::Word),
        filterable: true,
        searchable: true,
        range_filterable: false,
        nested: Vec::new(),
        text_analyzer: None,
        module_config: None,
    };
    Collection { name: "Book".into(), id: CollectionId(3), properties: Some(vec![property]), ..Collection::default() }
}

#[test]
fn object_rows() {
    let header = Header {
        id: Uuid::from_u128(7),
        created_ms: -1,
        updated_ms: i64::MAX,
        vectors: vec![VectorId(0), VectorId(300)],
        tokens: vec![(PropertyId(1), 70_000)],
    };
    let schema = schema();
    let example = codec::encode(&header, &properties(), &schema).expect("a row");
    check("object-row", &[example], move |bytes| {
        let _ = codec::decode_header(bytes);
        let Ok((header, object)) = codec::decode(bytes, &Wanted::all(&schema)) else { return };
        // Decoding accepts more than encoding writes today: rows of older versions nest deeper.
        let Ok(again) = codec::encode(&header, &object.properties, &schema) else { return };
        let (second, read) = codec::decode(&again, &Wanted::all(&schema)).expect("what was written can be read");
        assert_eq!(second, header);
        // Compared as bytes, because a number may be NaN.
        assert_eq!(codec::encode(&second, &read.properties, &schema).expect("a row"), again);
    });
}

#[test]
fn vector_rows() {
    let single = codec::encode_vector(&Vector::Single(vec![1.0, -2.0, f32::MAX]));
    let multi = codec::encode_vector(&Vector::Multi { dim: 2, rows: vec![1.0; 6] });
    check("vector-row", &[single, multi], |bytes| {
        if let Ok(vector) = codec::decode_vector(bytes) {
            assert_eq!(codec::encode_vector(&vector), bytes);
        }
    });
}

#[test]
fn schema_records() {
    let example = encode_schema(&schema()).expect("a schema");
    check("schema-record", &[example], |bytes| {
        let Ok(schema) = decode_schema(bytes) else { return };
        let again = encode_schema(&schema).expect("a schema");
        let read = decode_schema(&again).expect("what was written can be read");
        assert_eq!(encode_schema(&read).expect("a schema"), again);
    });
}

fn shard() -> Shard {
    let (id, group, status) = (ShardId(70_000), GroupId::FIRST_DATA, TenantStatus::Cold);
    Shard { id, name: "tenant".into(), group, status, read_only: true, version: 300 }
}

#[test]
fn records_of_shards() {
    let mut given = GivenIds::default();
    for id in [7, 2, 300] {
        given.hear(ShardId(id)).expect("an id");
    }
    let examples = [record::encode(&shard()).expect("a record"), record::encode(&given).expect("a record")];
    check("shard-record", &examples, |bytes| {
        if let Ok(shard) = record::decode::<Shard>("shard", bytes) {
            let again = record::encode(&shard).expect("a record");
            assert_eq!(record::decode::<Shard>("shard", &again).expect("what was written can be read"), shard);
        }
        if let Ok(mut given) = record::decode::<GivenIds>("ids", bytes) {
            let _ = (given.has(ShardId(5)), given.next(), given.hear(ShardId(9)));
        }
    });
}

#[test]
fn reads_of_shards() {
    let at = ShardKey { collection: CollectionId(3), shard: ShardId(1) };
    let path = Path { through: Vec::new(), subject: Subject::Property("text".into()) };
    let value = FilterValue::List(vec![FilterValue::Text("a".into()), FilterValue::Int(3)]);
    let compared = Filter::Compare { path, operator: Operator::ContainsAny, value };
    let ids = IdSet::new(vec![Uuid::nil(), Uuid::from_u128(9)]);
    let refers = Filter::ReferenceIn { property: "refs".into(), collection: "Book".into(), ids };
    let filter = Filter::And(vec![Filter::Or(vec![compared, refers.clone()]), Filter::Not(Box::new(refers))]);
    let reads = [
        ShardRead::Count { at, filter: Some(filter.clone()) },
        ShardRead::Ids { at, filters: vec![filter], limit: 5, charge: Charge::default() },
        ShardRead::GetEach { at, ids: vec![Uuid::nil()], include: Include::default() },
    ];
    check("shard-read", &reads.map(|read| read.encode().expect("a read")), |bytes| {
        let Ok(read) = ShardRead::decode(bytes) else { return };
        let again = read.encode().expect("what was decoded can be encoded");
        let second = ShardRead::decode(&again).expect("what was encoded can be decoded");
        // Compared as bytes, because a number may be NaN.
        assert_eq!(second.encode().expect("a read"), again);
    });
    let answers = [
        Ok(ShardAnswer::Ids(vec![Ok(vec![Uuid::nil()]), Err(Error::Limit("too many".into()))])),
        Ok(ShardAnswer::Count(300)),
        Err(Error::Damaged("row".into())),
    ];
    check("shard-answer", &answers.map(|answer| encode_answer(&answer).expect("an answer")), |bytes| {
        let _ = decode_answer(bytes);
    });
}

#[test]
fn sets_of_doc_ids() {
    let examples = [vec![5], vec![0, 2, 65_535], (100..200).collect(), (0..65_536).step_by(2).collect()];
    check("docset", &examples.map(|members| docset::encode(&members)), |bytes| {
        let mut set = RoaringTreemap::new();
        if docset::decode_into(&mut set, DocId(70_000), bytes).is_ok() && !set.is_empty() {
            let members: Vec<u64> = set.iter().collect();
            let chunk = docset::chunk_of(70_000);
            assert!(members.iter().all(|member| chunk.contains(member)));
            let mut again = RoaringTreemap::new();
            docset::decode_into(&mut again, DocId(members[0]), &docset::encode(&members)).expect("what was written");
            assert_eq!(again, set);
        }
    });
}

#[test]
fn blocks_of_postings() {
    let posting = |doc_id, frequency, length| postings::Posting { doc_id: DocId(doc_id), frequency, length };
    let example = postings::encode(&[posting(9, 1, 12), posting(10, 300, 4_000_000), posting(1 << 40, 2, 1)]);
    let list: Vec<_> = (0..300).map(|n| posting(9 + u64::from(n) * 3, n % 5, n)).collect();
    let among = (0..400).step_by(7).chain([1 << 40]).collect();
    check("postings", &[example, postings::encode(&list)], move |bytes| {
        let mut found = Vec::new();
        let searched = postings::Blocks::parse(DocId(9), bytes)
            .and_then(|blocks| blocks.each_among(&among, |doc_id| found.push(doc_id)));
        let (mut table, mut postings, mut tabled) = (Vec::new(), Vec::new(), Vec::new());
        let counted = postings::tabulate(DocId(9), bytes, 0, &mut table, &mut postings);
        let blocks = table.iter().try_for_each(|block| {
            block.decode(bytes, &mut postings)?;
            tabled.extend_from_slice(&postings);
            crate::Result::Ok(())
        });
        let Ok(block) = postings::decode(DocId(9), bytes) else { return };
        counted.and(blocks).expect("what can be decoded can be ranked");
        assert_eq!(tabled, block);
        searched.expect("what can be decoded can be searched");
        let has: RoaringTreemap = block.iter().map(|posting| posting.doc_id.0).collect();
        assert_eq!(found, (&among & &has).iter().collect::<Vec<_>>());
        assert_eq!(postings::decode(DocId(9), &postings::encode(&block)).expect("what was written"), block);
    });
}

#[test]
fn column_values() {
    let mut examples = Vec::new();
    for value in properties().into_values().chain([Value::Int(3), Value::Uuid(Uuid::nil()), Value::List(Vec::new())]) {
        let mut column = column::Column::default();
        [9, 10, 12].iter().for_each(|doc_id| column.push(DocId(*doc_id), &value));
        examples.extend(column.entries().map(|(_, bytes)| bytes));
    }
    check("column", &examples, |bytes| {
        let mut read = column::Column::default();
        let decoded = read.decode(DocId(9), bytes);
        let counted = column::each(DocId(9), bytes, |_| false, |_, _| Ok(()));
        // Skipped values are checked less than decoded ones.
        assert!(decoded.is_err() || counted.is_ok());
        if decoded.is_ok() {
            let (first, again) = read.entries().next().expect("an entry has values");
            let mut second = column::Column::default();
            second.decode(first, &again).expect("what was written can be read");
            assert_eq!(second, read);
        }
    });
}

#[test]
fn segments_of_the_inverted_index() {
    let entries: [(&[u8], &[u8]); 4] = [(b"a", b"1"), (b"ab", b""), (b"b", b"22"), (b"d", b"3")];
    let mut example = segment::Writer::new(4, 20);
    entries.iter().for_each(|(key, value)| example.push(&[key], value).expect("an entry"));
    check("segment", &[example.finish()], |bytes| {
        let Ok(segment) = segment::Segment::parse(bytes) else { return };
        for n in 0..segment.len().min(10_000) {
            let _ = segment.entry(n);
        }
        let _ = segment.lower_bound(b"b");
    });
}

#[test]
fn keys_and_terms() {
    let examples = ["", "a\0b", "é"].map(|term| terms::term_key(term).to_vec());
    check("keys", &examples, |bytes| {
        let _ = (key::parse_shard(bytes), key::parse_doc_id(bytes), key::parse_id(bytes));
        if let Some((term, length)) = terms::parse_term_key(bytes) {
            assert!(length <= bytes.len() && term.bytes.len() <= length);
        }
        if let Some(end) = key::after_prefix(bytes) {
            assert!(end.as_slice() > bytes);
        }
    });
}

/// A value in postcard, as the log has it.
fn in_postcard<T: Serialize + DeserializeOwned + 'static>(name: &str, examples: &[T]) {
    let examples: Vec<Vec<u8>> = examples.iter().map(|value| postcard::to_stdvec(value).expect("an example")).collect();
    check(name, &examples, |bytes| {
        let Ok(value) = postcard::from_bytes::<T>(bytes) else { return };
        let again = postcard::to_stdvec(&value).expect("what was read can be written");
        let read: T = postcard::from_bytes(&again).expect("what was written can be read");
        assert_eq!(postcard::to_stdvec(&read).expect("what was read can be written"), again);
    });
}

#[test]
fn batches_of_commands() {
    let at = ShardKey { collection: CollectionId(3), shard: ShardId(0) };
    let id = Uuid::from_u128(5);
    let vectors = Vectors::from([(VectorId(0), Vector::Single(vec![1.0, 2.0]))]);
    let object = Object { id, created_ms: 1, updated_ms: 2, properties: properties(), vectors };
    let patch = Patch {
        set: properties(),
        remove: vec!["gone".into()],
        vectors: BTreeMap::from([(VectorId(1), None)]),
        ..Patch::default()
    };
    let alias = || Alias { name: "Also".into(), collection: "Book".into() };
    let (name, status) = ("tenant".to_owned(), TenantStatus::Hot);
    let new = NewShard { name: name.clone(), group: GroupId::FIRST_DATA, status };
    let change = ShardChange { name, expected: Some(status), status: None, read_only: Some(true) };
    let commands = vec![
        Command::CreateCollection(Box::new(schema())),
        Command::UpdateCollection { expected_version: 4, collection: Box::new(schema()) },
        Command::DeleteCollection(CollectionId(3)),
        Command::PutCollection(Box::new(schema())),
        Command::DropShard(CollectionId(3), ShardId(1)),
        Command::Put { at, mode: PutMode::Upsert, object: Box::new(object) },
        Command::Merge { at, id, patch: Box::new(patch), updated_ms: 9 },
        Command::Delete { at, id },
        Command::CreateSharded { collection: Box::new(schema()), shards: vec![new.clone()] },
        Command::CreateShards { collection: at.collection, shards: vec![new.clone(), new] },
        Command::UpdateShards { collection: at.collection, changes: vec![change] },
        Command::DropShards { collection: at.collection, names: vec!["tenant".into()] },
        Command::PutShards { collection: at.collection, shards: vec![shard()] },
        Command::RaiseLevel(FeatureLevel::SUPPORTED),
        Command::CreateAlias(alias()),
        Command::UpdateAlias(alias()),
        Command::DropAlias("Also".into()),
    ];
    let alone = commands.iter().map(|command| Batch { proposer: 1, sequence: 2, commands: vec![command.clone()] });
    let mut examples: Vec<Batch> = alone.collect();
    examples.push(Batch { proposer: u64::MAX, sequence: 3, commands });
    in_postcard("batch", &examples);
}

#[test]
fn tokenizers() {
    use Tokenization::{Field, Lowercase, Trigram, Whitespace, Word};
    let examples = ["The quick brown fox, isn't it?", "École e\u{301}cole ÆRØ ŋ İ", "東京 🙂 \u{301}\u{0} *a?b*", ""];
    check("tokenizer", &examples.map(|text| text.as_bytes().to_vec()), |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let ignore = text.chars().next().map(String::from).into_iter().collect();
        let folding = TextAnalyzer { ascii_fold: Some(true), ascii_fold_ignore: ignore, stopword_preset: None };
        let folded = tokenizer::analyze(Some(&folding), &text);
        for tokenization in [Word, Lowercase, Whitespace, Field, Trigram] {
            for text in [&text, &folded] {
                let terms = tokenizer::tokenize(tokenization, text);
                // No term of a term: cutting is complete. Trigrams of a trigram are the trigram.
                for term in &terms {
                    assert_eq!(
                        tokenizer::tokenize(tokenization, term),
                        [term.as_str()],
                        "{tokenization:?} of {text:?}"
                    );
                }
                let _ = tokenizer::tokenize_pattern(tokenization, text);
            }
        }
    });
}
