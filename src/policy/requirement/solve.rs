//! [`Tree`] and [`satisfied`]: whether signatures by distinct holders can meet nested thresholds.
//!
//! The entries that count for a threshold must be met by different holders, all the way down: one
//! holder never counts twice, under two names neither (attack C2). Who is one signer,
//! [`super::signer_set`] says; here they are numbers.
//!
//! The search goes over sets of leaves, not of holders: a set is kept when each leaf in it can have
//! a holder of its own (a matching, found by augmenting paths). So how many signatures there are
//! makes no difference to its length, and because fewer signatures only ever leave fewer sets, a
//! tree that was searched once with everybody signing can always be searched again. Of each leaf at
//! most as many holders are looked at as leaves are met: the other leaves can take all but one of
//! them at most (Hall's theorem), so more would change nothing.

use std::collections::{BTreeMap, BTreeSet};

/// Most pairs of sets that one search combines: a few milliseconds; eight of sixteen entries fits.
pub(in crate::policy) const COMBINATIONS_MAX: usize = 1 << 16;

/// A set of leaves: one bit each. There are at most 64 leaves.
type LeafSet = u64;

/// A requirement as the search sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::policy) enum Tree {
    /// The leaf of this number.
    Leaf(usize),
    /// So many of these.
    AtLeast(usize, Vec<Self>),
}

/// By what one leaf can be met; by nothing unless said otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::policy) struct SatisfiedBy {
    /// Without any holder: a digest.
    pub(in crate::policy) without_signer: bool,
    /// By any one of these holders.
    pub(in crate::policy) signers: Vec<usize>,
}

/// The search took more than [`COMBINATIONS_MAX`] steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::policy) struct TooComplex;

/// Whether the tree can be met, when leaf `n` can be met in the ways `leaves[n]`.
///
/// # Errors
/// [`TooComplex`] when the search is cut short; nothing is known then.
pub(in crate::policy) fn satisfied(
    tree: &Tree,
    leaves: &[SatisfiedBy],
) -> Result<bool, TooComplex> {
    let mut search = Search::new(leaves);
    Ok(!search.sets(tree)?.is_empty())
}

/// One search.
struct Search {
    /// For each leaf its signers, by their places in `0..signers`; none for a leaf that needs none.
    leaves: Vec<Option<Vec<usize>>>,
    /// How many signers there are.
    signers: usize,
    steps: usize,
}

impl SatisfiedBy {
    /// Whether there is any.
    pub(in crate::policy) fn is_empty(&self) -> bool {
        !self.without_signer && self.signers.is_empty()
    }
}

impl Search {
    fn new(leaves: &[SatisfiedBy]) -> Self {
        let met = leaves.iter().filter(|leaf| !leaf.is_empty()).count();
        let mut places: BTreeMap<usize, usize> = BTreeMap::new();
        let mut dense = Vec::new();
        for leaf in leaves {
            let distinct: BTreeSet<usize> = leaf.signers.iter().copied().collect();
            let mut of_leaf = Vec::new();
            for signer in distinct.into_iter().take(met) {
                let next = places.len();
                of_leaf.push(*places.entry(signer).or_insert(next));
            }
            dense.push((!leaf.without_signer).then_some(of_leaf));
        }
        Self { leaves: dense, signers: places.len(), steps: COMBINATIONS_MAX }
    }

    /// Every set of leaves that meets the tree and can be met by holders of their own.
    fn sets(&mut self, tree: &Tree) -> Result<BTreeSet<LeafSet>, TooComplex> {
        match tree {
            Tree::Leaf(number) => Ok(self.leaf(*number).into_iter().collect()),
            Tree::AtLeast(count, children) => {
                // met[n]: the sets that meet n of the children seen so far.
                let mut met = vec![BTreeSet::new(); count.saturating_add(1)];
                if let Some(none) = met.first_mut() {
                    none.insert(0);
                }
                for (seen, child) in (1..).zip(children) {
                    let child = self.sets(child)?;
                    self.one_more(&mut met, &child)?;
                    // What cannot reach the count with the children that are left is dropped.
                    let needed = count.saturating_sub(children.len().saturating_sub(seen));
                    met.iter_mut().take(needed).for_each(BTreeSet::clear);
                }
                Ok(met.pop().unwrap_or_default())
            }
        }
    }

    /// The set of this leaf alone; nothing in it when it needs no holder, none at all when it is
    /// not met.
    fn leaf(&self, number: usize) -> Option<LeafSet> {
        match self.leaves.get(number)? {
            None => Some(0),
            Some(signers) if signers.is_empty() => None,
            Some(_) => LeafSet::from(1u8).checked_shl(u32::try_from(number).ok()?),
        }
    }

    /// Adds one child to the sets that were met without it; from the highest count down, so that it
    /// is added once.
    fn one_more(
        &mut self,
        met: &mut [BTreeSet<LeafSet>],
        child: &BTreeSet<LeafSet>,
    ) -> Result<(), TooComplex> {
        for high in (1..met.len()).rev() {
            let (lower, higher) = met.split_at_mut(high);
            let (Some(sets), Some(more)) = (lower.last(), higher.first_mut()) else { continue };
            for set in sets {
                self.steps = self.steps.checked_sub(child.len()).ok_or(TooComplex)?;
                let united = child.iter().map(|leaves| leaves | set);
                more.extend(united.filter(|united| self.is_distinct(*united)));
            }
        }
        Ok(())
    }

    /// Whether each leaf of the set can have a holder of its own.
    fn is_distinct(&self, set: LeafSet) -> bool {
        let mut owners = vec![None; self.signers];
        let leaves = (0..self.leaves.len())
            .filter(|leaf| u32::try_from(*leaf).is_ok_and(|n| set >> n & 1 == 1));
        leaves.into_iter().all(|leaf| self.place(leaf, &mut vec![false; self.signers], &mut owners))
    }

    /// Gives the leaf a holder, moving others to another of theirs where that helps.
    fn place(&self, leaf: usize, seen: &mut [bool], owners: &mut [Option<usize>]) -> bool {
        let Some(Some(signers)) = self.leaves.get(leaf) else { return false };
        for signer in signers {
            match seen.get_mut(*signer) {
                Some(seen) if !*seen => *seen = true,
                Some(_) | None => continue,
            }
            let owner = owners.get(*signer).copied().flatten();
            if owner.is_none_or(|other| self.place(other, seen, owners)) {
                if let Some(owner) = owners.get_mut(*signer) {
                    *owner = Some(leaf);
                }
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn flat(count: usize, leaves: usize) -> Tree {
        Tree::AtLeast(count, (0..leaves).map(Tree::Leaf).collect())
    }

    fn signed_by(leaves: &[&[usize]]) -> Vec<SatisfiedBy> {
        leaves
            .iter()
            .map(|signers| SatisfiedBy { without_signer: false, signers: signers.to_vec() })
            .collect()
    }

    fn without_signer() -> SatisfiedBy {
        SatisfiedBy { without_signer: true, signers: vec![] }
    }

    /// Attack C2: thresholds that count signatures or names instead of distinct holders.
    #[test]
    fn attack_c2_one_key_under_two_names_counts_once() {
        assert_eq!(satisfied(&flat(2, 2), &signed_by(&[&[1], &[1]])), Ok(false));
        assert_eq!(satisfied(&flat(2, 2), &signed_by(&[&[1], &[1, 2]])), Ok(true));
        assert_eq!(satisfied(&flat(2, 3), &signed_by(&[&[1], &[1], &[]])), Ok(false));
        assert_eq!(satisfied(&flat(2, 3), &signed_by(&[&[1], &[1], &[2]])), Ok(true));
        // Nested: all of (any of A, B) and (any of A, C); A alone signs.
        let nested = Tree::AtLeast(
            2,
            vec![
                Tree::AtLeast(1, vec![Tree::Leaf(0), Tree::Leaf(1)]),
                Tree::AtLeast(1, vec![Tree::Leaf(2), Tree::Leaf(3)]),
            ],
        );
        assert_eq!(satisfied(&nested, &signed_by(&[&[1], &[], &[1], &[]])), Ok(false));
        assert_eq!(satisfied(&nested, &signed_by(&[&[1], &[2], &[1], &[]])), Ok(true));
    }

    #[test]
    fn greedy_would_miss_it() {
        // The first leaf takes holder 1 or 2, the second only 1, the third only 4 or 1.
        assert_eq!(satisfied(&flat(3, 3), &signed_by(&[&[1, 2], &[1], &[1, 4]])), Ok(true));
    }

    #[test]
    fn a_leaf_without_a_holder_counts() {
        assert_eq!(
            satisfied(&flat(2, 2), &[without_signer(), signed_by(&[&[1]])[0].clone()]),
            Ok(true)
        );
        assert_eq!(satisfied(&flat(2, 2), &[without_signer(), SatisfiedBy::default()]), Ok(false));
    }

    #[test]
    fn the_search_is_bounded() {
        let leaves: Vec<SatisfiedBy> =
            (0..30).map(|n| SatisfiedBy { without_signer: false, signers: vec![n] }).collect();
        assert_eq!(satisfied(&flat(15, 30), &leaves), Err(TooComplex));
        assert_eq!(satisfied(&flat(30, 30), &leaves), Ok(true));
        assert_eq!(satisfied(&flat(8, 16), &leaves), Ok(true));
    }

    /// Attack D1: any number of signatures by holders that fit makes the search no longer.
    #[test]
    fn attack_d1_many_holders_do_not_make_it_complex() {
        let everybody: Vec<usize> = (0..256).collect();
        let leaves = vec![SatisfiedBy { without_signer: false, signers: everybody }; 16];
        assert_eq!(satisfied(&flat(8, 16), &leaves), Ok(true));
        assert_eq!(satisfied(&flat(16, 16), &leaves), Ok(true));
        // The same holders at every leaf, one too few.
        let few = vec![SatisfiedBy { without_signer: false, signers: (0..63).collect() }; 64];
        assert_eq!(satisfied(&flat(64, 64), &few), Ok(false));
    }

    /// By enumeration of every choice of holders: each way to meet the tree as the set of holders
    /// that it takes.
    fn enumerated(tree: &Tree, leaves: &[SatisfiedBy]) -> BTreeSet<u64> {
        match tree {
            Tree::Leaf(n) if leaves[*n].without_signer => BTreeSet::from([0]),
            Tree::Leaf(n) => leaves[*n].signers.iter().map(|signer| 1 << signer).collect(),
            Tree::AtLeast(count, children) => {
                let mut met = vec![BTreeSet::new(); count + 1];
                met[0].insert(0);
                for child in children {
                    let child = enumerated(child, leaves);
                    for high in (1..=*count).rev() {
                        let united: Vec<u64> = met[high - 1]
                            .iter()
                            .flat_map(|set| {
                                child
                                    .iter()
                                    .filter(move |more| *more & set == 0)
                                    .map(move |more| more | set)
                            })
                            .collect();
                        met[high].extend(united);
                    }
                }
                met.pop().unwrap()
            }
        }
    }

    /// A tree of two levels over so many leaves, from the counts and the sizes of its branches.
    fn nested(leaves: usize, outer: usize, branches: &[(usize, usize)]) -> Tree {
        let mut next = 0;
        let mut children = Vec::new();
        for (count, size) in branches {
            let inner: Vec<Tree> = (next..(next + size).min(leaves)).map(Tree::Leaf).collect();
            next = (next + size).min(leaves);
            if !inner.is_empty() {
                children.push(Tree::AtLeast((*count).min(inner.len()).max(1), inner));
            }
        }
        children.extend((next..leaves).map(Tree::Leaf));
        Tree::AtLeast(outer.min(children.len()).max(1), children)
    }

    proptest! {
        /// The search says what every choice of holders tried one by one says; and what was
        /// searched with everybody signing can be searched with fewer.
        #[test]
        fn the_search_agrees_with_trying_every_choice(
            leaves in proptest::collection::vec((any::<bool>(), proptest::collection::vec(0usize..6, 0..4)), 1..7),
            outer in 1usize..5,
            branches in proptest::collection::vec((1usize..3, 1usize..4), 0..4),
            signing in 0u64..64,
        ) {
            let tree = nested(leaves.len(), outer, &branches);
            let all: Vec<SatisfiedBy> =
                leaves.iter().map(|(without_signer, signers)| SatisfiedBy { without_signer: *without_signer && signers.is_empty(), signers: signers.clone() }).collect();
            prop_assert_eq!(satisfied(&tree, &all), Ok(!enumerated(&tree, &all).is_empty()));
            let signs = |signer: &usize| signing >> signer & 1 == 1;
            let some: Vec<SatisfiedBy> = all
                .iter()
                .map(|satisfied_by| SatisfiedBy { without_signer: satisfied_by.without_signer, signers: satisfied_by.signers.iter().copied().filter(signs).collect() })
                .collect();
            prop_assert_eq!(satisfied(&tree, &some), Ok(!enumerated(&tree, &some).is_empty()));
        }
    }
}
