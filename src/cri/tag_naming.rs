//! Who may move a tag, and when: [`TagNaming`].
//!
//! Three rules. A rename never goes backwards: of two resolutions of one name, the one that *began*
//! later wins, however late the other finishes (attack A12). Moving a tag and creating containers
//! take turns, because containerd starts a container from an image's first name even when it is
//! told the id (fact C6). So do moving the tag of the sandbox image and making sandboxes, of which
//! containerd looks that name up (fact C9); other tags need not wait for them, since a sandbox
//! waits for its network.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use lru::LruCache;
use tokio::sync::{
    Mutex, OwnedMutexGuard, OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock, RwLockReadGuard,
    RwLockWriteGuard,
};

/// Names remembered. A name that is forgotten may be moved by a resolution that began before the
/// forgetting; the image it moves to was admitted all the same.
const NAMES_MAX: usize = 4096;
/// Longest wait for creations under way before a tag is moved all the same. Turns save a container
/// from being made twice; what makes it safe is the proof after creating, so a stuck creation must
/// not hold up every pull.
const TURN_LIMIT: Duration = Duration::from_secs(5);
/// How often a mover looks whether creations have ended. It does not queue: a lock that lets
/// writers go first would make every new creation wait behind the mover of one tag.
const TURN_POLL: Duration = Duration::from_millis(10);

/// The latest resolution that named one name; whoever holds the lock is naming it.
type Latest = Arc<Mutex<Option<Began>>>;

/// What one name needs.
#[derive(Debug, Clone, Default)]
struct NameTurns {
    latest: Latest,
    /// Held by the sandboxes that are being made of what the name means.
    sandboxes: Arc<RwLock<()>>,
}

/// The order and the turns of naming.
#[derive(Debug)]
pub(crate) struct TagNaming {
    next: AtomicU64,
    named: std::sync::Mutex<LruCache<String, NameTurns>>,
    turns: RwLock<()>,
}

/// When a resolution began, among all of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Began(u64);

/// The right to name: nobody else names this name while it is held.
#[derive(Debug)]
pub(crate) struct MayName(
    #[allow(dead_code, reason = "held for its release")] OwnedMutexGuard<Option<Began>>,
);

/// The right to move a tag that exists: no container is being created while it is held, and no
/// sandbox made of what the tag means.
#[derive(Debug)]
pub(crate) struct MayMove<'a>(
    #[allow(dead_code, reason = "held for its release")] RwLockWriteGuard<'a, ()>,
    #[allow(dead_code, reason = "held for its release")] OwnedRwLockWriteGuard<()>,
);

/// The right to have a sandbox made of what a name means: the gate does not move it meanwhile.
#[derive(Debug)]
pub(crate) struct SandboxTurn(
    #[allow(dead_code, reason = "held for its release")] OwnedRwLockReadGuard<()>,
);

impl TagNaming {
    /// No name given yet.
    #[must_use]
    pub(crate) fn new() -> Self {
        let names = NonZeroUsize::new(NAMES_MAX).unwrap_or(NonZeroUsize::MIN);
        Self {
            next: AtomicU64::new(0),
            named: std::sync::Mutex::new(LruCache::new(names)),
            turns: RwLock::new(()),
        }
    }

    /// Marks the beginning of a resolution.
    pub(crate) fn begin(&self) -> Began {
        Began(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// Waits for the turn to name `name`; none when a resolution that began later has named it
    /// already.
    pub(crate) async fn turn_to_name(&self, name: &str, began: Began) -> Option<MayName> {
        let mut latest = self.latest(name).lock_owned().await;
        if latest.is_some_and(|latest| latest > began) {
            return None;
        }
        *latest = Some(began);
        Some(MayName(latest))
    }

    /// Whether a resolution that began later has named `name` since.
    pub(crate) async fn is_superseded(&self, name: &str, began: Began) -> bool {
        self.latest(name).lock().await.is_some_and(|latest| latest > began)
    }

    fn latest(&self, name: &str) -> Latest {
        self.turns_of(name).latest
    }

    fn turns_of(&self, name: &str) -> NameTurns {
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        named.get_or_insert_ref(name, NameTurns::default).clone()
    }

    /// Waits for the turn to have a sandbox made of what `name` means.
    pub(crate) async fn turn_of_sandbox(&self, name: &str) -> SandboxTurn {
        SandboxTurn(self.turns_of(name).sandboxes.read_owned().await)
    }

    /// Waits, not for long, until no container is being created, and no sandbox made of what `name`
    /// means.
    pub(crate) async fn turn_to_move(&self, name: &str) -> Option<MayMove<'_>> {
        let sandboxes = self.turns_of(name).sandboxes;
        let free = async {
            loop {
                if let Ok(turn) = self.turns.try_write()
                    && let Ok(sandboxes) = Arc::clone(&sandboxes).try_write_owned()
                {
                    return MayMove(turn, sandboxes);
                }
                tokio::time::sleep(TURN_POLL).await;
            }
        };
        tokio::time::timeout(TURN_LIMIT, free).await.ok()
    }

    /// Waits for the turn to create a container: no tag is being moved while the guard is held.
    pub(crate) async fn turn_to_create(&self) -> RwLockReadGuard<'_, ()> {
        self.turns.read().await
    }
}

impl Default for TagNaming {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Attack A12: an old, slow resolution names the tag back.
    #[tokio::test]
    async fn attack_a12_a_rename_never_goes_backwards() {
        let naming = TagNaming::new();
        let (old, new) = (naming.begin(), naming.begin());
        assert!(naming.turn_to_name("reg.example/app:1", new).await.is_some());
        assert!(naming.turn_to_name("reg.example/app:1", old).await.is_none());
        assert!(naming.turn_to_name("reg.example/other:1", old).await.is_some());
        assert!(naming.is_superseded("reg.example/app:1", old).await);
        assert!(!naming.is_superseded("reg.example/app:1", new).await);
        assert!(naming.turn_to_name("reg.example/app:1", naming.begin()).await.is_some());
    }

    /// Naming one image holds up no other, and a mover that waits holds up no creation.
    #[tokio::test(start_paused = true)]
    async fn attack_g_one_name_does_not_hold_up_the_node() {
        use futures_util::FutureExt as _;
        let naming = TagNaming::new();
        let held = naming.turn_to_name("reg.example/app:1", naming.begin()).await;
        assert!(held.is_some());
        assert!(
            naming.turn_to_name("reg.example/other:1", naming.begin()).now_or_never().is_some()
        );
        assert!(naming.turn_to_name("reg.example/app:1", naming.begin()).now_or_never().is_none());
        let creating = naming.turn_to_create().await;
        let mut moving = Box::pin(naming.turn_to_move("reg.example/app:1"));
        assert!((&mut moving).now_or_never().is_none());
        assert!(
            naming.turn_to_create().now_or_never().is_some(),
            "a creation waits behind a mover"
        );
        drop(creating);
        assert!(moving.await.is_some());
    }

    /// Fact C9: the name of the sandbox image means the same while sandboxes are made of it; other
    /// tags do not wait for their network.
    #[tokio::test(start_paused = true)]
    async fn attack_a9_making_sandboxes_and_moving_the_tag_of_their_image_take_turns() {
        use futures_util::FutureExt as _;
        let naming = TagNaming::new();
        let making = naming.turn_of_sandbox("reg.example/pause:1").await;
        assert!(naming.turn_of_sandbox("reg.example/pause:1").now_or_never().is_some());
        assert!(naming.turn_to_move("reg.example/pause:1").now_or_never().is_none());
        assert!(naming.turn_to_move("reg.example/app:1").now_or_never().is_some());
        drop(making);
        let moving = naming.turn_to_move("reg.example/pause:1").await;
        assert!(moving.is_some());
        assert!(naming.turn_of_sandbox("reg.example/pause:1").now_or_never().is_none());
    }

    /// Fact C6: while a container is being created no tag moves, and the other way round.
    #[tokio::test(start_paused = true)]
    async fn attack_a9_creating_and_moving_take_turns() {
        use futures_util::FutureExt as _;
        let naming = TagNaming::new();
        let creating = naming.turn_to_create().await;
        assert!(naming.turn_to_create().now_or_never().is_some());
        assert!(naming.turn_to_move("reg.example/app:1").now_or_never().is_none());
        drop(creating);
        let moving = naming.turn_to_move("reg.example/app:1").await;
        assert!(naming.turn_to_create().now_or_never().is_none());
        drop(moving);
        assert!(naming.turn_to_create().now_or_never().is_some());
    }
}
