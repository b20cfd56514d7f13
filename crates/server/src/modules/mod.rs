//! Modules: services outside of this process that make vectors of texts, write texts and rank documents.
//!
//! The application and the wires call them before a write is proposed and around a search; nothing below the
//! application knows them. [`Modules`] holds the registry and the one HTTP client with its limits; a file per kind of
//! service builds the requests and reads the answers: [`vectorizer`], [`generator`], [`reranker`]. Which properties of an
//! object make up its text is in [`corpus`].

mod client;
pub(crate) mod corpus;
pub(crate) mod credentials;
mod error;
pub(crate) mod generator;
pub(crate) mod registry;
pub(crate) mod reranker;
mod settings;
pub(crate) mod vectorizer;

pub(crate) use client::Modules;
pub(crate) use error::ModuleError;
pub(crate) use settings::ModuleSettings;
