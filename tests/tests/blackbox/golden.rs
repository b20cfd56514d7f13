//! The recorded conversations with a real Weaviate: replayed, compared, and held to a list that only gets shorter.

use azimuth_tests::program::{self, Python};
use azimuth_tests::{notice, server, shared_folder};

#[test]
fn recordings_hold_but_for_the_listed_steps() {
    if shared_folder().is_none() {
        notice("golden: skipped, the shared folder with the recordings is not there (AZIMUTH_SHARED)");
        return;
    }
    let mut command = program::python(Python::V4);
    command.arg("tests/golden/run.py").env("AZIMUTH_BINARY", server::binary());
    program::run("replay of recordings", &mut command);
}

#[test]
fn the_list_lets_nothing_pass_that_it_does_not_name() {
    let mut command = program::python(Python::V4);
    command.args(["-m", "pytest", "-q", "-p", "no:cacheprovider", "--color=no", "tests/golden"]);
    program::run("rules of the list", &mut command);
}
