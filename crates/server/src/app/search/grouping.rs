//! `groupBy`: hits taken together by the value of one property.

use std::collections::HashMap;

use azimuth_engine::object::Value;
use azimuth_engine::query::Hit;

/// What hits are grouped by, and how much of it is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GroupBy {
    /// The property.
    pub(crate) property: String,
    /// Groups at most.
    pub(crate) groups: usize,
    /// Hits of a group at most.
    pub(crate) per_group: usize,
}

/// Hits that share a value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Group {
    /// The value as text; empty for what has none.
    pub(crate) value: String,
    /// Positions of its hits, nearest first; at least one.
    pub(crate) members: Vec<usize>,
    /// Distances of the first and the last hit, 0 for hits without one.
    pub(crate) distances: (f32, f32),
}

/// The groups in the order of their first hits. A list puts its object into the group of each of its members, once, as far
/// as there are groups.
///
/// `names` are the groups that a value belongs to: the members of a list each name one.
pub(crate) fn group<'h>(
    hits: impl IntoIterator<Item = &'h Hit>,
    by: &GroupBy,
    names: impl Fn(&Value) -> Vec<String>,
) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut known: HashMap<String, usize> = HashMap::new();
    for (position, hit) in hits.into_iter().enumerate() {
        // Hits of a fusion have a score in place of a distance.
        let distance = hit.distance.filter(|_| hit.score.is_none()).unwrap_or_default();
        let mut of_hit = hit.object.properties.get(&by.property).map(&names).unwrap_or_default();
        if of_hit.is_empty() {
            of_hit.push(String::new());
        }
        for value in of_hit {
            match known.get(&value) {
                Some(&at) if groups[at].members.last() == Some(&position) => {}
                Some(&at) if groups[at].members.len() < by.per_group => {
                    groups[at].members.push(position);
                    groups[at].distances.1 = distance;
                }
                Some(_) => {}
                None if by.per_group == 0 => {}
                None if groups.len() >= by.groups => {}
                None => {
                    known.insert(value.clone(), groups.len());
                    groups.push(Group { value, members: vec![position], distances: (distance, distance) });
                }
            }
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use azimuth_engine::ids::DocId;
    use azimuth_engine::object::{Object, Vectors};
    use uuid::Uuid;

    use super::*;

    fn names(value: &Value) -> Vec<String> {
        match value {
            Value::List(values) => values.iter().flat_map(names).collect(),
            Value::Text(text) => vec![text.clone()],
            other => panic!("{other:?}"),
        }
    }

    fn hit(distance: f32, value: Option<Value>) -> Hit {
        let properties: BTreeMap<_, _> = value.map(|value| ("p".to_owned(), value)).into_iter().collect();
        let object = Object { id: Uuid::nil(), created_ms: 0, updated_ms: 0, properties, vectors: Vectors::default() };
        Hit { doc_id: DocId(0), distance: Some(distance), score: None, object }
    }

    fn check(hits: &[Hit], groups: usize, per_group: usize, want: &[(&str, &[usize])]) {
        let found = group(hits, &GroupBy { property: "p".to_owned(), groups, per_group }, names);
        let found: Vec<_> = found.iter().map(|group| (group.value.as_str(), group.members.as_slice())).collect();
        assert_eq!(found, want);
    }

    #[test]
    fn hits_are_grouped_in_order_and_within_limits() {
        let text = |text: &str| Some(Value::Text(text.to_owned()));
        let hits = [hit(0.1, text("a")), hit(0.2, text("b")), hit(0.3, text("a")), hit(0.4, None), hit(0.5, text("a"))];
        check(&hits, 9, 9, &[("a", &[0, 2, 4]), ("b", &[1]), ("", &[3])]);
        check(&hits, 1, 2, &[("a", &[0, 2])]);
        check(&hits, 0, 2, &[]);
        check(&hits, 2, 0, &[]);
        let groups = group(&hits, &GroupBy { property: "p".to_owned(), groups: 1, per_group: 2 }, names);
        assert_eq!(groups[0].distances, (0.1, 0.3));
    }

    #[test]
    fn an_object_is_in_the_group_of_each_member_of_its_list() {
        let list = |texts: &[&str]| Some(Value::List(texts.iter().map(|t| Value::Text((*t).to_owned())).collect()));
        let hits = [hit(0.1, list(&["a", "b"])), hit(0.2, list(&[])), hit(0.3, list(&["b", "c"]))];
        check(&hits, 9, 9, &[("a", &[0]), ("b", &[0, 2]), ("", &[1]), ("c", &[2])]);
    }

    #[test]
    fn groups_are_complete_when_there_are_too_many_members() {
        let list = |texts: &[&str]| Some(Value::List(texts.iter().map(|t| Value::Text((*t).to_owned())).collect()));
        let lists: [&[&str]; 5] = [&["a", "b"], &["c", "a"], &["b"], &["d", "b", "a"], &["a", "e", "a"]];
        let hits: Vec<Hit> = lists.iter().map(|texts| hit(0.5, list(texts))).collect();
        check(&hits, 2, 9, &[("a", &[0, 1, 3, 4]), ("b", &[0, 2, 3])]);
        check(&hits, 1, 9, &[("a", &[0, 1, 3, 4])]);
        check(&hits, 1, 3, &[("a", &[0, 1, 3])]);
        check(&[hit(0.1, list(&["a", "a", "b", "a"]))], 9, 1, &[("a", &[0]), ("b", &[0])]);
    }
}
