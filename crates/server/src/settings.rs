//! Settings: flags, then environment variables under Weaviate's names, then defaults.
//!
//! Variables that Weaviate knows and that change nothing here are named in the log, or refuse the start: see
//! [`unsupported`].

mod memory_size;
mod mode;
pub(crate) mod unsupported;

pub(crate) use mode::OperationalMode;

use std::net::{IpAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::modules::ModuleSettings;

/// Request headers that browsers may send unless `CORS_ALLOW_HEADERS` names others.
const CORS_HEADERS: &str = "Content-Type, Authorization, Batch, X-Openai-Api-Key, X-Cohere-Api-Key, \
    X-Huggingface-Api-Key, X-Weaviate-Client, X-Weaviate-Cluster-Url, X-Grpc-Web, X-User-Agent, grpc-timeout";
/// Default of [`Settings::requests_bytes_max`].
const REQUESTS_BYTES_MAX: usize = 1 << 30;
/// Default of [`Settings::peer_requests_max`].
const PEER_REQUESTS_MAX: usize = 10_000;

/// A certificate chain and its private key, both PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    /// The chain, the server's own certificate first.
    pub(crate) certificate: PathBuf,
    /// The key of the first certificate.
    pub(crate) key: PathBuf,
}

impl TlsFiles {
    /// Both or neither; `names` are the settings that name them.
    fn new(certificate: Option<PathBuf>, key: Option<PathBuf>, names: &str) -> Result<Option<Self>, String> {
        match (certificate, key) {
            (Some(certificate), Some(key)) => Ok(Some(Self { certificate, key })),
            (None, None) => Ok(None),
            _ => Err(format!("TLS needs a certificate and a key: {names}")),
        }
    }
}

/// Everything the process is told from outside.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Address that both listeners bind.
    pub(crate) host: IpAddr,
    /// Port of REST, GraphQL and gRPC: `--port`, `$PORT`, 8080.
    pub(crate) port: u16,
    /// Port that speaks the same and that clients expect gRPC on: `GRPC_PORT`, 50051.
    pub(crate) grpc_port: u16,
    /// `http` or `https`: `https` insists on `tls`.
    pub(crate) scheme: String,
    /// TLS of both listeners: `--tls-certificate` and `--tls-key`, or `AZIMUTH_TLS_CERT_FILE` and `AZIMUTH_TLS_KEY_FILE`.
    pub(crate) tls: Option<TlsFiles>,
    /// TLS of the gRPC listener, where it has its own: `GRPC_CERT_FILE` and `GRPC_KEY_FILE`.
    pub(crate) grpc_tls: Option<TlsFiles>,
    /// `CORS_ALLOW_ORIGIN`: `*`, one origin, or several with commas between.
    pub(crate) cors_allow_origin: String,
    /// `CORS_ALLOW_METHODS`
    pub(crate) cors_allow_methods: String,
    /// `CORS_ALLOW_HEADERS`
    pub(crate) cors_allow_headers: String,
    /// `PERSISTENCE_DATA_PATH`
    pub(crate) data_path: PathBuf,
    /// `DISK_USE_READONLY_PERCENTAGE`: writes are refused while this much of the disk is in use.
    pub(crate) disk_used_percent_max: u8,
    /// `CLUSTER_HOSTNAME`; only shown.
    pub(crate) hostname: String,
    /// `QUERY_DEFAULTS_LIMIT`
    pub(crate) query_default_limit: usize,
    /// `QUERY_DEFAULTS_LIMIT_GRAPHQL`
    pub(crate) query_default_limit_graphql: usize,
    /// `QUERY_MAXIMUM_RESULTS`
    pub(crate) query_maximum_results: usize,
    /// `QUERY_BOOST_DEFAULT_DEPTH`: candidates of a boost.
    pub(crate) query_boost_depth: usize,
    /// `AUTOSCHEMA_ENABLED`
    pub(crate) autoschema_enabled: bool,
    /// `AUTOSCHEMA_DEFAULT_STRING`
    pub(crate) autoschema_default_string: String,
    /// `AUTOSCHEMA_DEFAULT_NUMBER`
    pub(crate) autoschema_default_number: String,
    /// `AUTOSCHEMA_DEFAULT_DATE`
    pub(crate) autoschema_default_date: String,
    /// `DEFAULT_QUANTIZATION`: what a new collection gets that names no quantizer and does not refuse one.
    pub(crate) default_quantization: String,
    /// `DEFAULT_VECTOR_INDEX`
    pub(crate) default_vector_index: String,
    /// `DEFAULT_VECTOR_DISTANCE_METRIC`
    pub(crate) default_distance: String,
    /// `GRPC_MAX_MESSAGE_SIZE`
    pub(crate) grpc_max_message_bytes: usize,
    /// Bytes of a REST body at most.
    pub(crate) body_bytes_max: usize,
    /// Memory that the requests under way may take for their bodies, over all connections.
    pub(crate) requests_bytes_max: usize,
    /// The part of it that the requests from one address may take; `None` is three quarters, 0 is no limit.
    pub(crate) peer_bytes_max: Option<usize>,
    /// Requests from one address at once; 0 is no limit.
    pub(crate) peer_requests_max: usize,
    /// Open connections from one address; `None` is three quarters of all, 0 is no limit.
    pub(crate) peer_connections_max: Option<usize>,
    /// How long a client may send nothing of a body that it began, and take nothing of an answer.
    pub(crate) stall_max: Duration,
    /// How long a request waits for memory that others have taken.
    pub(crate) memory_wait_max: Duration,
    /// Nesting of a filter at most.
    pub(crate) filter_depth_max: usize,
    /// Open connections at most, over both listeners.
    pub(crate) connections_max: usize,
    /// How long a connection may stay without the head of a request; load balancers want more than their own time.
    pub(crate) idle_max: Duration,
    /// `OPERATIONAL_MODE`: the kinds of calls that are taken.
    pub(crate) mode: OperationalMode,
    /// `MAXIMUM_ALLOWED_COLLECTIONS_COUNT`; `None` is any number.
    pub(crate) collections_max: Option<usize>,
    /// `MAXIMUM_ALLOWED_TENANTS_PER_COLLECTION`; `None` is any number.
    pub(crate) tenants_max: Option<usize>,
    /// `MAXIMUM_ALLOWED_SHARDS_PER_COLLECTION`, of collections without tenants; `None` is any number.
    pub(crate) shards_max: Option<usize>,
    /// `AZIMUTH_READ_SECONDS_MAX`: how long a request may read; gRPC callers set their own limit by `grpc-timeout`.
    pub(crate) read_time_max: Duration,
    /// Reads of shards and their answers pass through their encoded form, as if the shards were on another node; for tests.
    pub(crate) encode_reads: bool,
    /// Whether objects may expire: `OBJECTS_TTL_DELETE_SCHEDULE` is set.
    pub(crate) object_ttl_enabled: bool,
    /// `ASYNC_INDEXING`: whether `dynamic` indexes are accepted; indexing is always asynchronous here.
    pub(crate) async_indexing: bool,
    /// `EXPERIMENTAL_REST_SEARCH_ENABLED`
    pub(crate) rest_search: bool,
    /// `ENABLE_MODULES` and its companions.
    pub(crate) modules: ModuleSettings,
    /// `DISABLE_GRAPHQL`
    pub(crate) disable_graphql: bool,
    /// `PROMETHEUS_MONITORING_ENABLED`: metrics on a port of their own, beside `/metrics`.
    pub(crate) metrics_port: Option<u16>,
    /// Threads that build indexes in the background.
    pub(crate) index_threads: usize,
    /// `AZIMUTH_INDEX_MEMORY`: bytes of vector indexes in memory.
    pub(crate) index_bytes_max: u64,
}

impl Settings {
    /// Reads the environment; `flags` go before it.
    ///
    /// # Errors
    /// Names the variable that cannot be read, and what it holds.
    pub(crate) fn from_environment(flags: &Flags) -> Result<Self, String> {
        unsupported::check_restricting()?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let metrics = flag("PROMETHEUS_MONITORING_ENABLED", false);
        let async_indexing = flag("ASYNC_INDEXING", false);
        let default_vector_index = word("DEFAULT_VECTOR_INDEX", &["hnsw", "flat", "dynamic", "hfresh"])?;
        if default_vector_index == "dynamic" && !async_indexing {
            return Err("DEFAULT_VECTOR_INDEX is dynamic, which needs ASYNC_INDEXING=true".to_owned());
        }
        Ok(Self {
            host: flags.host,
            port: flags.port,
            grpc_port: number("GRPC_PORT", 50_051)?,
            scheme: flags.scheme.clone(),
            tls: TlsFiles::new(
                flags.tls_certificate.clone().or_else(|| path("AZIMUTH_TLS_CERT_FILE")),
                flags.tls_key.clone().or_else(|| path("AZIMUTH_TLS_KEY_FILE")),
                "AZIMUTH_TLS_CERT_FILE and AZIMUTH_TLS_KEY_FILE",
            )?,
            grpc_tls: TlsFiles::new(path("GRPC_CERT_FILE"), path("GRPC_KEY_FILE"), "GRPC_CERT_FILE and GRPC_KEY_FILE")?,
            cors_allow_origin: text("CORS_ALLOW_ORIGIN", "*"),
            cors_allow_methods: text("CORS_ALLOW_METHODS", "*"),
            cors_allow_headers: text("CORS_ALLOW_HEADERS", CORS_HEADERS),
            data_path: path("PERSISTENCE_DATA_PATH").unwrap_or_else(|| PathBuf::from("./data")),
            disk_used_percent_max: percent("DISK_USE_READONLY_PERCENTAGE", 90)?,
            hostname: text("CLUSTER_HOSTNAME", "azimuth"),
            query_default_limit: number("QUERY_DEFAULTS_LIMIT", 10)?,
            query_default_limit_graphql: number("QUERY_DEFAULTS_LIMIT_GRAPHQL", 100)?,
            query_maximum_results: number("QUERY_MAXIMUM_RESULTS", 10_000)?,
            query_boost_depth: number("QUERY_BOOST_DEFAULT_DEPTH", 100)?,
            autoschema_enabled: flag("AUTOSCHEMA_ENABLED", true),
            autoschema_default_string: word("AUTOSCHEMA_DEFAULT_STRING", &["text", "string"])?,
            autoschema_default_number: word("AUTOSCHEMA_DEFAULT_NUMBER", &["number", "int"])?,
            autoschema_default_date: word("AUTOSCHEMA_DEFAULT_DATE", &["date", "text", "string"])?,
            default_quantization: word("DEFAULT_QUANTIZATION", &["none", "rq-8", "rq-1", "pq", "bq", "sq"])?,
            default_vector_index,
            default_distance: word(
                "DEFAULT_VECTOR_DISTANCE_METRIC",
                &["cosine", "dot", "l2-squared", "manhattan", "hamming"],
            )?,
            grpc_max_message_bytes: number("GRPC_MAX_MESSAGE_SIZE", 104_858_000)?,
            body_bytes_max: number("AZIMUTH_BODY_BYTES_MAX", 256 << 20)?,
            requests_bytes_max: number("AZIMUTH_REQUESTS_BYTES_MAX", REQUESTS_BYTES_MAX)?.clamp(1 << 20, 1 << 42),
            peer_bytes_max: limit("AZIMUTH_PEER_BYTES_MAX")?,
            peer_requests_max: number("AZIMUTH_PEER_REQUESTS_MAX", PEER_REQUESTS_MAX)?,
            peer_connections_max: limit("AZIMUTH_PEER_CONNECTIONS_MAX")?,
            stall_max: Duration::from_secs(number("AZIMUTH_STALL_SECONDS_MAX", 30)?.max(1)),
            memory_wait_max: Duration::from_secs(number("AZIMUTH_MEMORY_WAIT_SECONDS_MAX", 5)?.min(600)),
            filter_depth_max: number("AZIMUTH_FILTER_DEPTH_MAX", 64)?,
            connections_max: number("AZIMUTH_CONNECTIONS_MAX", 10_000)?,
            idle_max: Duration::from_secs(number("AZIMUTH_IDLE_SECONDS_MAX", 75)?.max(1)),
            collections_max: usize::try_from(number("MAXIMUM_ALLOWED_COLLECTIONS_COUNT", -1_i64)?).ok(),
            tenants_max: usize::try_from(number("MAXIMUM_ALLOWED_TENANTS_PER_COLLECTION", -1_i64)?).ok(),
            shards_max: usize::try_from(number("MAXIMUM_ALLOWED_SHARDS_PER_COLLECTION", -1_i64)?).ok(),
            mode: OperationalMode::parse(&text("OPERATIONAL_MODE", ""))?,
            encode_reads: flag("AZIMUTH_ENCODE_READS", false),
            read_time_max: Duration::from_secs(number("AZIMUTH_READ_SECONDS_MAX", 60)?.max(1)),
            object_ttl_enabled: !text("OBJECTS_TTL_DELETE_SCHEDULE", "").is_empty(),
            async_indexing,
            rest_search: flag("EXPERIMENTAL_REST_SEARCH_ENABLED", false),
            modules: ModuleSettings::from_environment()?,
            disable_graphql: flag("DISABLE_GRAPHQL", false),
            metrics_port: if metrics { Some(number("PROMETHEUS_MONITORING_PORT", 2_112)?) } else { None },
            index_threads: number("AZIMUTH_INDEX_THREADS", cores)?.max(1),
            index_bytes_max: memory_size::parse(&text("AZIMUTH_INDEX_MEMORY", "60%"), memory_size::available_bytes())
                .map_err(|why| format!("AZIMUTH_INDEX_MEMORY must be {why}"))?,
        })
    }
}

#[cfg(test)]
impl Settings {
    /// What the environment of the tests says.
    pub(crate) fn of_tests() -> Self {
        let flags = Flags {
            host: IpAddr::from([127, 0, 0, 1]),
            port: 0,
            scheme: "http".to_owned(),
            tls_certificate: None,
            tls_key: None,
            read_timeout: None,
            write_timeout: None,
        };
        Self::from_environment(&flags).expect("the environment of the tests is readable")
    }
}

/// Flags of `azimuth serve`, named as Weaviate's.
#[derive(Debug, clap::Args)]
pub(crate) struct Flags {
    /// Address, or name of an address of this machine, to listen on.
    #[arg(long, default_value = "0.0.0.0", value_parser = address)]
    pub(crate) host: IpAddr,
    /// Port of REST, GraphQL and gRPC.
    #[arg(long, env = "PORT", default_value_t = 8080)]
    pub(crate) port: u16,
    /// TLS is switched on by certificate files; `https` refuses to start without them.
    #[arg(long, default_value = "http", value_parser = ["http", "https"])]
    pub(crate) scheme: String,
    /// Certificate chain in PEM, read again when it changes [env: AZIMUTH_TLS_CERT_FILE].
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_certificate: Option<PathBuf>,
    /// Private key in PEM [env: AZIMUTH_TLS_KEY_FILE].
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Accepted for compatibility.
    #[arg(long, hide = true)]
    pub(crate) read_timeout: Option<String>,
    /// Accepted for compatibility.
    #[arg(long, hide = true)]
    pub(crate) write_timeout: Option<String>,
}

/// An address, or the first one that a name stands for.
fn address(text: &str) -> Result<IpAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let found = (text, 0).to_socket_addrs().map_err(|error| error.to_string())?.next();
    found.map(|address| address.ip()).ok_or_else(|| "the name stands for no address".to_owned())
}

/// A boolean as Weaviate reads it: `on`, `enabled`, `1` and `true` in any case.
pub(crate) fn flag(name: &str, default: bool) -> bool {
    variable(name).map_or(default, |value| is_true(&value))
}

fn is_true(value: &str) -> bool {
    matches!(value.to_ascii_lowercase().as_str(), "on" | "enabled" | "1" | "true")
}

/// A text, or the default when unset or empty.
pub(crate) fn text(name: &str, default: &str) -> String {
    variable(name).unwrap_or_else(|| default.to_owned())
}

/// The value of a variable that is set and not empty.
fn variable(name: &str) -> Option<String> {
    unsupported::note_read(name);
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// One of `words`, or the first of them when unset or empty.
///
/// # Errors
/// Names the variable, what it holds and what it can hold.
fn word(name: &str, words: &[&str]) -> Result<String, String> {
    one_of(name, &text(name, words.first().unwrap_or(&"")), words)
}

fn one_of(name: &str, value: &str, words: &[&str]) -> Result<String, String> {
    if words.contains(&value) {
        return Ok(value.to_owned());
    }
    Err(format!("{name} must be one of {}, got {value:?}", words.join(", ")))
}

/// A comma-separated list, blanks trimmed, empty members dropped.
pub(crate) fn list(name: &str) -> Vec<String> {
    let value = text(name, "");
    value.split(',').map(str::trim).filter(|member| !member.is_empty()).map(str::to_owned).collect()
}

/// A path, if set.
pub(crate) fn path(name: &str) -> Option<PathBuf> {
    unsupported::note_read(name);
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// A number, or the default when unset or empty.
///
/// # Errors
/// Names the variable and what it holds.
pub(crate) fn number<T: FromStr>(name: &str, default: T) -> Result<T, String> {
    match variable(name) {
        Some(value) => value.trim().parse().map_err(|_| format!("{name} must be a number, got {value:?}")),
        None => Ok(default),
    }
}

/// A number from 0 to 100, or the default when unset or empty.
///
/// # Errors
/// Names the variable and its value.
fn percent(name: &str, default: u8) -> Result<u8, String> {
    let percent = number(name, u64::from(default))?;
    u8::try_from(percent)
        .ok()
        .filter(|percent| *percent <= 100)
        .ok_or_else(|| format!("{name} must be a number from 0 to 100, got {percent}"))
}

/// A number, if set.
///
/// # Errors
/// As [`number`].
fn limit(name: &str) -> Result<Option<usize>, String> {
    if text(name, "").is_empty() { Ok(None) } else { number(name, 0).map(Some) }
}

#[cfg(test)]
mod tests {
    use super::one_of;

    #[test]
    fn an_unknown_word_is_refused_by_name() {
        assert_eq!(one_of("A", "b", &["a", "b"]), Ok("b".to_owned()));
        let refusal = one_of("DEFAULT_VECTOR_INDEX", "HNSW", &["hnsw", "flat"]).expect_err("an unknown word");
        assert_eq!(refusal, "DEFAULT_VECTOR_INDEX must be one of hnsw, flat, got \"HNSW\"");
    }
}
