//! A persistent ordered map: copies share nodes, a copy takes constant time, and a change copies one path of a B-tree.

use std::borrow::Borrow;
use std::slice;
use std::sync::Arc;

/// Maximum number of entries of a leaf and of children of an inner node.
const WIDTH: usize = 32;

/// A B-tree. A node that another copy references is copied before a change. Small nodes are not merged, only empty nodes
/// are removed, so the height follows from the largest number of entries that the map ever had.
#[derive(Debug, Clone)]
pub(super) struct SharedMap<K, V> {
    root: Arc<Node<K, V>>,
    len: usize,
}

#[derive(Debug, Clone)]
enum Node<K, V> {
    /// Ascending by key.
    Leaf(Vec<(K, V)>),
    /// Children, each with a separator: greater than all keys of the previous child, and not greater than the keys of its
    /// own child. Keys below the first separator belong to the first child. Never empty.
    Inner(Vec<Child<K, V>>),
}

/// A child of an inner node, with its key.
type Child<K, V> = (K, Arc<Node<K, V>>);

/// A node that was split off, with its least key.
type Split<K, V> = Option<Child<K, V>>;

impl<K, V> Default for SharedMap<K, V> {
    fn default() -> Self {
        Self { root: Arc::new(Node::Leaf(Vec::new())), len: 0 }
    }
}

impl<K: Ord + Clone, V: Clone> SharedMap<K, V> {
    /// The value of a key.
    pub(super) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.entry(key).map(|(_, value)| value)
    }

    /// The key that is equal to `key`.
    pub(super) fn get_key<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&K>
    where
        K: Borrow<Q>,
    {
        self.entry(key).map(|(key, _)| key)
    }

    fn entry<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&(K, V)>
    where
        K: Borrow<Q>,
    {
        let mut node = self.root.as_ref();
        loop {
            match node {
                Node::Leaf(entries) => {
                    let at = entries.binary_search_by(|(there, _)| there.borrow().cmp(key)).ok()?;
                    return entries.get(at);
                }
                Node::Inner(children) => node = &children[child_of(children, key)].1,
            }
        }
    }

    /// Sets the value of a key, replacing an equal key, and returns the previous value.
    pub(super) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let (before, split) = insert(&mut self.root, key, value);
        if let Some((key, right)) = split {
            let left = self.root.clone();
            self.root = Arc::new(Node::Inner(vec![(key.clone(), left), (key, right)]));
        }
        self.len += usize::from(before.is_none());
        before
    }

    /// Removes a key and returns its value.
    pub(super) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        // An absent key must not cause a copy of the path.
        self.get(key)?;
        let removed = remove(&mut self.root, key);
        self.len -= usize::from(removed.is_some());
        while let Node::Inner(children) = self.root.as_ref() {
            match children.as_slice() {
                [] => self.root = Arc::new(Node::Leaf(Vec::new())),
                [(_, only)] => self.root = only.clone(),
                _ => break,
            }
        }
        removed
    }

    /// Number of entries.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// All entries, ascending by key.
    pub(super) fn iter(&self) -> Iter<'_, K, V> {
        let mut iter = Iter { above: Vec::new(), leaf: [].iter() };
        iter.descend(&self.root);
        iter
    }
}

/// The position of the child whose range contains the key.
fn child_of<K: Borrow<Q>, V, Q: Ord + ?Sized>(children: &[(K, V)], key: &Q) -> usize {
    children.partition_point(|(least, _)| least.borrow() <= key).saturating_sub(1)
}

fn insert<K: Ord + Clone, V: Clone>(node: &mut Arc<Node<K, V>>, key: K, value: V) -> (Option<V>, Split<K, V>) {
    match Arc::make_mut(node) {
        Node::Leaf(entries) => match entries.binary_search_by(|(there, _)| there.cmp(&key)) {
            Ok(at) => (Some(std::mem::replace(&mut entries[at], (key, value)).1), None),
            Err(at) => {
                entries.insert(at, (key, value));
                (None, split(entries, at).map(|(key, right)| (key, Arc::new(Node::Leaf(right)))))
            }
        },
        Node::Inner(children) => {
            let at = child_of(children, &key);
            let (before, below) = insert(&mut children[at].1, key, value);
            let Some(right) = below else { return (before, None) };
            children.insert(at + 1, right);
            (before, split(children, at + 1).map(|(key, right)| (key, Arc::new(Node::Inner(right)))))
        }
    }
}

/// Splits a node that exceeds the maximum after an insertion at `at`: in the middle, or before the last entry if that is
/// the new one, so that ascending insertions fill the nodes.
fn split<K: Clone, T>(entries: &mut Vec<(K, T)>, at: usize) -> Option<(K, Vec<(K, T)>)> {
    if entries.len() <= WIDTH {
        return None;
    }
    let middle = if at + 1 == entries.len() { at } else { entries.len() / 2 };
    let right = entries.split_off(middle);
    let least = right.first()?.0.clone();
    Some((least, right))
}

fn remove<K: Ord + Clone + Borrow<Q>, V: Clone, Q: Ord + ?Sized>(node: &mut Arc<Node<K, V>>, key: &Q) -> Option<V> {
    match Arc::make_mut(node) {
        Node::Leaf(entries) => {
            let at = entries.binary_search_by(|(there, _)| there.borrow().cmp(key)).ok()?;
            Some(entries.remove(at).1)
        }
        Node::Inner(children) => {
            let at = child_of(children, key);
            let removed = remove(&mut children[at].1, key);
            let is_empty = match children[at].1.as_ref() {
                Node::Leaf(entries) => entries.is_empty(),
                Node::Inner(children) => children.is_empty(),
            };
            if is_empty {
                children.remove(at);
            }
            removed
        }
    }
}

/// Iterates over the entries of a [`SharedMap`] in ascending order.
#[derive(Debug)]
pub(super) struct Iter<'a, K, V> {
    /// The unvisited children of each level.
    above: Vec<slice::Iter<'a, Child<K, V>>>,
    leaf: slice::Iter<'a, (K, V)>,
}

impl<'a, K, V> Iter<'a, K, V> {
    fn descend(&mut self, mut node: &'a Node<K, V>) {
        loop {
            match node {
                Node::Leaf(entries) => {
                    self.leaf = entries.iter();
                    return;
                }
                Node::Inner(children) => {
                    let mut children = children.iter();
                    let Some((_, first)) = children.next() else { return };
                    self.above.push(children);
                    node = first;
                }
            }
        }
    }
}

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((key, value)) = self.leaf.next() {
                return Some((key, value));
            }
            match self.above.last_mut()?.next() {
                Some((_, node)) => self.descend(node),
                None => drop(self.above.pop()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn same(map: &SharedMap<u32, u32>, model: &BTreeMap<u32, u32>) {
        assert_eq!(map.len(), model.len());
        assert!(map.iter().eq(model.iter()));
    }

    #[test]
    fn random_changes_are_those_of_a_map_and_copies_stay_as_they_were() {
        for seed in 0..8 {
            println!("seed {seed}");
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let (mut map, mut model) = (SharedMap::default(), BTreeMap::new());
            let mut copies = Vec::new();
            // Grows, then shrinks to nothing.
            for step in 0..20_000_u32 {
                let key = rng.random_range(0..3_000);
                if rng.random_bool(if step < 8_000 { 0.7 } else { 0.2 }) {
                    assert_eq!(map.insert(key, step), model.insert(key, step));
                } else {
                    assert_eq!(map.remove(&key), model.remove(&key));
                }
                let probe = rng.random_range(0..3_000);
                assert_eq!(map.get(&probe), model.get(&probe));
                if step.is_multiple_of(2_000) {
                    copies.push((map.clone(), model.clone()));
                }
            }
            for key in model.keys().copied().collect::<Vec<_>>() {
                assert_eq!(map.remove(&key), model.remove(&key));
            }
            same(&map, &model);
            assert!(matches!(map.root.as_ref(), Node::Leaf(entries) if entries.is_empty()));
            copies.iter().for_each(|(map, model)| same(map, model));
        }
    }

    #[test]
    fn ascending_keys_fill_the_nodes() {
        let mut map = SharedMap::default();
        for key in 0..100_000_u32 {
            map.insert(key, ());
        }
        let mut height = 1;
        let mut node = map.root.as_ref();
        while let Node::Inner(children) = node {
            height += 1;
            node = &children[0].1;
        }
        assert_eq!(height, 4, "32^3 < 100,000 < 32^4");
    }
}
