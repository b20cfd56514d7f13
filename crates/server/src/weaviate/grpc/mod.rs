//! gRPC: `weaviate.v1.Weaviate`, `azimuth.v1.Azimuth` and `grpc.health.v1.Health`.
//!
//! [`routes`] is what the listeners mount; [`service`] authenticates and hands each call to its file.

#[cfg(test)]
mod access_tests;
mod aggregate;
mod batch;
mod boost;
pub(crate) mod codec;
mod diversity;
mod enrich;
mod framework_texts;
#[cfg(test)]
mod fuzz;
mod grouped;
mod health;
mod hybrid;
mod keyword;
mod near;
mod near_text;
mod reply;
mod search;
mod search_many;
mod selection;
mod service;
pub(crate) mod stream;
mod tenants;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use tonic::codec::CompressionEncoding;
use tonic::server::NamedService;
use tonic::{Code, Status};

use crate::app::{App, AppError};
use crate::pb::azimuth::azimuth_server::AzimuthServer;
use crate::pb::health::health_server::HealthServer;
use crate::pb::weaviate::weaviate_server::WeaviateServer;
use crate::settings::OperationalMode;
use crate::weaviate::texts;

/// The services; anything else is an unknown service.
pub(crate) fn routes(app: Arc<App>) -> Router {
    let (bytes_max, mode) = (app.settings.grpc_max_message_bytes, app.settings.mode);
    let weaviate = WeaviateServer::new(service::Service::new(app.clone()))
        .max_decoding_message_size(bytes_max)
        .max_encoding_message_size(usize::MAX)
        .accept_compressed(CompressionEncoding::Gzip);
    let azimuth = AzimuthServer::new(service::Service::new(app))
        .max_decoding_message_size(bytes_max)
        .max_encoding_message_size(usize::MAX)
        .accept_compressed(CompressionEncoding::Gzip);
    let health = HealthServer::new(health::Health);
    Router::new()
        .route_service(&path_of(&weaviate), weaviate)
        .route_service(&path_of(&azimuth), azimuth)
        .route_service(&path_of(&health), health)
        .layer(axum::middleware::from_fn(framework_texts::reword))
        .layer(axum::middleware::from_fn(move |request, next| refuse_by_mode(mode, request, next)))
        .fallback(unknown_service)
}

/// Refuses calls that the operational mode does not take.
async fn refuse_by_mode(mode: OperationalMode, request: Request, next: Next) -> Response {
    match mode.refusal(OperationalMode::grpc_call(request.uri().path())) {
        Some(why) => Status::unavailable(why).into_http(),
        None => next.run(request).await,
    }
}

fn path_of<S: NamedService>(_: &S) -> String {
    format!("/{}/{{*method}}", S::NAME)
}

/// Answer to a request for a service that is not here; its path is `/service/method`.
async fn unknown_service(request: Request) -> http::Response<axum::body::Body> {
    let service = request.uri().path().trim_start_matches('/').split('/').next().unwrap_or_default();
    Status::unimplemented(format!("unknown service {service}")).into_http()
}

/// The status of a failed call: UNKNOWN with the text, apart from what clients act upon.
#[expect(clippy::needless_pass_by_value, reason = "`map_err` passes errors by value")]
fn status(error: AppError) -> Status {
    let code = match &error {
        AppError::Forbidden(_) => Code::PermissionDenied,
        AppError::UsageLimit { .. } | AppError::TooLarge(_) | AppError::Busy(_) => Code::ResourceExhausted,
        AppError::Unavailable(_) => Code::Unavailable,
        AppError::Deadline(_) => Code::DeadlineExceeded,
        AppError::Invalid(_)
        | AppError::Limit(_)
        | AppError::Query(_)
        | AppError::Search(_)
        | AppError::Internal(_) => Code::Unknown,
    };
    Status::new(code, texts::app(&error))
}

/// Seconds since `start`, as replies carry them.
fn took(start: std::time::Instant) -> f32 {
    start.elapsed().as_secs_f32()
}
