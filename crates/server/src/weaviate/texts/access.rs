//! Texts about callers that are refused.

use std::fmt::Display;

use crate::auth::{Access, Forbidden, Resource, Unauthenticated};

/// Why the caller is not known.
pub(crate) fn unauthenticated(refusal: Unauthenticated) -> String {
    match refusal {
        Unauthenticated::NoKey { api_keys } => {
            let schemes = if api_keys { "API-keys" } else { "" };
            format!(
                "anonymous access not enabled. Please authenticate through one of the available methods: [{schemes}]"
            )
        }
        Unauthenticated::NoScheme => {
            "no authentication scheme is configured (API Key or OIDC), but an 'Authorization' \
                                      header was provided. Please configure an auth scheme or remove the header for \
                                      anonymous access"
                .to_owned()
        }
        Unauthenticated::WrongKey => "unauthorized: invalid api key".to_owned(),
    }
}

/// What the caller may not do.
pub(crate) fn forbidden(refusal: &Forbidden) -> String {
    let Forbidden { user, access, resource } = refusal;
    let verb = match access {
        Access::Read => 'R',
        Access::Create => 'C',
        Access::Update => 'U',
        Access::Delete => 'D',
    };
    format!(
        "adminlist: authorization, forbidden action: user '{user}' has insufficient permissions to {verb} [{}]",
        path(resource)
    )
}

/// The name of a resource in refusals.
fn path(resource: &Resource<'_>) -> String {
    fn or_all<T: Display>(name: Option<&T>) -> String {
        name.map_or_else(|| "*".to_owned(), ToString::to_string)
    }
    match resource {
        Resource::Collection(name) => format!("schema/collections/{}/shards/#", or_all(name.as_ref())),
        Resource::Alias { collection, name } => format!("aliases/collections/{collection}/aliases/{name}"),
        Resource::Shards { collection, shard } => {
            format!("schema/collections/{collection}/shards/{}", or_all(shard.as_ref()))
        }
        Resource::Objects { collection, tenant, id } => {
            let (collection, tenant) = (or_all(collection.as_ref()), or_all(tenant.as_ref()));
            format!("data/collections/{collection}/shards/{tenant}/objects/{}", or_all(id.as_ref()))
        }
        Resource::Nodes => "nodes/verbosity/minimal".to_owned(),
        Resource::NodeShards(name) => format!("nodes/verbosity/verbose/collections/{}", or_all(name.as_ref())),
        Resource::Cluster => "cluster".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn resources_have_the_names_of_refusals() {
        let check = |resource: Resource<'_>, expected: &str| assert_eq!(path(&resource), expected);
        let id = Uuid::nil();
        check(Resource::collection("A"), "schema/collections/A/shards/#");
        check(Resource::Collection(None), "schema/collections/*/shards/#");
        check(Resource::shards("A", None), "schema/collections/A/shards/*");
        check(Resource::shards("A", Some("s")), "schema/collections/A/shards/s");
        check(Resource::objects("A", Some("t")), "data/collections/A/shards/t/objects/*");
        check(Resource::object(None, None, id), &format!("data/collections/*/shards/*/objects/{id}"));
        check(Resource::Nodes, "nodes/verbosity/minimal");
        check(Resource::NodeShards(None), "nodes/verbosity/verbose/collections/*");
        check(Resource::Cluster, "cluster");
    }
}
