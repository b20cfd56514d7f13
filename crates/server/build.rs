//! Generates the gRPC server code from the proto files of the wire, without a protoc on the machine.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = "../client/proto";
    println!("cargo:rerun-if-changed={root}");
    let generated =
        || tonic_prost_build::configure().build_client(false).codec_path("crate::weaviate::grpc::codec::Charged");
    let theirs = protox::compile(["weaviate/v1/weaviate.proto", "grpc/health/v1/health.proto"], [root])?;
    // Most searches have none of these: unboxed, each request would be moved around as some kilobytes.
    let rare = "hybrid_search bm25_search near_object near_text near_image near_audio near_video near_depth near_thermal \
                near_imu generative rerank boost filters group_by";
    rare.split_whitespace()
        .fold(generated(), |generated, field| generated.boxed(format!("weaviate.v1.SearchRequest.{field}")))
        .bytes("weaviate.v1.Vectors.vector_bytes")
        // The data of a stream stays encoded until there is memory for it.
        .extern_path(".weaviate.v1.BatchStreamRequest", "crate::weaviate::grpc::stream::message::StreamRequest")
        .compile_fds(theirs)?;
    let ours = protox::compile(["azimuth/v1/azimuth.proto"], [root])?;
    generated().extern_path(".weaviate.v1", "crate::pb::weaviate").compile_fds(ours)?;
    Ok(())
}
