//! Black-box suites: every test starts server processes of its own and speaks to them over the wire.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod access;
mod aggregate;
mod aliases;
mod batch_stream;
mod bounded;
mod clients;
mod command_line;
mod container;
mod damage;
mod demo;
mod disk;
mod extremes;
mod flood;
mod golden;
mod grpc_web;
mod histories;
mod hostile;
mod index_memory;
mod keyword;
mod kill;
mod lifecycle;
mod limits;
mod logs;
mod long_reads;
mod metrics;
mod modules;
mod nested_filters;
mod real_data;
mod reference_filters;
mod replies;
mod schema;
mod search_many;
mod selections;
mod semantics;
mod settings;
mod shards;
mod slow_readers;
mod stateful;
mod storage;
mod tenants;
mod tls;
