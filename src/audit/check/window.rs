//! [`compared`]: the lines between two checkpoints beside those that were written there: which were
//! changed, and how.

use std::collections::HashMap;

use crate::audit::record::SHORT_LEN;

/// What names a line.
pub(super) type Short = [u8; SHORT_LEN];

/// What is wrong with one line; places are counted from the first line of the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Odd {
    /// The line there is another than entry `entry` of those that were written.
    Changed { at: usize, entry: usize },
    /// So many entries are missing before the line there, from `entry` on.
    Missing { at: usize, entry: usize, count: usize },
    /// The line there was not written.
    Added { at: usize },
    /// The line there stands somewhere before as well.
    Doubled { at: usize },
    /// The line there is entry `entry`, and stands elsewhere.
    Reordered { at: usize, entry: usize },
}

/// How the lines that are there differ from those that were written.
pub(super) fn compared(there: &[Short], written: &[Short]) -> Vec<Odd> {
    let mut places: HashMap<Short, Vec<usize>> = HashMap::new();
    for (entry, short) in written.iter().enumerate().rev() {
        places.entry(*short).or_default().push(entry);
    }
    let mut odd = Vec::new();
    // (line, entry) of every line that was written, once for each time that it was.
    let mut met = Vec::new();
    let mut unknown = Vec::new();
    for (at, short) in there.iter().enumerate() {
        match places.get_mut(short).map(Vec::pop) {
            Some(Some(entry)) => met.push((at, entry)),
            Some(None) => odd.push(Odd::Doubled { at }),
            None => unknown.push(at),
        }
    }
    let kept = in_order(&met);
    let mut is_kept = vec![false; written.len()];
    let mut is_moved = vec![false; written.len()];
    for (at, entry) in met {
        let kept = kept.binary_search(&(at, entry)).is_ok();
        if let Some(place) = if kept { is_kept.get_mut(entry) } else { is_moved.get_mut(entry) } {
            *place = true;
        }
        if !kept {
            odd.push(Odd::Reordered { at, entry });
        }
    }
    // Between two lines that are in their place, as many as can be are taken for changed.
    let ends = kept.into_iter().map(Some).chain([None]);
    let (mut line, mut entry) = (0, 0);
    for end in ends {
        let (at, to) = end.unwrap_or((there.len(), written.len()));
        let mut strange = unknown.iter().filter(|place| (line..at).contains(place)).copied();
        let lost = (entry..to).filter(|entry| is_moved.get(*entry) == Some(&false));
        let mut missing: Option<(usize, usize)> = None;
        for lost in lost {
            match strange.next() {
                Some(at) => odd.push(Odd::Changed { at, entry: lost }),
                None => missing = Some(missing.map_or((lost, 1), |(first, n)| (first, n + 1))),
            }
        }
        if let Some((entry, count)) = missing {
            odd.push(Odd::Missing { at, entry, count });
        }
        odd.extend(strange.map(|at| Odd::Added { at }));
        (line, entry) = (at + 1, to + 1);
    }
    odd.sort_by_key(|odd| match odd {
        Odd::Changed { at, .. }
        | Odd::Missing { at, .. }
        | Odd::Added { at }
        | Odd::Doubled { at }
        | Odd::Reordered { at, .. } => *at,
    });
    odd
}

/// The longest run of these whose entries rise: what stands in its order.
fn in_order(met: &[(usize, usize)]) -> Vec<(usize, usize)> {
    // For each length the pair with which the run of that length ends that ends lowest, and for
    // each pair the one before it.
    let mut ends: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::with_capacity(met.len());
    let entry_of = |number: usize| met.get(number).map(|(_, entry)| *entry);
    for (number, (_, entry)) in met.iter().enumerate() {
        let length = ends.partition_point(|end| entry_of(*end) < Some(*entry));
        before.push(length.checked_sub(1).and_then(|shorter| ends.get(shorter).copied()));
        match ends.get_mut(length) {
            Some(end) => *end = number,
            None => ends.push(number),
        }
    }
    let mut run = Vec::new();
    let mut next = ends.last().copied();
    while let Some(number) = next {
        run.extend(met.get(number).copied());
        next = before.get(number).copied().flatten();
    }
    run.reverse();
    run
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shorts(text: &str) -> Vec<Short> {
        text.bytes().map(|byte| [byte; SHORT_LEN]).collect()
    }

    #[test]
    fn every_way_to_change_lines_is_named() {
        let written = "abcdefgh";
        let cases: [(&str, &[Odd]); 12] = [
            ("abcdefgh", &[]),
            ("abXdefgh", &[Odd::Changed { at: 2, entry: 2 }]),
            ("abdefgh", &[Odd::Missing { at: 2, entry: 2, count: 1 }]),
            ("defgh", &[Odd::Missing { at: 0, entry: 0, count: 3 }]),
            ("abcde", &[Odd::Missing { at: 5, entry: 5, count: 3 }]),
            ("abcXdefgh", &[Odd::Added { at: 3 }]),
            ("abcdefghX", &[Odd::Added { at: 8 }]),
            ("abbcdefgh", &[Odd::Doubled { at: 2 }]),
            ("abcdefhg", &[Odd::Reordered { at: 6, entry: 7 }]),
            ("habcdefg", &[Odd::Reordered { at: 0, entry: 7 }]),
            (
                "aXcdYfg",
                &[
                    Odd::Changed { at: 1, entry: 1 },
                    Odd::Changed { at: 4, entry: 4 },
                    Odd::Missing { at: 7, entry: 7, count: 1 },
                ],
            ),
            (
                "XY",
                &[
                    Odd::Changed { at: 0, entry: 0 },
                    Odd::Changed { at: 1, entry: 1 },
                    Odd::Missing { at: 2, entry: 2, count: 6 },
                ],
            ),
        ];
        for (there, odd) in cases {
            assert_eq!(compared(&shorts(there), &shorts(written)), odd, "{there}");
        }
        assert_eq!(compared(&shorts("aab"), &shorts("aab")), [], "one line may be written twice");
        assert_eq!(compared(&[], &[]), []);
    }
}
