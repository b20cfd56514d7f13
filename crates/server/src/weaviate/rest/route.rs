//! The routes of the REST interface: which methods each path takes, and who answers.
//!
//! Every path that Weaviate has is listed, so that unknown paths (404) and wrong methods (405) are told apart as there.

use http::Method;

/// Who answers a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endpoint {
    Links,
    OpenId,
    /// The description of this interface.
    OpenApi,
    Meta,
    Nodes,
    Statistics,
    Classes,
    Class,
    Properties,
    Shards,
    Indexes,
    Tokenize,
    Tenants,
    Aliases,
    Search,
    OwnInfo,
    Objects,
    Batch,
    Graphql,
    GraphqlBatch,
    /// Answers what a server without role-based access control and without users in its database answers.
    Roles,
    /// Replicas cannot be moved or scaled: 501 without a body.
    Replication,
    /// Exports are off.
    Export,
    /// Namespaces are off.
    Namespaces,
    /// The tool protocol is off.
    Mcp,
    /// Distributed tasks: there are none.
    Tasks,
    /// Not there; the text names it.
    Absent(&'static str),
}

use Endpoint::{
    Absent, Aliases, Batch, Class, Classes, Export, Graphql, GraphqlBatch, Indexes, Links, Mcp, Meta, Namespaces,
    Nodes, Objects, OpenApi, OpenId, OwnInfo, Properties, Replication, Roles, Search, Shards, Statistics, Tasks,
    Tenants, Tokenize,
};

const BACKUPS: Endpoint = Absent("backups");

/// Methods, path after `/v1` (`*` is any one segment), and who answers. A path with fixed segments goes before `*`.
#[rustfmt::skip]
pub(super) const ROUTES: &[(&[&str], &str, Endpoint)] = &[
    (&["GET"], "", Links),
    (&["GET"], ".well-known/openid-configuration", OpenId),
    (&["GET"], "openapi.json", OpenApi),
    (&["GET"], "meta", Meta),
    (&["GET"], "nodes", Nodes),
    (&["GET"], "nodes/*", Nodes),
    (&["GET"], "cluster/statistics", Statistics),
    (&["GET"], "tasks", Tasks),
    (&["GET", "POST"], "schema", Classes),
    (&["GET", "PUT", "DELETE"], "schema/*", Class),
    (&["POST"], "schema/*/properties", Properties),
    (&["GET"], "schema/*/indexes", Indexes),
    (&["DELETE"], "schema/*/properties/*/index/*", Properties),
    (&["PUT"], "schema/*/properties/*/index/*", Indexes),
    (&["POST"], "schema/*/properties/*/index/*/rebuild", Indexes),
    (&["POST"], "schema/*/properties/*/index/*/cancel", Indexes),
    (&["POST"], "schema/*/properties/*/tokenize", Tokenize),
    (&["POST"], "tokenize", Tokenize),
    (&["DELETE"], "schema/*/vectors/*/index", Absent("dropping a vector index")),
    (&["GET"], "schema/*/shards", Shards),
    (&["PUT"], "schema/*/shards/*", Shards),
    (&["GET", "POST", "PUT", "DELETE"], "schema/*/tenants", Tenants),
    (&["GET", "HEAD"], "schema/*/tenants/*", Tenants),
    (&["GET", "POST"], "aliases", Aliases),
    (&["GET", "PUT", "DELETE"], "aliases/*", Aliases),
    (&["GET", "POST"], "objects", Objects),
    (&["POST"], "objects/validate", Objects),
    (&["GET", "HEAD", "PUT", "PATCH", "DELETE"], "objects/*", Objects),
    (&["GET", "HEAD", "PUT", "PATCH", "DELETE"], "objects/*/*", Objects),
    (&["POST", "PUT", "DELETE"], "objects/*/references/*", Objects),
    (&["POST", "PUT", "DELETE"], "objects/*/*/references/*", Objects),
    (&["POST", "DELETE"], "batch/objects", Batch),
    (&["POST"], "batch/references", Batch),
    (&["POST"], "graphql", Graphql),
    (&["POST"], "graphql/batch", GraphqlBatch),
    (&["POST"], "search/*/near-text", Search),
    (&["GET"], "users/own-info", OwnInfo),
    (&["GET"], "users/db", Roles),
    (&["GET", "POST", "DELETE"], "users/db/*", Roles),
    (&["POST"], "users/db/*/rotate-key", Roles),
    (&["POST"], "users/db/*/activate", Roles),
    (&["POST"], "users/db/*/deactivate", Roles),
    (&["GET", "POST"], "authz/roles", Roles),
    (&["GET", "DELETE"], "authz/roles/*", Roles),
    (&["POST"], "authz/roles/*/add-permissions", Roles),
    (&["POST"], "authz/roles/*/remove-permissions", Roles),
    (&["POST"], "authz/roles/*/has-permission", Roles),
    (&["GET"], "authz/roles/*/users", Roles),
    (&["GET"], "authz/roles/*/user-assignments", Roles),
    (&["GET"], "authz/roles/*/group-assignments", Roles),
    (&["GET"], "authz/users/*/roles", Roles),
    (&["GET"], "authz/users/*/roles/*", Roles),
    (&["POST"], "authz/users/*/assign", Roles),
    (&["POST"], "authz/users/*/revoke", Roles),
    (&["GET"], "authz/groups/*", Roles),
    (&["POST"], "authz/groups/*/assign", Roles),
    (&["POST"], "authz/groups/*/revoke", Roles),
    (&["GET"], "authz/groups/*/roles/*", Roles),
    (&["GET", "POST"], "backups/*", BACKUPS),
    (&["GET", "DELETE"], "backups/*/*", BACKUPS),
    (&["GET", "POST", "DELETE"], "backups/*/*/restore", BACKUPS),
    (&["POST"], "export/*", Export),
    (&["GET", "DELETE"], "export/*/*", Export),
    (&["POST"], "classifications", Absent("classifications")),
    (&["GET"], "classifications/*", Absent("classifications")),
    (&["POST", "DELETE"], "replication/replicate", Replication),
    (&["GET"], "replication/replicate/list", Replication),
    (&["POST"], "replication/replicate/force-delete", Replication),
    (&["GET", "DELETE"], "replication/replicate/*", Replication),
    (&["POST"], "replication/replicate/*/cancel", Replication),
    (&["GET"], "replication/sharding-state", Replication),
    (&["GET", "POST"], "replication/scale", Replication),
    (&["GET"], "namespaces", Namespaces),
    (&["GET", "POST", "PUT", "DELETE"], "namespaces/*", Namespaces),
    (&["GET", "POST", "DELETE"], "mcp", Mcp),
];

/// What became of looking for a route.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It is there.
    Endpoint(Endpoint),
    /// The path is there, with these methods only.
    Methods(Vec<&'static str>),
    /// There is no such path.
    Nothing,
}

/// Looks for the route of a method and the segments after `/v1`.
pub(super) fn find(method: &Method, segments: &[String]) -> Found {
    let mut methods: Vec<&'static str> = Vec::new();
    for (allowed, pattern, endpoint) in ROUTES {
        if !fits(pattern, segments) {
            continue;
        }
        if allowed.contains(&method.as_str()) {
            return Found::Endpoint(*endpoint);
        }
        for method in *allowed {
            if !methods.contains(method) {
                methods.push(method);
            }
        }
    }
    if methods.is_empty() { Found::Nothing } else { Found::Methods(methods) }
}

fn fits(pattern: &str, segments: &[String]) -> bool {
    let mut given = segments.iter();
    let parts = pattern.split('/').filter(|part| !part.is_empty());
    for part in parts {
        match given.next() {
            Some(segment) if part == "*" || part == segment => {}
            _ => return false,
        }
    }
    given.next().is_none()
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::{Endpoint, Found, find};

    fn look(method: &Method, path: &str) -> Found {
        let segments: Vec<_> = path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        find(method, &segments)
    }

    #[test]
    fn paths_and_methods_are_told_apart() {
        assert_eq!(look(&Method::GET, ""), Found::Endpoint(Endpoint::Links));
        assert_eq!(look(&Method::GET, "schema/Book"), Found::Endpoint(Endpoint::Class));
        assert_eq!(look(&Method::POST, "meta"), Found::Methods(vec!["GET"]));
        assert_eq!(look(&Method::DELETE, "schema"), Found::Methods(vec!["GET", "POST"]));
        assert_eq!(look(&Method::GET, "schema/Book/colours"), Found::Nothing);
        assert_eq!(look(&Method::GET, "SCHEMA"), Found::Nothing);
    }
}
