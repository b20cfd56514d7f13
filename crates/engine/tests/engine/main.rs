//! Integration tests of the engine.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests fail by panicking and print their seeds")]

mod activity;
mod aggregates;
mod aliases;
mod background;
mod basics;
mod batched;
mod budgets;
mod charges;
mod damage;
mod fixtures;
mod folding;
mod installs;
mod keyword;
mod levels;
mod limits;
mod memory;
mod model;
mod moments;
mod nested;
mod postings;
mod readers;
mod shards;
mod support;
mod targets;
mod unloading;
mod unreadable;
