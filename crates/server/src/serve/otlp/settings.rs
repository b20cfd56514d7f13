//! The settings of the export, by OpenTelemetry's own environment names.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::super::trace::TraceParent;
use super::message::{KeyValue, Resource};
use crate::settings::{flag, number, text};

/// Where spans go, and as what.
#[derive(Debug)]
pub(super) struct OtlpSettings {
    /// `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, or `OTEL_EXPORTER_OTLP_ENDPOINT` with `/v1/traces`.
    pub(super) url: String,
    /// `OTEL_EXPORTER_OTLP_HEADERS`
    pub(super) headers: HeaderMap,
    /// `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`
    pub(super) resource: Resource,
    /// `OTEL_BSP_SCHEDULE_DELAY`: how long a span waits for others.
    pub(super) delay: Duration,
    /// `OTEL_TRACES_SAMPLER`
    pub(super) sampler: Sampler,
}

/// Which traces are recorded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sampler {
    /// A caller's trace is recorded if the caller records it.
    parent_based: bool,
    /// Share of the other traces, 0 to 1.
    ratio: f64,
}

impl OtlpSettings {
    /// `None` without a collector, or with `OTEL_SDK_DISABLED`.
    pub(super) fn from_environment() -> Result<Option<Self>, String> {
        let own = text("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "");
        let base = text("OTEL_EXPORTER_OTLP_ENDPOINT", "");
        if flag("OTEL_SDK_DISABLED", false) || (own.is_empty() && base.is_empty()) {
            return Ok(None);
        }
        let protocol = text("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf");
        if text("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", &protocol) != "http/protobuf" {
            return Err("OTEL_EXPORTER_OTLP_PROTOCOL: only http/protobuf is spoken (usually port 4318)".to_owned());
        }
        let url = if own.is_empty() { format!("{}/v1/traces", base.trim_end_matches('/')) } else { own };
        if !url.starts_with("http://") && !url.starts_with("https://") {
            return Err(format!("OTEL_EXPORTER_OTLP_ENDPOINT must begin with http:// or https://, got {url:?}"));
        }
        let service = KeyValue::text("service.name", &text("OTEL_SERVICE_NAME", "azimuth"));
        let others = pairs("OTEL_RESOURCE_ATTRIBUTES")?;
        let others = others.iter().filter(|(key, _)| key != "service.name");
        let attributes =
            std::iter::once(service).chain(others.map(|(key, value)| KeyValue::text(key, value))).collect();
        Ok(Some(Self {
            url,
            headers: headers()?,
            resource: Resource { attributes },
            delay: Duration::from_millis(number("OTEL_BSP_SCHEDULE_DELAY", 5_000)?),
            sampler: Sampler::from_environment()?,
        }))
    }
}

impl Sampler {
    fn from_environment() -> Result<Self, String> {
        let name = text("OTEL_TRACES_SAMPLER", "parentbased_always_on");
        let (parent_based, own) = match name.strip_prefix("parentbased_") {
            Some(own) => (true, own),
            None => (false, name.as_str()),
        };
        let ratio = match own {
            "always_on" => 1.0,
            "always_off" => 0.0,
            "traceidratio" => number("OTEL_TRACES_SAMPLER_ARG", 1.0)?,
            _ => return Err(format!("OTEL_TRACES_SAMPLER: there is no sampler {name:?} here")),
        };
        Ok(Self { parent_based, ratio })
    }

    /// Whether a trace is recorded. The share is taken from the lowest 56 bits of its id, as others do it.
    pub(super) fn samples(self, parent: Option<TraceParent>, trace_id: u128) -> bool {
        match parent {
            Some(parent) if self.parent_based => parent.sampled,
            _ => {
                // Compared as integers: a float would round the highest ids up to the bound.
                let bound = (self.ratio.clamp(0.0, 1.0) * (1_u64 << 56) as f64) as u128;
                trace_id & ((1 << 56) - 1) < bound
            }
        }
    }
}

fn headers() -> Result<HeaderMap, String> {
    let name = "OTEL_EXPORTER_OTLP_HEADERS";
    let mut headers = HeaderMap::new();
    for (key, value) in pairs(name)? {
        // The value may be a credential: it is not shown.
        let key = HeaderName::try_from(&key).map_err(|_| format!("{name}: {key:?} is no name of a header"))?;
        let mut value = HeaderValue::try_from(value).map_err(|_| format!("{name}: {key} has no value for a header"))?;
        value.set_sensitive(true);
        headers.insert(key, value);
    }
    Ok(headers)
}

/// `key=value,key=value`
fn pairs(name: &str) -> Result<Vec<(String, String)>, String> {
    let text = text(name, "");
    let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (key, value) = pair.split_once('=').ok_or_else(|| format!("{name} is not `key=value,key=value`"))?;
            Ok((key.trim().to_owned(), value.trim().to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_decide_for_their_traces_and_a_share_of_the_others_is_recorded() {
        let parent = |sampled| Some(TraceParent { trace_id: 1, parent_id: 1, sampled });
        let half = Sampler { parent_based: true, ratio: 0.5 };
        assert!(half.samples(parent(true), u128::MAX) && !half.samples(parent(false), 0));
        assert!(half.samples(None, 0) && half.samples(None, 1 << 55) == half.samples(None, u128::MAX));
        assert!(!Sampler { parent_based: false, ratio: 0.0 }.samples(parent(true), 0));
        assert!(Sampler { parent_based: false, ratio: 1.0 }.samples(parent(false), u128::MAX));
    }
}
