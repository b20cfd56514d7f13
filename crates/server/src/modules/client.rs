//! The HTTP client of all modules: limits of time, size and concurrency, repetitions, secrets.

use std::sync::OnceLock;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Response, StatusCode, Url};
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::{ModuleError, ModuleSettings};
use crate::request_memory;

/// Calls to services at once, over all requests.
const CALLS_MAX: usize = 64;
/// Bytes of an answer.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Bytes of an error's text that are passed on.
const ERROR_BYTES_MAX: usize = 2 << 10;
/// Attempts of one call.
const ATTEMPTS_MAX: u32 = 4;
/// The pause before the first repetition; each further pause is twice as long.
const PAUSE: Duration = Duration::from_millis(200);
/// The longest pause that a service may ask for.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// Time to open a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The modules of the process.
pub(crate) struct Modules {
    pub(crate) settings: ModuleSettings,
    /// Made by the first call: the certificates of the platform take megabytes.
    http: OnceLock<Result<reqwest::Client, String>>,
    calls: Semaphore,
}

/// A call of a service.
pub(super) struct Call<'a> {
    /// The service, as errors name it.
    pub(super) service: &'static str,
    pub(super) url: Url,
    pub(super) key: Option<&'a str>,
    /// Further headers.
    pub(super) headers: Vec<(&'static str, &'a str)>,
}

/// Why an attempt failed.
enum Failure {
    /// The next attempt may succeed, after a pause that the service names.
    ForNow(ModuleError, Option<Duration>),
    /// Every further attempt fails as well.
    Final(ModuleError),
}

impl Modules {
    /// The modules as the settings say. Nothing is called yet.
    pub(crate) fn new(settings: ModuleSettings) -> Self {
        Self { settings, http: OnceLock::new(), calls: Semaphore::new(CALLS_MAX) }
    }

    /// Sends `body` and returns the JSON of the answer.
    ///
    /// # Errors
    /// [`ModuleError`]
    pub(super) async fn post(&self, call: &Call<'_>, body: &Value) -> Result<Value, ModuleError> {
        let unreachable = |why: String| ModuleError::Unreachable { service: call.service, why };
        let answered = timeout(self.settings.timeout, async {
            let _permit =
                self.calls.acquire().await.map_err(|_| unreachable("no calls are made any more".to_owned()))?;
            let mut attempt = 0;
            loop {
                let (error, pause) = match self.attempt(call, body).await {
                    Ok(answer) => return Ok(answer),
                    Err(Failure::Final(error)) => return Err(error),
                    Err(Failure::ForNow(error, pause)) => (error, pause),
                };
                attempt += 1;
                if attempt == ATTEMPTS_MAX {
                    return Err(error);
                }
                let pause = pause.unwrap_or(PAUSE * 2_u32.pow(attempt - 1)).min(PAUSE_MAX);
                tracing::debug!(%error, attempt, "a module is called again");
                tokio::time::sleep(pause).await;
            }
        });
        let seconds = self.settings.timeout.as_secs_f32();
        let late = || unreachable(format!("no answer within {seconds} s (MODULES_CLIENT_TIMEOUT)"));
        answered.await.map_err(|_| late())?
    }

    async fn attempt(&self, call: &Call<'_>, body: &Value) -> Result<Value, Failure> {
        let service = call.service;
        let unreachable = |why: String| ModuleError::Unreachable { service, why };
        let http =
            self.http.get_or_init(http_client).as_ref().map_err(|why| Failure::Final(unreachable(why.clone())))?;
        let mut request = http.post(call.url.clone()).json(body);
        if let Some(key) = call.key {
            let mut bearer = HeaderValue::try_from(format!("Bearer {key}")).map_err(|_| {
                Failure::Final(ModuleError::Setting(
                    "the api key holds characters that a header cannot have".to_owned(),
                ))
            })?;
            bearer.set_sensitive(true);
            request = request.header(AUTHORIZATION, bearer);
        }
        for (name, value) in &call.headers {
            request = request.header(HeaderName::from_static(name), *value);
        }
        // The address may hold secrets of the operator: errors do not show it.
        let answer = request.send().await;
        let answer = answer.map_err(|error| Failure::ForNow(unreachable(cause(&error.without_url())), None))?;
        let status = answer.status();
        let pause = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let bytes = read(answer, service).await.map_err(Failure::Final)?;
        if !status.is_success() {
            let error = ModuleError::Refused { service, status: status.as_u16(), text: error_text(&bytes) };
            return Err(match status {
                StatusCode::TOO_MANY_REQUESTS
                | StatusCode::INTERNAL_SERVER_ERROR
                | StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT => Failure::ForNow(error, pause.map(Duration::from_secs)),
                _ => Failure::Final(error),
            });
        }
        let answer = serde_json::from_slice(&bytes);
        answer.map_err(|error| Failure::Final(ModuleError::Answer { service, why: format!("no JSON: {error}") }))
    }
}

fn http_client() -> Result<reqwest::Client, String> {
    // A provider that is installed already is the same one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // A redirection would hand the key to another host.
    reqwest::Client::builder()
        .redirect(Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .user_agent(concat!("azimuth/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| error.to_string())
}

/// The body of an answer, charged to the request that asked for it.
async fn read(mut answer: Response, service: &'static str) -> Result<Vec<u8>, ModuleError> {
    let mut bytes = Vec::new();
    loop {
        let chunk = answer.chunk().await;
        let chunk = chunk.map_err(|error| ModuleError::Unreachable { service, why: cause(&error.without_url()) })?;
        let Some(chunk) = chunk else { return Ok(bytes) };
        if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(ModuleError::Answer { service, why: format!("it is longer than {ANSWER_BYTES_MAX} bytes") });
        }
        request_memory::charge(chunk.len())?;
        bytes.extend_from_slice(&chunk);
    }
}

/// The innermost reason of a failure.
fn cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// The text of a service's error: `error.message`, `error`, or the beginning of the body.
fn error_text(bytes: &[u8]) -> String {
    let parsed: Value = serde_json::from_slice(bytes).unwrap_or_default();
    let found = parsed.pointer("/error/message").or_else(|| parsed.get("error")).and_then(Value::as_str);
    let text = found.map_or_else(|| String::from_utf8_lossy(bytes).into_owned(), str::to_owned);
    text.chars().take(ERROR_BYTES_MAX).collect()
}

/// The address of `path` below a base address.
///
/// # Errors
/// The base is no HTTP address.
pub(super) fn url(base: &str, path: &str) -> Result<Url, ModuleError> {
    let refuse =
        |why: String| ModuleError::Setting(format!("the address {base:?} of the module cannot be used: {why}"));
    let joined = format!("{}/{path}", base.trim_end_matches('/'));
    let url = Url::parse(&joined).map_err(|error| refuse(error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refuse("it is neither http nor https".to_owned()));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_services_are_read() {
        assert_eq!(error_text(br#"{"error": {"message": "wrong key"}}"#), "wrong key");
        assert_eq!(error_text(br#"{"error": "no such model"}"#), "no such model");
        assert_eq!(error_text(b"gateway"), "gateway");
        assert_eq!(error_text(&[b'x'; 9_000]).len(), ERROR_BYTES_MAX);
    }

    #[test]
    fn addresses_are_joined() {
        let joined = |base: &str| url(base, "v1/embeddings").map(|url| url.to_string());
        assert_eq!(joined("http://a:1/"), Ok("http://a:1/v1/embeddings".to_owned()));
        assert_eq!(joined("https://a/b"), Ok("https://a/b/v1/embeddings".to_owned()));
        for wrong in ["", "ftp://a", "a", "file:///etc"] {
            assert!(matches!(joined(wrong), Err(ModuleError::Setting(_))), "{wrong}");
        }
    }
}
