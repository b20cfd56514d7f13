//! Keys and addresses of services that a request brings in its headers.
//!
//! The router stores them for the task that answers the request ([`within`]), as it stores the request's deadline.

use std::future::Future;
use std::sync::Arc;

use http::HeaderMap;

/// Headers that modules read, in lower case.
const HEADERS: [&str; 4] = ["x-openai-api-key", "x-openai-organization", "x-openai-baseurl", "x-ollama-baseurl"];
/// Bytes of one value.
const VALUE_BYTES_MAX: usize = 4 << 10;

/// The headers of a request that modules read.
#[derive(Clone, Default)]
pub(crate) struct Credentials(Option<Arc<[(&'static str, String)]>>);

tokio::task_local! {
    static CREDENTIALS: Credentials;
}

impl Credentials {
    /// Those of a request.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let value = |name: &&'static str| {
            let value = headers.get(*name)?.to_str().ok()?.trim();
            let fits = !value.is_empty() && value.len() <= VALUE_BYTES_MAX;
            fits.then(|| (*name, value.to_owned()))
        };
        let found: Vec<_> = HEADERS.iter().filter_map(value).collect();
        Self((!found.is_empty()).then(|| found.into()))
    }

    /// The value of a header, by its name in lower case.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().flat_map(|found| found.iter()).find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }
}

/// Answers a request that brought these.
pub(crate) async fn within<F: Future>(credentials: Credentials, request: F) -> F::Output {
    CREDENTIALS.scope(credentials, request).await
}

/// Those of the request that this task answers.
pub(crate) fn current() -> Credentials {
    CREDENTIALS.try_with(Clone::clone).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_has_its_own() {
        let mut headers = HeaderMap::new();
        headers.insert("X-OpenAI-Api-Key", "secret".parse().expect("a value"));
        headers.insert("X-Other", "x".parse().expect("a value"));
        let found = within(Credentials::of(&headers), async { current() }).await;
        assert_eq!((found.get("x-openai-api-key"), found.get("x-openai-baseurl")), (Some("secret"), None));
        assert_eq!(current().get("x-openai-api-key"), None);
    }
}
