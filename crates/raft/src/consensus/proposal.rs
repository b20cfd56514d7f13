//! A batch of commands on its way into the log.
//!
//! It is bytes from the task that proposes it until it is applied: in the queue, in the log, and between nodes. Only
//! apply needs the commands.

use azimuth_engine::command::Command;
use azimuth_engine::replica::Batch;
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A command in postcard, encoded by the task that proposes it.
#[derive(Debug)]
pub(crate) struct EncodedCommand(Vec<u8>);

impl EncodedCommand {
    /// Encodes it.
    pub(crate) fn new(command: &Command) -> Result<Self, postcard::Error> {
        Ok(Self(postcard::to_stdvec(command)?))
    }

    /// Bytes of the encoded form.
    pub(crate) fn bytes(&self) -> usize {
        self.0.len()
    }
}

/// A batch in postcard. Clones share the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proposal(Bytes);

impl Proposal {
    /// Puts a batch together: its two numbers, how many commands, the commands.
    pub(crate) fn new(proposer: u64, sequence: u64, commands: &[EncodedCommand]) -> Result<Self, postcard::Error> {
        let bytes = commands.iter().map(EncodedCommand::bytes).sum::<usize>();
        let mut payload = Vec::with_capacity(bytes + 24);
        payload = postcard::to_extend(&(proposer, sequence, commands.len()), payload)?;
        for command in commands {
            payload.extend_from_slice(&command.0);
        }
        Ok(Self(payload.into()))
    }

    /// A batch that the log or another node has. The bytes are checked when they are decoded.
    pub(crate) fn of_payload(payload: Bytes) -> Self {
        Self(payload)
    }

    /// The batch in postcard.
    pub(crate) fn payload(&self) -> &Bytes {
        &self.0
    }

    /// Reads the batch.
    pub(crate) fn decode(&self) -> Result<Batch, postcard::Error> {
        postcard::from_bytes(&self.0)
    }
}

impl Serialize for Proposal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serde_bytes::serialize(self.0.as_ref(), serializer)
    }
}

impl<'de> Deserialize<'de> for Proposal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let payload: Vec<u8> = serde_bytes::deserialize(deserializer)?;
        Ok(Self(payload.into()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use azimuth_engine::command::{NewShard, Patch, PutMode, ShardChange};
    use azimuth_engine::ids::{CollectionId, DocId, GroupId, ShardId, ShardKey, VectorId};
    use azimuth_engine::level::FeatureLevel;
    use azimuth_engine::object::{Beacon, Date, Geo, Object, Phone, Value, Vector};
    use azimuth_engine::replica::LogPosition;
    use azimuth_engine::schema::{Alias, Shard, TenantStatus};
    use uuid::Uuid;

    use super::*;
    use crate::raftlog::{Kind, Record};
    use crate::sample;

    #[test]
    fn payload_is_the_batch_in_postcard() {
        let commands: Vec<_> = (0..300).map(|id| Command::DeleteCollection(CollectionId(id))).collect();
        let encoded: Vec<_> = commands.iter().map(|command| EncodedCommand::new(command).unwrap()).collect();
        let proposal = Proposal::new(u64::MAX, 300, &encoded).unwrap();
        let batch = Batch { proposer: u64::MAX, sequence: 300, commands };
        assert_eq!(proposal.payload().as_ref(), postcard::to_stdvec(&batch).unwrap());
        assert_eq!(Proposal::of_payload(proposal.payload().clone()).decode().unwrap(), batch);
        assert!(Proposal::of_payload(proposal.payload().slice(..20)).decode().is_err());
    }

    const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/consensus/fixtures/commands-3.bin");
    const GROUP: GroupId = GroupId(3);

    /// What the frozen entry must say, whatever is added to the schema's types later. `AZIMUTH_WRITE_FIXTURES=1` writes it;
    /// only ever for a new kind of entry, never to make this test pass.
    #[test]
    fn entries_written_before_still_read() {
        let position = LogPosition { term: 2, node: 5, index: 77 };
        let expected = Batch { proposer: 1 << 40, sequence: 9, commands: every_command() };
        if std::env::var("AZIMUTH_WRITE_FIXTURES").is_ok() {
            let payload = postcard::to_stdvec(&expected).unwrap().into();
            std::fs::write(FIXTURE, Record { position, kind: Kind::Batch, payload }.encode(GROUP).unwrap()).unwrap();
        }
        let record = Record::decode(GROUP, position.index, include_bytes!("fixtures/commands-3.bin")).unwrap();
        assert_eq!((record.position, record.kind), (position, Kind::Batch));
        assert_eq!(Proposal::of_payload(record.payload).decode().unwrap(), expected);
    }

    /// As above, for the command that was added after those.
    #[test]
    fn entries_with_conditional_deletions_still_read() {
        const LATER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/consensus/fixtures/delete-version-3.bin");
        let position = LogPosition { term: 2, node: 5, index: 78 };
        let at = ShardKey { collection: CollectionId(300), shard: ShardId(70_000) };
        let id = Uuid::from_u128(0x1234_5678);
        let commands = vec![Command::DeleteVersion { at, id, doc_id: DocId(1 << 40) }, Command::Delete { at, id }];
        let expected = Batch { proposer: 1 << 40, sequence: 10, commands };
        if std::env::var("AZIMUTH_WRITE_FIXTURES").is_ok() {
            let payload = postcard::to_stdvec(&expected).unwrap().into();
            std::fs::write(LATER, Record { position, kind: Kind::Batch, payload }.encode(GROUP).unwrap()).unwrap();
        }
        let record = Record::decode(GROUP, position.index, include_bytes!("fixtures/delete-version-3.bin")).unwrap();
        assert_eq!((record.position, record.kind), (position, Kind::Batch));
        assert_eq!(Proposal::of_payload(record.payload).decode().unwrap(), expected);
    }

    /// As above, for the commands on shards.
    #[test]
    fn entries_with_shards_still_read() {
        const LATER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/consensus/fixtures/shards-3.bin");
        let position = LogPosition { term: 2, node: 5, index: 79 };
        let collection = CollectionId(300);
        let (group, name) = (GroupId::FIRST_DATA, |n: u32| format!("tenant-{n}"));
        let new = |n, status| NewShard { name: name(n), group, status };
        let new = vec![new(1, TenantStatus::Hot), new(2, TenantStatus::Cold), new(3, TenantStatus::Frozen)];
        let change = |expected, status, read_only| ShardChange { name: name(1), expected, status, read_only };
        let changes = vec![
            change(None, None, None),
            change(Some(TenantStatus::Cold), Some(TenantStatus::Hot), Some(true)),
            change(None, Some(TenantStatus::Frozen), Some(false)),
        ];
        let (id, status) = (ShardId(70_000), TenantStatus::Cold);
        let shard = Shard { id, name: name(1), group, status, read_only: true, version: 1 << 40 };
        let mut schema = sample::collection(300, "Frozen");
        (schema.listed, schema.listed_next) = (None, None);
        let commands = vec![
            Command::CreateSharded { collection: Box::new(schema), shards: new.clone() },
            Command::CreateShards { collection, shards: new },
            Command::UpdateShards { collection, changes },
            Command::DropShards { collection, names: vec![name(1), name(2)] },
            Command::PutShards { collection, shards: vec![shard] },
        ];
        let expected = Batch { proposer: 1 << 40, sequence: 11, commands };
        if std::env::var("AZIMUTH_WRITE_FIXTURES").is_ok() {
            let payload = postcard::to_stdvec(&expected).unwrap().into();
            std::fs::write(LATER, Record { position, kind: Kind::Batch, payload }.encode(GROUP).unwrap()).unwrap();
        }
        let record = Record::decode(GROUP, position.index, &std::fs::read(LATER).unwrap()).unwrap();
        assert_eq!((record.position, record.kind), (position, Kind::Batch));
        assert_eq!(Proposal::of_payload(record.payload).decode().unwrap(), expected);
    }

    /// As above, for the command that raises the feature level.
    #[test]
    fn entries_that_raise_the_level_still_read() {
        const LATER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/consensus/fixtures/raise-level-3.bin");
        let position = LogPosition { term: 2, node: 5, index: 80 };
        let commands = vec![Command::RaiseLevel(FeatureLevel::new(1)), Command::RaiseLevel(FeatureLevel::new(70_000))];
        let expected = Batch { proposer: 1 << 40, sequence: 12, commands };
        if std::env::var("AZIMUTH_WRITE_FIXTURES").is_ok() {
            let payload = postcard::to_stdvec(&expected).unwrap().into();
            std::fs::write(LATER, Record { position, kind: Kind::Batch, payload }.encode(GROUP).unwrap()).unwrap();
        }
        let record = Record::decode(GROUP, position.index, &std::fs::read(LATER).unwrap()).unwrap();
        assert_eq!((record.position, record.kind), (position, Kind::Batch));
        assert_eq!(Proposal::of_payload(record.payload).decode().unwrap(), expected);
    }

    /// As above, for the commands on aliases.
    #[test]
    fn entries_with_aliases_still_read() {
        const LATER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/consensus/fixtures/aliases-3.bin");
        let position = LogPosition { term: 2, node: 5, index: 81 };
        let alias = |collection: &str| Alias { name: "Reading".into(), collection: collection.into() };
        let commands = vec![
            Command::CreateAlias(alias("Book")),
            Command::UpdateAlias(alias("Film")),
            Command::DropAlias("Reading".into()),
        ];
        let expected = Batch { proposer: 1 << 40, sequence: 13, commands };
        if std::env::var("AZIMUTH_WRITE_FIXTURES").is_ok() {
            let payload = postcard::to_stdvec(&expected).unwrap().into();
            std::fs::write(LATER, Record { position, kind: Kind::Batch, payload }.encode(GROUP).unwrap()).unwrap();
        }
        let record = Record::decode(GROUP, position.index, &std::fs::read(LATER).unwrap()).unwrap();
        assert_eq!((record.position, record.kind), (position, Kind::Batch));
        assert_eq!(Proposal::of_payload(record.payload).decode().unwrap(), expected);
    }

    fn every_command() -> Vec<Command> {
        let at = ShardKey { collection: CollectionId(300), shard: ShardId(70_000) };
        let id = Uuid::from_u128(0x1234_5678);
        let collection = || Box::new(sample::collection(300, "Frozen"));
        let object = |updated_ms| Object {
            id,
            created_ms: -5,
            updated_ms,
            properties: every_value(),
            vectors: BTreeMap::from([
                (VectorId::UNNAMED, Vector::Single(vec![0.5, -0.0, f32::MAX])),
                (VectorId(7), Vector::Multi { dim: 2, rows: vec![1.0, 2.0, 3.0, 4.0] }),
            ]),
        };
        let beacons = || BTreeMap::from([("of".to_owned(), vec![Beacon { collection: Some("Book".into()), id }])]);
        let patch = Patch {
            set: every_value(),
            remove: vec!["gone".into()],
            replace_references: beacons(),
            remove_references: beacons(),
            vectors: BTreeMap::from([(VectorId(7), None), (VectorId(8), Some(Vector::Single(vec![1.5])))]),
        };
        let put = |mode| Command::Put { at, mode, object: Box::new(object(1_700_000_000_000)) };
        vec![
            Command::CreateCollection(collection()),
            Command::UpdateCollection { expected_version: 4, collection: collection() },
            Command::DeleteCollection(at.collection),
            Command::PutCollection(collection()),
            Command::DropCollection(at.collection),
            Command::DropShard(at.collection, at.shard),
            put(PutMode::Insert),
            put(PutMode::Replace),
            put(PutMode::Upsert),
            Command::Merge { at, id, patch: Box::new(patch), updated_ms: 12 },
            Command::Delete { at, id },
        ]
    }

    fn every_value() -> BTreeMap<String, Value> {
        let phone = Phone {
            input: "0171 1234567".into(),
            default_country: "DE".into(),
            international_formatted: "+49 171 1234567".into(),
            national_formatted: "0171 1234567".into(),
            national: 1_711_234_567,
            country_code: 49,
            valid: true,
        };
        let values = vec![
            Value::Null,
            Value::Bool(true),
            Value::Int(i64::MIN),
            Value::Number(-2.5),
            Value::Text("Grüße".into()),
            Value::Date(Date { unix_s: -1, nanos: 999_999_999, offset_s: 3_600 }),
            Value::Uuid(Uuid::from_u128(u128::MAX)),
            Value::Geo(Geo { latitude: 48.5, longitude: -11.25 }),
            Value::Phone(Box::new(phone)),
            Value::Blob("YXo=".into()),
            Value::Object(BTreeMap::from([("inner".to_owned(), Value::List(vec![Value::Int(1), Value::Int(2)]))])),
            Value::References(vec![Beacon { collection: None, id: Uuid::from_u128(9) }]),
        ];
        values.into_iter().enumerate().map(|(n, value)| (format!("p{n:02}"), value)).collect()
    }
}
