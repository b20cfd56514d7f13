//! Messages of a batch stream, as they lie on the wire.
//!
//! Data is kept as bytes until there is memory for the objects in it: [`StreamRequest`] stands for the generated
//! `BatchStreamRequest` and has the same encoding.

use bytes::Bytes;
use prost::{DecodeError, Message};

use crate::pb::weaviate::batch_stream_reply::results::{Error, Success, error, success};
use crate::pb::weaviate::batch_stream_reply::{
    Acks, Backoff, Message as Reply, OutOfMemory, Results, ShuttingDown, Started,
};
use crate::pb::weaviate::{BatchObjectsRequest, BatchReference, BatchReferencesRequest, BatchStreamReply};

/// Objects from which on a message is written in two parts, and the first part of it.
const SPLIT_MIN: usize = 200;
const FIRST_PART: usize = 8;
/// Seconds that a client waits for memory before it gives up.
const WAIT_SECONDS: i32 = 300;

/// A message of the client: one of its fields is set.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct StreamRequest {
    /// Opens the stream.
    #[prost(message, optional, tag = "1")]
    pub(crate) start: Option<Empty>,
    /// Objects and references: an encoded [`Data`].
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub(crate) data: Option<Bytes>,
    /// Ends the stream; results of the data before it still follow.
    #[prost(message, optional, tag = "3")]
    pub(crate) stop: Option<Empty>,
}

/// A message whose fields are not read. The consistency level of a start is one: a node has one replica of each shard.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Empty {}

/// The data of a message. Its parts are encoded as the requests of BatchObjects and BatchReferences are.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Data {
    #[prost(message, optional, tag = "1")]
    pub(super) objects: Option<BatchObjectsRequest>,
    #[prost(message, optional, tag = "2")]
    pub(super) references: Option<BatchReferencesRequest>,
}

/// The names of the members of a message, by which the client knows them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Names {
    /// Ids of objects as the client wrote them.
    pub(super) uuids: Vec<String>,
    /// Source beacons of references.
    pub(super) beacons: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct NamesOfData {
    #[prost(message, optional, tag = "1")]
    objects: Option<NamedObjects>,
    #[prost(message, optional, tag = "2")]
    references: Option<BatchReferencesRequest>,
}

#[derive(Clone, PartialEq, Message)]
struct NamedObjects {
    #[prost(message, repeated, tag = "1")]
    objects: Vec<NamedObject>,
}

#[derive(Clone, PartialEq, Message)]
struct NamedObject {
    #[prost(string, tag = "1")]
    uuid: String,
}

impl Data {
    /// The data in the parts that are written and acknowledged one after the other. Clients collect the next message once
    /// fewer members than a batch are unacknowledged: the first part of a large message is small.
    pub(super) fn in_parts(mut self) -> impl Iterator<Item = Self> {
        let objects = self.objects.as_mut().map(|request| &mut request.objects);
        let rest = objects.filter(|objects| objects.len() >= SPLIT_MIN).map(|objects| {
            let rest = objects.split_off(objects.len() / FIRST_PART);
            BatchObjectsRequest { objects: rest, ..BatchObjectsRequest::default() }
        });
        let rest = rest.map(|rest| Self { objects: Some(rest), references: self.references.take() });
        [Some(self), rest].into_iter().flatten()
    }
}

impl Names {
    /// The names in an encoded [`Data`] whose objects are not needed.
    ///
    /// # Errors
    /// The bytes are no such message.
    pub(super) fn decode(data: &[u8]) -> Result<Self, DecodeError> {
        let decoded = NamesOfData::decode(data)?;
        let uuids = decoded.objects.unwrap_or_default().objects.into_iter().map(|object| object.uuid).collect();
        let references = decoded.references.unwrap_or_default().references;
        Ok(Self { uuids, beacons: references.iter().map(beacon).collect() })
    }

    /// The names of decoded data.
    pub(super) fn of(data: &Data) -> Self {
        let objects = data.objects.iter().flat_map(|objects| &objects.objects);
        let references = data.references.iter().flat_map(|references| &references.references);
        Self { uuids: objects.map(|object| object.uuid.clone()).collect(), beacons: references.map(beacon).collect() }
    }

    /// Accepts the members.
    pub(super) fn acks(&self) -> BatchStreamReply {
        reply(Reply::Acks(Acks { uuids: self.uuids.clone(), beacons: self.beacons.clone() }))
    }

    /// Refuses the members: the client is to send them again later.
    pub(super) fn out_of_memory(self) -> BatchStreamReply {
        reply(Reply::OutOfMemory(OutOfMemory { uuids: self.uuids, beacons: self.beacons, wait_time: WAIT_SECONDS }))
    }

    /// The outcome of each member; an error is `Some`.
    pub(super) fn results(self, outcomes: Outcomes) -> BatchStreamReply {
        let mut results = Results::default();
        for (uuid, outcome) in self.uuids.into_iter().zip(outcomes.objects) {
            match outcome {
                None => results.successes.push(Success { detail: Some(success::Detail::Uuid(uuid)) }),
                Some(error) => results.errors.push(Error { error, detail: Some(error::Detail::Uuid(uuid)) }),
            }
        }
        for (beacon, outcome) in self.beacons.into_iter().zip(outcomes.references) {
            match outcome {
                None => results.successes.push(Success { detail: Some(success::Detail::Beacon(beacon)) }),
                Some(error) => results.errors.push(Error { error, detail: Some(error::Detail::Beacon(beacon)) }),
            }
        }
        reply(Reply::Results(results))
    }
}

/// The errors of the members of a message, in order; `None` is a success.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    pub(super) objects: Vec<Option<String>>,
    pub(super) references: Vec<Option<String>>,
}

impl Outcomes {
    /// The same error for all members.
    pub(super) fn all(names: &Names, error: &str) -> Self {
        let errors = |count| vec![Some(error.to_owned()); count];
        Self { objects: errors(names.uuids.len()), references: errors(names.beacons.len()) }
    }
}

/// The source of a reference: several references of one property have the same.
fn beacon(reference: &BatchReference) -> String {
    let BatchReference { from_collection, from_uuid, name, .. } = reference;
    format!("weaviate://localhost/{from_collection}/{from_uuid}/{name}")
}

/// The stream is open.
pub(super) fn started() -> BatchStreamReply {
    reply(Reply::Started(Started {}))
}

/// The client is to end the stream and open another one later.
pub(super) fn shutting_down() -> BatchStreamReply {
    reply(Reply::ShuttingDown(ShuttingDown {}))
}

/// How many members the client is to send at a time.
pub(super) fn backoff(batch_size: i32) -> BatchStreamReply {
    reply(Reply::Backoff(Backoff { batch_size }))
}

fn reply(message: Reply) -> BatchStreamReply {
    BatchStreamReply { message: Some(message) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb::weaviate::BatchObject;

    fn data() -> Data {
        let object = |uuid: &str| BatchObject { uuid: uuid.into(), collection: "C".into(), ..Default::default() };
        let reference = BatchReference {
            name: "to".into(),
            from_collection: "C".into(),
            from_uuid: "a".into(),
            to_uuid: "b".into(),
            ..Default::default()
        };
        Data {
            objects: Some(BatchObjectsRequest { objects: vec![object("a"), object("B")], ..Default::default() }),
            references: Some(BatchReferencesRequest { references: vec![reference], ..Default::default() }),
        }
    }

    #[test]
    fn names_are_found_with_and_without_the_objects() {
        let names = Names::of(&data());
        assert_eq!(names.uuids, ["a", "B"]);
        assert_eq!(names.beacons, ["weaviate://localhost/C/a/to"]);
        assert_eq!(Names::decode(&data().encode_to_vec()), Ok(names));
        assert!(Names::decode(b"\x0a\x05a").is_err());
    }

    #[test]
    fn a_large_message_has_two_parts() {
        let small: Vec<Data> = data().in_parts().collect();
        assert_eq!(small, [data()]);
        let mut large = data();
        let objects = (0..400).map(|n| BatchObject { uuid: n.to_string(), ..Default::default() }).collect();
        large.objects = Some(BatchObjectsRequest { objects, ..Default::default() });
        let parts: Vec<Names> = large.in_parts().map(|part| Names::of(&part)).collect();
        assert_eq!((parts[0].uuids.len(), parts[1].uuids.len()), (50, 350));
        assert_eq!((parts[0].beacons.len(), parts[1].beacons.len()), (0, 1), "references come after all objects");
        assert_eq!((parts[0].uuids[49].as_str(), parts[1].uuids[0].as_str()), ("49", "50"));
    }

    #[test]
    fn each_member_has_a_result() {
        let outcomes =
            Outcomes { objects: vec![None, Some("wrong".to_owned())], references: vec![Some("lost".to_owned())] };
        let Some(Reply::Results(results)) = Names::of(&data()).results(outcomes).message else { panic!("no results") };
        assert_eq!(results.successes, [Success { detail: Some(success::Detail::Uuid("a".into())) }]);
        let error = |text: &str, detail| Error { error: text.into(), detail: Some(detail) };
        let beacon = "weaviate://localhost/C/a/to".to_owned();
        let wanted = [error("wrong", error::Detail::Uuid("B".into())), error("lost", error::Detail::Beacon(beacon))];
        assert_eq!(results.errors, wanted);
    }
}
