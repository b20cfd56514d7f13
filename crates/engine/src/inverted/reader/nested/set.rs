//! Sets of positions within one object.

/// Positions, ascending, each once. A position is the number of an element of the root property and the number of a leaf
/// within this element.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Set(Vec<u64>);

/// The position of a leaf, both numbers from 1.
pub(super) fn position(element: u32, leaf: u32) -> u64 {
    u64::from(element) << 32 | u64::from(leaf)
}

/// The element of the root property that a position lies in.
fn element_of(position: u64) -> u64 {
    position >> 32
}

impl Set {
    /// The position that stands for an object as a whole.
    pub(super) fn whole_object() -> Self {
        Self(vec![position(0, 0)])
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn and(&self, other: &Self) -> Self {
        Self(self.0.iter().copied().filter(|position| other.contains(*position)).collect())
    }

    pub(super) fn without(&self, other: &Self) -> Self {
        Self(self.0.iter().copied().filter(|position| !other.contains(*position)).collect())
    }

    pub(super) fn or(&self, other: &Self) -> Self {
        self.0.iter().chain(&other.0).copied().collect()
    }

    /// The positions of all sets that lie in those elements of the root property that each set has a position in.
    pub(super) fn in_common_elements(sets: &[Self]) -> Self {
        let Some((first, others)) = sets.split_first() else { return Self::default() };
        let mut elements: Vec<u64> = first.0.iter().copied().map(element_of).collect();
        elements.dedup();
        elements.retain(|element| others.iter().all(|set| set.has_element(*element)));
        let kept = |position: &u64| elements.binary_search(&element_of(*position)).is_ok();
        sets.iter().flat_map(|set| &set.0).copied().filter(kept).collect()
    }

    fn contains(&self, position: u64) -> bool {
        self.0.binary_search(&position).is_ok()
    }

    fn has_element(&self, element: u64) -> bool {
        let at = self.0.partition_point(|position| element_of(*position) < element);
        self.0.get(at).is_some_and(|position| element_of(*position) == element)
    }
}

impl FromIterator<u64> for Set {
    fn from_iter<I: IntoIterator<Item = u64>>(positions: I) -> Self {
        let mut positions: Vec<u64> = positions.into_iter().collect();
        positions.sort_unstable();
        positions.dedup();
        Self(positions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_combined() {
        let of =
            |positions: &[(u32, u32)]| positions.iter().map(|(root, leaf)| position(*root, *leaf)).collect::<Set>();
        let (a, b) = (of(&[(1, 1), (1, 2), (2, 1)]), of(&[(2, 1), (1, 3), (3, 1)]));
        assert_eq!(a.and(&b), of(&[(2, 1)]));
        assert_eq!(a.or(&b), of(&[(1, 1), (1, 2), (1, 3), (2, 1), (3, 1)]));
        assert_eq!(a.without(&b), of(&[(1, 1), (1, 2)]));
        assert_eq!(Set::in_common_elements(&[a.clone(), b]), of(&[(1, 1), (1, 2), (1, 3), (2, 1)]));
        assert!(Set::in_common_elements(&[a, Set::default()]).is_empty());
    }
}
