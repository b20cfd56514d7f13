//! The official clients, unmodified, against a real server.

use azimuth_tests::program::{self, Python};
use azimuth_tests::server::Server;
use std::process::Command;

const KEY: &str = "key-of-the-administrator";
const READ_KEY: &str = "key-of-a-reader";

fn ports(command: &mut Command, server: &Server) {
    command.env("AZIMUTH_HTTP_PORT", server.http_port().to_string());
    command.env("AZIMUTH_GRPC_PORT", server.grpc_port().to_string());
}

fn pytest(environment: Python, folder: &str, server: &Server) -> Command {
    let mut command = program::python(environment);
    command.args(["-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short", "--color=no", folder]);
    command.env("AZIMUTH_KEY", KEY).env("AZIMUTH_READ_KEY", READ_KEY);
    ports(&mut command, server);
    command
}

#[test]
fn python_client_4() {
    let server = Server::start();
    program::run("official Python client 4.x", &mut pytest(Python::V4, "tests/python/v4", &server));
}

#[test]
fn python_client_3_with_api_keys() {
    let server = Server::builder()
        .variable("AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED", "false")
        .variable("AUTHENTICATION_APIKEY_ENABLED", "true")
        .variable("AUTHENTICATION_APIKEY_ALLOWED_KEYS", &format!("{KEY},{READ_KEY}"))
        .variable("AUTHENTICATION_APIKEY_USERS", "ada,rita")
        .variable("AUTHORIZATION_ADMINLIST_ENABLED", "true")
        .variable("AUTHORIZATION_ADMINLIST_USERS", "ada")
        .variable("AUTHORIZATION_ADMINLIST_READONLY_USERS", "rita")
        .start();
    program::run("official Python client 3.26.7", &mut pytest(Python::V3, "tests/python/v3", &server));
}

#[test]
fn javascript_client() {
    let server = Server::start();
    let mut command = Command::new("node");
    command.args(["--test", "--test-reporter=tap", "tests/js/client.test.js"]);
    command.current_dir(azimuth_tests::workspace_root()).env("AZIMUTH_NODE_MODULES", program::node_modules());
    ports(&mut command, &server);
    program::run("official JavaScript client", &mut command);
}
