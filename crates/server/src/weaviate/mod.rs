//! The dialect of Weaviate: names, texts, JSON and protobuf of its three wires.

pub(crate) mod graphql;
pub(crate) mod grpc;
pub(crate) mod rest;
pub(crate) mod tree;
