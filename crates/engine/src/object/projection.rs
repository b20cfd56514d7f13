//! The properties that a read decodes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Properties, Value};
use crate::limits::STORED_DEPTH_MAX;

/// The parts of a value, or of an object's properties, that a read decodes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Encoded", into = "Encoded")]
pub enum Projection {
    /// Nothing.
    #[default]
    None,
    /// Everything.
    All,
    /// The named members, each with its own selection. The selection applies to each object of a list of objects. Values
    /// that are neither objects nor lists of objects are decoded whole.
    These(BTreeMap<String, Projection>),
}

impl Projection {
    /// Selects these properties as a whole. An empty list gives [`Projection::None`].
    pub fn of<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        let mut projection = Self::None;
        names.into_iter().for_each(|name| projection.add(name));
        projection
    }

    /// Adds a property, or a member of an object: `a.b` is the member `b` of the property `a`. A path that is longer than
    /// the depth limit of values selects everything below that limit.
    pub fn add(&mut self, path: &str) {
        let mut at = self;
        for name in path.split('.').take(STORED_DEPTH_MAX) {
            at = match at {
                Self::All => return,
                Self::None => {
                    *at = Self::These(BTreeMap::new());
                    at.member_mut(name)
                }
                Self::These(_) => at.member_mut(name),
            };
        }
        *at = Self::All;
    }

    /// Adds everything that `other` selects.
    pub fn merge(&mut self, other: Self) {
        match (self, other) {
            (Self::All, _) | (_, Self::None) => {}
            (Self::These(members), Self::These(more)) => {
                for (name, projection) in more {
                    members.entry(name).or_default().merge(projection);
                }
            }
            (this, other) => *this = other,
        }
    }

    /// Whether nothing is selected.
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }

    /// Removes the properties that are not selected at all.
    pub fn retain(&self, properties: &mut Properties) {
        match self {
            Self::None => properties.clear(),
            Self::All => {}
            Self::These(members) => properties.retain(|name: &String, _: &mut Value| members.contains_key(name)),
        }
    }

    /// The selection for the member of that name.
    fn member_mut(&mut self, name: &str) -> &mut Self {
        match self {
            Self::These(members) => members.entry(name.to_owned()).or_default(),
            Self::None | Self::All => self,
        }
    }
}

/// The encoded form of a [`Projection`]: paths, so that decoding it does not recurse.
#[derive(Serialize, Deserialize)]
enum Encoded {
    All,
    Paths(Vec<String>),
}

impl From<Encoded> for Projection {
    fn from(encoded: Encoded) -> Self {
        match encoded {
            Encoded::All => Self::All,
            Encoded::Paths(paths) => Self::of(paths.iter().map(String::as_str)),
        }
    }
}

impl From<Projection> for Encoded {
    fn from(projection: Projection) -> Self {
        fn add(projection: &Projection, path: &str, paths: &mut Vec<String>) {
            match projection {
                Projection::None => {}
                Projection::All => paths.push(path.to_owned()),
                Projection::These(members) => members.iter().for_each(|(name, inner)| {
                    let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    add(inner, &path, paths);
                }),
            }
        }
        if projection == Projection::All {
            return Self::All;
        }
        let mut paths = Vec::new();
        add(&projection, "", &mut paths);
        Self::Paths(paths)
    }
}

/// Members, each with its selection; entries of the same name are merged.
impl FromIterator<(String, Projection)> for Projection {
    fn from_iter<I: IntoIterator<Item = (String, Projection)>>(members: I) -> Self {
        let mut joined: BTreeMap<String, Projection> = BTreeMap::new();
        let members = members.into_iter().filter(|(_, projection)| !projection.is_none());
        members.for_each(|(name, projection)| joined.entry(name).or_default().merge(projection));
        if joined.is_empty() { Self::None } else { Self::These(joined) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_joined() {
        let mut projection = Projection::of(["a.b", "c"]);
        projection.add("a.d.e");
        let mut expected = Projection::of(["c", "a.d.e"]);
        expected.merge(Projection::of(["a.b"]));
        assert_eq!(projection, expected);
        projection.add("a");
        projection.add("a.x");
        assert_eq!(projection, Projection::of(["a", "c"]));
        projection.merge(Projection::All);
        assert_eq!(projection, Projection::All);
        assert!(Projection::of([]).is_none());
    }

    #[test]
    fn projections_are_encoded_as_paths() {
        for projection in
            [Projection::None, Projection::All, Projection::of(["a"]), Projection::of(["a.b.c", "a.d", "e"])]
        {
            let bytes = postcard::to_stdvec(&projection).unwrap();
            assert_eq!(postcard::from_bytes::<Projection>(&bytes).unwrap(), projection);
        }
    }

    #[test]
    fn long_paths_end_at_the_depth_of_values() {
        let mut projection = Projection::of([vec!["a"; 1_000_000].join(".").as_str()]);
        let mut depth = 0;
        while let Projection::These(mut members) = projection {
            projection = members.remove("a").unwrap();
            depth += 1;
        }
        assert_eq!((depth, projection), (STORED_DEPTH_MAX, Projection::All));
    }
}
