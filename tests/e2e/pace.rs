//! [`Pace`]: how busy the machine is, and what a promise in seconds means on it.
//!
//! What the product promises within a second it keeps on a machine that does little else. On one
//! that is ten times as slow, starting any program takes ten times as long, and the promise is
//! measured by that.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::ensure;
use crate::stage::{Failure, Outcome};

/// What [`Pace`] starts takes at most this long on a machine that is not busy: 40 ms on two
/// processors of 2.5 GHz.
const UNHURRIED: Duration = Duration::from_millis(80);
/// How often it is started after a promise that was not kept by the clock: a busy machine is not
/// slow at every moment.
const TRIES: usize = 5;

/// The machine's pace before something that must be over in time.
pub struct Pace(Duration);

impl Pace {
    /// Measures it.
    pub fn now() -> Result<Self, Failure> {
        Ok(Self(started()?))
    }

    /// Fails when this took longer than promised: by as many times as the machine is slower, before
    /// or after it, than one that is not busy.
    pub fn hold(&self, what: &str, took: Duration, promised: Duration) -> Outcome {
        if took <= promised {
            return Ok(());
        }
        let mut slowest = self.0;
        for _ in 0..TRIES {
            slowest = slowest.max(started()?);
        }
        let times = (slowest.as_secs_f64() / UNHURRIED.as_secs_f64()).max(1.0);
        let most = promised.mul_f64(times);
        ensure!(
            took <= most,
            "{what} took {took:?}: more than {promised:?}, and than {most:?} on a machine that is \
             {times:.1} times as slow as one that is not busy"
        );
        println!("   (the machine is busy: {what} took {took:.1?}, {times:.1} times is allowed)");
        Ok(())
    }
}

/// How long it takes to start the program and have it say its version.
fn started() -> Result<Duration, Failure> {
    let began = Instant::now();
    let program = env!("CARGO_BIN_EXE_sealgate");
    let status = Command::new(program).arg("--version").stdout(Stdio::null()).status()?;
    ensure!(status.success(), "{program} --version: {status}");
    Ok(began.elapsed())
}
