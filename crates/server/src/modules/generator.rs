//! Generators: prompts in, texts out.
//!
//! | module | request | settings |
//! | --- | --- | --- |
//! | `generative-openai` | `POST {baseURL}/v1/chat/completions` | `model`, `baseURL`, `temperature`, `maxTokens`, `topP`, `frequencyPenalty`, `presencePenalty` |
//! | `generative-ollama` | `POST {apiEndpoint}/api/generate` | `model`, `apiEndpoint`, `temperature` |

use azimuth_engine::schema::Collection;
use serde_json::{Map, Value, json};

use super::client::Call;
use super::credentials::{self, Credentials};
use super::registry::Kind;
use super::vectorizer::{ollama, openai};
use super::{ModuleError, ModuleSettings, Modules};

/// The settings of OpenAI's interface that are passed on: their name here, and there.
const OPENAI_SETTINGS: [(&str, &str); 5] = [
    ("temperature", "temperature"),
    ("maxTokens", "max_tokens"),
    ("topP", "top_p"),
    ("frequencyPenalty", "frequency_penalty"),
    ("presencePenalty", "presence_penalty"),
];

/// A generator with its settings.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Generator {
    name: &'static str,
    settings: Value,
}

impl Generator {
    /// A generator that a request names, with the settings of the class under those of the request.
    pub(crate) fn named(collection: &Collection, name: &'static str, settings: Map<String, Value>) -> Self {
        let mut all = of_class(collection, name).unwrap_or_default();
        all.extend(settings);
        Self { name, settings: Value::Object(all) }
    }

    /// The generator that a class has settings for.
    pub(crate) fn of(collection: &Collection, modules: &ModuleSettings) -> Option<Self> {
        let found = |name: &'static str| {
            let settings = of_class(collection, name)?;
            Some(Self { name, settings: Value::Object(settings) })
        };
        modules.of_kind(Kind::Generator).find_map(found)
    }
}

fn of_class(collection: &Collection, name: &str) -> Option<Map<String, Value>> {
    let config: Value = serde_json::from_str(collection.module_config.as_deref()?).ok()?;
    Some(config.get(name)?.as_object().cloned().unwrap_or_default())
}

impl Modules {
    /// The text that a prompt gives.
    ///
    /// # Errors
    /// [`ModuleError`]
    pub(crate) async fn generate(&self, generator: &Generator, prompt: &str) -> Result<String, ModuleError> {
        if !self.settings.is_enabled(generator.name, Kind::Generator) {
            return Err(ModuleError::NotEnabled(generator.name.to_owned()));
        }
        let credentials = credentials::current();
        let (call, body, field) = request(&self.settings, generator, prompt, &credentials)?;
        let answer = self.post(&call, &body).await?;
        let text = answer.pointer(field).and_then(Value::as_str);
        let no_text = || ModuleError::Answer { service: call.service, why: format!("it has no text at {field}") };
        text.map(str::to_owned).ok_or_else(no_text)
    }
}

fn request<'a>(
    settings: &'a ModuleSettings,
    generator: &Generator,
    prompt: &str,
    credentials: &'a Credentials,
) -> Result<(Call<'a>, Value, &'static str), ModuleError> {
    let setting = |name: &str| generator.settings.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let mut body = Map::new();
    if generator.name == "generative-openai" {
        let call = openai(settings, setting("baseURL"), "v1/chat/completions", credentials)?;
        body.insert("model".to_owned(), json!(setting("model").unwrap_or("gpt-4o-mini")));
        body.insert("messages".to_owned(), json!([{"role": "user", "content": prompt}]));
        for (name, there) in OPENAI_SETTINGS {
            if let Some(value) = generator.settings.get(name).filter(|value| value.is_number()) {
                body.insert(there.to_owned(), value.clone());
            }
        }
        return Ok((call, Value::Object(body), "/choices/0/message/content"));
    }
    let call = ollama(setting("apiEndpoint"), "api/generate", credentials)?;
    body.insert("model".to_owned(), json!(setting("model").unwrap_or("llama3")));
    body.insert("prompt".to_owned(), json!(prompt));
    body.insert("stream".to_owned(), json!(false));
    if let Some(temperature) = generator.settings.get("temperature").filter(|value| value.is_number()) {
        body.insert("options".to_owned(), json!({"temperature": temperature}));
    }
    Ok((call, Value::Object(body), "/response"))
}

/// The prompt about one object: each `{name}` stands for the text of a property.
///
/// # Errors
/// A property without a text.
pub(crate) fn prompt_of_one(prompt: &str, texts: &[(String, String)]) -> Result<String, ModuleError> {
    let mut made = String::with_capacity(prompt.len());
    let mut rest = prompt;
    while let Some(open) = rest.find('{') {
        let (before, after) = rest.split_at(open);
        made.push_str(before);
        let name = after[1..].split('}').next().filter(|name| name.len() + 2 <= after.len());
        let is_name = |name: &&str| name.chars().all(|c| c.is_alphanumeric() || c == '_' || c.is_whitespace());
        let Some(name) = name.filter(is_name) else {
            made.push('{');
            rest = &after[1..];
            continue;
        };
        let text = texts.iter().find(|(known, _)| known == name.trim()).map(|(_, text)| text.as_str());
        let text = text.filter(|text| !text.is_empty()).ok_or_else(|| {
            ModuleError::Input(format!(
                "Following property has empty value: '{}'. Make sure you spell the property name correctly, verify that \
                 the property exists and has a value",
                name.trim()
            ))
        })?;
        made.push_str(text);
        rest = &after[name.len() + 2..];
    }
    made.push_str(rest);
    Ok(made)
}

/// The prompt about all objects: the task, then the texts of their properties as JSON.
pub(crate) fn prompt_of_all(task: &str, objects: &[Vec<(String, String)>]) -> String {
    let object = |texts: &Vec<(String, String)>| {
        let members = texts.iter().map(|(name, text)| (name.clone(), Value::String(text.clone())));
        Value::Object(members.collect())
    };
    let objects = Value::Array(objects.iter().map(object).collect());
    format!("'{task}:\n{objects}'")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts() -> Vec<(String, String)> {
        vec![("title".to_owned(), "The Sea".to_owned()), ("note".to_owned(), String::new())]
    }

    #[test]
    fn names_in_braces_are_replaced() {
        let made = |prompt: &str| prompt_of_one(prompt, &texts()).map_err(|error| error.to_string());
        assert_eq!(made("say { title } in {title}!"), Ok("say The Sea in The Sea!".to_owned()));
        assert_eq!(made("{\"a\": 1} and {title"), Ok("{\"a\": 1} and {title".to_owned()));
        assert_eq!(made("{{title}}"), Ok("{The Sea}".to_owned()));
        for prompt in ["{note}", "{nothing}"] {
            assert!(made(prompt).is_err_and(|error| error.contains("has empty value")), "{prompt}");
        }
    }

    #[test]
    fn all_objects_stand_in_one_prompt() {
        let made = prompt_of_all("sum up", &[vec![("a".to_owned(), "b\"c".to_owned())], Vec::new()]);
        assert_eq!(made, "'sum up:\n[{\"a\":\"b\\\"c\"},{}]'");
    }
}
