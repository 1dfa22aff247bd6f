//! The order in which a place with many signatures is read: [`in_turns`].
//!
//! What is wanted is the newest, as a rule: the latest scan, the latest signature. Registries and
//! cosign append, so what is listed last is newest; where manifests say when they were made
//! (`org.opencontainers.image.created`), that comes first. Nobody signs either. So that nobody who
//! floods a place hides what was there before, with dates of the future or at the end of the list,
//! every third is taken from the beginning of the list. The order decides what is read first, never
//! what counts.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::signature_manifest::CREATED;

/// When its manifest says that something was made; none where it does not say it in words that can
/// be read.
pub(crate) fn created(annotations: &BTreeMap<String, String>) -> Option<Timestamp> {
    annotations.get(CREATED).and_then(|text| text.parse().ok())
}

/// What is listed, in turns: the newest by what is said, the last of the list, the first of the
/// list. What says no time is as old as what stands before it.
pub(crate) fn in_turns<T>(listed: Vec<T>, created: impl Fn(&T) -> Option<Timestamp>) -> Vec<T> {
    let count = listed.len();
    let mut time = Timestamp::MIN;
    let mut newest: Vec<(Timestamp, usize)> = Vec::with_capacity(count);
    for (number, one) in listed.iter().enumerate() {
        time = created(one).unwrap_or(time);
        newest.push((time, number));
    }
    newest.sort_unstable_by(|one, other| other.cmp(one));
    let mut turns: [Box<dyn Iterator<Item = usize>>; 3] = [
        Box::new(newest.into_iter().map(|(_, number)| number)),
        Box::new((0..count).rev()),
        Box::new(0..count),
    ];
    let mut left: Vec<Option<T>> = listed.into_iter().map(Some).collect();
    let mut ordered = Vec::with_capacity(count);
    while ordered.len() < count {
        for turn in &mut turns {
            let next = turn.find_map(|number| left.get_mut(number).and_then(Option::take));
            ordered.extend(next);
        }
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Option<Timestamp> {
        Timestamp::from_second(second).ok()
    }

    #[test]
    fn the_newest_comes_first_and_the_oldest_soon() {
        let ordered = in_turns((0..9).collect(), |number: &i64| at(*number));
        assert_eq!(ordered, [8, 7, 0, 6, 5, 1, 4, 3, 2]);
        assert_eq!(in_turns((0..5).collect(), |_: &i64| None), [4, 3, 0, 2, 1]);
        assert!(in_turns(Vec::<i64>::new(), |_| None).is_empty());
    }

    #[test]
    fn what_is_said_goes_before_where_it_stands() {
        // A registry that lists the newest first, and says when.
        let ordered = in_turns((0..6).collect(), |number: &i64| at(100 - number));
        assert_eq!(ordered.first(), Some(&0));
        assert_eq!(ordered.len(), 6);
    }

    /// Attack D1: a thousand that come later and say that they are from the future hide nothing
    /// that was there before.
    #[test]
    fn attack_d1_a_flood_takes_no_more_than_its_turns() {
        let good = 3;
        let listed: Vec<i64> = (0..1000).collect();
        let ordered =
            in_turns(listed, |number| if *number > good { at(1 << 36) } else { at(*number) });
        let place = ordered.iter().position(|number| *number == good).unwrap();
        assert!(place <= 12, "read as number {place}");
    }
}
