//! [`CompactRange`]: all that must be remembered of a tree to add entries to it and to know its
//! root: the roots of the perfect subtrees that it is made of, at most 64.

use super::hash::TreeHash;

/// A tree, or the part of one from an aligned place on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CompactRange {
    size: u64,
    /// The roots of its perfect subtrees, the largest and leftmost first: one for each bit of its
    /// size.
    nodes: Vec<TreeHash>,
}

impl CompactRange {
    /// The range of so many entries with these roots; none when their number does not fit.
    #[must_use]
    pub fn from_parts(size: u64, nodes: Vec<TreeHash>) -> Option<Self> {
        let fits = usize::try_from(size.count_ones()).is_ok_and(|count| count == nodes.len());
        fits.then_some(Self { size, nodes })
    }

    /// How many entries it has.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The roots of its perfect subtrees, the largest and leftmost first.
    #[must_use]
    pub fn nodes(&self) -> &[TreeHash] {
        &self.nodes
    }

    /// Adds an entry; whether it fits: a tree has 2^64 - 1 at most.
    pub fn push(&mut self, leaf: TreeHash) -> bool {
        self.push_subtree(0, leaf)
    }

    /// Adds a perfect subtree of 2^`level` entries; whether it fits there: the size must be a
    /// multiple of that.
    pub fn push_subtree(&mut self, level: u32, root: TreeHash) -> bool {
        let Some(entries) = 1u64.checked_shl(level) else { return false };
        let Some(size) = self.size.checked_add(entries) else { return false };
        if !self.size.is_multiple_of(entries) {
            return false;
        }
        let mut root = root;
        let mut left = self.size >> level;
        while left & 1 == 1 {
            let Some(sibling) = self.nodes.pop() else { return false };
            root = TreeHash::of_node(&sibling, &root);
            left >>= 1;
        }
        self.nodes.push(root);
        self.size = size;
        true
    }

    /// The root of the tree.
    #[must_use]
    pub fn root(&self) -> TreeHash {
        let mut nodes = self.nodes.iter().rev();
        let Some(last) = nodes.next() else { return TreeHash::of_nothing() };
        nodes.fold(*last, |right, left| TreeHash::of_node(left, &right))
    }

    /// Its perfect subtrees: the level of each, its first entry, and its root.
    pub fn subtrees(&self) -> impl Iterator<Item = (u32, u64, TreeHash)> {
        let levels = (0..u64::BITS).rev().filter(|level| self.size >> level & 1 == 1);
        let mut first = 0;
        levels.zip(&self.nodes).map(move |(level, root)| {
            let at = first;
            first += 1u64 << level;
            (level, at, *root)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_has_the_roots_of_the_specification() {
        // The tree and roots of the reference implementation of RFC 6962
        // (certificate-transparency, merkletree_test).
        let leaves = [
            "",
            "00",
            "10",
            "2021",
            "3031",
            "40414243",
            "5051525354555657",
            "606162636465666768696a6b6c6d6e6f",
        ];
        let roots = [
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let mut tree = CompactRange::default();
        assert_eq!(hex::encode(tree.root().as_bytes()), roots[0]);
        for (leaf, root) in leaves.iter().zip(&roots[1..]) {
            tree.push(TreeHash::of_leaf(&hex::decode(leaf).unwrap()));
            assert_eq!(&hex::encode(tree.root().as_bytes()), root);
            let again = CompactRange::from_parts(tree.size(), tree.nodes().to_vec());
            assert_eq!(again.as_ref(), Some(&tree));
            assert_eq!(CompactRange::from_parts(tree.size(), Vec::new()), None);
            let mut other = CompactRange::default();
            for (level, first, root) in tree.subtrees() {
                assert_eq!(first, other.size());
                assert!(other.push_subtree(level, root));
            }
            assert_eq!(other, tree, "its subtrees make it again");
        }
        let odd = CompactRange::from_parts(1, vec![TreeHash::of_nothing()]).unwrap();
        assert!(!odd.clone().push_subtree(1, TreeHash::of_nothing()), "two fit only beside two");
    }
}
