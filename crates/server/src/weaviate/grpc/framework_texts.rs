//! Errors that tonic raises by itself, in the codes and words that clients of this wire know.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use tonic::{Code, Status};

/// Rewords what the framework answered: unknown methods, messages that are too large, damaged wire data.
pub(super) async fn reword(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let response = next.run(request).await;
    match Status::from_header_map(response.headers()).and_then(|status| reworded(&status, &path)) {
        Some(status) => status.into_http(),
        None => response,
    }
}

fn reworded(status: &Status, path: &str) -> Option<Status> {
    let text = status.message();
    match status.code() {
        Code::Unimplemented if text.is_empty() => {
            let mut parts = path.trim_start_matches('/').split('/');
            let (service, method) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            Some(Status::unimplemented(format!("unknown method {method} for service {service}")))
        }
        Code::OutOfRange => {
            let numbers = text.strip_prefix("Error, decoded message length too large: found ")?;
            let (found, rest) = numbers.split_once(" bytes, the limit is: ")?;
            let limit = rest.strip_suffix(" bytes")?;
            Some(Status::resource_exhausted(format!("grpc: received message larger than max ({found} vs. {limit})")))
        }
        Code::Internal if text.starts_with("failed to decode Protobuf message") => {
            Some(Status::internal(format!("grpc: error unmarshalling request: {text}")))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_wire() {
        let check = |status: Status, code: Code, want: &str| {
            let got = reworded(&status, "/weaviate.v1.Weaviate/NoSuch").expect("reworded");
            assert_eq!((got.code(), got.message()), (code, want));
        };
        let unknown = "unknown method NoSuch for service weaviate.v1.Weaviate";
        check(Status::unimplemented(""), Code::Unimplemented, unknown);
        let large =
            Status::out_of_range("Error, decoded message length too large: found 24 bytes, the limit is: 20 bytes");
        check(large, Code::ResourceExhausted, "grpc: received message larger than max (24 vs. 20)");
        assert!(reworded(&Status::unknown("x"), "/a/b").is_none());
    }
}
