//! Resources, and the permits to read or change them.
//!
//! Only [`Auth`](super::Auth) makes a [`Grant`], and a [`Permit`] is made of one. The calls of the application take permits
//! and check that the permit covers the objects of the call, so that a front end cannot leave the decision out.

use std::borrow::Cow;
use std::fmt;

use uuid::Uuid;

/// What a call does with a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// It reads.
    Read,
    /// It creates.
    Create,
    /// It changes.
    Update,
    /// It deletes.
    Delete,
}

/// The data that a call reads or changes, by the names in the request, which are not checked against the schema yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Resource<'a> {
    /// The definition of a collection; `None` for all.
    Collection(Option<Cow<'a, str>>),
    /// An alias.
    Alias {
        /// The collection that it leads to.
        collection: Cow<'a, str>,
        /// Its name.
        name: Cow<'a, str>,
    },
    /// The shards or tenants of a collection.
    Shards {
        /// The collection.
        collection: Cow<'a, str>,
        /// One shard; `None` for all.
        shard: Option<Cow<'a, str>>,
    },
    /// Objects.
    Objects {
        /// Their collection; `None` for all.
        collection: Option<Cow<'a, str>>,
        /// Their tenant; `None` for all.
        tenant: Option<Cow<'a, str>>,
        /// One object; `None` for all.
        id: Option<Uuid>,
    },
    /// The nodes of the cluster, without their shards.
    Nodes,
    /// The shards of the nodes, of a collection or of all.
    NodeShards(Option<Cow<'a, str>>),
    /// The state of the cluster.
    Cluster,
}

impl Access {
    /// A list of this access alone.
    pub(crate) fn alone(self) -> &'static [Self] {
        match self {
            Self::Read => &[Self::Read],
            Self::Create => &[Self::Create],
            Self::Update => &[Self::Update],
            Self::Delete => &[Self::Delete],
        }
    }
}

impl<'a> Resource<'a> {
    /// The definition of a collection.
    pub(crate) fn collection(name: &'a str) -> Self {
        Self::Collection(Some(name.into()))
    }

    /// Shards of a collection.
    pub(crate) fn shards(collection: &'a str, shard: Option<&'a str>) -> Self {
        Self::Shards { collection: collection.into(), shard: shard.map(Cow::from) }
    }

    /// Objects of a collection.
    pub(crate) fn objects(collection: &'a str, tenant: Option<&'a str>) -> Self {
        Self::Objects { collection: Some(collection.into()), tenant: tenant.map(Cow::from), id: None }
    }

    /// One object.
    pub(crate) fn object(collection: Option<&'a str>, tenant: Option<&'a str>, id: Uuid) -> Self {
        Self::Objects { collection: collection.map(Cow::from), tenant: tenant.map(Cow::from), id: Some(id) }
    }

    /// The same without a lifetime.
    pub(super) fn into_owned(self) -> Resource<'static> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        match self {
            Self::Collection(name) => Resource::Collection(name.map(owned)),
            Self::Alias { collection, name } => Resource::Alias { collection: owned(collection), name: owned(name) },
            Self::Shards { collection, shard } => {
                Resource::Shards { collection: owned(collection), shard: shard.map(owned) }
            }
            Self::Objects { collection, tenant, id } => {
                Resource::Objects { collection: collection.map(owned), tenant: tenant.map(owned), id }
            }
            Self::Nodes => Resource::Nodes,
            Self::NodeShards(name) => Resource::NodeShards(name.map(owned)),
            Self::Cluster => Resource::Cluster,
        }
    }

    /// Whether `other` is this resource or a part of it.
    fn includes(&self, other: &Resource<'_>) -> bool {
        fn part<T: PartialEq<U>, U>(of: Option<&T>, other: Option<&U>) -> bool {
            of.is_none_or(|of| other.is_some_and(|other| of == other))
        }
        match (self, other) {
            (Self::Collection(of), Resource::Collection(other))
            | (Self::NodeShards(of), Resource::NodeShards(other)) => part(of.as_ref(), other.as_ref()),
            (
                Self::Shards { collection: of, shard: of_shard },
                Resource::Shards { collection: other, shard: other_shard },
            ) => of == other && part(of_shard.as_ref(), other_shard.as_ref()),
            (
                Self::Objects { collection: of, tenant: of_tenant, id: of_id },
                Resource::Objects { collection: other, tenant: other_tenant, id: other_id },
            ) => {
                part(of.as_ref(), other.as_ref())
                    && part(of_tenant.as_ref(), other_tenant.as_ref())
                    && part(of_id.as_ref(), other_id.as_ref())
            }
            (Self::Alias { collection, name }, Resource::Alias { collection: of_other, name: other }) => {
                collection == of_other && name == other
            }
            (Self::Nodes, Resource::Nodes) | (Self::Cluster, Resource::Cluster) => true,
            _ => false,
        }
    }
}

/// A decision of [`Auth`](super::Auth): the caller may do these things with the resource of the question.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grant {
    access: &'static [Access],
}

impl Grant {
    /// Only for decisions.
    pub(super) fn new(access: &'static [Access]) -> Self {
        Self { access }
    }

    /// Whether the decision is about this access.
    pub(crate) fn allows(self, access: Access) -> bool {
        self.access.contains(&access)
    }
}

/// The right of a caller to do something with a resource.
#[derive(Debug, Clone)]
pub(crate) struct Permit {
    grant: Grant,
    resource: Resource<'static>,
}

impl Permit {
    /// `grant` must be about the resource.
    pub(crate) fn new(grant: Grant, resource: Resource<'_>) -> Self {
        Self { grant, resource: resource.into_owned() }
    }

    /// Whether the permit is for `access` to `resource`.
    pub(crate) fn covers(&self, access: Access, resource: &Resource<'_>) -> bool {
        self.grant.allows(access) && self.resource.includes(resource)
    }

    /// Whether the permit is for some access to objects of the collection.
    pub(crate) fn concerns(&self, collection: &str) -> bool {
        match &self.resource {
            Resource::Objects { collection: of, .. } => of.as_ref().is_none_or(|of| of == collection),
            _ => false,
        }
    }
}

/// The refusal of a caller who may not do that. Front ends word it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("user {user} may not {access} {resource}")]
pub(crate) struct Forbidden {
    /// Name of the caller.
    pub(crate) user: String,
    /// The access that is refused.
    pub(crate) access: Access,
    /// With what.
    pub(crate) resource: Resource<'static>,
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Create => "create",
            Self::Update => "change",
            Self::Delete => "delete",
        })
    }
}

impl fmt::Display for Resource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Collection(None) => f.write_str("the collections"),
            Self::Collection(Some(name)) => write!(f, "collection {name}"),
            Self::Alias { collection, name } => write!(f, "alias {name} of {collection}"),
            Self::Shards { collection, shard: None } => write!(f, "the shards of {collection}"),
            Self::Shards { collection, shard: Some(shard) } => write!(f, "shard {shard} of {collection}"),
            Self::Objects { collection: None, .. } => f.write_str("objects of all collections"),
            Self::Objects { collection: Some(name), .. } => write!(f, "objects of {name}"),
            Self::Nodes => f.write_str("the nodes"),
            Self::NodeShards(_) => f.write_str("the shards of the nodes"),
            Self::Cluster => f.write_str("the state of the cluster"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permits_cover_their_resource_and_its_parts() {
        let (id, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let permit = |resource: Resource<'_>| Permit::new(Grant::new(&[Access::Update]), resource);
        let check = |of: Resource<'_>, part: Resource<'_>, expected: bool| {
            let permit = permit(of);
            assert_eq!(permit.covers(Access::Update, &part), expected, "{permit:?} {part:?}");
            assert!(!permit.covers(Access::Read, &part), "{permit:?} {part:?}");
        };
        check(Resource::objects("A", None), Resource::object(Some("A"), Some("t"), id), true);
        check(Resource::objects("A", Some("t")), Resource::object(Some("A"), Some("t"), id), true);
        check(Resource::objects("A", Some("t")), Resource::objects("A", Some("u")), false);
        check(Resource::objects("A", Some("t")), Resource::objects("A", None), false);
        check(Resource::objects("A", None), Resource::objects("B", None), false);
        check(Resource::object(Some("A"), None, id), Resource::object(Some("A"), None, id), true);
        check(Resource::object(Some("A"), None, id), Resource::object(Some("A"), None, other), false);
        check(Resource::object(Some("A"), None, id), Resource::objects("A", None), false);
        check(Resource::object(None, None, id), Resource::object(Some("B"), None, id), true);
        check(Resource::Collection(None), Resource::collection("A"), true);
        check(Resource::collection("A"), Resource::Collection(None), false);
        check(Resource::collection("A"), Resource::objects("A", None), false);
        check(Resource::shards("A", None), Resource::shards("A", Some("s")), true);
        check(Resource::shards("A", Some("s")), Resource::shards("A", Some("t")), false);
        check(Resource::Nodes, Resource::NodeShards(None), false);
        check(Resource::Cluster, Resource::Cluster, true);
    }
}
