//! BatchStream as it lies on the wire: acknowledgements and results, memory, the stop of the server, kill -9.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use azimuth_client::proto::weaviate::v1 as pb;
use azimuth_client::{Client, CollectionConfig, DataType, Property, VectorIndex, encode_vector};
use azimuth_tests::raw_http;
use azimuth_tests::server::Server;
use pb::batch_stream_reply::{Message as Reply, Results, results};
use pb::batch_stream_request::{Data, Message, Start, Stop, data};
use pb::weaviate_client::WeaviateClient;
use prost_types::value::Kind;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;
use tonic::{Code, Status, Streaming};
use uuid::Uuid;

/// An open stream.
struct Stream {
    requests: Option<mpsc::Sender<pb::BatchStreamRequest>>,
    replies: Streaming<pb::BatchStreamReply>,
}

impl Stream {
    /// Opens a stream whose first message is `first`.
    async fn open_with(server: &Server, first: Message) -> Result<Self, Status> {
        let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{}", server.grpc_port())).expect("an address");
        let mut client = WeaviateClient::new(endpoint.connect_lazy());
        let (requests, taken) = mpsc::channel(4);
        let message = |message| pb::BatchStreamRequest { message: Some(message) };
        requests.send(message(first)).await.expect("room");
        let replies = client.batch_stream(ReceiverStream::new(taken)).await?.into_inner();
        Ok(Self { requests: Some(requests), replies })
    }

    async fn open(server: &Server) -> Self {
        let mut stream = Self::open_with(server, Message::Start(Start::default())).await.expect("a stream");
        assert!(matches!(stream.next().await, Ok(Some(Reply::Started(_)))), "the stream starts");
        stream
    }

    async fn send(&self, message: Message) {
        let requests = self.requests.as_ref().expect("an open stream");
        // A server that is gone shows by its missing answers.
        let _ = requests.send(pb::BatchStreamRequest { message: Some(message) }).await;
    }

    async fn send_objects(&self, objects: Vec<pb::BatchObject>) {
        let objects = Some(data::Objects { values: objects });
        self.send(Message::Data(Data { objects, references: None })).await;
    }

    async fn send_references(&self, references: Vec<pb::BatchReference>) {
        let references = Some(data::References { values: references });
        self.send(Message::Data(Data { objects: None, references })).await;
    }

    async fn next(&mut self) -> Result<Option<Reply>, Status> {
        let patience = Duration::from_secs(60);
        let reply = tokio::time::timeout(patience, self.replies.message()).await.expect("a reply in time");
        Ok(reply?.and_then(|reply| reply.message))
    }

    /// The next results, with the acknowledgement before them; hints are left out.
    async fn answered(&mut self) -> (Vec<String>, Vec<String>, Results) {
        let (mut uuids, mut beacons) = (Vec::new(), Vec::new());
        loop {
            match self.next().await.expect("a reply").expect("no end") {
                Reply::Acks(acks) => (uuids, beacons) = (acks.uuids, acks.beacons),
                Reply::Results(results) => return (uuids, beacons, results),
                Reply::Backoff(hint) => assert!((100..=1_000).contains(&hint.batch_size), "{hint:?}"),
                other => panic!("unexpected: {other:?}"),
            }
        }
    }
}

fn object(number: u128, text: &str) -> pb::BatchObject {
    let value = prost_types::Value { kind: Some(Kind::StringValue(text.to_owned())) };
    let fields = prost_types::Struct { fields: [("text".to_owned(), value)].into() };
    let properties = pb::batch_object::Properties { non_ref_properties: Some(fields), ..Default::default() };
    pb::BatchObject {
        uuid: Uuid::from_u128(number).to_string(),
        collection: "Thing".to_owned(),
        properties: Some(properties),
        vector_bytes: encode_vector(&[1.0, (number % 1_000) as f32]),
        ..Default::default()
    }
}

fn reference(from: u128, to: u128) -> pb::BatchReference {
    pb::BatchReference {
        name: "next".to_owned(),
        from_collection: "Thing".to_owned(),
        from_uuid: Uuid::from_u128(from).to_string(),
        to_uuid: Uuid::from_u128(to).to_string(),
        ..Default::default()
    }
}

fn failures(results: &Results) -> Vec<(String, String)> {
    let failure = |error: &results::Error| {
        let detail = match &error.detail {
            Some(results::error::Detail::Uuid(name) | results::error::Detail::Beacon(name)) => name.clone(),
            None => String::new(),
        };
        (detail, error.error.clone())
    };
    results.errors.iter().map(failure).collect()
}

async fn create(server: &Server) {
    let client = server.client();
    let config = CollectionConfig::new("Thing")
        .property(Property::new("text", DataType::Text))
        .unnamed_vector(VectorIndex::hnsw());
    client.create_collection(&config).await.expect("a collection");
    let property = br#"{"name": "next", "dataType": ["Thing"]}"#;
    let json = [("Content-Type", "application/json")];
    let address = server.http_address();
    let added = raw_http::request(&address, "POST", "/v1/schema/Thing/properties", &json, property);
    assert_eq!(added.expect("an answer").status, 200);
}

async fn count(client: &Client) -> u64 {
    client.collection("Thing").expect("a good name").count(None).await.expect("a count")
}

#[tokio::test]
async fn messages_are_acknowledged_and_each_member_has_a_result() {
    let server = Server::start();
    let client = server.client();
    create(&server).await;
    let mut stream = Stream::open(&server).await;
    let wrong = pb::BatchObject { collection: "Thing".into(), vector_bytes: vec![0; 5].into(), ..object(3, "wrong") };
    stream.send_objects(vec![object(1, "one"), object(2, "two"), wrong]).await;
    let (uuids, beacons, results) = stream.answered().await;
    assert_eq!(uuids, [1, 2, 3].map(|number| Uuid::from_u128(number).to_string()));
    assert!(beacons.is_empty());
    assert_eq!(results.successes.len(), 2);
    let failed = failures(&results);
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].0, Uuid::from_u128(3).to_string());
    assert!(failed[0].1.contains("5 bytes"), "{failed:?}");

    stream.send_references(vec![reference(1, 2), reference(9, 2)]).await;
    let (_, beacons, results) = stream.answered().await;
    let beacon = |number: u128| format!("weaviate://localhost/Thing/{}/next", Uuid::from_u128(number));
    assert_eq!(beacons, [beacon(1), beacon(9)]);
    assert_eq!(failures(&results).iter().map(|(name, _)| name.clone()).collect::<Vec<_>>(), [beacon(9)]);
    // A message with both: the reference leads from an object of the same message.
    let objects = Some(data::Objects { values: vec![object(4, "four")] });
    let references = Some(data::References { values: vec![reference(4, 1)] });
    stream.send(Message::Data(Data { objects, references })).await;
    let (uuids, beacons, results) = stream.answered().await;
    assert_eq!((uuids.len(), beacons.len(), results.successes.len(), results.errors.len()), (1, 1, 2, 0));

    stream.send(Message::Stop(Stop {})).await;
    while let Some(reply) = stream.next().await.expect("the stream ends well") {
        assert!(matches!(reply, Reply::Backoff(_)), "{reply:?}");
    }
    assert_eq!(count(&client).await, 3);
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

#[tokio::test]
async fn a_stream_begins_with_a_start_and_ends_with_its_client() {
    let server = Server::start();
    create(&server).await;
    let first = Message::Data(Data::default());
    let refused = match Stream::open_with(&server, first).await {
        Ok(mut stream) => stream.next().await.expect_err("no start"),
        Err(status) => status,
    };
    assert_eq!((refused.code(), refused.message()), (Code::Unknown, "first message must be a start message"));
    // Half-closed without a stop: sent messages are still answered.
    let mut stream = Stream::open(&server).await;
    stream.send_objects(vec![object(1, "one")]).await;
    stream.requests = None;
    let (_, _, results) = stream.answered().await;
    assert_eq!(results.successes.len(), 1);
    let mut last = stream.next().await;
    while let Ok(Some(Reply::Backoff(_))) = last {
        last = stream.next().await;
    }
    assert!(matches!(last, Ok(None)), "{last:?}");
}

#[tokio::test]
async fn a_silent_stream_stays_open() {
    let server = Server::builder()
        .variable("AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED", "true")
        .variable("AZIMUTH_STALL_SECONDS_MAX", "1")
        .start();
    create(&server).await;
    let mut stream = Stream::open(&server).await;
    // The time is the point: several times as long as a peer may take nothing of an answer.
    tokio::time::sleep(Duration::from_secs(4)).await;
    stream.send_objects(vec![object(1, "one")]).await;
    assert_eq!(stream.answered().await.2.successes.len(), 1);
}

#[tokio::test]
async fn acknowledged_objects_survive_kill_9() {
    let mut server = Server::start();
    create(&server).await;
    let mut acknowledged = BTreeSet::new();
    for round in 0..5_u128 {
        let mut stream = Stream::open(&server).await;
        let requests = stream.requests.take().expect("an open stream");
        let writer = tokio::spawn(async move {
            for message in 0.. {
                let first = round << 64 | message << 16;
                let objects = (first..first + 20).map(|number| object(number, "kept")).collect();
                let data = Data { objects: Some(data::Objects { values: objects }), references: None };
                let request = pb::BatchStreamRequest { message: Some(Message::Data(data)) };
                if requests.send(request).await.is_err() {
                    return;
                }
            }
        });
        let mut acks = 0;
        while let Ok(Some(reply)) = stream.next().await {
            if let Reply::Acks(reply) = reply {
                acknowledged.extend(reply.uuids);
                acks += 1;
                if acks == 10 + 7 * round {
                    server.signal("KILL");
                }
            }
        }
        assert!(acks >= 10, "{acks} acknowledgements");
        writer.await.expect("no panic");
        server.kill();
        server.start_again();
        let collection = server.client().collection("Thing").expect("a good name");
        for uuid in &acknowledged {
            let id = Uuid::parse_str(uuid).expect("an id");
            assert!(collection.get(id).await.expect("an answer").is_some(), "{uuid} was acknowledged and is gone");
        }
    }
}

#[tokio::test]
async fn a_server_that_stops_lets_streams_end() {
    let mut server = Server::start();
    create(&server).await;
    let mut stream = Stream::open(&server).await;
    stream.send_objects(vec![object(1, "before")]).await;
    stream.answered().await;
    server.signal("TERM");
    loop {
        match stream.next().await.expect("a reply") {
            Some(Reply::ShuttingDown(_)) => break,
            Some(Reply::Backoff(_)) => {}
            other => panic!("{other:?} in place of the announcement"),
        }
    }
    // Messages that were on their way are still taken.
    stream.send_objects(vec![object(2, "after")]).await;
    assert_eq!(stream.answered().await.2.successes.len(), 1);
    stream.send(Message::Stop(Stop {})).await;
    assert!(matches!(stream.next().await, Ok(None)), "the end");
    assert!(server.wait_for_end().success(), "{}", server.log());
    server.start_again();
    let mut stream = Stream::open(&server).await;
    stream.send_objects(vec![object(3, "again")]).await;
    assert_eq!(stream.answered().await.2.successes.len(), 1);
    assert_eq!(count(&server.client()).await, 3);
}

#[tokio::test]
async fn without_memory_members_are_given_back_until_there_is_some() {
    let server = Server::builder()
        .variable("AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED", "true")
        .variable("AZIMUTH_REQUESTS_BYTES_MAX", "1048576")
        .variable("AZIMUTH_MEMORY_WAIT_SECONDS_MAX", "1")
        .start();
    create(&server).await;
    let mut stream = Stream::open(&server).await;
    // More than a message may ever have is an error of each member.
    let numbers = |count: u128| (0..count).map(|number| object(number, "many")).collect::<Vec<_>>();
    stream.send_objects(numbers(3_000)).await;
    let (uuids, _, results) = stream.answered().await;
    assert_eq!((uuids.len(), results.errors.len()), (3_000, 3_000));
    assert!(results.errors[0].error.contains("larger than max"), "{}", results.errors[0].error);

    // A request that is not sent to its end holds most of the memory.
    let mut holder = TcpStream::connect(server.http_address()).expect("a connection");
    let head =
        "POST /v1/objects HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 700000\r\n\r\n";
    holder.write_all(head.as_bytes()).expect("a head");
    holder.write_all(&vec![b'x'; 690_000]).expect("most of a body");
    // Until the server has the body, there is memory for messages.
    let until = Instant::now() + Duration::from_secs(60);
    let refused = 'refused: loop {
        assert!(Instant::now() < until, "there was memory for every message");
        stream.send_objects(numbers(300)).await;
        let mut unanswered = 300;
        while unanswered > 0 {
            match stream.next().await.expect("a reply").expect("no end") {
                Reply::OutOfMemory(members) => break 'refused members,
                Reply::Results(results) => unanswered -= results.successes.len() + results.errors.len(),
                _ => {}
            }
        }
    };
    assert_eq!((refused.uuids.len(), refused.wait_time), (300, 300));
    stream.requests = None;
    drop(holder);
    let mut next = stream.next().await;
    while let Ok(Some(Reply::Backoff(_))) = next {
        next = stream.next().await;
    }
    assert!(matches!(next, Ok(Some(Reply::ShuttingDown(_)))), "there is memory again: {next:?}");
    assert!(matches!(stream.next().await, Ok(None)), "the end");
    let mut stream = Stream::open(&server).await;
    stream.send_objects(numbers(300)).await;
    // A large message is answered in two parts.
    let mut successes = stream.answered().await.2.successes.len();
    successes += stream.answered().await.2.successes.len();
    assert_eq!(successes, 300);
}
