//! [`TreeHead`]: how large a log was and what its root was: the text of a checkpoint, without its
//! signatures (C2SP `tlog-checkpoint`).

use std::fmt;
use std::str::FromStr;

use super::hash::TreeHash;

/// Entries that a log has at most: 2^48, a million in each second of nine years. A head that claims more
/// is somebody's attempt to leave no room for what follows.
pub const ENTRIES_MAX: u64 = 1 << 48;

/// A log at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeHead {
    /// Which log; the name of its key.
    pub origin: String,
    /// How many entries it had.
    pub size: u64,
    /// The root over them.
    pub root: TreeHash,
}

/// Why a text is no checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadError {
    /// It does not have three lines, or one of them is empty.
    Lines,
    /// The second line is not a number, as it would be written, or above [`ENTRIES_MAX`].
    Size,
    /// The third line is no hash.
    Root,
}

impl fmt::Display for TreeHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { origin, size, root } = self;
        write!(f, "{origin}\n{size}\n{root}\n")
    }
}

impl FromStr for TreeHead {
    type Err = HeadError;

    /// Lines beyond the third are extensions: signed, and not looked at.
    fn from_str(text: &str) -> Result<Self, HeadError> {
        let whole = text.strip_suffix('\n').ok_or(HeadError::Lines)?;
        let mut lines = whole.split('\n');
        let mut line = || lines.next().filter(|line| !line.is_empty()).ok_or(HeadError::Lines);
        let (origin, size, root) = (line()?, line()?, line()?);
        let number: u64 = size.parse().map_err(|_| HeadError::Size)?;
        if number.to_string() != size || number > ENTRIES_MAX {
            return Err(HeadError::Size);
        }
        let root = root.parse().map_err(|_| HeadError::Root)?;
        Ok(Self { origin: origin.to_owned(), size: number, root })
    }
}

/// The lines of a checkpoint's text beyond the third: signed with the head, and the log's own affair.
pub fn extensions(text: &str) -> impl Iterator<Item = &str> {
    text.lines().skip(3)
}

impl fmt::Display for HeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lines => "a checkpoint has the lines origin, size and root",
            Self::Size => "the second line of a checkpoint is a number of entries",
            Self::Root => "the third line of a checkpoint is a hash: 32 bytes in base64",
        })
    }
}

impl std::error::Error for HeadError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_no_checkpoint_is_refused_by_its_line() {
        let good = format!("example.com/log\n7\n{}\n", TreeHash::of_nothing());
        let head: TreeHead = good.parse().unwrap();
        assert_eq!((head.origin.as_str(), head.size), ("example.com/log", 7));
        assert_eq!(head.to_string(), good);
        let extended = format!("{good}more\n").parse::<TreeHead>();
        assert_eq!(extended, Ok(head));
        assert_eq!(extensions(&format!("{good}more\n")).collect::<Vec<_>>(), ["more"]);
        let cases = [
            ("", HeadError::Lines),
            ("\n7\nx\n", HeadError::Lines),
            ("a\n7\n", HeadError::Lines),
            ("a\n07\nx\n", HeadError::Size),
            ("a\n+7\nx\n", HeadError::Size),
            ("a\n-1\nx\n", HeadError::Size),
            ("a\n18446744073709551616\nx\n", HeadError::Size),
            ("a\n18446744073709551615\nx\n", HeadError::Size),
            ("a\n7\nAAAA\n", HeadError::Root),
        ];
        for (text, error) in cases {
            assert_eq!(text.parse::<TreeHead>(), Err(error), "{text:?}");
        }
        assert_eq!(good.trim_end().parse::<TreeHead>(), Err(HeadError::Lines));
    }
}
