//! The gRPC half: stubs over one channel with credentials and size limits, and the retry of what may be retried.

use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use crate::error::{Error, Failure, Result};
use crate::proto::azimuth::v1 as ours;
use crate::proto::health::v1::health_client::HealthClient;
use crate::proto::weaviate::v1 as pb;
use crate::retry::{Repeat, RetryPolicy, with_retry};
use ours::azimuth_client::AzimuthClient;
use pb::weaviate_client::WeaviateClient;

type Stub = WeaviateClient<InterceptedService<Channel, Credentials>>;

#[derive(Debug)]
pub(crate) struct Grpc {
    channel: Channel,
    stub: Stub,
    ours: AzimuthClient<InterceptedService<Channel, Credentials>>,
    retry: RetryPolicy,
}

/// Adds the API key to every request.
#[derive(Debug, Clone)]
struct Credentials {
    bearer: Option<MetadataValue<Ascii>>,
}

impl Interceptor for Credentials {
    fn call(&mut self, mut request: Request<()>) -> std::result::Result<Request<()>, Status> {
        if let Some(bearer) = &self.bearer {
            request.metadata_mut().insert("authorization", bearer.clone());
        }
        Ok(request)
    }
}

macro_rules! unary {
    ($(#[$doc:meta] $name:ident, $request:ident, $reply:ident, $repeat:ident;)*) => {$(
        #[$doc]
        pub(crate) async fn $name(&self, request: &pb::$request) -> Result<pb::$reply> {
            let answer = with_retry(self.retry, Repeat::$repeat, || {
                let mut stub = self.stub.clone();
                // Boxed: every future of a caller would hold the call's.
                Box::pin(async move { settle(stub.$name(request.clone()).await) })
            });
            answer.await
        }
    )*};
}

impl Grpc {
    pub(crate) fn new(
        channel: Channel,
        api_key: Option<&str>,
        message_bytes_max: usize,
        retry: RetryPolicy,
    ) -> Result<Grpc> {
        let bearer = api_key.map(bearer).transpose()?;
        let credentials = Credentials { bearer };
        let stub = WeaviateClient::with_interceptor(channel.clone(), credentials.clone())
            .max_decoding_message_size(message_bytes_max)
            .max_encoding_message_size(message_bytes_max);
        let ours = AzimuthClient::with_interceptor(channel.clone(), credentials)
            .max_decoding_message_size(message_bytes_max)
            .max_encoding_message_size(message_bytes_max);
        Ok(Grpc { channel, stub, ours, retry })
    }

    pub(crate) fn health(&self) -> HealthClient<Channel> {
        HealthClient::new(self.channel.clone())
    }

    /// Several queries, of any collections.
    pub(crate) async fn search_many(&self, request: &ours::SearchManyRequest) -> Result<ours::SearchManyReply> {
        let answer = with_retry(self.retry, Repeat::Harmless, || {
            let mut stub = self.ours.clone();
            Box::pin(async move { settle(stub.search_many(request.clone()).await) })
        });
        answer.await
    }

    unary! {
        /// One query of one collection.
        search, SearchRequest, SearchReply, Harmless;
        /// Counts and metrics.
        aggregate, AggregateRequest, AggregateReply, Harmless;
        /// Deletes by filter; a repeat would report other counts.
        batch_delete, BatchDeleteRequest, BatchDeleteReply, Visible;
        /// Writes objects whose ids the client chose, so that a repeat writes the same.
        batch_objects, BatchObjectsRequest, BatchObjectsReply, Harmless;
    }
}

fn settle<T>(answer: std::result::Result<Response<T>, Status>) -> std::result::Result<T, Failure> {
    answer.map(Response::into_inner).map_err(|status| Failure::from_status(&status))
}

fn bearer(key: &str) -> Result<MetadataValue<Ascii>> {
    let mut value = MetadataValue::try_from(format!("Bearer {key}"))
        .map_err(|_| Error::Invalid("the API key holds characters that a header cannot carry".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}
