//! gRPC-Web as browsers speak it: HTTP/1.1, a preflight from another origin, messages and trailers in one body.

use azimuth_client::{CollectionConfig, DataType, Object, Property, VectorIndex};
use azimuth_tests::raw_http::{self, Answer};
use azimuth_tests::server::Server;
use uuid::Uuid;

const HEALTH: &str = "/grpc.health.v1.Health/Check";
const SEARCH: &str = "/weaviate.v1.Weaviate/Search";
const ORIGIN: (&str, &str) = ("Origin", "https://page.test");

/// Messages and trailers of an answer: frames of a flag, a length and so many bytes.
#[derive(Debug, Default)]
struct Frames {
    messages: Vec<Vec<u8>>,
    trailers: String,
}

fn frames(mut bytes: &[u8]) -> Frames {
    let mut frames = Frames::default();
    while !bytes.is_empty() {
        assert!(bytes.len() >= 5, "a torn frame: {bytes:?}");
        let length = u32::from_be_bytes([bytes[1], bytes[2], bytes[3], bytes[4]]) as usize;
        let body = &bytes[5..5 + length];
        match bytes[0] {
            0 => frames.messages.push(body.to_vec()),
            0x80 => frames.trailers.push_str(&String::from_utf8_lossy(body).to_lowercase()),
            flag => panic!("a frame with flag {flag}"),
        }
        bytes = &bytes[5 + length..];
    }
    frames
}

fn frame(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("a small message");
    [&[0][..], &length.to_be_bytes(), message].concat()
}

/// `SearchRequest` with a collection, a limit, and all properties: fields 1, 30 and 102.
fn search(collection: &str) -> Vec<u8> {
    let name = u8::try_from(collection.len()).expect("a short name");
    [&[0x0a, name][..], collection.as_bytes(), &[0xf0, 0x01, 10], &[0xb0, 0x06, 1]].concat()
}

fn call(server: &Server, path: &str, media_type: &str, message: &[u8], more: &[(&str, &str)]) -> Answer {
    let headers = [&[("Content-Type", media_type), ("X-Grpc-Web", "1"), ORIGIN][..], more].concat();
    raw_http::request(&server.http_address(), "POST", path, &headers, message).expect("an answer")
}

fn fill(server: &Server, key: &str) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let client = server.client_builder().api_key(key).build().expect("a client");
        let config = CollectionConfig::new("Thing")
            .property(Property::new("text", DataType::Text))
            .unnamed_vector(VectorIndex::hnsw());
        client.create_collection(&config).await.expect("a collection");
        let object = Object::with_id(Uuid::from_u128(1)).property("text", "found in a browser").vector([1.0, 0.0]);
        client.collection("Thing").expect("a good name").insert(&object).await.expect("an object");
    });
}

fn server() -> Server {
    Server::builder()
        .variable("AUTHENTICATION_APIKEY_ENABLED", "true")
        .variable("AUTHENTICATION_APIKEY_ALLOWED_KEYS", "secret")
        .variable("AUTHENTICATION_APIKEY_USERS", "ann")
        .start()
}

fn holds(bytes: &[u8], wanted: &str) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted.as_bytes())
}

#[test]
fn a_browser_asks_before_it_calls_and_reads_what_comes() {
    let server = server();
    fill(&server, "secret");
    let preflight = raw_http::request(
        &server.http_address(),
        "OPTIONS",
        SEARCH,
        &[
            ORIGIN,
            ("Access-Control-Request-Method", "POST"),
            ("Access-Control-Request-Headers", "authorization,content-type,x-grpc-web,x-user-agent"),
        ],
        b"",
    );
    let preflight = preflight.expect("an answer");
    assert_eq!(preflight.status, 200);
    let header = |answer: &Answer, name: &str| answer.header(name).unwrap_or_default().to_lowercase();
    assert_eq!(header(&preflight, "access-control-allow-origin"), "*");
    let allowed = header(&preflight, "access-control-allow-headers");
    for name in ["authorization", "content-type", "x-grpc-web", "x-user-agent", "grpc-timeout"] {
        assert!(allowed.contains(name), "{name} is not among {allowed}");
    }
    for path in [SEARCH.to_owned(), format!("/v1/grpc-web{SEARCH}")] {
        for media_type in ["application/grpc-web+proto", "application/grpc-web"] {
            let bearer = [("Authorization", "Bearer secret")];
            let answer = call(&server, &path, media_type, &frame(&search("Thing")), &bearer);
            assert_eq!(answer.status, 200, "{path}: {answer:?}");
            assert!(header(&answer, "content-type").starts_with("application/grpc-web"), "{answer:?}");
            assert_eq!(header(&answer, "access-control-allow-origin"), "*");
            assert!(header(&answer, "access-control-expose-headers").contains("grpc-status"), "{answer:?}");
            let frames = frames(&answer.bytes);
            assert_eq!(frames.messages.len(), 1, "{path}: {frames:?}");
            assert!(holds(&frames.messages[0], "found in a browser"), "{frames:?}");
            assert!(frames.trailers.contains("grpc-status:0"), "{frames:?}");
        }
    }
}

#[test]
fn text_coding_health_and_failures() {
    let server = server();
    fill(&server, "secret");
    let health = call(&server, HEALTH, "application/grpc-web+proto", &frame(b""), &[]);
    assert_eq!(frames(&health.bytes).messages, [[0x08, 0x01]], "serving, without a key");
    // Base64 of an empty message; the answer is base64 of its frames.
    let text =
        call(&server, HEALTH, "application/grpc-web-text", b"AAAAAAA=", &[("Accept", "application/grpc-web-text")]);
    assert!(text.body.starts_with("AAAAAAIIAQ"), "{text:?}");
    for (message, key, code, words) in [
        (search("Nothing"), "secret", "2", "Nothing"),
        (search("Thing"), "wrong", "2", "invalid api key"),
        (b"\xff\xff\xff".to_vec(), "secret", "13", "unmarshalling"),
    ] {
        let bearer = format!("Bearer {key}");
        let answer = call(
            &server,
            SEARCH,
            "application/grpc-web+proto",
            &frame(&message),
            &[("Authorization", bearer.as_str())],
        );
        let trailers = frames(&answer.bytes).trailers;
        let status = answer.header("grpc-status").map(str::to_owned);
        let status = status.unwrap_or_else(|| trailers.split("grpc-status:").nth(1).unwrap_or("?").trim().to_owned());
        assert!(status.starts_with(code), "{words}: {answer:?}");
        let text = format!("{} {trailers}", answer.header("grpc-message").unwrap_or_default()).replace("%20", " ");
        assert!(text.to_lowercase().contains(&words.to_lowercase()), "{words}: {answer:?}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "a page may read failures as well");
    }
    let torn = call(&server, SEARCH, "application/grpc-web+proto", b"\0\0\0\0\xffabc", &[]);
    assert!(
        torn.header("grpc-status") != Some("0") && !frames(&torn.bytes).trailers.contains("grpc-status:0"),
        "{torn:?}"
    );
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

#[test]
fn origins_methods_and_headers_follow_the_settings() {
    let start = |origins: &str| {
        Server::builder()
            .variable("AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED", "true")
            .variable("CORS_ALLOW_ORIGIN", origins)
            .variable("CORS_ALLOW_METHODS", "GET,POST")
            .variable("CORS_ALLOW_HEADERS", "X-Mine")
            .start()
    };
    let one = start("https://only.test");
    let two = start("https://page.test, https://other.test");
    let allowed = |server: &Server, method: &str, origin: &str| {
        let headers = [("Origin", origin)];
        let answer = raw_http::request(&server.http_address(), method, "/v1/meta", &headers, b"").expect("an answer");
        let value = |name: &str| answer.header(name).unwrap_or("-").to_owned();
        [
            value("access-control-allow-origin"),
            value("access-control-allow-methods"),
            value("access-control-allow-headers"),
        ]
    };
    for method in ["OPTIONS", "GET"] {
        let only = ["https://only.test", "GET,POST", "X-Mine"];
        assert_eq!(allowed(&one, method, "https://page.test"), only, "one origin is told to everybody");
        assert_eq!(allowed(&two, method, "https://other.test"), ["https://other.test", "GET,POST", "X-Mine"]);
        assert_eq!(allowed(&two, method, "https://stranger.test"), ["-", "-", "-"]);
    }
    let web = call(&two, HEALTH, "application/grpc-web+proto", &frame(b""), &[]);
    assert_eq!(web.header("access-control-allow-origin"), Some("https://page.test"));
}
