//! What browsers are told: who may read answers (`CORS_ALLOW_ORIGIN`), and what may be sent.

use http::header::{self, HeaderValue};
use http::{HeaderMap, HeaderName};

use crate::settings::Settings;

/// Headers of a gRPC-Web answer that a page may read.
const GRPC_HEADERS: HeaderValue =
    HeaderValue::from_static("grpc-status, grpc-message, grpc-status-details-bin, grpc-encoding, x-request-id");

/// The rules of this process, as header values.
#[derive(Debug)]
pub(super) struct Cors {
    /// More than one: the one that asks is answered.
    origins: Vec<HeaderValue>,
    methods: HeaderValue,
    headers: HeaderValue,
}

impl Cors {
    /// # Errors
    /// Names the setting that no header can carry.
    pub(super) fn new(settings: &Settings) -> Result<Self, String> {
        let value = |name: &str, text: &str| {
            HeaderValue::from_str(text.trim()).map_err(|_| format!("{name} holds what a header cannot carry"))
        };
        let origins = settings.cors_allow_origin.split(',').map(str::trim).filter(|origin| !origin.is_empty());
        Ok(Self {
            origins: origins.map(|origin| value("CORS_ALLOW_ORIGIN", origin)).collect::<Result<_, _>>()?,
            methods: value("CORS_ALLOW_METHODS", &settings.cors_allow_methods)?,
            headers: value("CORS_ALLOW_HEADERS", &settings.cors_allow_headers)?,
        })
    }

    /// Adds the rules to an answer; `origin` is who asks.
    pub(super) fn allow(&self, origin: Option<&HeaderValue>, answer: &mut HeaderMap) {
        let allowed = match &self.origins[..] {
            [only] => Some(only),
            several => several.iter().find(|allowed| Some(*allowed) == origin),
        };
        let Some(allowed) = allowed else { return };
        answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed.clone());
        answer.insert(header::ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone());
        answer.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, self.headers.clone());
    }

    /// Adds the rules to an answer of gRPC-Web, whose outcome is in its headers.
    pub(super) fn allow_grpc(&self, origin: Option<&HeaderValue>, answer: &mut HeaderMap) {
        self.allow(origin, answer);
        answer.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, GRPC_HEADERS);
        answer.append(header::VARY, HeaderValue::from_name(HeaderName::from_static("origin")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_origin_is_always_told_and_of_several_the_one_that_asks() {
        let value = HeaderValue::from_static;
        let rules = |origins: &[&'static str]| Cors {
            origins: origins.iter().map(|origin| value(origin)).collect(),
            methods: value("*"),
            headers: value("*"),
        };
        let told = |cors: &Cors, origin: Option<HeaderValue>| {
            let mut answer = HeaderMap::new();
            cors.allow(origin.as_ref(), &mut answer);
            answer.get(header::ACCESS_CONTROL_ALLOW_ORIGIN).cloned()
        };
        assert_eq!(told(&rules(&["*"]), None), Some(value("*")));
        let two = rules(&["https://a.test", "https://b.test"]);
        assert_eq!(told(&two, Some(value("https://b.test"))), Some(value("https://b.test")));
        assert_eq!(told(&two, Some(value("https://c.test"))), None);
        assert_eq!(told(&two, None), None);
    }
}
