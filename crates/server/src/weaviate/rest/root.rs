//! The links of `/v1`, meta data of the server, and who is calling.

use std::sync::Arc;

use azimuth_raft::Replay;
use http::StatusCode;
use serde_json::{Value, json};

use super::message::{Reply, RestRequest};
use crate::app::App;

/// The version of Weaviate whose interface is spoken. Clients choose by it what they send.
pub(crate) const WEAVIATE_VERSION: &str = "1.39.0";

const DOCS: &str = "https://weaviate.io/developers/weaviate/api/rest#tag/";

pub(super) fn links() -> Reply {
    let link = |href: &str, name: &str| json!({"href": href, "name": name});
    let documented = |href: &str, name: &str, tag: &str| -> Value {
        json!({"href": href, "name": name, "documentationHref": format!("{DOCS}{tag}")})
    };
    Reply::ok(json!({"links": [
        link("/v1/meta", "Meta information about this instance/cluster"),
        documented("/v1/schema", "view complete schema", "schema/get/schema"),
        documented("/v1/schema{/:className}", "CRUD schema", "schema/put/schema/{className}"),
        documented("/v1/objects{/:id}", "CRUD objects", "objects/"),
        documented("/v1/classifications{/:id}", "trigger and view status of classifications", "classifications"),
        documented(
            "/v1/.well-known/live",
            "check if Weaviate is live (returns 200 on GET when live)",
            "well-known/get/.well-known/live"
        ),
        documented(
            "/v1/.well-known/ready",
            "check if Weaviate is ready (returns 200 on GET when ready)",
            "well-known/get/.well-known/ready"
        ),
        documented(
            "/v1/.well-known/openid-configuration",
            "view link to openid configuration (returns 404 on GET if no openid is configured)",
            "well-known/get/.well-known/openid-configuration"
        ),
    ]}))
}

/// 503 with the progress of the start: the phase, and for each group the last applied and the last index of its log.
pub(super) fn not_ready(app: &Arc<App>) -> Reply {
    let progress = app.progress();
    let replay = |replay: &Replay| {
        json!({
            "group": replay.group.0,
            "appliedIndex": replay.applied_index,
            "lastIndex": replay.last_index,
        })
    };
    let replays: Vec<Value> = progress.replays.iter().map(replay).collect();
    let body = json!({"phase": progress.phase.text(), "groups": replays});
    Reply { status: StatusCode::SERVICE_UNAVAILABLE, ..Reply::ok(body) }
}

pub(super) fn meta(app: &Arc<App>) -> Reply {
    let settings = &app.settings;
    let scheme = if settings.tls.is_some() { "https" } else { "http" };
    let host = if settings.host.is_ipv6() { format!("[{}]", settings.host) } else { settings.host.to_string() };
    Reply::ok(json!({
        "hostname": format!("{scheme}://{host}:{}", settings.port),
        "version": WEAVIATE_VERSION,
        "modules": {},
        "grpcMaxMessageSize": settings.grpc_max_message_bytes,
    }))
}

pub(super) fn own_info(req: &RestRequest) -> Reply {
    match req.caller.as_ref().and_then(|caller| caller.username()) {
        Some(name) => Reply::ok(json!({"username": name, "groups": null, "roles": null})),
        None => Reply::empty(StatusCode::UNAUTHORIZED),
    }
}
