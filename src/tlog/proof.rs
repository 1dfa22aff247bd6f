//! What can be shown of a tree: that it has an entry (RFC 6962 section 2.1.1), that it grew out of
//! an earlier one (section 2.1.2), and the file that holds the first ([`TlogProof`], C2SP
//! `tlog-proof`).
//!
//! A proof is a list of the roots of parts of the tree. [`inclusion`] and [`consistency`] say which
//! parts, and [`Gatherer`] makes their roots out of the entries, which go by once: a log of any
//! length is proven in memory for two hundred hashes. Whether a proof holds is `sigstore-merkle`'s
//! to say.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use sigstore_types::Sha256Hash;

use super::hash::TreeHash;
use super::note::NOTE_MAX;
use super::range::CompactRange;

/// The first line of a proof.
const HEADER: &str = "c2sp.org/tlog-proof@v1";
/// Hashes of a proof at most: one for each level of a tree.
const HASHES_MAX: usize = 64;

/// That an entry is in a log: its place, the proof, and the checkpoint that it leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlogProof {
    /// Which entry, from 0.
    pub index: u64,
    /// From the entry's sibling up to the root's child.
    pub hashes: Vec<TreeHash>,
    /// The signed note, as it is.
    pub checkpoint: String,
}

/// The text is no proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProofError;

/// A part of the tree that a proof needs begins within one of which only the root is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Folded;

/// Makes the roots of parts of a tree from its entries in their order.
#[derive(Debug)]
pub struct Gatherer {
    parts: Vec<(Range<u64>, CompactRange)>,
    /// Which of them got the last entry.
    current: usize,
    at: u64,
    folded: bool,
}

/// The parts whose roots show that entry `index` is in a tree of `size`, in the order of the proof;
/// none when it is not.
#[must_use]
pub fn inclusion(index: u64, size: u64) -> Option<Vec<Range<u64>>> {
    let (mut tree, mut parts) = (0..size, Vec::new());
    if !tree.contains(&index) {
        return None;
    }
    while tree.end - tree.start > 1 {
        let middle = middle_of(&tree);
        if index < middle {
            parts.push(middle..tree.end);
            tree.end = middle;
        } else {
            parts.push(tree.start..middle);
            tree.start = middle;
        }
    }
    parts.reverse();
    Some(parts)
}

/// The parts whose roots show that a tree of `size` grew out of one of `old`, in the order of the
/// proof; none when it cannot have.
#[must_use]
pub fn consistency(old: u64, size: u64) -> Option<Vec<Range<u64>>> {
    if old > size {
        return None;
    }
    let (mut tree, mut parts) = (0..size, Vec::new());
    if old == 0 {
        return Some(parts);
    }
    while old < tree.end {
        let middle = middle_of(&tree);
        if old <= middle {
            parts.push(middle..tree.end);
            tree.end = middle;
        } else {
            parts.push(tree.start..middle);
            tree.start = middle;
        }
    }
    // The whole old tree is known to whoever checks.
    if tree.start > 0 {
        parts.push(tree);
    }
    parts.reverse();
    Some(parts)
}

/// The largest power of two that is smaller than the length, from the start on.
const fn middle_of(tree: &Range<u64>) -> u64 {
    let length = tree.end - tree.start;
    tree.start + (1 << (length - 1).ilog2())
}

impl Gatherer {
    /// Of these parts of the tree.
    #[must_use]
    pub fn of(parts: Vec<Range<u64>>) -> Self {
        let parts = parts.into_iter().map(|part| (part, CompactRange::default())).collect();
        Self { parts, current: 0, at: 0, folded: false }
    }

    /// The next entry.
    pub fn leaf(&mut self, hash: TreeHash) {
        self.subtree(0, hash);
    }

    /// The next 2^`level` entries, of which only the root is known.
    pub fn subtree(&mut self, level: u32, root: TreeHash) {
        let entries = self.at..self.at.saturating_add(1 << level);
        self.at = entries.end;
        let holds = |part: &Range<u64>| part.contains(&entries.start);
        if !self.parts.get(self.current).is_some_and(|(part, _)| holds(part)) {
            match self.parts.iter().position(|(part, _)| holds(part)) {
                Some(found) => self.current = found,
                None => {
                    let begins = |(part, _): &(Range<u64>, _)| entries.contains(&part.start);
                    self.folded |= self.parts.iter().any(begins);
                    return;
                }
            }
        }
        if let Some((part, range)) = self.parts.get_mut(self.current) {
            self.folded |= part.end < entries.end || !range.push_subtree(level, root);
        }
    }

    /// How many entries went by.
    #[must_use]
    pub const fn seen(&self) -> u64 {
        self.at
    }

    /// The roots, in the order in which the parts were given.
    ///
    /// # Errors
    /// [`Folded`] when not every part is known.
    pub fn finish(self) -> Result<Vec<TreeHash>, Folded> {
        let whole =
            |(part, range): &(Range<u64>, CompactRange)| range.size() == part.end - part.start;
        if self.folded || !self.parts.iter().all(whole) {
            return Err(Folded);
        }
        Ok(self.parts.iter().map(|(_, range)| range.root()).collect())
    }
}

/// Whether these hashes show that the entry of this hash is in the tree.
#[must_use]
pub fn shows_inclusion(
    leaf: TreeHash,
    index: u64,
    size: u64,
    hashes: &[TreeHash],
    root: TreeHash,
) -> bool {
    let hashes = hashes.iter().copied().map(Sha256Hash::from).collect::<Vec<_>>();
    sigstore_merkle::verify_inclusion_proof(&leaf.into(), index, size, &hashes, &root.into())
        .is_ok()
}

/// Whether these hashes show that the tree of the second size and root grew out of the first.
#[must_use]
pub fn shows_consistency(old: (u64, TreeHash), new: (u64, TreeHash), hashes: &[TreeHash]) -> bool {
    let hashes = hashes.iter().copied().map(Sha256Hash::from).collect::<Vec<_>>();
    let (old_root, new_root) = (old.1.into(), new.1.into());
    if old.0 == 0 {
        // Everything grows out of nothing; its root is known.
        return hashes.is_empty() && old.1 == TreeHash::of_nothing();
    }
    sigstore_merkle::verify_consistency_proof(old.0, new.0, &hashes, &old_root, &new_root).is_ok()
}

impl fmt::Display for TlogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}\nindex {}", self.index)?;
        for hash in &self.hashes {
            writeln!(f, "{hash}")?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}

impl FromStr for TlogProof {
    type Err = ProofError;

    /// The extra data that the format allows is not looked at: nobody signed it.
    fn from_str(text: &str) -> Result<Self, ProofError> {
        let rest = text.strip_prefix(HEADER).and_then(|rest| rest.strip_prefix('\n'));
        let (lines, checkpoint) =
            rest.and_then(|rest| rest.split_once("\n\n")).ok_or(ProofError)?;
        let mut lines = lines.split('\n').peekable();
        let _extra = lines.next_if(|line| line.starts_with("extra "));
        let number = lines.next().and_then(|line| line.strip_prefix("index ")).ok_or(ProofError)?;
        let index: u64 = number.parse().map_err(|_| ProofError)?;
        let hashes = lines.take(HASHES_MAX + 1).map(str::parse).collect::<Result<Vec<_>, _>>();
        let hashes = hashes.map_err(|_| ProofError)?;
        if index.to_string() != number || hashes.len() > HASHES_MAX || checkpoint.len() > NOTE_MAX {
            return Err(ProofError);
        }
        Ok(Self { index, hashes, checkpoint: checkpoint.to_owned() })
    }
}

impl fmt::Display for ProofError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no proof of a transparency log (c2sp.org/tlog-proof)")
    }
}

impl std::error::Error for ProofError {}

impl fmt::Display for Folded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("only the root is kept of the entries that the proof needs")
    }
}

impl std::error::Error for Folded {}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(number: u64) -> TreeHash {
        TreeHash::of_leaf(&number.to_be_bytes())
    }

    fn tree(size: u64) -> CompactRange {
        let mut tree = CompactRange::default();
        (0..size).for_each(|number| assert!(tree.push(leaf(number))));
        tree
    }

    /// Of the first `folded` entries only the roots are known.
    fn gathered(parts: Vec<Range<u64>>, folded: u64, size: u64) -> Result<Vec<TreeHash>, Folded> {
        let mut gatherer = Gatherer::of(parts);
        for (level, _, root) in tree(folded).subtrees() {
            gatherer.subtree(level, root);
        }
        (folded..size).for_each(|number| gatherer.leaf(leaf(number)));
        assert_eq!(gatherer.seen(), size);
        gatherer.finish()
    }

    #[test]
    fn every_proof_of_every_small_tree_holds_and_no_other_does() {
        for size in 1..40 {
            let root = tree(size).root();
            for index in 0..size {
                let proof = gathered(inclusion(index, size).unwrap(), 0, size).unwrap();
                assert!(shows_inclusion(leaf(index), index, size, &proof, root));
                assert!(!shows_inclusion(leaf(index + 1), index, size, &proof, root));
            }
            assert_eq!(inclusion(size, size), None);
            for old in 0..=size {
                let old_root = tree(old).root();
                let proof = gathered(consistency(old, size).unwrap(), 0, size).unwrap();
                assert!(shows_consistency((old, old_root), (size, root), &proof), "{old} {size}");
                let other = TreeHash::of_leaf(b"other");
                assert!(!shows_consistency((old, other), (size, root), &proof), "{old} {size}");
            }
            assert_eq!(consistency(size + 1, size), None);
        }
    }

    #[test]
    fn what_is_folded_is_proven_as_far_as_its_roots_go() {
        let (folded, size) = (20, 37);
        let root = tree(size).root();
        let shown = |old| gathered(consistency(old, size)?, folded, size).ok();
        for old in folded..=size {
            let proof = shown(old).unwrap();
            assert!(shows_consistency((old, tree(old).root()), (size, root), &proof));
        }
        // Sixteen are one subtree of the twenty.
        assert!(shown(16).is_some());
        for old in [1, 3, 8, 15, 17, 18, 19] {
            assert_eq!(shown(old), None, "{old}");
        }
        let index = |index| gathered(inclusion(index, size).unwrap(), folded, size);
        assert_eq!(index(3), Err(Folded));
        assert!(shows_inclusion(leaf(30), 30, size, &index(30).unwrap(), root));
    }

    #[test]
    fn a_proof_reads_back_and_no_other_text_is_one() {
        let proof = TlogProof {
            index: 7,
            hashes: vec![leaf(1), leaf(2)],
            checkpoint: "a\n1\nroot\n\n\u{2014} a AAAAAAAA\n".to_owned(),
        };
        let text = proof.to_string();
        assert!(text.starts_with("c2sp.org/tlog-proof@v1\nindex 7\n"), "{text}");
        assert_eq!(text.parse(), Ok(proof.clone()));
        let extra = text.replacen("index", "extra AAAA\nindex", 1);
        assert_eq!(extra.parse(), Ok(proof));
        for bad in [
            "",
            "index 7\n\nx",
            &text.replace("@v1", "@v2"),
            &text.replace("index 7", "index 07"),
            &text.replace("index 7", "index -7"),
            &text.replacen('=', "", 1),
            &text.replacen(
                "index 7\n",
                &format!("index 7\n{}", format!("{}\n", leaf(1)).repeat(70)),
                1,
            ),
        ] {
            assert_eq!(bad.parse::<TlogProof>(), Err(ProofError), "{bad:?}");
        }
    }
}
