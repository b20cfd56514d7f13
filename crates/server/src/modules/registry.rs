//! The modules that exist, by name.

/// The kind of a module's service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Makes vectors of texts.
    Vectorizer,
    /// Writes texts about objects.
    Generator,
    /// Ranks texts by a query.
    Reranker,
}

/// A module.
#[derive(Debug)]
pub(super) struct Module {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// Whether its service is reached by a key of the client alone; such modules are enabled unless switched off.
    pub(super) api_based: bool,
}

/// All modules.
pub(super) const MODULES: [Module; 6] = [
    Module { name: "text2vec-openai", kind: Kind::Vectorizer, api_based: true },
    Module { name: "text2vec-ollama", kind: Kind::Vectorizer, api_based: true },
    Module { name: "text2vec-transformers", kind: Kind::Vectorizer, api_based: false },
    Module { name: "generative-openai", kind: Kind::Generator, api_based: true },
    Module { name: "generative-ollama", kind: Kind::Generator, api_based: true },
    Module { name: "reranker-transformers", kind: Kind::Reranker, api_based: false },
];

/// The kind of the module of that name; `None` if there is none.
pub(crate) fn kind(name: &str) -> Option<Kind> {
    MODULES.iter().find(|module| module.name == name).map(|module| module.kind)
}
