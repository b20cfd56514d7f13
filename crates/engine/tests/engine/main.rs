//! Integration tests of the engine.

mod basics;

mod support;
