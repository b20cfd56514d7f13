//! The connection to a server: addresses, credentials, limits; and what a server says about itself.

use std::sync::{Arc, Once};
use std::time::Duration;

use bytes::Bytes;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

use crate::collection::Collection;
use crate::config::CollectionConfig;
use crate::error::{Error, Failure, Result};
use crate::grpc::Grpc;
use crate::proto::health::v1 as health;
use crate::rest::{Rest, body_of, parse};
use crate::retry::{Repeat, RetryPolicy, with_retry};

/// Settings of a [`Client`], all with defaults.
#[derive(Debug, Clone)]
pub struct ClientBuilder {
    rest_url: String,
    grpc_url: Option<String>,
    api_key: Option<String>,
    certificate_pem: Option<Vec<u8>>,
    timeout: Duration,
    connect_timeout: Duration,
    message_bytes_max: usize,
    retry: RetryPolicy,
}

impl ClientBuilder {
    /// Where gRPC is spoken, `http://host:port` or `https://host:port`. Default: the URL of REST, where Azimuth answers
    /// both; other servers have a port of its own for it, usually 50051.
    pub fn grpc_url(mut self, url: impl Into<String>) -> ClientBuilder {
        self.grpc_url = Some(url.into());
        self
    }

    /// The key that identifies the caller.
    pub fn api_key(mut self, key: impl Into<String>) -> ClientBuilder {
        self.api_key = Some(key.into());
        self
    }

    /// Trusts the certificate authority in this PEM text beside those of the system, for `https` addresses.
    pub fn certificate_pem(mut self, pem: impl Into<Vec<u8>>) -> ClientBuilder {
        self.certificate_pem = Some(pem.into());
        self
    }

    /// How long one attempt of one call may take; 60 s.
    pub fn timeout(mut self, timeout: Duration) -> ClientBuilder {
        self.timeout = timeout;
        self
    }

    /// How long opening a connection may take; 5 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> ClientBuilder {
        self.connect_timeout = timeout;
        self
    }

    /// The largest gRPC message in either direction; 104,858,000 bytes, as servers have it.
    pub fn message_bytes_max(mut self, bytes: usize) -> ClientBuilder {
        self.message_bytes_max = bytes;
        self
    }

    /// How transient failures are retried.
    pub fn retry(mut self, policy: RetryPolicy) -> ClientBuilder {
        self.retry = policy;
        self
    }

    /// The client. Nothing is sent yet: the first call opens the connection.
    ///
    /// # Errors
    /// [`Error::Invalid`] if an address, the key or the certificate cannot be read, or outside of a tokio runtime.
    pub fn build(self) -> Result<Client> {
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(Error::Invalid("a client can be built inside a tokio runtime only".to_owned()));
        }
        install_tls_provider();
        let rest = Rest::new(
            &self.rest_url,
            self.api_key.as_deref(),
            self.certificate_pem.as_deref(),
            (self.timeout, self.connect_timeout),
            self.retry,
        )?;
        let channel = self.channel()?;
        let grpc = Grpc::new(channel, self.api_key.as_deref(), self.message_bytes_max, self.retry)?;
        Ok(Client { shared: Arc::new(Shared { rest, grpc }) })
    }

    fn channel(&self) -> Result<Channel> {
        let url = self.grpc_url.as_ref().unwrap_or(&self.rest_url).trim_end_matches('/').to_owned();
        let secure = url.starts_with("https://");
        let invalid = |error: tonic::transport::Error| Error::Invalid(format!("gRPC address {url:?}: {error}"));
        let mut endpoint = Endpoint::from_shared(url.clone())
            .map_err(invalid)?
            .timeout(self.timeout)
            .connect_timeout(self.connect_timeout)
            .tcp_nodelay(true)
            .initial_stream_window_size(4 << 20)
            .initial_connection_window_size(16 << 20);
        if secure {
            let mut tls = ClientTlsConfig::new().with_native_roots();
            if let Some(pem) = &self.certificate_pem {
                tls = tls.ca_certificate(Certificate::from_pem(pem));
            }
            endpoint = endpoint.tls_config(tls).map_err(invalid)?;
        }
        Ok(endpoint.connect_lazy())
    }
}

/// rustls asks the process for its cryptography; whoever came first keeps the choice.
fn install_tls_provider() {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        // An error says that the program has installed a provider itself, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

/// A client of one server. Cheap to clone; clones share the connections.
#[derive(Debug, Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    rest: Rest,
    grpc: Grpc,
}

/// What a server says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Meta {
    /// The address that the server gives for itself.
    #[serde(default)]
    pub hostname: String,
    /// The version of the wire that it speaks, `x.y.z`.
    pub version: String,
    /// The largest gRPC message that it accepts, if it says.
    #[serde(rename = "grpcMaxMessageSize")]
    pub grpc_message_bytes_max: Option<u64>,
}

/// The queue of vectors that one shard has still to index.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ShardStatus {
    /// The shard, or the tenant.
    pub name: String,
    /// `READY`, `READONLY`, `INDEXING`, ..
    pub status: String,
    /// Vectors that are stored and found, but not in the graph yet.
    #[serde(rename = "vectorQueueSize", default)]
    pub vector_queue_size: u64,
}

impl Client {
    /// Settings for a client of the server at `rest_url`, `http://host:port` or `https://host:port`.
    pub fn builder(rest_url: impl Into<String>) -> ClientBuilder {
        ClientBuilder {
            rest_url: rest_url.into(),
            grpc_url: None,
            api_key: None,
            certificate_pem: None,
            timeout: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(5),
            message_bytes_max: 104_858_000,
            retry: RetryPolicy::default(),
        }
    }

    /// Whether the process is up. A server that cannot be reached is not live; this is no error.
    pub async fn is_live(&self) -> bool {
        self.probe("/.well-known/live").await
    }

    /// Whether the server answers queries. A server that cannot be reached is not ready; this is no error.
    pub async fn is_ready(&self) -> bool {
        self.probe("/.well-known/ready").await
    }

    /// Whether the gRPC side says that it serves.
    pub async fn is_serving_grpc(&self) -> bool {
        self.check_grpc().await.is_ok()
    }

    /// As [`Client::is_serving_grpc`], with the reason when it does not: there is no answer, the certificate is not
    /// trusted, or the server reports that it does not serve yet.
    pub async fn check_grpc(&self) -> Result<()> {
        let request = health::HealthCheckRequest::default();
        let answer = self.shared.grpc.health().check(request).await;
        match answer.map_err(|status| Failure::from_status(&status).error)?.get_ref().status() {
            health::health_check_response::ServingStatus::Serving => Ok(()),
            other => Err(Error::Unavailable(format!("the server's gRPC health is {}", other.as_str_name()))),
        }
    }

    /// Version and limits of the server.
    pub async fn meta(&self) -> Result<Meta> {
        parse(&self.get("/meta").await?)
    }

    /// The nodes as the wire describes them: name, status, version, counts, and with `verbose` every shard.
    pub async fn nodes(&self, verbose: bool) -> Result<Vec<Value>> {
        let path = if verbose { "/nodes?output=verbose" } else { "/nodes" };
        let body: Value = parse(&self.get(path).await?)?;
        match body.get("nodes") {
            Some(Value::Array(nodes)) => Ok(nodes.clone()),
            _ => Err(Error::Protocol("nodes without a list".to_owned())),
        }
    }

    /// Creates a collection and returns its configuration with the server's defaults filled in.
    ///
    /// # Errors
    /// [`Error::Invalid`] or [`Error::AlreadyExists`] if the name is taken or the configuration is refused.
    pub async fn create_collection(&self, config: &CollectionConfig) -> Result<Value> {
        let body = body_of(config.body())?;
        parse(&self.shared.rest.call(Method::POST, "/schema", Some(&body), Repeat::Visible).await?)
    }

    /// The configuration of every collection.
    pub async fn list_collections(&self) -> Result<Vec<Value>> {
        let body: Value = parse(&self.get("/schema").await?)?;
        match body.get("classes") {
            Some(Value::Array(classes)) => Ok(classes.clone()),
            Some(Value::Null) => Ok(Vec::new()),
            _ => Err(Error::Protocol("a schema without classes".to_owned())),
        }
    }

    /// Removes a collection with all that is in it; no error if there is none.
    pub async fn delete_collection(&self, name: &str) -> Result<()> {
        let path = format!("/schema/{}", path_segment(name)?);
        match self.shared.rest.call(Method::DELETE, &path, None, Repeat::Harmless).await {
            Ok(_) | Err(Error::NotFound(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The collection called `name`, whether it exists or not. Nothing is sent.
    ///
    /// # Errors
    /// [`Error::Invalid`] if no collection can have this name.
    pub fn collection(&self, name: &str) -> Result<Collection> {
        path_segment(name)?;
        Ok(Collection::new(self.clone(), name.to_owned()))
    }

    /// Runs a GraphQL query and returns `data`.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the messages if the answer has `errors`.
    pub async fn graphql(&self, query: &str) -> Result<Value> {
        let body = body_of(&json!({"query": query}))?;
        let mut answer: Value =
            parse(&self.shared.rest.call(Method::POST, "/graphql", Some(&body), Repeat::Harmless).await?)?;
        if let Some(errors) = answer["errors"].as_array().filter(|errors| !errors.is_empty()) {
            let texts: Vec<_> = errors.iter().map(|error| error["message"].as_str().unwrap_or("?")).collect();
            return Err(Error::Invalid(texts.join("; ")));
        }
        Ok(answer["data"].take())
    }

    /// Sends JSON to `path` below `/v1` and returns the body of the answer, for routes that have no method here. It is
    /// sent again only if the server certainly did nothing.
    pub async fn post_raw(&self, path: &str, body: impl Into<Bytes>) -> Result<Vec<u8>> {
        self.shared.rest.call(Method::POST, path, Some(&body.into()), Repeat::Visible).await
    }

    pub(crate) fn rest(&self) -> &Rest {
        &self.shared.rest
    }

    pub(crate) fn grpc(&self) -> &Grpc {
        &self.shared.grpc
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Vec<u8>> {
        self.shared.rest.call(Method::GET, path, None, Repeat::Harmless).await
    }

    async fn probe(&self, path: &str) -> bool {
        let probe = || self.shared.rest.attempt(Method::GET, path, None);
        let answer: std::result::Result<Vec<u8>, Error> =
            with_retry(RetryPolicy::never(), Repeat::Harmless, probe).await;
        answer.is_ok()
    }
}

/// `name` if it can be put into a path as it is: the wire's names need no escaping.
pub(crate) fn path_segment(name: &str) -> Result<&str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if name.is_empty() || !name.bytes().all(plain) {
        return Err(Error::Invalid(format!("{name:?} is no name: letters, digits, '_' and '-' only")));
    }
    Ok(name)
}
