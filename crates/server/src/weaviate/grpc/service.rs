//! The service: who calls, which file answers.

use std::sync::Arc;

use prost::Message;
use tokio::sync::Semaphore;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::stream::message::StreamRequest;
use super::{aggregate, batch, search, search_many, status, stream, tenants};
use crate::app::{App, deadline};
use crate::auth::{Caller, Unauthenticated};
use crate::pb::azimuth::{SearchManyReply, SearchManyRequest, azimuth_server};
use crate::pb::weaviate::{
    AggregateReply, AggregateRequest, BatchDeleteReply, BatchDeleteRequest, BatchObjectsReply, BatchObjectsRequest,
    BatchReferencesReply, BatchReferencesRequest, BatchStreamReply, SearchReply, SearchRequest, TenantsGetReply,
    TenantsGetRequest, weaviate_server,
};
use crate::request_memory::{self, BodyShare};
use crate::weaviate::texts;

/// Bytes that encoding a message takes: the buffer grows by doubling.
fn encoding_bytes(message_bytes: usize) -> usize {
    2 * message_bytes
}

/// `weaviate.v1.Weaviate` and `azimuth.v1.Azimuth`.
pub(super) struct Service {
    app: Arc<App>,
    /// Open streams.
    streams: Arc<Semaphore>,
}

impl Service {
    pub(super) fn new(app: Arc<App>) -> Self {
        Self { app, streams: Arc::new(Semaphore::new(stream::STREAMS_MAX)) }
    }

    /// The caller of a request. Refusals have the code UNKNOWN, and the text of a wrong key for a missing one.
    fn caller<T>(&self, request: &Request<T>) -> Result<Caller, Status> {
        let authorization = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
        self.app.authenticate(authorization, None).map_err(|refusal| {
            let refusal = match refusal {
                Unauthenticated::NoKey { .. } => Unauthenticated::WrongKey,
                refusal => refusal,
            };
            Status::unknown(format!("extract auth: {}", texts::unauthenticated(refusal)))
        })
    }

    /// Runs a read; if there is no memory for it, it waits for its turn.
    async fn in_turn<T, F: Future<Output = Result<T, Status>>>(&self, read: impl Fn() -> F) -> Result<T, Status> {
        request_memory::in_turn(deadline::of_request(self.app.settings.read_time_max), read).await
    }

    /// An answer, if it is not larger than a message may be and there is memory for it.
    fn answer<T: Message>(&self, reply: T) -> Result<Response<T>, Status> {
        request_memory::charge(encoding_bytes(self.checked(&reply)?)).map_err(|refusal| status(refusal.into()))?;
        Ok(Response::new(reply))
    }

    /// The answer to a completed write, which is sent in any case.
    fn written<T: Message>(&self, reply: T) -> Result<Response<T>, Status> {
        request_memory::force(encoding_bytes(self.checked(&reply)?));
        Ok(Response::new(reply))
    }

    /// Bytes of a message.
    fn checked<T: Message>(&self, reply: &T) -> Result<usize, Status> {
        let (bytes, bytes_max) = (reply.encoded_len(), self.app.settings.grpc_max_message_bytes);
        if bytes > bytes_max {
            let text = format!("grpc: trying to send message larger than max ({bytes} vs. {bytes_max})");
            return Err(Status::resource_exhausted(text));
        }
        Ok(bytes)
    }
}

#[tonic::async_trait]
impl azimuth_server::Azimuth for Service {
    async fn search_many(&self, request: Request<SearchManyRequest>) -> Result<Response<SearchManyReply>, Status> {
        let caller = self.caller(&request)?;
        let request = request.into_inner();
        self.in_turn(|| async { self.answer(search_many::search_many(&self.app, &caller, &request).await?) }).await
    }
}

#[tonic::async_trait]
impl weaviate_server::Weaviate for Service {
    type BatchStreamStream = ReceiverStream<Result<BatchStreamReply, Status>>;

    async fn search(&self, request: Request<SearchRequest>) -> Result<Response<SearchReply>, Status> {
        let caller = self.caller(&request)?;
        let request = request.into_inner();
        self.in_turn(|| async { self.answer(Box::pin(search::search(&self.app, &caller, &request)).await?) }).await
    }

    async fn batch_objects(
        &self,
        request: Request<BatchObjectsRequest>,
    ) -> Result<Response<BatchObjectsReply>, Status> {
        let caller = self.caller(&request)?;
        self.written(batch::batch_objects(&self.app, &caller, request.into_inner()).await?)
    }

    async fn batch_references(
        &self,
        request: Request<BatchReferencesRequest>,
    ) -> Result<Response<BatchReferencesReply>, Status> {
        let caller = self.caller(&request)?;
        self.written(batch::batch_references(&self.app, &caller, request.into_inner()).await?)
    }

    async fn batch_delete(&self, request: Request<BatchDeleteRequest>) -> Result<Response<BatchDeleteReply>, Status> {
        let caller = self.caller(&request)?;
        self.written(batch::batch_delete(&self.app, &caller, request.into_inner()).await?)
    }

    async fn tenants_get(&self, request: Request<TenantsGetRequest>) -> Result<Response<TenantsGetReply>, Status> {
        let caller = self.caller(&request)?;
        self.answer(tenants::tenants_get(&self.app, &caller, request.into_inner()).await?)
    }

    async fn aggregate(&self, request: Request<AggregateRequest>) -> Result<Response<AggregateReply>, Status> {
        let caller = self.caller(&request)?;
        self.answer(aggregate::aggregate(&self.app, &caller, request.into_inner()).await?)
    }

    async fn batch_stream(
        &self,
        request: Request<Streaming<StreamRequest>>,
    ) -> Result<Response<Self::BatchStreamStream>, Status> {
        let caller = self.caller(&request);
        let caller = caller.map_err(|refusal| Status::unauthenticated(refusal.message()))?;
        if *self.app.stopping().borrow() {
            return Err(Status::unavailable("the server stops, and opens no stream any more"));
        }
        let permit = self.streams.clone().try_acquire_owned().map_err(|_| {
            Status::resource_exhausted(format!("{} streams are open, which is the most at once", stream::STREAMS_MAX))
        })?;
        let body = request.extensions().get::<BodyShare>().cloned();
        let body = body.ok_or_else(|| Status::internal("a stream came without an account of its memory"))?;
        Ok(Response::new(stream::open(self.app.clone(), caller, body, permit, request.into_inner())))
    }
}
