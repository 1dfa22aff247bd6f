//! [`DiskTask`]: one touch of the disk that may take longer than anybody waits for it. Those that
//! are left and have not ended are counted: while there are any, the disk hangs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

/// One touch of the disk, as those who wait and the thread that does it see it.
pub(crate) struct DiskTask {
    state: AtomicU8,
    stuck: Arc<AtomicUsize>,
}

impl DiskTask {
    const WAITED_FOR: u8 = 0;
    const ENDED: u8 = 1;
    const LEFT: u8 = 2;

    /// One that is waited for, and what it holds.
    pub(crate) fn begin(stuck: &Arc<AtomicUsize>) -> (Arc<Self>, TaskGuard) {
        let errand =
            Arc::new(Self { state: AtomicU8::new(Self::WAITED_FOR), stuck: Arc::clone(stuck) });
        (Arc::clone(&errand), TaskGuard(errand))
    }

    /// It has ended; when nobody waited any more, the disk answers again.
    fn ended(&self) {
        if self.state.swap(Self::ENDED, Ordering::AcqRel) == Self::LEFT {
            self.stuck.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Nobody waits any more. Counted before it is said, so that whoever ends it finds it counted.
    pub(crate) fn left(&self) {
        self.stuck.fetch_add(1, Ordering::Relaxed);
        let left = self.state.compare_exchange(
            Self::WAITED_FOR,
            Self::LEFT,
            Ordering::AcqRel,
            Ordering::Acquire,
        );
        if left.is_err() {
            self.stuck.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// What a touch of the disk holds for as long as it may be under way. It ends when this is dropped:
/// also when its turn never came, or it panicked.
pub(crate) struct TaskGuard(Arc<DiskTask>);

impl Drop for TaskGuard {
    fn drop(&mut self) {
        self.0.ended();
    }
}
