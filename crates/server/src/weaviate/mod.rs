//! The dialect of Weaviate: names, texts, JSON and protobuf of its three wires.

mod aggregate;
mod duration;
mod enrich;
pub(crate) mod filter;
pub(crate) mod graphql;
pub(crate) mod grpc;
pub(crate) mod objects;
pub(crate) mod page;
mod profile;
pub(crate) mod rest;
pub(crate) mod schema;
mod tenants;
pub(crate) mod texts;
pub(crate) mod tree;
pub(crate) mod weight;
