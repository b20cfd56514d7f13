//! `OPERATIONAL_MODE`: the kinds of calls that the server takes.

/// The kinds of calls that the server takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OperationalMode {
    /// All.
    ReadWrite,
    /// Reads only.
    ReadOnly,
    /// Writes only.
    WriteOnly,
    /// Reads, and moves of replicas, but no other writes.
    ScaleOut,
}

/// What a call does, as far as a mode distinguishes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallKind {
    /// It reads.
    Read,
    /// It writes.
    Write,
    /// It is taken in every mode.
    Exempt,
}

impl OperationalMode {
    const ALL: [(&str, Self); 4] = [
        ("ReadWrite", Self::ReadWrite),
        ("ReadOnly", Self::ReadOnly),
        ("WriteOnly", Self::WriteOnly),
        ("ScaleOut", Self::ScaleOut),
    ];

    /// Reads the value of the variable; empty is the mode that takes everything.
    ///
    /// # Errors
    /// Names the modes.
    pub(super) fn parse(given: &str) -> Result<Self, String> {
        let given = given.trim();
        if given.is_empty() {
            return Ok(Self::ReadWrite);
        }
        let found = Self::ALL.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(given));
        let names = Self::ALL.map(|(name, _)| name).join(", ");
        found.map(|(_, mode)| mode).ok_or_else(|| format!("OPERATIONAL_MODE must be one of {names}, got {given:?}"))
    }

    /// Name of the mode, as `/v1/nodes` shows it.
    pub(crate) fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(_, mode)| *mode == self).map_or("", |(name, _)| name)
    }

    /// Why the mode refuses a call; `None` if it takes the call.
    pub(crate) fn refusal(self, call: CallKind) -> Option<&'static str> {
        match (self, call) {
            (Self::ReadOnly, CallKind::Write) => Some(
                "read-only mode is enabled temporally at the config level: write operations are not allowed during this time",
            ),
            (Self::WriteOnly, CallKind::Read) => Some(
                "write-only mode is enabled temporally at the config level: read operations are not allowed during this time",
            ),
            (Self::ScaleOut, CallKind::Write) => Some(
                "scale-out mode is enabled temporally at the config level: write operations (besides /replication) are not \
                 allowed during this time",
            ),
            _ => None,
        }
    }

    /// The kind of a REST call of the path after `/v1`.
    pub(crate) fn rest_call(self, method: &http::Method, segments: &[String]) -> CallKind {
        let first = segments.first().map_or("", String::as_str);
        let reads = matches!(method.as_str(), "GET" | "HEAD" | "OPTIONS" | "TRACE");
        let always = ["backups", "replication", "graphql"].contains(&first);
        let while_writing = ["cluster", "nodes", ".well-known", "meta"].contains(&first);
        match first {
            _ if always || (self == Self::WriteOnly && while_writing) => CallKind::Exempt,
            // POST because of the body; a server without these routes has no reason to take the call in other modes.
            "search" | "aggregate" if self == Self::WriteOnly => CallKind::Read,
            _ if reads => CallKind::Read,
            _ => CallKind::Write,
        }
    }

    /// The kind of a gRPC call of a path `/service/method`.
    pub(crate) fn grpc_call(path: &str) -> CallKind {
        match path.trim_start_matches('/').split_once('/') {
            Some(("weaviate.v1.Weaviate", "Search" | "Aggregate" | "TenantsGet")) => CallKind::Read,
            Some(("azimuth.v1.Azimuth", "SearchMany")) => CallKind::Read,
            Some(("grpc.health.v1.Health", _)) => CallKind::Exempt,
            _ => CallKind::Write,
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;

    #[test]
    fn modes_by_name() {
        assert_eq!(OperationalMode::parse(""), Ok(OperationalMode::ReadWrite));
        assert_eq!(OperationalMode::parse(" readonly "), Ok(OperationalMode::ReadOnly));
        assert!(OperationalMode::parse("Sometimes").is_err_and(|error| error.contains("WriteOnly")));
        for (name, mode) in OperationalMode::ALL {
            assert_eq!((OperationalMode::parse(name), mode.name()), (Ok(mode), name));
        }
    }

    /// Which of the modes, in the order of their declaration, take a call.
    fn taken(kind: impl Fn(OperationalMode) -> CallKind) -> [bool; 4] {
        OperationalMode::ALL.map(|(_, mode)| mode.refusal(kind(mode)).is_none())
    }

    #[test]
    fn calls_that_each_mode_takes() {
        let rest = |method: Method, path: &str| {
            let segments: Vec<_> = path.split('/').map(str::to_owned).collect();
            taken(|mode| mode.rest_call(&method, &segments))
        };
        let (all, reads, writes) = ([true; 4], [true, true, false, true], [true, false, true, false]);
        assert_eq!(rest(Method::GET, "objects/Book/x"), reads);
        assert_eq!(rest(Method::HEAD, "objects/Book/x"), reads);
        assert_eq!(rest(Method::POST, "objects"), writes);
        assert_eq!(rest(Method::POST, "no-such-route"), writes);
        assert_eq!(rest(Method::POST, "tokenize"), writes);
        assert_eq!(rest(Method::POST, "search/Book/near-text"), [true, false, false, false]);
        for path in ["graphql", "backups/s3", "replication/replicate"] {
            assert_eq!(rest(Method::POST, path), all, "{path}");
        }
        for path in ["nodes", "cluster/statistics", "meta", ".well-known/ready"] {
            assert_eq!(rest(Method::GET, path), all, "{path}");
        }
        let grpc = |path: &str| taken(|_| OperationalMode::grpc_call(path));
        assert_eq!(grpc("/weaviate.v1.Weaviate/Search"), reads);
        assert_eq!(grpc("/azimuth.v1.Azimuth/SearchMany"), reads);
        assert_eq!(grpc("/weaviate.v1.Weaviate/BatchObjects"), writes);
        assert_eq!(grpc("/grpc.health.v1.Health/Check"), all);
    }
}
