//! [`ListMemory`]: how each list stands, as far as this process knows: what is in force of it, when
//! it was last fetched, what came of that, and when it is fetched next.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::clock::Clock;
use crate::fetched_list::{ListFolder, Options};
use crate::loader::{self, KeptProof, KeptRead};
use crate::registry::{self, RegistryError};

/// Shortest pause after a fetch that failed, and the longest, where lists are fetched more seldom.
const AGAIN_MOST: Duration = Duration::from_secs(60);
/// Within which part of a pause chance chooses: nodes that were started together do not ask
/// together.
const JITTER_PART: u32 = 10;

/// How one list stands.
#[derive(Debug, Clone, Default)]
pub struct ListStanding {
    /// Where it is fetched from.
    pub source: String,
    /// What is kept of it and proven; none where that is nothing.
    pub kept: Option<KeptProof>,
    /// Why what is kept is not believed.
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
    pub memory: ListMemory,
    /// One list is taken after the other.
    pub taking: tokio::sync::Mutex<()>,
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
        let (memory, taking) = (ListMemory::default(), tokio::sync::Mutex::default());
        memory.note_loaded(read);
        Ok(Self { fetcher, memory, taking })
    }
}

/// How all lists stand.
#[derive(Debug, Default)]
pub struct ListMemory(Mutex<BTreeMap<String, Remembrance>>);

#[derive(Debug, Default)]
struct Remembrance {
    standing: ListStanding,
    due: Option<Instant>,
    is_under_way: bool,
}

impl ListMemory {
    /// Notes what a load of the policies read of them. A list that is no longer configured is
    /// forgotten.
    pub fn note_loaded(&self, lists: &[KeptRead]) {
        let mut known = self.locked();
        known.retain(|name, _| lists.iter().any(|list| list.name == *name));
        for list in lists {
            let standing = &mut known.entry(list.name.clone()).or_default().standing;
            standing.source.clone_from(&list.source);
            (standing.kept, standing.fault) = match &list.kept {
                None => (None, None),
                Some(Ok(proof)) => (Some(proof.clone()), None),
                Some(Err(fault)) => (None, Some(fault.to_string())),
            };
            let fetched = standing.kept.as_ref().map(|proof| proof.fetched);
            standing.fetched = standing.fetched.max(fetched);
        }
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

    /// The files of what is in force, to be put back where they were lost.
    #[must_use]
    pub fn files(&self) -> BTreeMap<String, Arc<[u8]>> {
        let known = self.locked();
        let file = |remembrance: &Remembrance| {
            remembrance.standing.kept.as_ref().map(|proof| Arc::clone(&proof.file))
        };
        known.iter().filter_map(|(name, known)| Some((name.clone(), file(known)?))).collect()
    }

    /// Whether a list is to be fetched now; then it is this caller's to do so.
    pub fn begin_if_due(&self, name: &str, now: Instant) -> bool {
        let mut known = self.locked();
        let known = known.entry(name.to_owned()).or_default();
        let is_due = !known.is_under_way && known.due.is_none_or(|due| due <= now);
        known.is_under_way |= is_due;
        is_due
    }

    /// Notes what came of a fetch, and when the next is due. True where what came is news: another
    /// word than the last time.
    pub fn ended(
        &self,
        options: &Options,
        (code, words, is_fetched): (&'static str, String, bool),
        (now, time, chance): (Instant, Timestamp, u16),
    ) -> bool {
        let mut known = self.locked();
        let known = known.entry(options.name.clone()).or_default();
        let pause = if is_fetched { options.every() } else { options.every().min(AGAIN_MOST) };
        known.due = Some(now + jittered(pause, chance));
        known.is_under_way = false;
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

/// Puts the files of lists that are in force back where what was read of them now is nothing, is not
/// believed, or is older than what was taken. True where it put any: then the policies are to be
/// read again.
pub fn restore(
    options: &loader::Options,
    read: &[KeptRead],
    in_force: &BTreeMap<String, Arc<[u8]>>,
) -> bool {
    let folder = ListFolder::new(&options.fetched);
    let mut is_any = false;
    let is_lost = |list: &&KeptRead| match &list.kept {
        // Somebody put an older one there: an operator who wants it has the version lowered first.
        Some(Ok(proof)) => folder
            .version(&list.name)
            .is_ok_and(|known| known.is_some_and(|known| known.version > proof.head.version)),
        Some(Err(_)) | None => true,
    };
    for list in read.iter().filter(is_lost) {
        let Some(file) = in_force.get(&list.name) else { continue };
        // The very file that is in force: it is not the disk that it fails for.
        if folder.list(&list.name).is_ok_and(|kept| kept.as_deref() == Some(file)) {
            continue;
        }
        match folder.keep(&list.name, file) {
            Ok(()) => {
                is_any = true;
                tracing::warn!(
                    list = list.name,
                    "what was kept of a deny list was lost or changed; it was put back"
                );
            }
            Err(error) => {
                tracing::error!(list = list.name, %error, "a deny list could not be put back");
            }
        }
    }
    is_any
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert!(memory.begin_if_due("fleet", start));
        assert!(!memory.begin_if_due("fleet", start), "one fetch at a time");
        let time = "2026-01-31T00:00:00Z".parse().unwrap();
        let ended = |code, is_fetched, chance| {
            let said = (code, String::new(), is_fetched);
            memory.ended(&options, said, (start, time, chance))
        };
        assert!(ended("taken", true, 0), "news");
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(!memory.begin_if_due("fleet", at(809)));
        assert!(memory.begin_if_due("fleet", at(810)));
        ended("taken", true, u16::MAX);
        assert!(!memory.begin_if_due("fleet", at(989)));
        assert!(memory.begin_if_due("fleet", at(991)));
        // What failed is tried again sooner, and is no news the second time.
        assert!(ended("unreachable", false, 0));
        assert!(memory.begin_if_due("fleet", at(60)));
        assert!(!ended("unreachable", false, 0));
        assert!(!memory.standing("fleet").is_fetched);
        assert_eq!(memory.standing("fleet").fetched, Some(time));
    }
}
