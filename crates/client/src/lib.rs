//! Async client of Azimuth, and of every server that speaks Weaviate's public wire.
//!
//! Schema and single objects go over REST, searches, counts, batches and deletions by filter over gRPC, as the official
//! clients do it. Nothing of Azimuth's inside is known here: what this crate can do, any client can.
//!
//! - [`Client`]: addresses, key, TLS, time limits; collections, meta, readiness, nodes, GraphQL
//! - [`Collection`]: objects by id, [`Query`] with [`Filter`], count, cursor, deletion by filter
//! - [`BatchWriter`]: many objects with bounded memory, retry and per-object errors
//! - [`Error`]: one kind for each thing that a caller can do about it
//!
//! ```no_run
//! # async fn example() -> azimuth_client::Result<()> {
//! use azimuth_client::{BatchOptions, Client, CollectionConfig, DataType, Object, Property, Query, VectorIndex};
//! let client = Client::builder("http://127.0.0.1:8080").api_key("secret").build()?;
//! let config = CollectionConfig::new("Passage")
//!     .property(Property::new("text", DataType::Text))
//!     .unnamed_vector(VectorIndex::hnsw());
//! client.create_collection(&config).await?;
//! let passages = client.collection("Passage")?;
//! let object = Object::new().property("text", "the sea").vector([0.1, 0.2, 0.3]);
//! let report = passages.insert_many(&[object], BatchOptions::default()).await?;
//! assert!(report.failures.is_empty());
//! for hit in passages.search(Query::near_vector([0.1, 0.2, 0.25]).limit(10)).await? {
//!     let (id, distance) = (hit.object.id, hit.distance);
//! #   let _ = (id, distance);
//! }
//! # Ok(())
//! # }
//! ```

#![warn(missing_docs)]

mod batch;
mod client;
mod collection;
mod config;
mod error;
mod filter;
mod grpc;
mod object;
mod properties;
pub mod proto;
mod query;
mod rest;
mod retry;
mod vector;

pub use batch::{BatchOptions, BatchReport, BatchWriter, ObjectFailure};
pub use client::{Client, ClientBuilder, Meta, ShardStatus};
pub use collection::{Collection, Deleted, Pages};
pub use config::{CollectionConfig, DataType, Distance, Property, VectorIndex};
pub use error::{Error, Result};
pub use filter::{Filter, FilterValue, FilterValues, Subject};
pub use object::{Object, StoredObject};
pub use properties::Properties;
pub use query::{Hit, Query};
pub use retry::RetryPolicy;
pub use vector::{DEFAULT_VECTOR, Vectors, decode_vector, encode_vector};

#[cfg(test)]
mod tests;
