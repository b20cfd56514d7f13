//! Every RPC of the services has a decision, also for each member of a batch.

use std::fs;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use serde_json::json;
use tokio_stream::StreamExt;
use tonic::codec::Codec;
use tonic::{Code, Request, Status};

use super::codec::Charged;
use super::service::Service;
use super::stream::message::{Empty, StreamRequest};
use crate::app::Change;
use crate::app::access_tests::Started;
use crate::auth::{Access, Resource};
use crate::pb::azimuth::azimuth_server::Azimuth;
use crate::pb::azimuth::{SearchManyRequest, outcome};
use crate::pb::weaviate::weaviate_server::Weaviate;
use crate::pb::weaviate::{
    AggregateRequest, BatchDeleteRequest, BatchObject, BatchObjectsRequest, BatchReference, BatchReferencesRequest,
    BatchStreamReply, Filters, SearchRequest, TenantsGetRequest, batch_stream_reply, filters,
};
use crate::request_memory::{BodyShare, Payer, RequestMemory};
use crate::weaviate::schema::decode_class;

const ID: &str = "00000000-0000-0000-0000-000000000001";

/// The RPCs that the test calls: a new one fails the test until it is listed here, and called in [`outcome_of`].
const CALLED: [&str; 8] = [
    "Search",
    "BatchObjects",
    "BatchReferences",
    "BatchDelete",
    "BatchStream",
    "TenantsGet",
    "Aggregate",
    "SearchMany",
];
/// RPCs that only readers may call; of the others only writers.
const READS: [&str; 4] = ["Search", "TenantsGet", "Aggregate", "SearchMany"];

fn by<T>(key: Option<&str>, message: T) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(key) = key {
        request.metadata_mut().insert("authorization", format!("Bearer {key}").parse().expect("a header"));
    }
    request
}

/// The code of a call, or of the first member of a batch that failed, and the text.
async fn outcome_of(service: &Service, rpc: &str, key: Option<&str>) -> (Code, String) {
    let code = |result: Result<(), Status>| match result {
        Ok(()) => (Code::Ok, String::new()),
        Err(status) => (status.code(), status.message().to_owned()),
    };
    let search = SearchRequest { collection: "Thing".into(), uses_127_api: true, ..Default::default() };
    match rpc {
        "Search" => code(service.search(by(key, search)).await.map(drop)),
        "Aggregate" => {
            let request = AggregateRequest { collection: "Thing".into(), objects_count: true, ..Default::default() };
            code(service.aggregate(by(key, request)).await.map(drop))
        }
        "TenantsGet" => {
            let request = TenantsGetRequest { collection: "Thing".into(), ..Default::default() };
            code(service.tenants_get(by(key, request)).await.map(drop))
        }
        "BatchDelete" => {
            #[allow(deprecated, reason = "the field must be named")]
            let filter = Filters {
                operator: filters::Operator::Equal.into(),
                target: Some(crate::pb::weaviate::FilterTarget {
                    target: Some(crate::pb::weaviate::filter_target::Target::Property("text".into())),
                }),
                test_value: Some(filters::TestValue::ValueText("x".into())),
                ..Default::default()
            };
            let request =
                BatchDeleteRequest { collection: "Thing".into(), filters: Some(filter), ..Default::default() };
            code(service.batch_delete(by(key, request)).await.map(drop))
        }
        "BatchReferences" => {
            let reference = BatchReference {
                name: "to".into(),
                from_collection: "Thing".into(),
                from_uuid: ID.into(),
                to_uuid: ID.into(),
                ..Default::default()
            };
            let request = BatchReferencesRequest { references: vec![reference], ..Default::default() };
            code(service.batch_references(by(key, request)).await.map(drop))
        }
        "BatchObjects" => {
            let object = BatchObject { collection: "Thing".into(), uuid: ID.into(), ..Default::default() };
            let request = BatchObjectsRequest { objects: vec![object], ..Default::default() };
            match service.batch_objects(by(key, request)).await {
                Ok(reply) => match reply.into_inner().errors.into_iter().next() {
                    Some(error) if error.error.contains("forbidden") => (Code::PermissionDenied, error.error),
                    Some(error) => (Code::Unknown, error.error),
                    None => (Code::Ok, String::new()),
                },
                Err(status) => (status.code(), status.message().to_owned()),
            }
        }
        "BatchStream" => match stream_outcome(service, key).await {
            Ok(None) => (Code::Ok, String::new()),
            Ok(Some(error)) if error.contains("forbidden") => (Code::PermissionDenied, error),
            Ok(Some(error)) => (Code::Unknown, error),
            Err(status) => (status.code(), status.message().to_owned()),
        },
        "SearchMany" => match service.search_many(by(key, SearchManyRequest { requests: vec![search] })).await {
            Ok(reply) => match reply.into_inner().outcomes.into_iter().next().and_then(|first| first.outcome) {
                Some(outcome::Outcome::Failure(failure)) => (Code::from(failure.code), failure.message),
                _ => (Code::Ok, String::new()),
            },
            Err(status) => (status.code(), status.message().to_owned()),
        },
        other => panic!("{other} is not called by the test"),
    }
}

/// The error of the one object that a stream brings.
async fn stream_outcome(service: &Service, key: Option<&str>) -> Result<Option<String>, Status> {
    let object = BatchObject { collection: "Thing".into(), uuid: ID.into(), ..Default::default() };
    let objects = BatchObjectsRequest { objects: vec![object], ..Default::default() };
    // `Data` with its first field.
    let data = prost::encoding::message::encode::<BatchObjectsRequest>;
    let mut encoded = Vec::new();
    data(1, &objects, &mut encoded);
    let messages = [
        StreamRequest { start: Some(Empty {}), ..Default::default() },
        StreamRequest { data: Some(encoded.into()), ..Default::default() },
    ];
    let mut body = Vec::new();
    for message in messages {
        let message = message.encode_to_vec();
        body.extend([&[0][..], &u32::try_from(message.len()).expect("small").to_be_bytes(), &message].concat());
    }
    let decoder = Charged::<BatchStreamReply, StreamRequest>::default().decoder();
    let stream = tonic::Streaming::new_request(decoder, http_body_util::Full::new(Bytes::from(body)), None, None);
    let mut request = by(key, stream);
    let memory = RequestMemory::new(1 << 30, None, Duration::ZERO);
    request.extensions_mut().insert(BodyShare::beside(&memory.share(Payer::default())));
    let mut replies = service.batch_stream(request).await?.into_inner();
    while let Some(reply) = replies.next().await {
        if let Some(batch_stream_reply::Message::Results(results)) = reply?.message {
            return Ok(results.errors.into_iter().next().map(|error| error.error));
        }
    }
    panic!("a stream without results");
}

/// The RPCs of a service definition.
fn rpcs(file: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../client/proto").join(file);
    let text = fs::read_to_string(path).expect("the definition");
    let name = |line: &str| Some(line.trim().strip_prefix("rpc ")?.split(['(', ' ']).next()?.to_owned());
    text.lines().filter_map(name).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_rpc_refuses_those_who_may_not_call_it() {
    let mut defined = rpcs("weaviate/v1/weaviate.proto");
    defined.extend(rpcs("azimuth/v1/azimuth.proto"));
    for rpc in &defined {
        assert!(CALLED.contains(&rpc.as_str()), "{rpc} is not in the test");
    }
    assert_eq!(defined.len(), CALLED.len());

    let started = Started::new().await;
    let app = &started.app;
    let admin = app.authenticate(Some("Bearer admin"), None).expect("a caller");
    let permit = app.permit(&admin, Access::Create, Resource::collection("Thing")).expect("a permit");
    let class = json!({
        "class": "Thing", "vectorizer": "none",
        "properties": [{"name": "text", "dataType": ["text"]}, {"name": "to", "dataType": ["Thing"]}],
    });
    let create = |catalog: &azimuth_engine::meta::Catalog, _: Option<&std::sync::Arc<_>>| {
        decode_class(&app.settings, catalog, &class).map(Change::Create)
    };
    app.change_collection(&permit, "Thing", create).await.expect("a collection");

    let service = Service::new(app.clone());
    for rpc in CALLED {
        let no_key = outcome_of(&service, rpc, None).await;
        assert!(no_key.1.starts_with("extract auth"), "{rpc} without a key: {no_key:?}");
        let nobody = outcome_of(&service, rpc, Some("nobody")).await;
        assert_eq!(nobody.0, Code::PermissionDenied, "{rpc} without rights: {nobody:?}");
        let reader = outcome_of(&service, rpc, Some("reader")).await;
        assert_eq!(reader.0 == Code::PermissionDenied, !READS.contains(&rpc), "{rpc} by a reader: {reader:?}");
    }
    for rpc in CALLED {
        let admin = outcome_of(&service, rpc, Some("admin")).await;
        assert_ne!(admin.0, Code::PermissionDenied, "{rpc} by an administrator: {admin:?}");
        assert!(!admin.1.contains("permit"), "{rpc} by an administrator: {admin:?}");
    }
    started.stop().await;
}
