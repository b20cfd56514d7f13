//! Settings: flags, then environment variables under Weaviate's names, then defaults.
//!
//! Variables that Weaviate knows and that change nothing here are accepted in silence.

use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// Everything the process is told from outside.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Address that both listeners bind.
    pub(crate) host: IpAddr,
    /// Port of REST, GraphQL and gRPC: `--port`, `$PORT`, 8080.
    pub(crate) port: u16,
    /// Port that speaks the same and that clients expect gRPC on: `GRPC_PORT`, 50051.
    pub(crate) grpc_port: u16,
    /// Certificate chain (PEM); with `tls_key` both listeners speak TLS.
    pub(crate) tls_certificate: Option<PathBuf>,
    /// Private key (PEM).
    pub(crate) tls_key: Option<PathBuf>,
    /// `PERSISTENCE_DATA_PATH`
    pub(crate) data_path: PathBuf,
    /// `CLUSTER_HOSTNAME`; only shown.
    pub(crate) hostname: String,
    /// `QUERY_DEFAULTS_LIMIT`
    pub(crate) query_default_limit: usize,
    /// `QUERY_DEFAULTS_LIMIT_GRAPHQL`
    pub(crate) query_default_limit_graphql: usize,
    /// `QUERY_MAXIMUM_RESULTS`
    pub(crate) query_maximum_results: usize,
    /// `AUTOSCHEMA_ENABLED`
    pub(crate) autoschema_enabled: bool,
    /// `AUTOSCHEMA_DEFAULT_STRING`
    pub(crate) autoschema_default_string: String,
    /// `AUTOSCHEMA_DEFAULT_NUMBER`
    pub(crate) autoschema_default_number: String,
    /// `AUTOSCHEMA_DEFAULT_DATE`
    pub(crate) autoschema_default_date: String,
    /// `DEFAULT_VECTOR_INDEX`
    pub(crate) default_vector_index: String,
    /// `DEFAULT_VECTOR_DISTANCE_METRIC`; empty means cosine.
    pub(crate) default_distance: String,
    /// `GRPC_MAX_MESSAGE_SIZE`
    pub(crate) grpc_max_message_bytes: usize,
    /// Bytes of a REST body at most.
    pub(crate) body_bytes_max: usize,
    /// Nesting of a filter at most.
    pub(crate) filter_depth_max: usize,
    /// Open connections at most, over both listeners.
    pub(crate) connections_max: usize,
    /// Whether objects may expire: `OBJECTS_TTL_DELETE_SCHEDULE` is set.
    pub(crate) object_ttl_enabled: bool,
    /// `ASYNC_INDEXING`: whether `dynamic` indexes are accepted; indexing is always asynchronous here.
    pub(crate) async_indexing: bool,
    /// `DISABLE_GRAPHQL`
    pub(crate) disable_graphql: bool,
    /// `PROMETHEUS_MONITORING_ENABLED`: metrics on a port of their own, beside `/metrics`.
    pub(crate) metrics_port: Option<u16>,
    /// Threads that build indexes in the background.
    pub(crate) index_threads: usize,
}

impl Settings {
    /// Reads the environment; `flags` go before it.
    ///
    /// # Errors
    /// Names the variable that cannot be read, and what it holds.
    pub(crate) fn from_environment(flags: &Flags) -> Result<Self, String> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let metrics = flag("PROMETHEUS_MONITORING_ENABLED", false);
        Ok(Self {
            host: flags.host,
            port: flags.port,
            grpc_port: number("GRPC_PORT", 50_051)?,
            tls_certificate: path("AZIMUTH_TLS_CERT_FILE").or_else(|| path("GRPC_CERT_FILE")),
            tls_key: path("AZIMUTH_TLS_KEY_FILE").or_else(|| path("GRPC_KEY_FILE")),
            data_path: path("PERSISTENCE_DATA_PATH").unwrap_or_else(|| PathBuf::from("./data")),
            hostname: text("CLUSTER_HOSTNAME", "azimuth"),
            query_default_limit: number("QUERY_DEFAULTS_LIMIT", 10)?,
            query_default_limit_graphql: number("QUERY_DEFAULTS_LIMIT_GRAPHQL", 100)?,
            query_maximum_results: number("QUERY_MAXIMUM_RESULTS", 10_000)?,
            autoschema_enabled: flag("AUTOSCHEMA_ENABLED", true),
            autoschema_default_string: text("AUTOSCHEMA_DEFAULT_STRING", "text"),
            autoschema_default_number: text("AUTOSCHEMA_DEFAULT_NUMBER", "number"),
            autoschema_default_date: text("AUTOSCHEMA_DEFAULT_DATE", "date"),
            default_vector_index: text("DEFAULT_VECTOR_INDEX", "hnsw"),
            default_distance: text("DEFAULT_VECTOR_DISTANCE_METRIC", ""),
            grpc_max_message_bytes: number("GRPC_MAX_MESSAGE_SIZE", 104_858_000)?,
            body_bytes_max: number("AZIMUTH_BODY_BYTES_MAX", 256 << 20)?,
            filter_depth_max: number("AZIMUTH_FILTER_DEPTH_MAX", 64)?,
            connections_max: number("AZIMUTH_CONNECTIONS_MAX", 10_000)?,
            object_ttl_enabled: !text("OBJECTS_TTL_DELETE_SCHEDULE", "").is_empty(),
            async_indexing: flag("ASYNC_INDEXING", false),
            disable_graphql: flag("DISABLE_GRAPHQL", false),
            metrics_port: if metrics { Some(number("PROMETHEUS_MONITORING_PORT", 2_112)?) } else { None },
            index_threads: number("AZIMUTH_INDEX_THREADS", cores)?.max(1),
        })
    }
}

/// Flags of `azimuth serve`, named as Weaviate's.
#[derive(Debug, clap::Args)]
pub(crate) struct Flags {
    /// Address to listen on.
    #[arg(long, default_value = "0.0.0.0")]
    pub(crate) host: IpAddr,
    /// Port of REST, GraphQL and gRPC.
    #[arg(long, env = "PORT", default_value_t = 8080)]
    pub(crate) port: u16,
    /// `http`; TLS is switched on by certificate files (`AZIMUTH_TLS_CERT_FILE`, `AZIMUTH_TLS_KEY_FILE`).
    #[arg(long, default_value = "http")]
    pub(crate) scheme: String,
    /// Accepted for compatibility.
    #[arg(long, hide = true)]
    pub(crate) read_timeout: Option<String>,
    /// Accepted for compatibility.
    #[arg(long, hide = true)]
    pub(crate) write_timeout: Option<String>,
}

/// A boolean as Weaviate reads it: `on`, `enabled`, `1` and `true` in any case.
pub(crate) fn flag(name: &str, default: bool) -> bool {
    match std::env::var(name) {
        Ok(value) if !value.is_empty() => {
            matches!(value.to_ascii_lowercase().as_str(), "on" | "enabled" | "1" | "true")
        }
        _ => default,
    }
}

/// A text, or the default when unset or empty.
pub(crate) fn text(name: &str, default: &str) -> String {
    std::env::var(name).ok().filter(|value| !value.is_empty()).unwrap_or_else(|| default.to_owned())
}

/// A comma-separated list, blanks trimmed, empty members dropped.
pub(crate) fn list(name: &str) -> Vec<String> {
    let value = text(name, "");
    value.split(',').map(str::trim).filter(|member| !member.is_empty()).map(str::to_owned).collect()
}

/// A path, if set.
pub(crate) fn path(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn number<T: FromStr>(name: &str, default: T) -> Result<T, String> {
    match std::env::var(name) {
        Ok(value) if !value.is_empty() => {
            value.trim().parse().map_err(|_| format!("{name} must be a number, got {value:?}"))
        }
        _ => Ok(default),
    }
}
