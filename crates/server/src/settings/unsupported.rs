//! Variables that Weaviate knows and that do nothing here.
//!
//! A variable that would restrict callers or protect data refuses the start: an operator who sets it relies on it. Any
//! other is named in the log once, and so is a variable with our own prefix that no setting reads.

use std::collections::BTreeSet;
use std::sync::{LazyLock, Mutex, PoisonError};

/// Prefix of our own variables.
const OWN: &str = "AZIMUTH_";

/// Variables that were read, so that no list of them has to be kept.
static READ: LazyLock<Mutex<BTreeSet<String>>> = LazyLock::new(Mutex::default);

/// The values that a restricting variable is refused with.
#[derive(Debug, Clone, Copy)]
enum Refused {
    /// A true one.
    On,
    /// Any.
    Set,
    /// A number of this or more, and any value that is not a number.
    From(i64),
}

impl Refused {
    fn matches(self, value: &str) -> bool {
        match self {
            Self::On => super::is_true(value),
            Self::Set => true,
            Self::From(least) => value.trim().parse::<i64>().map_or(true, |number| number >= least),
        }
    }
}

/// Variables that restrict or protect, the values that switch the restriction on, and the missing feature.
const RESTRICTING: [(&str, Refused, &str); 15] = [
    ("AUTHORIZATION_RBAC_ENABLED", Refused::On, "there are no roles yet; use AUTHORIZATION_ADMINLIST_ENABLED"),
    ("AUTHORIZATION_ENABLE_RBAC", Refused::On, "there are no roles yet; use AUTHORIZATION_ADMINLIST_ENABLED"),
    ("AUTHENTICATION_OIDC_ENABLED", Refused::On, "OpenID Connect is not there yet; use API keys"),
    (
        "AUTHENTICATION_DB_USERS_ENABLED",
        Refused::On,
        "users cannot be created at run time yet; use AZIMUTH_APIKEY_FILE",
    ),
    ("AUTHORIZATION_ADMINLIST_GROUPS", Refused::Set, "there are no groups without OpenID Connect; list users"),
    ("AUTHORIZATION_ADMINLIST_READONLY_GROUPS", Refused::Set, "there are no groups without OpenID Connect; list users"),
    ("NAMESPACES_ENABLED", Refused::On, "there are no namespaces yet"),
    ("MAINTENANCE_NODES", Refused::Set, "there is no maintenance mode yet"),
    ("MAXIMUM_ALLOWED_OBJECTS_COUNT", Refused::From(0), "objects are not counted against a limit yet"),
    ("ALLOWED_VECTOR_INDEX_TYPES", Refused::Set, "every type of index is allowed"),
    ("ALLOWED_COMPRESSION_TYPES", Refused::Set, "every compression is allowed"),
    ("MEMORY_READONLY_PERCENTAGE", Refused::From(1), "AZIMUTH_INDEX_MEMORY bounds the memory of vector indexes"),
    ("RUNTIME_OVERRIDES_ENABLED", Refused::On, "settings are read at the start only"),
    ("REPLICATION_MINIMUM_FACTOR", Refused::From(2), "there are no replicas yet: a node is one copy"),
    ("RAFT_BOOTSTRAP_EXPECT", Refused::From(2), "there are no clusters yet: every node would be alone"),
];

/// Prefixes of the names of other variables that Weaviate knows, and why they do nothing here. The first prefix that
/// fits counts.
const IGNORED: [(&str, &str); 40] = [
    (
        "ENABLE_API_BASED_MODULES",
        "modules of services on the internet are enabled unless API_BASED_MODULES_DISABLED is set",
    ),
    ("BACKUP_", "there are no backups yet"),
    ("OFFLOAD_", "tenants cannot be offloaded yet"),
    ("EXPORT_", "there are no exports yet"),
    ("CLUSTER_", "there are no clusters yet"),
    ("RAFT_", "there are no clusters yet"),
    ("REPLICATION_", "there are no replicas yet"),
    ("REPLICA_", "there are no replicas yet"),
    ("ASYNC_REPLICATION_", "there are no replicas yet"),
    ("AUTHENTICATION_", "nothing uses it"),
    ("AUTHORIZATION_", "nothing uses it"),
    ("GRPC_MAX_OPEN_CONNS", "AZIMUTH_CONNECTIONS_MAX limits connections"),
    ("MAXIMUM_CONCURRENT_", "reads at once are limited anyway"),
    ("MAXIMUM_ALLOWED_", "without a limit there is nothing to do"),
    ("MEMORY_", "AZIMUTH_INDEX_MEMORY bounds the memory of vector indexes"),
    ("DISK_USE_WARNING_PERCENTAGE", "the log tells when writes are refused"),
    ("PERSISTENCE_", "storage needs no tuning"),
    ("DEFAULT_", "it has no effect"),
    ("QUERY_", "it has no effect"),
    ("HNSW_", "it has no effect"),
    ("TOMBSTONE_", "it has no effect"),
    ("TRACK_VECTOR_DIMENSIONS", "it has no effect"),
    ("REINDEX_", "it has no effect"),
    ("LAZY_LOAD_", "it has no effect"),
    ("DISABLE_LAZY_LOAD_SHARDS", "it has no effect"),
    ("USE_INVERTED_", "it has no effect"),
    ("DEBUG_ENDPOINTS_", "there are no debug endpoints"),
    ("LIMIT_RESOURCES", "the limits of the control group count"),
    ("GOMEMLIMIT", "there is no Go runtime"),
    ("GOMAXPROCS", "there is no Go runtime"),
    ("GOGC", "there is no Go runtime"),
    ("DISABLE_TELEMETRY", "there is no telemetry"),
    ("RUNTIME_OVERRIDES_", "settings are read at the start only"),
    ("MCP_SERVER_", "there is no MCP server"),
    ("EXPERIMENTAL_", "it has no effect"),
    ("ENABLE_TOKENIZER_", "tokenizers that need a dictionary are not there yet"),
    ("USE_GSE", "tokenizers that need a dictionary are not there yet"),
    ("OBJECTS_TTL_", "it has no effect"),
    ("WEAVIATE_", "it has no effect"),
    ("SENTRY_", "errors are reported in the log only"),
];

/// Notes that a variable is read.
pub(super) fn note_read(name: &str) {
    READ.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned());
}

/// Refuses variables that would restrict access or protect data in Weaviate and have no effect here.
///
/// # Errors
/// Names the variable, its value, and the missing feature.
pub(super) fn check_restricting() -> Result<(), String> {
    let variable = |name: &str| std::env::var(name).ok();
    refusals(variable).into_iter().next().map_or(Ok(()), Err)
}

/// Error texts of the variables that cannot be honoured. `value_of` gives the value of a variable.
fn refusals(value_of: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let refused = RESTRICTING.iter().filter_map(|(name, refused, why)| {
        let value = value_of(name).filter(|value| !value.is_empty())?;
        refused
            .matches(&value)
            .then(|| format!("{name}={value} cannot be honoured: {why}. Unset it to start without what it asks for"))
    });
    refused.collect()
}

/// Logs which of the set variables do nothing. Called after every variable was read.
pub(crate) fn report() {
    let read = READ.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let names = std::env::vars_os().filter(|(_, value)| !value.is_empty());
    let names = names.filter_map(|(name, _)| name.into_string().ok());
    for name in names.filter(|name| !read.contains(name)) {
        if let Some(why) = why_ignored(&name) {
            tracing::info!(name, why, "a setting is ignored");
        } else if is_unknown(&name) {
            tracing::warn!(name, "a setting is not known; it is ignored");
        }
    }
}

fn why_ignored(name: &str) -> Option<&'static str> {
    let ignored = IGNORED.iter().find(|(beginning, _)| name.starts_with(beginning)).map(|(_, why)| *why);
    let of_module = || name.ends_with("_INFERENCE_API").then_some("there is no module for it");
    let restricting = || RESTRICTING.iter().find(|(known, ..)| *known == name).map(|_| "it asks for nothing");
    ignored.or_else(of_module).or_else(restricting)
}

/// Whether a variable with our prefix, which nothing has read, is a mistake. Those of the subcommands are none, nor are
/// those that Kubernetes sets for a service with our name.
fn is_unknown(name: &str) -> bool {
    let Some(rest) = name.strip_prefix(OWN) else { return false };
    let of_subcommands = ["URL", "GRPC_URL", "API_KEY"].contains(&rest);
    let of_service = rest == "PORT"
        || rest.contains("SERVICE_HOST")
        || rest.contains("SERVICE_PORT")
        || rest.contains("PORT_") && ["_TCP", "_UDP"].iter().any(|protocol| rest.contains(protocol));
    !of_subcommands && !of_service
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_restrict_is_refused_by_name() {
        for (name, value, refused) in [
            ("AUTHORIZATION_RBAC_ENABLED", "true", true),
            ("AUTHORIZATION_RBAC_ENABLED", "On", true),
            ("AUTHORIZATION_RBAC_ENABLED", "false", false),
            ("AUTHORIZATION_ENABLE_RBAC", "1", true),
            ("AUTHENTICATION_OIDC_ENABLED", "enabled", true),
            ("AUTHENTICATION_DB_USERS_ENABLED", "true", true),
            ("AUTHENTICATION_DB_USERS_ENABLED", "", false),
            ("MAINTENANCE_NODES", "node1", true),
            ("MAXIMUM_ALLOWED_OBJECTS_COUNT", "-1", false),
            ("MAXIMUM_ALLOWED_OBJECTS_COUNT", "0", true),
            ("MAXIMUM_ALLOWED_OBJECTS_COUNT", "many", true),
            ("MEMORY_READONLY_PERCENTAGE", "0", false),
            ("REPLICATION_MINIMUM_FACTOR", "1", false),
            ("RAFT_BOOTSTRAP_EXPECT", "3", true),
            ("ALLOWED_VECTOR_INDEX_TYPES", "hnsw", true),
        ] {
            let found = refusals(|asked| (asked == name).then(|| value.to_owned()));
            assert_eq!(found.len(), usize::from(refused), "{name}={value}: {found:?}");
            assert!(found.iter().all(|text| text.contains(name)), "{found:?}");
        }
    }

    #[test]
    fn what_does_nothing_is_named() {
        for (name, ignored, unknown) in [
            ("ENABLE_API_BASED_MODULES", true, false),
            ("BACKUP_FILESYSTEM_PATH", true, false),
            ("MAINTENANCE_NODES", true, false),
            ("PATH", false, false),
            ("AZIMUTH_IDX_MEMORY", false, true),
            ("AZIMUTH_URL", false, false),
            ("AZIMUTH_SERVICE_HOST", false, false),
            ("AZIMUTH_GRPC_PORT_50051_TCP_ADDR", false, false),
        ] {
            assert_eq!((why_ignored(name).is_some(), is_unknown(name)), (ignored, unknown), "{name}");
        }
    }
}
