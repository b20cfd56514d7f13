//! The wire's own messages, generated from `proto/`, for what the typed interface has no method for.

#![allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, reason = "generated code")]
#![allow(unused_qualifications, reason = "generated code")]

/// Package `weaviate`.
pub mod weaviate {
    /// Package `weaviate.v1`.
    pub mod v1 {
        tonic::include_proto!("weaviate.v1");
    }
}

/// Package `azimuth`.
pub mod azimuth {
    /// Package `azimuth.v1`.
    pub mod v1 {
        tonic::include_proto!("azimuth.v1");
    }
}

/// Package `grpc.health`.
pub mod health {
    /// Package `grpc.health.v1`.
    pub mod v1 {
        tonic::include_proto!("grpc.health.v1");
    }
}
