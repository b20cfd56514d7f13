//! Answers of the parts that are off or not there. Each says what is missing; none pretends to have done something.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::message::{Reply, RestRequest};
use super::{decode, missing, not_one_of};

/// 422 that names what is missing.
pub(super) fn absent(what: &str) -> Reply {
    Reply::error(StatusCode::UNPROCESSABLE_ENTITY, &format!("{what}: not supported by this server yet"))
}

/// Roles and users in the database, of a server that has neither.
pub(super) fn roles(req: &RestRequest) -> Reply {
    let segments: Vec<_> = req.segments.iter().map(String::as_str).collect();
    let unprocessable = StatusCode::UNPROCESSABLE_ENTITY;
    match (req.method.as_str(), &segments[..]) {
        ("GET", ["users", "db"] | ["authz", "roles"]) => Reply::ok(json!([])),
        (_, ["users", "db", ..]) => Reply::error(unprocessable, "db user management is not enabled"),
        ("GET", ["authz", "users" | "groups", ..]) => Reply::empty(StatusCode::OK),
        ("GET", ["authz", ..]) => Reply::empty(StatusCode::NOT_FOUND),
        // There are no roles: one that is named does not exist, and deleting it leaves nothing behind.
        ("DELETE", ["authz", "roles", _]) => Reply::empty(StatusCode::OK),
        ("POST", ["authz", "roles", _, "add-permissions" | "remove-permissions" | "has-permission"]) => {
            Reply::empty(StatusCode::NOT_FOUND)
        }
        ("POST", ["authz", "users" | "groups", _, "assign" | "revoke"]) => {
            Reply::error(StatusCode::NOT_FOUND, "one or more of the roles requested doesn't exist")
        }
        _ => absent("roles (role-based access control)"),
    }
}

pub(super) fn export(req: &RestRequest) -> Reply {
    if req.method == Method::POST
        && let Err(refusal) = check_export(req)
    {
        return refusal;
    }
    let message = "export API is disabled; enable it via EXPORT_ENABLED=true or the runtime config";
    Reply::error(StatusCode::UNPROCESSABLE_ENTITY, message)
}

/// Refuses bodies that describe no export, before anything else is looked at.
fn check_export(req: &RestRequest) -> Result<(), Reply> {
    let body = decode(req, "body", "models.ExportCreateRequest")?;
    match body.get("file_format").and_then(Value::as_str) {
        None => return Err(missing("file_format")),
        Some("parquet") => {}
        Some(_) => return Err(not_one_of("file_format in body", &["parquet"])),
    }
    if body.get("id").and_then(Value::as_str).is_none() { Err(missing("id")) } else { Ok(()) }
}

pub(super) fn namespaces() -> Reply {
    Reply::error(StatusCode::NOT_FOUND, "namespaces are not enabled")
}

pub(super) fn mcp() -> Reply {
    let body = json!({"error": "MCP server is not enabled: this server does not have it"});
    Reply { status: StatusCode::SERVICE_UNAVAILABLE, body: Some(body.into()) }
}

/// A shard that is not there.
pub(super) fn no_shard(class: &str, shard: &str) -> Reply {
    Reply::error(StatusCode::NOT_FOUND, &format!("class {class:?} has no shard {shard:?}"))
}
