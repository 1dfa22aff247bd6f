//! Elements of DER that the libraries do not give by themselves.

use x509_cert::der::{Reader as _, SliceReader};
use x509_cert::time::Time;

/// A time of X.509, whose resolution is one second.
pub(in crate::verify) fn timestamp(time: Time) -> Option<jiff::Timestamp> {
    let seconds = time.to_unix_duration().as_secs();
    jiff::Timestamp::from_second(i64::try_from(seconds).ok()?).ok()
}

/// What a DER element holds.
pub(in crate::verify) fn value(element: &[u8]) -> Option<&[u8]> {
    let mut reader = SliceReader::new(element).ok()?;
    let length = reader.decode::<x509_cert::der::Header>().ok()?.length;
    let value = reader.read_slice(length).ok()?;
    reader.is_finished().then_some(value)
}
