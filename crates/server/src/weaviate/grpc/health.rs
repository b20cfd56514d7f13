//! The standard health service: every service is serving while the process answers at all.

use tonic::{Request, Response, Status};

use crate::pb::health::health_check_response::ServingStatus;
use crate::pb::health::{
    HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse, health_server,
};

/// Answers without looking at the name of the service, because clients send all kinds of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Health;

const SERVING: HealthCheckResponse = HealthCheckResponse { status: ServingStatus::Serving as i32 };

#[tonic::async_trait]
impl health_server::Health for Health {
    type WatchStream = tokio_stream::Once<Result<HealthCheckResponse, Status>>;

    async fn check(&self, _: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        Ok(Response::new(SERVING))
    }

    async fn list(&self, _: Request<HealthListRequest>) -> Result<Response<HealthListResponse>, Status> {
        let statuses = [("weaviate".to_owned(), SERVING)].into_iter().collect();
        Ok(Response::new(HealthListResponse { statuses }))
    }

    /// One message, then the end.
    async fn watch(&self, _: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Ok(Response::new(tokio_stream::once(Ok(SERVING))))
    }
}
