//! [`Input`]: the bytes of a file of a log, as they stand in it or unpacked (gzip), or of a pipe.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;

use flate2::bufread::MultiGzDecoder;

/// Bytes that are read at once: a few dozen lines.
pub(super) const BUFFER: usize = 64 << 10;
/// Bytes by which two files are compared: the id of the first line is among them.
const BEGINNING: u64 = 128;
/// How a packed file begins (RFC 1952); no line of a log does.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Where lines come from.
pub(super) enum Input {
    /// A file as a log writes it, which may grow.
    Plain(BufReader<File>),
    /// What is read once from its beginning: a packed file, with a second handle that tells how far
    /// it was read, or a pipe.
    Once(Box<dyn BufRead>, Option<File>),
}

impl Input {
    /// A file; packed where its first bytes say so.
    ///
    /// # Errors
    /// The system's, when it cannot be read.
    pub(super) fn of_file(file: File) -> io::Result<Self> {
        let place = file.try_clone();
        let is_packed = is_packed(&file)?;
        let file = BufReader::with_capacity(BUFFER, file);
        Ok(if is_packed { Self::Once(unpacked(file), place.ok()) } else { Self::Plain(file) })
    }

    /// A pipe; packed where its first bytes say so.
    ///
    /// # Errors
    /// The system's, when it cannot be read.
    pub(super) fn of_pipe(pipe: impl Read + 'static) -> io::Result<Self> {
        let (mut pipe, mut first) = (BufReader::with_capacity(BUFFER, pipe), Vec::new());
        // It may come byte by byte.
        (&mut pipe).take(2).read_to_end(&mut first)?;
        let is_packed = first == GZIP;
        let whole = Cursor::new(first).chain(pipe);
        Ok(Self::Once(if is_packed { unpacked(whole) } else { Box::new(whole) }, None))
    }

    /// The bytes, one after the other.
    pub(super) fn bytes(&mut self) -> &mut dyn BufRead {
        match self {
            Self::Plain(file) => file,
            Self::Once(bytes, _) => bytes.as_mut(),
        }
    }

    /// The file, where it is one that may grow.
    pub(super) fn growing(&mut self) -> Option<&mut BufReader<File>> {
        match self {
            Self::Plain(file) => Some(file),
            Self::Once(..) => None,
        }
    }

    /// The same, to look at.
    pub(super) fn plain(&self) -> Option<&File> {
        match self {
            Self::Plain(file) => Some(file.get_ref()),
            Self::Once(..) => None,
        }
    }

    /// How many bytes of the file behind it were read, of one that is packed.
    pub(super) fn packed_place(&mut self) -> Option<u64> {
        match self {
            Self::Once(_, place) => place.as_mut()?.stream_position().ok(),
            Self::Plain(_) => None,
        }
    }
}

/// Whether a file is packed.
pub(super) fn is_packed(file: &File) -> io::Result<bool> {
    let mut first = [0; GZIP.len()];
    Ok(file.read_at(&mut first, 0)? == first.len() && first == GZIP)
}

fn unpacked(bytes: impl BufRead + 'static) -> Box<dyn BufRead> {
    Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(bytes)))
}

/// How long a packed file says that what it holds is, modulo 2^32 (RFC 1952): its last four bytes.
pub(super) fn unpacked_length(file: &File) -> io::Result<u64> {
    let mut last = [0; 4];
    let at = file.metadata()?.len().saturating_sub(4);
    file.read_exact_at(&mut last, at)?;
    Ok(u32::from_le_bytes(last).into())
}

/// The first bytes of a file, unpacked, for telling whether two hold the same.
pub(super) fn beginning(file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut input = Input::of_file(file.try_clone()?)?;
    let read = input.bytes().take(BEGINNING).read_to_end(&mut bytes);
    // Both handles have one place in the file.
    let mut file = file;
    file.seek(SeekFrom::Start(0))?;
    read.map(|_| bytes)
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain(_) => "Plain",
            Self::Once(..) => "Once",
        })
    }
}
