//! [`output`]: what a program of the node says, in bounded time and length.

use std::fmt;
use std::io;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

/// How long a program may take: `systemctl show` takes some ten milliseconds.
const TIME_MAX: Duration = Duration::from_secs(5);
/// Longest output that is read, in bytes; of a unit with all its properties it has 20 KiB.
const OUTPUT_MAX: u64 = 256 << 10;

/// Why a program said nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unsaid {
    /// It could not be started.
    Start(io::ErrorKind),
    /// It took too long.
    Slow,
    /// It wrote too much, or no text.
    Output,
    /// It failed.
    Failed,
}

/// Runs a program, found by its name as a shell would, and returns what it wrote. When it takes too
/// long it is killed.
///
/// # Errors
/// [`Unsaid`] when that is nothing to go by.
pub async fn output(program: &str, arguments: &[&str]) -> Result<String, Unsaid> {
    tokio::time::timeout(TIME_MAX, run(program, arguments)).await.unwrap_or(Err(Unsaid::Slow))
}

async fn run(program: &str, arguments: &[&str]) -> Result<String, Unsaid> {
    let started = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn();
    let mut child = started.map_err(|error| Unsaid::Start(error.kind()))?;
    let mut bytes = Vec::new();
    if let Some(out) = child.stdout.take() {
        out.take(OUTPUT_MAX + 1).read_to_end(&mut bytes).await.map_err(|_| Unsaid::Output)?;
    }
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > OUTPUT_MAX {
        return Err(Unsaid::Output);
    }
    match child.wait().await {
        Ok(status) if status.success() => String::from_utf8(bytes).map_err(|_| Unsaid::Output),
        Ok(_) | Err(_) => Err(Unsaid::Failed),
    }
}

impl fmt::Display for Unsaid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(io::ErrorKind::NotFound) => f.write_str("is not installed"),
            Self::Start(kind) => write!(f, "could not be started: {kind}"),
            Self::Slow => write!(f, "gave no answer within {} s", TIME_MAX.as_secs()),
            Self::Output => f.write_str("gave an answer that cannot be read"),
            Self::Failed => f.write_str("failed"),
        }
    }
}

impl std::error::Error for Unsaid {}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_is_read_and_none_holds_up_its_reader() {
        assert_eq!(output("sh", &["-c", "echo $LC_ALL"]).await.as_deref(), Ok("C\n"));
        assert_eq!(output("sh", &["-c", "echo x; exit 3"]).await, Err(Unsaid::Failed));
        assert_eq!(output("sh", &["-c", "printf '\\377'"]).await, Err(Unsaid::Output));
        assert_eq!(output("yes", &[]).await, Err(Unsaid::Output));
        let absent = output("sealgate-is-no-such-program", &[]).await;
        assert_eq!(absent, Err(Unsaid::Start(io::ErrorKind::NotFound)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_program_that_hangs_is_given_up() {
        assert_eq!(output("sleep", &["600"]).await, Err(Unsaid::Slow));
    }
}
