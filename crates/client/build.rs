//! Compiles the wire's protobuf definitions with protox, so that no `protoc` is needed on the machine.
//! The server halves are compiled for the crate's own tests only.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(
        ["weaviate/v1/weaviate.proto", "azimuth/v1/azimuth.proto", "grpc/health/v1/health.proto"],
        ["proto"],
    )?;
    tonic_prost_build::configure()
        .bytes(".weaviate.v1")
        .server_mod_attribute(".", "#[cfg(test)]")
        .emit_rerun_if_changed(false)
        .compile_fds(descriptors)?;
    Ok(())
}
