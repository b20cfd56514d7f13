//! Integration tests of the engine.

mod background;
mod basics;
mod model;

mod readers;
mod support;
