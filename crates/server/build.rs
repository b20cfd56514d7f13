//! Generates the gRPC server code from the proto files of the wire, without a protoc on the machine.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = "../client/proto";
    println!("cargo:rerun-if-changed={root}");
    let descriptors = protox::compile(["weaviate/v1/weaviate.proto", "grpc/health/v1/health.proto"], [root])?;
    tonic_prost_build::configure()
        .build_client(false)
        .codec_path("crate::grpc::codec::Charged")
        .bytes("weaviate.v1.Vectors.vector_bytes")
        .compile_fds(descriptors)?;
    Ok(())
}
