//! Compiles the wire's protobuf definitions with protox, so that no `protoc` is needed on the machine.
//! The server halves are compiled for the crate's own tests only.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(
        ["weaviate/v1/weaviate.proto", "azimuth/v1/azimuth.proto", "grpc/health/v1/health.proto"],
        ["proto"],
    )?;
    // Most searches have none of these: unboxed, each request would be moved around as some kilobytes.
    let rare = "hybrid_search bm25_search near_object near_text near_image near_audio near_video near_depth near_thermal \
                near_imu generative rerank boost filters group_by";
    rare.split_whitespace()
        .fold(tonic_prost_build::configure(), |generated, field| {
            generated.boxed(format!("weaviate.v1.SearchRequest.{field}"))
        })
        .bytes(".weaviate.v1")
        .server_mod_attribute(".", "#[cfg(test)]")
        .emit_rerun_if_changed(false)
        .compile_fds(descriptors)?;
    Ok(())
}
