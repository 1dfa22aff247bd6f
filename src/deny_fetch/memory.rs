//! [`ListMemory`]: how each list stands, as far as this process knows: what is in force of it, when
//! it was last fetched, what came of that, and when it is fetched next.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::expiry::{ExpiryNotice, ToldOfEnd};
use super::in_force::InForce;
use crate::clock::Clock;
use crate::fetched_list::{KnownVersion, Options};
use crate::loader::{KeptProof, KeptRead};
use crate::registry::{self, RegistryError};

/// Shortest pause after a fetch that failed, and the longest, where lists are fetched more seldom.
const AGAIN_MOST: Duration = Duration::from_secs(60);
/// Within which part of a pause chance chooses: nodes that were started together do not ask
/// together.
const JITTER_PART: u32 = 10;
/// How long a fetch counts as under way: several times what its parts may take together. One that
/// did not end until then is lost, and the list is fetched again.
const UNDER_WAY_MAX: Duration = Duration::from_secs(300);

/// How one list stands.
#[derive(Debug, Clone, Default)]
pub struct ListStanding {
    /// Where it is fetched from.
    pub source: String,
    /// What is kept of it and proven; none where that is nothing.
    pub kept: Option<KeptProof>,
    /// Why what is kept is not believed, or is not what was taken last.
    pub fault: Option<String>,
    /// When it was last had from its source: a new one, or the same.
    pub fetched: Option<Timestamp>,
    /// What came of the last fetch: a fixed word, and what there is to say.
    pub last: Option<(&'static str, String)>,
    /// Whether the last fetch gave it.
    pub is_fetched: bool,
}

/// All that the fetching of lists needs.
#[derive(Debug)]
pub struct Lists {
    /// What asks for them.
    pub fetcher: super::Fetcher,
    /// How they stand.
    pub memory: Arc<ListMemory>,
}

impl Lists {
    /// Fetched with these options of registries; known is what a load of the policies read of them.
    ///
    /// # Errors
    /// [`RegistryError::Options`] when an option contradicts itself.
    pub fn new(
        options: registry::Options,
        clock: Clock,
        read: &[KeptRead],
    ) -> Result<Self, RegistryError> {
        let fetcher = super::Fetcher::new(options, clock)?;
        let memory = Arc::<ListMemory>::default();
        memory.note_loaded(read);
        Ok(Self { fetcher, memory })
    }
}

/// How all lists stand.
#[derive(Debug, Default)]
pub struct ListMemory(Mutex<BTreeMap<String, Remembrance>>);

#[derive(Debug, Default)]
struct Remembrance {
    standing: ListStanding,
    due: Option<Instant>,
    /// When the fetch began that is under way.
    began: Option<Instant>,
    /// What was taken and is not in force yet.
    taken: Option<KnownVersion>,
    /// From which version on any is taken, since an operator wants it so. A file that comes later
    /// and says so is that of an earlier day.
    lowered: Option<u64>,
    turn: FetchTurn,
    told_of_end: ToldOfEnd,
}

/// Under what a fetch began: another one once a list was let go that was in force.
#[derive(Debug, Clone, Default)]
pub struct FetchTurn(Arc<()>);

impl FetchTurn {
    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl ListMemory {
    /// Notes what a load of the policies read of them that is in force now. A list that is no longer
    /// configured is forgotten. One that was in force and is no more, as an operator let it go, is
    /// fetched at once, also where a fetch is under way. Whether its version is lowered the files say
    /// of a list that nothing was known of, as at a start, and later an operator alone.
    pub fn note_loaded(&self, lists: &[KeptRead]) {
        let mut known = self.locked();
        known.retain(|name, _| lists.iter().any(|list| list.name == *name));
        for list in lists {
            let unknown = || Remembrance { lowered: list.lowered, ..Remembrance::default() };
            let known = known.entry(list.name.clone()).or_insert_with(unknown);
            let standing = &mut known.standing;
            standing.source.clone_from(&list.source);
            let was_in_force = standing.kept.is_some();
            (standing.kept, standing.fault) = match &list.kept {
                None => (None, None),
                Some(Ok(proof)) => {
                    let fault = proof.outdated.as_ref().map(ToString::to_string);
                    (Some(proof.clone()), fault)
                }
                Some(Err(fault)) => (None, Some(fault.to_string())),
            };
            if was_in_force && standing.kept.is_none() {
                (known.due, known.turn) = (None, FetchTurn::default());
            }
            let fetched = standing.kept.as_ref().map(|proof| proof.fetched);
            standing.fetched = standing.fetched.max(fetched);
            if known.taken.is_some() && known.taken == standing.kept.as_ref().map(version_of) {
                known.taken = None;
            }
        }
    }

    /// Notes that a list was taken: it is to be put in force, though it may be older than what is.
    pub fn note_taken(&self, name: &str, taken: KnownVersion) {
        if let Some(known) = self.locked().get_mut(name) {
            let in_force = known.standing.kept.as_ref().map(version_of);
            known.taken = Some(taken).filter(|taken| in_force.as_ref() != Some(taken));
        }
    }

    /// Notes that an operator wants this version of a list, or a later one, whatever was taken; none
    /// where what the operator wanted is there, or could not be had. Says what was noted before.
    pub fn note_lowered(&self, name: &str, version: Option<u64>) -> Option<u64> {
        let mut known = self.locked();
        known.get_mut(name).and_then(|known| std::mem::replace(&mut known.lowered, version))
    }

    /// From which version of a list on any is taken, since an operator of this process wants it so,
    /// or one wanted it before the start.
    pub fn lowered(&self, name: &str) -> Option<u64> {
        self.locked().get(name)?.lowered
    }

    /// What there is to say of lists whose end is near or was: each once, and every day again.
    pub fn ends(&self, now: Timestamp) -> Vec<ExpiryNotice> {
        let mut known = self.locked();
        let notices = known.values_mut().filter_map(|known| {
            let kept = known.standing.kept.as_ref()?;
            known.told_of_end.notice(&kept.head, now)
        });
        notices.collect()
    }

    /// How each list stands, by name.
    pub fn standings(&self) -> Vec<(String, ListStanding)> {
        let known = self.locked();
        known.iter().map(|(name, known)| (name.clone(), known.standing.clone())).collect()
    }

    /// How a list stands.
    pub fn standing(&self, name: &str) -> ListStanding {
        self.locked().get(name).map(|known| known.standing.clone()).unwrap_or_default()
    }

    /// What is in force of each list.
    #[must_use]
    pub fn in_force(&self) -> BTreeMap<String, InForce> {
        let known = self.locked();
        let in_force = |known: &Remembrance| {
            let proof = known.standing.kept.as_ref()?;
            let (file, taken) = (Arc::clone(&proof.file), known.taken.clone());
            let (entries, is_newest) = (proof.head.entries, proof.outdated.is_none());
            let (lowered, known) = (known.lowered, version_of(proof));
            Some(InForce { known, entries, file, taken, lowered, is_newest })
        };
        known.iter().filter_map(|(name, known)| Some((name.clone(), in_force(known)?))).collect()
    }

    /// Whether a list is to be fetched now; then it is this caller's to do so.
    pub fn begin_if_due(&self, list: &Options, now: Instant) -> bool {
        let mut known = self.locked();
        let known = known.entry(list.name.clone()).or_default();
        known.standing.source.clone_from(&list.source);
        let is_under_way =
            known.began.is_some_and(|began| now.saturating_duration_since(began) < UNDER_WAY_MAX);
        let is_due = !is_under_way && known.due.is_none_or(|due| due <= now);
        if is_due {
            known.began = Some(now);
        }
        is_due
    }

    /// Under what a fetch begins now.
    pub fn turn(&self, name: &str) -> FetchTurn {
        self.locked().get(name).map(|known| known.turn.clone()).unwrap_or_default()
    }

    /// Notes what came of a fetch, and when the next is due: at once where this one began under
    /// what does not count any more. True where what came is news: another word than the last time.
    /// A list that the configuration lost meanwhile stays forgotten.
    pub fn ended(
        &self,
        (options, turn): (&Options, &FetchTurn),
        (code, words, is_fetched): (&'static str, String, bool),
        (now, time, chance): (Instant, Timestamp, u16),
    ) -> bool {
        let mut known = self.locked();
        let Some(known) = known.get_mut(&options.name) else { return false };
        let pause = if is_fetched { options.every() } else { options.every().min(AGAIN_MOST) };
        if known.turn.is(turn) {
            known.due = Some(now + jittered(pause, chance));
        }
        known.began = None;
        if is_fetched {
            known.standing.fetched = Some(time);
        }
        let is_news = known.standing.last.as_ref() != Some(&(code, words.clone()));
        known.standing.last = Some((code, words));
        known.standing.is_fetched = is_fetched;
        is_news
    }

    fn locked(&self) -> MutexGuard<'_, BTreeMap<String, Remembrance>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn version_of(proof: &KeptProof) -> KnownVersion {
    KnownVersion { version: proof.head.version, digest: Some(proof.digest.clone()) }
}

/// A number by chance; always the same where the system has none to give, which only makes nodes ask
/// together.
#[must_use]
pub fn chance() -> u16 {
    let mut bytes = [0; 2];
    match aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => u16::from_ne_bytes(bytes),
        Err(_) => u16::MAX,
    }
}

/// A tenth more or less.
fn jittered(pause: Duration, chance: u16) -> Duration {
    let span = pause / JITTER_PART;
    let least = pause.saturating_sub(span);
    least + (span * 2).mul_f64(f64::from(chance) / f64::from(u16::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::ListHead;

    fn options(every_seconds: u64) -> Options {
        let text = format!(
            "name = \"fleet\"\nsource = \"oci://r.example/deny:v1\"\nkeys = [\"k\"]\n\
             every_seconds = {every_seconds}"
        );
        toml::from_str(&text).unwrap()
    }

    #[test]
    fn a_list_is_due_at_once_and_then_after_its_time_more_or_less() {
        let (memory, options) = (ListMemory::default(), options(900));
        let start = crate::daemon::CLOCK.steady();
        assert!(memory.begin_if_due(&options, start));
        assert!(!memory.begin_if_due(&options, start), "one fetch at a time");
        let time = "2026-01-31T00:00:00Z".parse().unwrap();
        let ended = |code, is_fetched, chance| {
            let said = (code, String::new(), is_fetched);
            memory.ended((&options, &memory.turn("fleet")), said, (start, time, chance))
        };
        assert!(ended("taken", true, 0), "news");
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(!memory.begin_if_due(&options, at(809)));
        assert!(memory.begin_if_due(&options, at(810)));
        ended("taken", true, u16::MAX);
        assert!(!memory.begin_if_due(&options, at(989)));
        assert!(memory.begin_if_due(&options, at(991)));
        // What failed is tried again sooner, and is no news the second time.
        assert!(ended("unreachable", false, 0));
        assert!(memory.begin_if_due(&options, at(60)));
        assert!(!ended("unreachable", false, 0));
        assert!(!memory.standing("fleet").is_fetched);
        assert_eq!(memory.standing("fleet").fetched, Some(time));
    }

    #[test]
    fn a_fetch_that_never_ends_holds_up_no_other_for_ever() {
        let (memory, options) = (ListMemory::default(), options(900));
        let start = crate::daemon::CLOCK.steady();
        assert!(memory.begin_if_due(&options, start));
        assert!(!memory.begin_if_due(&options, start + UNDER_WAY_MAX - Duration::from_secs(1)));
        assert!(memory.begin_if_due(&options, start + UNDER_WAY_MAX));
    }

    /// What a load read of the list: version 7, or nothing.
    fn read(is_kept: bool) -> [KeptRead; 1] {
        let time = Timestamp::UNIX_EPOCH;
        let head = ListHead {
            name: "fleet".to_owned(),
            source: String::new(),
            version: 7,
            issued: time,
            expires: time,
            entries: 1,
        };
        let proof = KeptProof {
            head,
            digest: crate::image::Digest::of(b"list"),
            signer: String::new(),
            fetched: time,
            file: [].into(),
            outdated: None,
        };
        let kept = is_kept.then_some(Ok(proof));
        [KeptRead { name: "fleet".to_owned(), source: String::new(), kept, lowered: None }]
    }

    fn taken() -> (&'static str, String, bool) {
        ("taken", String::new(), true)
    }

    /// An operator let it go, since its key leaked: the new key's is fetched at once.
    #[test]
    fn a_list_that_was_in_force_and_is_no_more_is_due_at_once() {
        let (memory, options) = (ListMemory::default(), options(900));
        let (start, time) = (crate::daemon::CLOCK.steady(), Timestamp::UNIX_EPOCH);
        let is_due = |is_kept: bool| {
            memory.note_loaded(&read(is_kept));
            let is_due = memory.begin_if_due(&options, start);
            memory.ended((&options, &memory.turn("fleet")), taken(), (start, time, 0));
            is_due
        };
        assert_eq!([true, true, false, false].map(is_due), [true, false, true, false]);
    }

    /// The fetch that was under way asked by the old key, and says nothing about when to ask by the
    /// new one.
    #[test]
    fn a_fetch_that_began_before_a_list_was_let_go_puts_off_none_after_it() {
        let (memory, options) = (ListMemory::default(), options(900));
        let (start, time) = (crate::daemon::CLOCK.steady(), Timestamp::UNIX_EPOCH);
        memory.note_loaded(&read(true));
        assert!(memory.begin_if_due(&options, start));
        let turn = memory.turn("fleet");
        memory.note_loaded(&read(false));
        assert!(!memory.begin_if_due(&options, start), "one fetch at a time");
        memory.ended((&options, &turn), taken(), (start, time, 0));
        assert!(memory.begin_if_due(&options, start));
        memory.ended((&options, &memory.turn("fleet")), taken(), (start, time, 0));
        assert!(!memory.begin_if_due(&options, start));
        // The same of a list that the configuration lost and has again.
        let turn = memory.turn("fleet");
        memory.note_loaded(&[]);
        memory.note_loaded(&read(false));
        memory.ended((&options, &turn), taken(), (start, time, 0));
        assert!(memory.begin_if_due(&options, start));
    }

    /// Attack C3: a backup that was made between the lowering and the next fetch.
    #[test]
    fn attack_c3_a_file_lowers_a_version_at_a_start_and_never_later() {
        let memory = ListMemory::default();
        let lowered = |version| {
            let [list] = read(true);
            [KeptRead { lowered: Some(version), ..list }]
        };
        memory.note_loaded(&lowered(5));
        assert_eq!(memory.lowered("fleet"), Some(5));
        assert_eq!(memory.note_lowered("fleet", None), Some(5));
        memory.note_loaded(&lowered(5));
        assert_eq!(memory.lowered("fleet"), None);
        assert_eq!(memory.note_lowered("fleet", Some(6)), None);
        memory.note_loaded(&lowered(5));
        assert_eq!(memory.in_force()["fleet"].lowered, Some(6));
        assert_eq!(memory.note_lowered("other", Some(6)), None);
        assert_eq!(memory.lowered("other"), None, "it is none of the configuration's");
    }

    #[test]
    fn a_list_that_is_not_configured_any_more_stays_forgotten() {
        let (memory, options) = (ListMemory::default(), options(900));
        let start = crate::daemon::CLOCK.steady();
        assert!(memory.begin_if_due(&options, start));
        memory.note_loaded(&[]);
        let time = "2026-01-31T00:00:00Z".parse().unwrap();
        let turn = memory.turn("fleet");
        assert!(!memory.ended((&options, &turn), taken(), (start, time, 0)));
        assert!(memory.standings().is_empty());
    }
}
