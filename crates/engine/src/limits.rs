//! Limits of collections and objects.
//!
//! Every limit stands here once. Every way in checks them before a command is proposed
//! ([`check_schema`](crate::schema::check_schema), [`value_depth`](crate::object::value_depth)); apply checks only the
//! limits that it cannot exceed (the space of ids, [`STORED_DEPTH_MAX`]), because the log may hold commands that an earlier
//! version accepted under other limits: they have the same outcome when they are applied again. A collection or an object
//! above a limit stays usable, but may not grow.

/// Most properties of a collection, nested ones included. Each change of a schema is written as a whole, twice, and each
/// object is checked against all of them; ids of properties end at 65,534.
pub const PROPERTIES_MAX: usize = 10_000;

/// Most named vectors of a collection. Each has an index with files and memory of its own; ids end at 65,534.
pub const VECTORS_MAX: usize = 1_000;

/// Most containers (objects and lists) around a value, the same for schemas and for objects, on every wire. A list of
/// objects is two containers, a list of numbers is one. A client that decodes protobuf with the usual limit of 100
/// nested messages can read such a value over gRPC: an object takes three messages, a list of objects five.
pub const DEPTH_MAX: usize = 30;

/// Most bytes of a collection's schema as it is stored, descriptions and module settings included.
pub const SCHEMA_BYTES_MAX: usize = 8 << 20;

/// Most containers around a stored value: a value nested deeper is neither written nor read. Earlier versions accepted
/// up to 65; such objects stay readable and can be changed.
pub const STORED_DEPTH_MAX: usize = 128;

/// Most shards (tenants) of a collection. Each takes about 150 bytes of memory in either group. Checked when shards are
/// created, at apply: creators at the same time cannot check it before.
pub const SHARDS_MAX: usize = 1_000_000;

/// Most bytes of a shard's name. Tenants have names of at most 64 characters; generated names have twelve.
pub const SHARD_NAME_BYTES_MAX: usize = 255;

/// Most shards that one command may name, so that it is applied in a small part of a second.
pub const SHARDS_AT_ONCE_MAX: usize = 10_000;

/// Most aliases of collections. Each takes about 200 bytes of memory. Checked when an alias is created, at apply.
pub const ALIASES_MAX: usize = 100_000;

/// Most bytes of an alias' name: as many as a collection's name may have.
pub const ALIAS_NAME_BYTES_MAX: usize = 255;

/// Deepest nesting of a filter that a shard reads, far above what front ends accept
/// (`AZIMUTH_FILTER_DEPTH_MAX`).
pub const FILTER_DEPTH_MAX: usize = 256;

/// Most references that the path of a condition may follow. Each takes a read of all shards of its collection.
pub const REFERENCE_STEPS_MAX: usize = 64;

/// Most objects of one collection that a condition behind a reference may match. Their ids (16 bytes each) are sent to
/// each shard of the collection that refers to them.
pub const REFERENCED_MAX: usize = 4_000_000;
