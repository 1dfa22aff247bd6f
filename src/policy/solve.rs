//! [`Tree`] and [`satisfied`]: whether signatures by distinct keys can meet nested thresholds.
//!
//! The entries that count for a threshold must be met by different keys, all the way down: one key never counts
//! twice, under two names neither (attack C2). That is a search for sets of keys that do not overlap; it is bounded,
//! and because fewer signatures only ever make it shorter, a tree that was searched once with every key signing can
//! always be searched again.

use std::collections::BTreeSet;

/// Most distinct keys in one policy: a set of keys is one machine word.
pub(super) const KEYS_MAX: usize = 64;
/// Most pairs of key sets that one search combines: a few milliseconds; eight of sixteen names fits.
pub(super) const COMBINATIONS_MAX: usize = 1 << 16;

/// A set of keys: one bit each.
pub(super) type KeySet = u64;

/// A requirement as the search sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Tree {
    /// The leaf of this number.
    Leaf(usize),
    /// So many of these.
    AtLeast(usize, Vec<Self>),
}

/// The search took more than [`COMBINATIONS_MAX`] steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooComplex;

/// Whether the tree can be met, when leaf `n` can be met by any one of the key sets in `leaves[n]` (an empty set for a
/// leaf that needs no key; no set at all for a leaf that is not met).
///
/// # Errors
/// [`TooComplex`] when the search is cut short; nothing is known then.
pub(super) fn satisfied(tree: &Tree, leaves: &[Vec<KeySet>]) -> Result<bool, TooComplex> {
    let mut steps = COMBINATIONS_MAX;
    Ok(!sets(tree, leaves, &mut steps)?.is_empty())
}

/// Every set of keys that meets the tree. None is left out for being larger than another: see the module's word on
/// why the search never grows.
fn sets(tree: &Tree, leaves: &[Vec<KeySet>], steps: &mut usize) -> Result<BTreeSet<KeySet>, TooComplex> {
    match tree {
        Tree::Leaf(number) => Ok(leaves.get(*number).into_iter().flatten().copied().collect()),
        Tree::AtLeast(count, children) => {
            // met[n]: the key sets that meet n of the children seen so far.
            let mut met = vec![BTreeSet::new(); count.saturating_add(1)];
            if let Some(none) = met.first_mut() {
                none.insert(0);
            }
            for (seen, child) in (1..).zip(children) {
                let child = sets(child, leaves, steps)?;
                one_more(&mut met, &child, steps)?;
                // What cannot reach the count with the children that are left is dropped.
                let needed = count.saturating_sub(children.len().saturating_sub(seen));
                met.iter_mut().take(needed).for_each(BTreeSet::clear);
            }
            Ok(met.pop().unwrap_or_default())
        }
    }
}

/// Adds one child to the sets that were met without it; from the highest count down, so that it is added once.
fn one_more(met: &mut [BTreeSet<KeySet>], child: &BTreeSet<KeySet>, steps: &mut usize) -> Result<(), TooComplex> {
    for high in (1..met.len()).rev() {
        let (lower, higher) = met.split_at_mut(high);
        let (Some(sets), Some(more)) = (lower.last(), higher.first_mut()) else { continue };
        for set in sets {
            *steps = steps.checked_sub(child.len()).ok_or(TooComplex)?;
            more.extend(child.iter().filter(|keys| **keys & set == 0).map(|keys| keys | set));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn flat(count: usize, leaves: usize) -> Tree {
        Tree::AtLeast(count, (0..leaves).map(Tree::Leaf).collect())
    }

    /// Attack C2: thresholds that count signatures or names instead of distinct keys.
    #[test]
    fn attack_c2_one_key_under_two_names_counts_once() {
        assert_eq!(satisfied(&flat(2, 2), &[vec![1], vec![1]]), Ok(false));
        assert_eq!(satisfied(&flat(2, 2), &[vec![1], vec![1, 2]]), Ok(true));
        assert_eq!(satisfied(&flat(2, 3), &[vec![1], vec![1], vec![]]), Ok(false));
        assert_eq!(satisfied(&flat(2, 3), &[vec![1], vec![1], vec![2]]), Ok(true));
        // Nested: all of (any of A, B) and (any of A, C); A alone signs.
        let nested = Tree::AtLeast(
            2,
            vec![
                Tree::AtLeast(1, vec![Tree::Leaf(0), Tree::Leaf(1)]),
                Tree::AtLeast(1, vec![Tree::Leaf(2), Tree::Leaf(3)]),
            ],
        );
        assert_eq!(satisfied(&nested, &[vec![1], vec![], vec![1], vec![]]), Ok(false));
        assert_eq!(satisfied(&nested, &[vec![1], vec![2], vec![1], vec![]]), Ok(true));
    }

    #[test]
    fn greedy_would_miss_it() {
        // The first leaf takes key 1 or 2, the second only 1, the third only 4 or 1.
        assert_eq!(satisfied(&flat(3, 3), &[vec![1, 2], vec![1], vec![1, 4]]), Ok(true));
    }

    #[test]
    fn a_leaf_without_a_key_counts() {
        assert_eq!(satisfied(&flat(2, 2), &[vec![0], vec![1]]), Ok(true));
        assert_eq!(satisfied(&flat(2, 2), &[vec![0], vec![]]), Ok(false));
    }

    #[test]
    fn the_search_is_bounded() {
        let leaves: Vec<Vec<KeySet>> = (0..30).map(|n| vec![1 << n]).collect();
        assert_eq!(satisfied(&flat(15, 30), &leaves), Err(TooComplex));
        assert_eq!(satisfied(&flat(30, 30), &leaves), Ok(true));
        assert_eq!(satisfied(&flat(8, 16), &leaves), Ok(true));
    }

    proptest! {
        /// What was searched with every key signing can be searched with fewer, and says the same as counting by hand.
        #[test]
        fn fewer_signatures_are_never_harder(
            count in 1usize..6,
            leaves in proptest::collection::vec(proptest::collection::vec(0u32..6, 0..4), 1..7),
            signing in 0u64..64,
        ) {
            let tree = flat(count, leaves.len());
            let all: Vec<Vec<KeySet>> = leaves.iter().map(|keys| keys.iter().map(|k| 1 << k).collect()).collect();
            let some: Vec<Vec<KeySet>> =
                all.iter().map(|keys| keys.iter().copied().filter(|k| k & signing != 0).collect()).collect();
            prop_assert!(satisfied(&tree, &all).is_ok());
            prop_assert_eq!(satisfied(&tree, &some).unwrap(), matching(&some) >= count);
        }
    }

    /// The most leaves that can each have a key of its own (augmenting paths).
    fn matching(leaves: &[Vec<KeySet>]) -> usize {
        fn place(leaf: usize, leaves: &[Vec<KeySet>], seen: &mut KeySet, owner: &mut [Option<usize>]) -> bool {
            for key in &leaves[leaf] {
                let bit = usize::try_from(key.trailing_zeros()).unwrap();
                if *seen & key != 0 {
                    continue;
                }
                *seen |= key;
                if owner[bit].is_none_or(|other| place(other, leaves, seen, owner)) {
                    owner[bit] = Some(leaf);
                    return true;
                }
            }
            false
        }
        let mut owner = vec![None; 64];
        (0..leaves.len()).filter(|leaf| place(*leaf, leaves, &mut 0, &mut owner)).count()
    }
}
