//! The REST half: one HTTP client, its base address and credentials, and the retry of what may be retried.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Certificate, Method};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Failure, Result};
use crate::retry::{Repeat, RetryPolicy, with_retry};

/// Answers above this size are refused while they are read.
const ANSWER_BYTES_MAX: usize = 256 << 20;

#[derive(Debug)]
pub(crate) struct Rest {
    http: reqwest::Client,
    base: String,
    retry: RetryPolicy,
}

impl Rest {
    /// `timeouts` are those of a whole attempt and of opening a connection.
    pub(crate) fn new(
        url: &str,
        api_key: Option<&str>,
        certificate_pem: Option<&[u8]>,
        timeouts: (Duration, Duration),
        retry: RetryPolicy,
    ) -> Result<Rest> {
        let url = url.trim_end_matches('/');
        let parsed = reqwest::Url::parse(url).map_err(|error| Error::Invalid(format!("address {url:?}: {error}")))?;
        if !matches!(parsed.scheme(), "http" | "https") || parsed.host().is_none() {
            return Err(Error::Invalid(format!("address {url:?}: expected http://host:port or https://host:port")));
        }
        let mut headers = HeaderMap::new();
        if let Some(key) = api_key {
            headers.insert(AUTHORIZATION, bearer(key)?);
        }
        let mut builder = reqwest::Client::builder()
            .default_headers(headers)
            .timeout(timeouts.0)
            .connect_timeout(timeouts.1)
            .tcp_nodelay(true)
            .user_agent(concat!("azimuth-client/", env!("CARGO_PKG_VERSION")));
        if let Some(pem) = certificate_pem {
            let certificates = Certificate::from_pem_bundle(pem)
                .map_err(|error| Error::Invalid(format!("the certificate cannot be read: {error}")))?;
            builder = builder.tls_certs_merge(certificates);
        }
        let http =
            builder.build().map_err(|error| Error::Invalid(format!("the HTTP client cannot be set up: {error}")))?;
        Ok(Rest { http, base: format!("{url}/v1"), retry })
    }

    /// Sends a request to `path` below `/v1`, its body in JSON, and returns the body of a 2xx answer.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Bytes>,
        repeat: Repeat,
    ) -> Result<Vec<u8>> {
        with_retry(self.retry, repeat, || self.attempt(method.clone(), path, body)).await
    }

    pub(crate) async fn attempt(
        &self,
        method: Method,
        path: &str,
        body: Option<&Bytes>,
    ) -> std::result::Result<Vec<u8>, Failure> {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.clone());
        }
        let mut answer = request.send().await.map_err(|error| Failure::from_exchange(&error))?;
        let status = answer.status();
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| Failure::from_exchange(&error))? {
            if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
                let error = Error::TooLarge(format!("the answer has more than {ANSWER_BYTES_MAX} bytes"));
                return Err(Failure { error, may_have_run: true });
            }
            bytes.extend_from_slice(&chunk);
        }
        if status.is_success() { Ok(bytes) } else { Err(Failure::from_answer(status.as_u16(), &bytes)) }
    }
}

/// The body of an answer as JSON of a known shape.
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    serde_json::from_slice(body).map_err(|error| Error::Protocol(format!("the answer cannot be read: {error}")))
}

/// `value` as the body of a request.
pub(crate) fn body_of(value: &impl Serialize) -> Result<Bytes> {
    let text = serde_json::to_vec(value).map_err(|error| Error::Invalid(format!("writing the request: {error}")))?;
    Ok(Bytes::from(text))
}

/// The header value that carries `key`, marked as not to be logged.
fn bearer(key: &str) -> Result<HeaderValue> {
    let mut value = HeaderValue::try_from(format!("Bearer {key}"))
        .map_err(|_| Error::Invalid("the API key holds characters that a header cannot carry".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}
