//! Commands: all changes of replicated state, and their outcomes.
//!
//! A command that was proposed is already validated, and holds every choice that is not deterministic
//! (ids, times). Applied in the same order it has the same outcome on every replica and at every replay;
//! one that cannot be carried out has an outcome that says so and changes nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ids::{CollectionId, DocId, GroupId, ShardId, ShardKey, VectorId};
use crate::level::FeatureLevel;
use crate::object::{Beacon, Object, Properties, Vector};
use crate::schema::{self, Alias, Collection, Shard, TenantStatus};

/// A change of replicated state. The first part is for the meta group, the second for data groups; a
/// group that gets a command of the other part answers [`Outcome::Refused`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Command {
    /// Meta: a new collection, with the shards that its schema lists if that is one of version 1: the form of earlier
    /// versions. Ids are given at apply. `Outcome::Collection`, or `Conflict` when a
    /// collection or an alias with that name (without regard to case) is there.
    CreateCollection(#[serde(with = "schema::embedded")] Box<Collection>),
    /// Meta: replaces the collection of the same id if it still has version `expected_version`.
    /// `Outcome::Collection`, `NotFound`, or `Conflict` when somebody else was faster.
    UpdateCollection {
        /// Version that the change was made from.
        expected_version: u64,
        /// The collection as it shall be.
        #[serde(with = "schema::embedded")]
        collection: Box<Collection>,
    },
    /// Meta: removes a collection. `Outcome::Done` or `NotFound`.
    DeleteCollection(CollectionId),

    /// Data: makes this schema of a collection known to the group; ignored when a newer one is known. A schema of version 1
    /// brings the shards that it lists.
    PutCollection(#[serde(with = "schema::embedded")] Box<Collection>),
    /// Data: forgets a collection and all its objects. Repeating it does nothing.
    DropCollection(CollectionId),
    /// Data: forgets one shard with all its objects. Repeating it does nothing.
    DropShard(CollectionId, ShardId),
    /// Data: writes a whole object. `Written`, `Exists`, `NotFound` or `Refused`.
    Put {
        /// Where.
        at: ShardKey,
        /// What is expected of the id.
        mode: PutMode,
        /// The object; its creation time counts only if the id is new.
        object: Box<Object>,
    },
    /// Data: changes some properties and vectors of an object. `Written`, `NotFound` or `Refused`.
    Merge {
        /// Where.
        at: ShardKey,
        /// Which object.
        id: Uuid,
        /// What changes.
        patch: Box<Patch>,
        /// Unix time in milliseconds of the change.
        updated_ms: i64,
    },
    /// Data: removes an object. `Done` or `NotFound`.
    Delete {
        /// Where.
        at: ShardKey,
        /// Which object.
        id: Uuid,
    },
    /// Data: removes an object if it still has the version that the caller saw. `Done`, `NotFound`, or `Conflict` when
    /// the object was written since.
    DeleteVersion {
        /// Where.
        at: ShardKey,
        /// Which object.
        id: Uuid,
        /// The version that the caller saw.
        doc_id: DocId,
    },

    /// Meta: a new collection together with its shards. Ids are given at apply. `Outcome::Created`, `Conflict` as for
    /// [`Command::CreateCollection`], or `Refused` for a limit.
    CreateSharded {
        /// The collection.
        #[serde(with = "schema::embedded")]
        collection: Box<Collection>,
        /// Its shards.
        shards: Vec<NewShard>,
    },
    /// Meta: shards of these names. Ids are given at apply; a name that exists keeps its shard as it is. All or none.
    /// `Outcome::Shards`, one per name and in that order; `NotFound` without the collection, `Refused` for a limit.
    CreateShards {
        /// The collection.
        collection: CollectionId,
        /// The shards.
        shards: Vec<NewShard>,
    },
    /// Meta: changes shards. All or none. `Outcome::Shards`, one per change and in that order, each as it is then;
    /// `NotFound` when the collection or one of the names does not exist, `Refused` for a limit.
    UpdateShards {
        /// The collection.
        collection: CollectionId,
        /// The changes.
        changes: Vec<ShardChange>,
    },
    /// Meta: removes the shards of these names, as far as they exist. `Outcome::Shards`, those that were removed;
    /// `NotFound` without the collection, `Refused` for a limit.
    DropShards {
        /// The collection.
        collection: CollectionId,
        /// Names of the shards.
        names: Vec<String>,
    },

    /// Data: makes shards, as the meta group has them, known to the group. A record that is not newer than the known
    /// one, or of a dropped shard, is ignored. `Done`; `NotFound` without the collection, `Refused` for a limit.
    PutShards {
        /// The collection.
        collection: CollectionId,
        /// The records.
        shards: Vec<Shard>,
    },

    /// Every group: raises the feature level of the group, from the next entry on. `Done`, also when the group has this
    /// level or a higher one. Only proposed when every member of the group supports the level: a member that does not
    /// support it stops.
    RaiseLevel(FeatureLevel),

    /// Meta: a new alias. `Done`; `Conflict` when a collection (without regard to case) or an alias has its name,
    /// `NotFound` without the collection that it leads to, `Refused` for a limit.
    CreateAlias(Alias),
    /// Meta: leads an alias to another collection. `Done`, or `NotFound` when there is no alias or no collection of these
    /// names.
    UpdateAlias(Alias),
    /// Meta: removes the alias of that name. `Done` or `NotFound`.
    DropAlias(String),
}

/// A shard that is to be created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewShard {
    /// Its name.
    pub name: String,
    /// The group that is to hold its objects.
    pub group: GroupId,
    /// Whether it takes requests from the start.
    pub status: TenantStatus,
}

/// A change of a shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardChange {
    /// Name of the shard.
    pub name: String,
    /// The status that the change was made for: a shard with another one stays as it is. `None` for any.
    pub expected: Option<TenantStatus>,
    /// The new status.
    pub status: Option<TenantStatus>,
    /// Whether it refuses writes from now on.
    pub read_only: Option<bool>,
}

impl Command {
    /// The kind, in a word for logs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::CreateCollection(_) => "create collection",
            Self::UpdateCollection { .. } => "update collection",
            Self::DeleteCollection(_) => "delete collection",
            Self::PutCollection(_) => "put collection",
            Self::DropCollection(_) => "drop collection",
            Self::DropShard(..) => "drop shard",
            Self::Put { .. } => "put",
            Self::Merge { .. } => "merge",
            Self::Delete { .. } => "delete",
            Self::DeleteVersion { .. } => "delete version",
            Self::CreateSharded { .. } => "create collection with shards",
            Self::CreateShards { .. } => "create shards",
            Self::UpdateShards { .. } => "update shards",
            Self::DropShards { .. } => "drop shards by name",
            Self::PutShards { .. } => "put shards",
            Self::RaiseLevel(_) => "raise the feature level",
            Self::CreateAlias(_) => "create alias",
            Self::UpdateAlias(_) => "update alias",
            Self::DropAlias(_) => "drop alias",
        }
    }
}

impl Command {
    /// The feature level that the group must have before the command is proposed. Members that support the level can
    /// decode the command.
    pub fn level(&self) -> FeatureLevel {
        match self {
            Self::CreateCollection(_)
            | Self::UpdateCollection { .. }
            | Self::DeleteCollection(_)
            | Self::PutCollection(_)
            | Self::DropCollection(_)
            | Self::DropShard(..)
            | Self::Put { .. }
            | Self::Merge { .. }
            | Self::Delete { .. }
            | Self::DeleteVersion { .. } => FeatureLevel::INITIAL,
            Self::CreateSharded { .. }
            | Self::CreateShards { .. }
            | Self::UpdateShards { .. }
            | Self::DropShards { .. }
            | Self::PutShards { .. } => FeatureLevel::SHARD_COMMANDS,
            // Members that support any level above the initial one can decode it.
            Self::RaiseLevel(_) => FeatureLevel::INITIAL,
            Self::CreateAlias(_) | Self::UpdateAlias(_) | Self::DropAlias(_) => FeatureLevel::ALIASES,
        }
    }

    /// Whether the command brings no data of its own: it removes something, or gives this group a schema or shards that the
    /// meta group has accepted. Such commands are carried out on a disk that is too full for others.
    pub fn frees_space(&self) -> bool {
        match self {
            Self::DeleteCollection(_)
            | Self::PutCollection(_)
            | Self::DropCollection(_)
            | Self::DropShard(..)
            | Self::Delete { .. }
            | Self::DeleteVersion { .. }
            | Self::DropShards { .. }
            | Self::PutShards { .. }
            | Self::RaiseLevel(_)
            | Self::DropAlias(_) => true,
            Self::CreateCollection(_)
            | Self::UpdateCollection { .. }
            | Self::Put { .. }
            | Self::Merge { .. }
            | Self::CreateSharded { .. }
            | Self::CreateShards { .. }
            | Self::UpdateShards { .. }
            | Self::CreateAlias(_)
            | Self::UpdateAlias(_) => false,
        }
    }
}

/// What a [`Command::Put`] expects of the id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PutMode {
    /// The id must be free.
    Insert,
    /// The id must be taken.
    Replace,
    /// Either.
    Upsert,
}

/// A change of some parts of an object.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Patch {
    /// Properties to set to these values. References are appended to those that are there.
    pub set: Properties,
    /// Properties to remove.
    pub remove: Vec<String>,
    /// Reference properties whose list is replaced.
    pub replace_references: BTreeMap<String, Vec<Beacon>>,
    /// References to take out, one occurrence each.
    pub remove_references: BTreeMap<String, Vec<Beacon>>,
    /// Vectors to set, or with `None` to remove.
    pub vectors: BTreeMap<VectorId, Option<Vector>>,
}

/// Result of a command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Outcome {
    /// Carried out; there is nothing more to say.
    Done,
    /// The collection as it is now, ids given.
    Collection(Box<Collection>),
    /// The object was written as this version.
    Written {
        /// The new version.
        doc_id: DocId,
        /// Creation time in Unix milliseconds: the old one if the object was there.
        created_ms: i64,
    },
    /// The id is taken.
    Exists,
    /// There is no such collection, shard or object.
    NotFound,
    /// Somebody else was faster, or the name is taken; the text says which.
    Conflict(String),
    /// The vector's length differs from what its index holds.
    WrongDimension {
        /// The vector.
        vector: VectorId,
        /// Length of the vector that was given.
        given: u32,
        /// Length of those that are there.
        expected: u32,
    },
    /// It can never be carried out; the text says why.
    Refused(String),
    /// It was applied before: the entry is a repetition of one that this group has seen.
    Repeated,
    /// The collection and its shards as they are now, ids given.
    Created {
        /// The collection.
        #[serde(with = "schema::embedded")]
        collection: Box<Collection>,
        /// Its shards, in the order of the command.
        shards: Vec<Shard>,
    },
    /// The shards that the command named.
    Shards(Vec<Shard>),
}
