//! [`DocumentSet`]: some of the documents of one policy set, one bit each. With the 4,096 documents
//! that a set may have it takes 512 bytes, and joining, cutting and comparing two of them is the
//! work of 64 words.

/// Bits of one word.
const BITS: usize = 64;

/// Some documents, by number.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(in crate::policy) struct DocumentSet {
    words: Box<[u64]>,
}

impl DocumentSet {
    /// None of this many documents.
    pub(in crate::policy) fn none_of(documents: usize) -> Self {
        Self { words: vec![0; documents.div_ceil(BITS)].into_boxed_slice() }
    }

    /// Those of this many documents whose number passes the test.
    pub(in crate::policy) fn of(documents: usize, is_in: impl Fn(usize) -> bool) -> Self {
        let mut set = Self::none_of(documents);
        (0..documents).filter(|number| is_in(*number)).for_each(|number| set.insert(number));
        set
    }

    /// Adds a document. One beyond what the set was made for is not added.
    pub(in crate::policy) fn insert(&mut self, number: usize) {
        if let Some(word) = self.words.get_mut(number / BITS) {
            *word |= 1 << (number % BITS);
        }
    }

    /// Takes a document away.
    pub(in crate::policy) fn take(&mut self, number: usize) {
        if let Some(word) = self.words.get_mut(number / BITS) {
            *word &= !(1 << (number % BITS));
        }
    }

    /// Whether it has this document.
    pub(in crate::policy) fn has(&self, number: usize) -> bool {
        self.words.get(number / BITS).is_some_and(|word| word & (1 << (number % BITS)) != 0)
    }

    /// Adds what another has.
    pub(in crate::policy) fn add(&mut self, other: &Self) {
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word |= other);
    }

    /// Keeps what another has as well.
    pub(in crate::policy) fn keep(&mut self, other: &Self) {
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word &= other);
    }

    /// Takes away what another has.
    pub(in crate::policy) fn remove(&mut self, other: &Self) {
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word &= !other);
    }

    /// Whether the two have a document in common.
    pub(in crate::policy) fn meets(&self, other: &Self) -> bool {
        self.words.iter().zip(&other.words).any(|(word, other)| word & other != 0)
    }

    /// The documents that both have, ascending.
    pub(in crate::policy) fn both<'s>(
        &'s self,
        other: &'s Self,
    ) -> impl Iterator<Item = usize> + 's {
        numbers(self.words.iter().zip(&other.words).map(|(word, other)| word & other))
    }

    /// The documents, ascending.
    pub(in crate::policy) fn iter(&self) -> impl Iterator<Item = usize> {
        numbers(self.words.iter().copied())
    }

    /// How many there are.
    pub(in crate::policy) fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there is none.
    pub(in crate::policy) fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }
}

/// The numbers of the bits that are set, ascending.
fn numbers(words: impl Iterator<Item = u64>) -> impl Iterator<Item = usize> {
    words.enumerate().flat_map(|(at, mut word)| {
        std::iter::from_fn(move || {
            let bit = usize::try_from(word.trailing_zeros()).ok().filter(|_| word != 0)?;
            // Takes the lowest bit away.
            word &= word.wrapping_sub(1);
            Some(at * BITS + bit)
        })
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn of(numbers: &BTreeSet<usize>) -> DocumentSet {
        DocumentSet::of(300, |number| numbers.contains(&number))
    }

    proptest! {
        #[test]
        fn it_is_a_set(
            one in prop::collection::btree_set(0usize..300, 0..40),
            two in prop::collection::btree_set(0usize..300, 0..40),
        ) {
            let (left, right) = (of(&one), of(&two));
            let with = |change: fn(&mut DocumentSet, &DocumentSet)| {
                let mut set = left.clone();
                change(&mut set, &right);
                set.iter().collect::<BTreeSet<_>>()
            };
            prop_assert_eq!(&left.iter().collect::<BTreeSet<_>>(), &one);
            prop_assert_eq!(left.len(), one.len());
            prop_assert_eq!(left.is_empty(), one.is_empty());
            prop_assert_eq!(left == right, one == two);
            prop_assert_eq!(left.meets(&right), !one.is_disjoint(&two));
            prop_assert_eq!(with(DocumentSet::add), &one | &two);
            prop_assert_eq!(with(DocumentSet::keep), &one & &two);
            prop_assert_eq!(with(DocumentSet::remove), &one - &two);
            prop_assert_eq!(left.both(&right).collect::<BTreeSet<_>>(), &one & &two);
        }
    }
}
