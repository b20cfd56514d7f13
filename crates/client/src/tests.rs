//! The client against a scripted server: what is sent, what is repeated, and what each answer becomes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use serde_json::{Value, json};
use tonic::{Code, Request, Response, Status};
use uuid::Uuid;

use crate::proto::weaviate::v1 as pb;
use crate::{BatchOptions, Client, ClientBuilder, Error, Filter, Object, Query, RetryPolicy};
use pb::weaviate_server::{Weaviate, WeaviateServer};

/// What the server answers next; with the script at its end, success.
type Script<T> = Mutex<VecDeque<T>>;

#[derive(Default)]
struct Scripted {
    /// Status and message of the next gRPC calls, `None` for success.
    grpc: Script<Option<(Code, &'static str)>>,
    /// Status and body of the next REST calls.
    rest: Script<(u16, Value)>,
    /// Every REST call: method, path with query, body.
    rest_calls: Mutex<Vec<(Method, String, Value)>>,
    /// Every batch that was answered with success, and the errors to answer by position in a batch.
    batches: Mutex<Vec<pb::BatchObjectsRequest>>,
    batch_errors: Mutex<Vec<(usize, i32, &'static str)>>,
    searches: Mutex<Vec<pb::SearchRequest>>,
    /// Pages to answer searches with, by ids.
    pages: Script<Vec<Uuid>>,
    keys: Mutex<Vec<Option<String>>>,
}

impl Scripted {
    fn next_status<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let key = request.metadata().get("authorization").and_then(|value| value.to_str().ok()).map(str::to_owned);
        self.keys.lock().expect("test lock").push(key);
        match self.grpc.lock().expect("test lock").pop_front().flatten() {
            Some((code, text)) => Err(Status::new(code, text)),
            None => Ok(()),
        }
    }
}

struct Service(Arc<Scripted>);

#[tonic::async_trait]
impl Weaviate for Service {
    async fn search(&self, request: Request<pb::SearchRequest>) -> Result<Response<pb::SearchReply>, Status> {
        self.0.next_status(&request)?;
        self.0.searches.lock().expect("test lock").push(request.into_inner());
        let page = self.0.pages.lock().expect("test lock").pop_front().unwrap_or_default();
        let result = |id: Uuid| pb::SearchResult {
            metadata: Some(pb::MetadataResult {
                id_as_bytes: id.as_bytes().to_vec().into(),
                distance: 0.25,
                distance_present: true,
                ..pb::MetadataResult::default()
            }),
            ..pb::SearchResult::default()
        };
        let results = page.into_iter().map(result).collect();
        Ok(Response::new(pb::SearchReply { results, ..pb::SearchReply::default() }))
    }

    async fn batch_objects(
        &self,
        request: Request<pb::BatchObjectsRequest>,
    ) -> Result<Response<pb::BatchObjectsReply>, Status> {
        self.0.next_status(&request)?;
        let mut batches = self.0.batches.lock().expect("test lock");
        batches.push(request.into_inner());
        let planned = self.0.batch_errors.lock().expect("test lock");
        let errors = planned
            .iter()
            .filter(|(batch, ..)| *batch + 1 == batches.len())
            .map(|(_, index, error)| pb::batch_objects_reply::BatchError { index: *index, error: (*error).to_owned() })
            .collect();
        Ok(Response::new(pb::BatchObjectsReply { took: 0.0, errors }))
    }

    async fn batch_delete(
        &self,
        request: Request<pb::BatchDeleteRequest>,
    ) -> Result<Response<pb::BatchDeleteReply>, Status> {
        self.0.next_status(&request)?;
        let reply = pb::BatchDeleteReply { matches: 7, successful: 5, failed: 2, ..pb::BatchDeleteReply::default() };
        Ok(Response::new(reply))
    }

    async fn aggregate(&self, request: Request<pb::AggregateRequest>) -> Result<Response<pb::AggregateReply>, Status> {
        self.0.next_status(&request)?;
        let single = pb::aggregate_reply::Single { objects_count: Some(42), aggregations: None };
        let result = Some(pb::aggregate_reply::Result::SingleResult(single));
        Ok(Response::new(pb::AggregateReply { took: 0.0, result }))
    }

    async fn batch_references(
        &self,
        _: Request<pb::BatchReferencesRequest>,
    ) -> Result<Response<pb::BatchReferencesReply>, Status> {
        Err(Status::unimplemented("batch_references"))
    }

    async fn tenants_get(&self, _: Request<pb::TenantsGetRequest>) -> Result<Response<pb::TenantsGetReply>, Status> {
        Err(Status::unimplemented("tenants_get"))
    }

    type BatchStreamStream = tokio_stream::Empty<Result<pb::BatchStreamReply, Status>>;

    async fn batch_stream(
        &self,
        _: Request<tonic::Streaming<pb::BatchStreamRequest>>,
    ) -> Result<Response<Self::BatchStreamStream>, Status> {
        Err(Status::unimplemented("batch_stream"))
    }
}

/// A running scripted server; REST and gRPC each have a port of their own, as with the servers that are not Azimuth.
struct Server {
    script: Arc<Scripted>,
    rest_url: String,
    grpc_url: String,
}

impl Server {
    async fn start() -> Server {
        let script = Arc::new(Scripted::default());
        let grpc = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let grpc_url = format!("http://{}", grpc.local_addr().expect("bound"));
        let incoming = tokio_stream::wrappers::TcpListenerStream::new(grpc);
        let service = WeaviateServer::new(Service(script.clone()));
        tokio::spawn(tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming));

        let rest = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let rest_url = format!("http://{}", rest.local_addr().expect("bound"));
        let shared = script.clone();
        let answer = move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| async move {
            let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
            let key = headers.get("authorization").and_then(|value| value.to_str().ok()).map(str::to_owned);
            shared.keys.lock().expect("test lock").push(key);
            shared.rest_calls.lock().expect("test lock").push((method, uri.to_string(), body));
            let (status, body) = shared.rest.lock().expect("test lock").pop_front().unwrap_or((200, json!({})));
            let status = StatusCode::from_u16(status).expect("a status");
            (status, if body.is_null() { String::new() } else { body.to_string() })
        };
        tokio::spawn(async move { axum::serve(rest, axum::Router::new().fallback(answer)).await });
        Server { script, rest_url, grpc_url }
    }

    fn builder(&self) -> ClientBuilder {
        let quick =
            RetryPolicy { attempts_max: 4, pause_first: Duration::from_millis(1), pause_max: Duration::from_millis(2) };
        Client::builder(&self.rest_url).grpc_url(&self.grpc_url).retry(quick)
    }

    fn client(&self) -> Client {
        self.builder().build().expect("good settings")
    }

    fn answer_rest(&self, answers: impl IntoIterator<Item = (u16, Value)>) {
        self.script.rest.lock().expect("test lock").extend(answers);
    }

    fn fail_grpc(&self, answers: impl IntoIterator<Item = Option<(Code, &'static str)>>) {
        self.script.grpc.lock().expect("test lock").extend(answers);
    }

    fn rest_calls(&self) -> Vec<(Method, String, Value)> {
        std::mem::take(&mut *self.script.rest_calls.lock().expect("test lock"))
    }
}

#[tokio::test]
async fn a_batch_is_repeated_while_the_server_is_away_and_errors_keep_their_position() {
    let server = Server::start().await;
    server.fail_grpc([
        Some((Code::Unavailable, "starting")),
        None,
        Some((Code::ResourceExhausted, "too many vectors pending")),
    ]);
    server.script.batch_errors.lock().expect("test lock").push((1, 1, "bad date"));
    let objects: Vec<Object> = (0..5).map(|n| Object::with_id(Uuid::from_u128(n)).vector([1.0])).collect();
    let options = BatchOptions { objects_max: 2, in_flight_max: 1, ..BatchOptions::default() };
    let books = server.client().collection("Book").expect("a name");
    let report = books.insert_many(&objects, options).await.expect("all sent in the end");
    assert_eq!(report.objects, 5);
    assert_eq!(report.failures.len(), 1);
    assert_eq!((report.failures[0].index, report.failures[0].id), (3, Uuid::from_u128(3)));
    let batches = server.script.batches.lock().expect("test lock");
    let sizes: Vec<usize> = batches.iter().map(|batch| batch.objects.len()).collect();
    assert_eq!(sizes, [2, 2, 1]);
    let ids: Vec<&str> = batches.iter().flat_map(|batch| &batch.objects).map(|object| object.uuid.as_str()).collect();
    let expected: Vec<String> = objects.iter().map(|object| object.id.to_string()).collect();
    assert_eq!(ids, expected, "a retry sends the same ids");
}

#[tokio::test]
async fn what_can_never_succeed_is_not_repeated() {
    let server = Server::start().await;
    let books = server.client().collection("Book").expect("a name");
    for (code, text, expected) in [
        (Code::Unknown, "class Book has multi-tenancy enabled", Error::Invalid(String::new())),
        (Code::Unknown, "extract auth: unauthorized: invalid api key", Error::Unauthenticated(String::new())),
        (Code::PermissionDenied, "no", Error::PermissionDenied(String::new())),
        (Code::Internal, "no", Error::Server(String::new())),
    ] {
        server.fail_grpc([Some((code, text))]);
        let answer = books.search(Query::near_vector([1.0])).await.expect_err("the script fails");
        assert_eq!(std::mem::discriminant(&answer), std::mem::discriminant(&expected), "{answer}");
    }
    assert!(server.script.searches.lock().expect("test lock").is_empty(), "no attempt came after a failure");
}

#[tokio::test]
async fn an_acknowledged_prefix_has_no_gap() {
    let server = Server::start().await;
    let books = server.client().collection("Book").expect("a name");
    let mut writer = books.batch(BatchOptions { objects_max: 2, in_flight_max: 8, ..BatchOptions::default() });
    for _ in 0..6 {
        writer.add(&Object::new()).await.expect("room");
    }
    let refused = writer.add(&Object::new().property("p", json!([[1]]))).await;
    assert!(matches!(refused, Err(Error::Invalid(_))));
    writer.flush().await.expect("all answered");
    assert_eq!(writer.acknowledged(), 6);
    server.fail_grpc([Some((Code::Internal, "disk"))]);
    writer.add(&Object::new()).await.expect("room");
    assert!(matches!(writer.flush().await, Err(Error::Server(_))));
    assert_eq!(writer.acknowledged(), 6, "the failed batch is not counted");
    assert!(matches!(writer.broken(), Some(Error::Server(_))));
    assert!(matches!(writer.add(&Object::new()).await, Err(Error::Server(_))), "a lost batch is never passed over");
    assert_eq!(writer.added(), 7);
}

#[tokio::test]
async fn batches_are_cut_by_bytes_too() {
    let server = Server::start().await;
    let books = server.client().collection("Book").expect("a name");
    let objects: Vec<Object> = (0..6).map(|_| Object::new().property("text", "x".repeat(1000))).collect();
    let options = BatchOptions { bytes_max: 2500, in_flight_max: 1, ..BatchOptions::default() };
    books.insert_many(&objects, options).await.expect("all sent");
    let sizes: Vec<usize> =
        server.script.batches.lock().expect("test lock").iter().map(|batch| batch.objects.len()).collect();
    assert_eq!(sizes, [2, 2, 2]);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable_on_both_wires() {
    // A port that was free a moment ago and is not listened to.
    let port =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port();
    let client =
        Client::builder(format!("http://127.0.0.1:{port}")).retry(RetryPolicy::never()).build().expect("settings");
    assert!(!client.is_live().await && !client.is_serving_grpc().await);
    assert!(matches!(client.meta().await, Err(Error::Unavailable(_))));
    let books = client.collection("Book").expect("a name");
    let answer = books.search(Query::list()).await;
    assert!(matches!(answer, Err(Error::Unavailable(_))), "{answer:?}");
}

#[tokio::test]
async fn a_connection_cut_in_the_middle_is_repeated_only_where_a_repeat_is_harmless() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let connections = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = connections.clone();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            // Takes the request and goes away: whether it was carried out, the client cannot know.
            let _ = tokio::io::AsyncReadExt::read(&mut socket, &mut [0; 65_536]).await;
        }
    });
    let retry = RetryPolicy { attempts_max: 3, pause_first: Duration::from_millis(1), ..RetryPolicy::default() };
    let client = Client::builder(url).retry(retry).build().expect("good settings");
    let books = client.collection("Book").expect("a name");
    let count = || connections.swap(0, std::sync::atomic::Ordering::SeqCst);
    assert!(matches!(books.insert(&Object::new()).await, Err(Error::Unavailable(_))));
    assert_eq!(count(), 1, "an insert would report that the object exists");
    assert!(matches!(books.replace(&Object::new()).await, Err(Error::Unavailable(_))));
    assert_eq!(count(), 3);
    let answer = books.search(Query::list()).await;
    assert!(matches!(answer, Err(Error::Unavailable(_))), "{answer:?}");
    assert_eq!(count(), 3);
    let answer = books.delete_where(Filter::property("n").equal(1), false).await;
    assert!(matches!(answer, Err(Error::Unavailable(_))), "{answer:?}");
    assert_eq!(count(), 1);
}

#[tokio::test]
async fn objects_by_id_use_the_routes_and_statuses_of_the_wire() {
    let server = Server::start().await;
    let client = server.builder().api_key("k1").build().expect("good settings");
    let books = client.collection("Book").expect("a name").tenant("t1").expect("a tenant");
    let id = Uuid::from_u128(9);
    let object = Object::with_id(id).property("n", 1).vector([0.5]);
    let stored = json!({"class": "Book", "id": id, "properties": {"n": 1}, "vector": [0.5]});
    server.answer_rest([(503, json!("starting")), (200, stored.clone()), (200, stored.clone()), (200, stored)]);
    books.insert(&object).await.expect("inserted after a refusal");
    books.replace(&object).await.expect("replaced");
    assert_eq!(books.get(id).await.expect("read").expect("there").vectors, object.vectors);
    let exists = json!({"error": [{"message": format!("id '{id}' already exists")}]});
    server.answer_rest([(204, Value::Null), (404, Value::Null), (404, Value::Null), (204, Value::Null), (422, exists)]);
    assert!(books.contains(id).await.expect("asked"));
    assert!(!books.contains(id).await.expect("asked"));
    assert_eq!(books.get(id).await, Ok(None));
    books.patch(&object).await.expect("patched");
    assert!(matches!(books.insert(&object).await, Err(Error::AlreadyExists(_))));
    server.answer_rest([(404, Value::Null)]);
    books.delete(id).await.expect("no error if there is none");

    let calls = server.rest_calls();
    let lines: Vec<String> = calls.iter().map(|(method, path, _)| format!("{method} {path}")).collect();
    let one = format!("/v1/objects/Book/{id}");
    let expected = [
        "POST /v1/objects".to_owned(),
        "POST /v1/objects".to_owned(),
        format!("PUT {one}"),
        format!("GET {one}?include=vector&tenant=t1"),
        format!("HEAD {one}?tenant=t1"),
        format!("HEAD {one}?tenant=t1"),
        format!("GET {one}?include=vector&tenant=t1"),
        format!("PATCH {one}"),
        "POST /v1/objects".to_owned(),
        format!("DELETE {one}?tenant=t1"),
    ];
    assert_eq!(lines, expected);
    assert_eq!(calls[0].2["tenant"], "t1");
    let keys = server.script.keys.lock().expect("test lock");
    assert!(keys.iter().all(|key| key.as_deref() == Some("Bearer k1")), "{keys:?}");
}

#[tokio::test]
async fn the_cursor_ends_at_an_empty_page() {
    let server = Server::start().await;
    let ids: Vec<Uuid> = (1..=3).map(Uuid::from_u128).collect();
    server.script.pages.lock().expect("test lock").extend([ids[..2].to_vec(), ids[2..].to_vec()]);
    let books = server.client().collection("Book").expect("a name");
    let mut pages = books.pages(2, false);
    let mut seen = Vec::new();
    while let Some(page) = pages.next().await.expect("a page") {
        seen.extend(page.into_iter().map(|object| object.id));
    }
    assert_eq!(seen, ids);
    assert_eq!(pages.next().await, Ok(None));
    let searches = server.script.searches.lock().expect("test lock");
    let after: Vec<&str> = searches.iter().map(|search| search.after.as_str()).collect();
    assert_eq!(after, ["", &ids[1].to_string(), &ids[2].to_string()]);
    assert!(searches.iter().all(|search| search.limit == 2));
}

#[tokio::test]
async fn search_count_and_deletion_by_filter_carry_the_key_and_read_their_answers() {
    let server = Server::start().await;
    server.script.pages.lock().expect("test lock").push_back(vec![Uuid::from_u128(4)]);
    let client = server.builder().api_key("k2").build().expect("good settings");
    let books = client.collection("Book").expect("a name");
    let hits = books.search(Query::near_vector([1.0]).limit(1)).await.expect("found");
    assert_eq!((hits[0].object.id, hits[0].distance), (Uuid::from_u128(4), Some(0.25)));
    assert_eq!(books.count(None).await, Ok(42));
    let deleted = books.delete_where(Filter::property("n").equal(1), true).await.expect("deleted");
    assert_eq!((deleted.matches, deleted.successful, deleted.failed), (7, 5, 2));
    let keys = server.script.keys.lock().expect("test lock");
    assert!(keys.len() == 3 && keys.iter().all(|key| key.as_deref() == Some("Bearer k2")), "{keys:?}");
}

#[tokio::test]
async fn schema_graphql_and_status_are_read_from_their_envelopes() {
    let server = Server::start().await;
    let client = server.client();
    server.answer_rest([
        (200, json!({"hostname": "http://[::]:8080", "version": "1.35.0", "modules": {}, "grpcMaxMessageSize": 104_858_000})),
        (200, json!({"classes": [{"class": "Book"}]})),
        (200, json!([{"name": "s", "status": "READY", "vectorQueueSize": 3}, {"name": "t", "status": "READY"}])),
        (200, json!({"data": {"Get": {"Book": []}}})),
        (200, json!({"data": null, "errors": [{"message": "a"}, {"message": "b"}]})),
        (404, Value::Null),
    ]);
    let meta = client.meta().await.expect("meta");
    assert_eq!((meta.version.as_str(), meta.grpc_message_bytes_max), ("1.35.0", Some(104_858_000)));
    assert_eq!(client.list_collections().await.expect("a list")[0]["class"], "Book");
    let books = client.collection("Book").expect("a name");
    assert_eq!(books.vector_queue_size().await, Ok(3));
    assert_eq!(client.graphql("{ Get { Book { n } } }").await, Ok(json!({"Get": {"Book": []}})));
    assert_eq!(client.graphql("{").await, Err(Error::Invalid("a; b".to_owned())));
    assert_eq!(books.exists().await, Ok(false));
}

#[test]
fn a_client_outside_of_a_runtime_is_an_error_not_a_panic() {
    assert!(matches!(Client::builder("http://127.0.0.1:1").build(), Err(Error::Invalid(_))));
}

#[tokio::test]
async fn addresses_that_cannot_work_are_refused_before_anything_is_sent() {
    for url in ["", "127.0.0.1:8080", "ftp://host", "http://"] {
        assert!(matches!(Client::builder(url).build(), Err(Error::Invalid(_))), "{url:?}");
    }
    let grpc = Client::builder("http://127.0.0.1:1").grpc_url("not an address").build();
    assert!(matches!(grpc, Err(Error::Invalid(_))));
    let key = Client::builder("http://127.0.0.1:1").api_key("a\nb").build();
    assert!(matches!(key, Err(Error::Invalid(_))));
}

#[tokio::test]
async fn a_name_never_becomes_another_path() {
    let client = Client::builder("http://127.0.0.1:1").build().expect("good settings");
    for name in ["", "A/B", "../schema", "A?x", "A B", "Ä"] {
        assert!(matches!(client.collection(name), Err(Error::Invalid(_))), "{name:?}");
    }
    let books = client.collection("Book").expect("a name");
    assert!(matches!(books.tenant("a&b"), Err(Error::Invalid(_))));
}
