//! Settings of modules: `ENABLE_MODULES` and its companions.

use std::fmt;
use std::time::Duration;

use super::registry::{self, Kind};
use crate::settings;

/// The settings of modules from the environment. Keys are never shown.
#[derive(Clone, Default)]
pub(crate) struct ModuleSettings {
    /// Names of the modules that are enabled.
    enabled: Vec<&'static str>,
    /// `DEFAULT_VECTORIZER_MODULE`: the vectorizer of a class that names none.
    pub(crate) default_vectorizer: String,
    /// `MODULES_CLIENT_TIMEOUT`: time for one call with its repetitions.
    pub(super) timeout: Duration,
    /// `OPENAI_APIKEY`
    pub(super) openai_key: Option<String>,
    /// `OPENAI_ORGANIZATION`
    pub(super) openai_organization: Option<String>,
    /// `TRANSFORMERS_PASSAGE_INFERENCE_API`, or `TRANSFORMERS_INFERENCE_API`
    pub(super) passage_url: Option<String>,
    /// `TRANSFORMERS_QUERY_INFERENCE_API`, or `TRANSFORMERS_INFERENCE_API`
    pub(super) query_url: Option<String>,
    /// `RERANKER_INFERENCE_API`
    pub(super) reranker_url: Option<String>,
}

impl fmt::Debug for ModuleSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModuleSettings").field("enabled", &self.enabled).finish_non_exhaustive()
    }
}

impl ModuleSettings {
    /// Reads the environment.
    ///
    /// # Errors
    /// Names the variable that cannot be used.
    pub(crate) fn from_environment() -> Result<Self, String> {
        let given = |name: &str| Some(settings::text(name, "")).filter(|text| !text.is_empty());
        let api_based = !settings::flag("API_BASED_MODULES_DISABLED", false);
        let named = settings::list("ENABLE_MODULES");
        for name in named.iter().filter(|name| registry::kind(name).is_none()) {
            tracing::warn!(name, "a module of ENABLE_MODULES does not exist here; it is ignored");
        }
        let is_enabled = |module: &&registry::Module| {
            (api_based && module.api_based) || named.iter().any(|name| name == module.name)
        };
        let enabled = registry::MODULES.iter().filter(is_enabled).map(|module| module.name).collect();
        let transformers = given("TRANSFORMERS_INFERENCE_API");
        let this = Self {
            enabled,
            default_vectorizer: settings::text("DEFAULT_VECTORIZER_MODULE", "none"),
            timeout: timeout(given("MODULES_CLIENT_TIMEOUT").as_deref())?,
            openai_key: given("OPENAI_APIKEY"),
            openai_organization: given("OPENAI_ORGANIZATION"),
            passage_url: given("TRANSFORMERS_PASSAGE_INFERENCE_API").or_else(|| transformers.clone()),
            query_url: given("TRANSFORMERS_QUERY_INFERENCE_API").or(transformers),
            reranker_url: given("RERANKER_INFERENCE_API"),
        };
        this.validate()?;
        Ok(this)
    }

    fn validate(&self) -> Result<(), String> {
        let default = self.default_vectorizer.as_str();
        if default != "none" && !self.is_enabled(default, Kind::Vectorizer) {
            return Err(format!(
                "DEFAULT_VECTORIZER_MODULE is {default}, which is no enabled vectorizer (ENABLE_MODULES)"
            ));
        }
        let enabled = |name: &str| self.enabled.contains(&name);
        if enabled("text2vec-transformers") && (self.passage_url.is_none() || self.query_url.is_none()) {
            return Err(
                "text2vec-transformers needs TRANSFORMERS_INFERENCE_API, or TRANSFORMERS_PASSAGE_INFERENCE_API and \
                        TRANSFORMERS_QUERY_INFERENCE_API"
                    .to_owned(),
            );
        }
        if enabled("reranker-transformers") && self.reranker_url.is_none() {
            return Err("reranker-transformers needs RERANKER_INFERENCE_API".to_owned());
        }
        Ok(())
    }

    /// Whether there is an enabled module of that name and kind.
    pub(crate) fn is_enabled(&self, name: &str, kind: Kind) -> bool {
        registry::kind(name) == Some(kind) && self.enabled.contains(&name)
    }

    /// Whether any module is enabled.
    pub(crate) fn are_there(&self) -> bool {
        !self.enabled.is_empty()
    }

    /// The enabled modules of a kind.
    pub(crate) fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &'static str> {
        self.enabled.iter().copied().filter(move |name| registry::kind(name) == Some(kind))
    }
}

/// Reads a duration as Go writes it: `50s`, `2m`, `500ms`; a plain number is seconds.
fn timeout(given: Option<&str>) -> Result<Duration, String> {
    let Some(given) = given else { return Ok(Duration::from_secs(50)) };
    let refuse = || format!("MODULES_CLIENT_TIMEOUT must be a duration such as 50s, got {given:?}");
    let unit_at = given.find(|c: char| !c.is_ascii_digit()).unwrap_or(given.len());
    let (digits, unit) = given.split_at(unit_at);
    let count: u64 = digits.parse().map_err(|_| refuse())?;
    let duration = match unit {
        "ms" => Duration::from_millis(count),
        "" | "s" => Duration::from_secs(count),
        "m" => Duration::from_secs(count.saturating_mul(60)),
        _ => return Err(refuse()),
    };
    if duration.is_zero() || duration > Duration::from_secs(3_600) {
        return Err(refuse());
    }
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_go() {
        assert_eq!(timeout(None), Ok(Duration::from_secs(50)));
        assert_eq!(timeout(Some("250ms")), Ok(Duration::from_millis(250)));
        assert_eq!(timeout(Some("2m")), Ok(Duration::from_secs(120)));
        assert_eq!(timeout(Some("7")), Ok(Duration::from_secs(7)));
        for wrong in ["", "0s", "1h", "x", "-1s", "99999999m"] {
            assert!(timeout(Some(wrong)).is_err_and(|why| why.contains("MODULES_CLIENT_TIMEOUT")), "{wrong}");
        }
    }

    #[test]
    fn modules_need_their_services() {
        let with = |enabled: &[&'static str], default: &str| ModuleSettings {
            enabled: enabled.to_vec(),
            default_vectorizer: default.to_owned(),
            ..ModuleSettings::default()
        };
        assert_eq!(with(&["text2vec-openai"], "text2vec-openai").validate(), Ok(()));
        assert!(with(&[], "text2vec-openai").validate().is_err_and(|why| why.contains("DEFAULT_VECTORIZER_MODULE")));
        assert!(with(&["generative-openai"], "generative-openai").validate().is_err(), "no vectorizer");
        assert!(with(&["text2vec-transformers"], "none").validate().is_err_and(|why| why.contains("INFERENCE_API")));
        assert!(with(&["reranker-transformers"], "none").validate().is_err_and(|why| why.contains("RERANKER")));
    }
}
