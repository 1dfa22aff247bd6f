//! An entry as one line of JSON: escaped beyond what JSON asks for, every string and the whole line
//! bounded.
//!
//! References, certificate subjects and annotations are an attacker's text (attack E3). JSON itself
//! escapes only what is below U+0020; here DEL, the C1 controls, line and paragraph separators, and
//! everything that changes or hides the order of text on a terminal become `\u` escapes too, in
//! values and in keys.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{CharEscape, CompactFormatter, Formatter};

use super::error::AuditError;
use super::record::{CallOutcome, FileHead, Finding, Note, Record};

/// The longest line, its newline included, in bytes. What one decision of a few policies with a few
/// dozen signatures needs, twice over; and one page cache read of a line never grows beyond it.
pub(super) const RECORD_MAX: usize = 64 << 10;
/// The longest string, as written, in bytes: the longest legal reference is below 600, a PEM
/// certificate about 2 KiB.
const STRING_MAX: usize = 4 << 10;
/// The longest string of a record that would still be too long without its report: 15 strings of
/// this and the rest are below [`RECORD_MAX`].
const STRING_SHORT: usize = 512;

/// A borrowed [`Entry`](super::Entry).
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Line<'a> {
    Decision(&'a Record),
    Note(&'a Note),
    Finding(&'a Finding),
    Outcome(&'a CallOutcome),
    Head(&'a FileHead),
}

/// The line of a decision. What would make it too long is left out, the report first, and the line
/// says so.
pub(super) fn record(record: &Record) -> Result<Vec<u8>, AuditError> {
    let line = encode(&Line::Decision(record), STRING_MAX)?;
    if line.len() <= RECORD_MAX {
        return Ok(line);
    }
    let cut = serde_json::json!({ "cut": format!("{} bytes of record, at most {RECORD_MAX} are \
        written", line.len()) });
    let mut short = Record { policies: cut, ..record.clone() };
    let line = encode(&Line::Decision(&short), STRING_MAX)?;
    if line.len() <= RECORD_MAX {
        return Ok(line);
    }
    short.timings.clear();
    encode(&Line::Decision(&short), STRING_SHORT)
}

/// The line of a finding. What would make it too long is left out, the detail first, and the line
/// says so.
pub(super) fn finding(finding: &Finding) -> Result<Vec<u8>, AuditError> {
    let line = encode(&Line::Finding(finding), STRING_MAX)?;
    if line.len() <= RECORD_MAX {
        return Ok(line);
    }
    let cut = format!("{} bytes of record, at most {RECORD_MAX} are written", line.len());
    let short = Finding { detail: [("cut".into(), cut)].into(), ..finding.clone() };
    encode(&Line::Finding(&short), STRING_SHORT)
}

/// The line of an outcome. Where its texts are so long that it would not fit, they are cut shorter.
pub(super) fn outcome(outcome: &CallOutcome) -> Result<Vec<u8>, AuditError> {
    let line = encode(&Line::Outcome(outcome), STRING_MAX)?;
    if line.len() <= RECORD_MAX { Ok(line) } else { encode(&Line::Outcome(outcome), STRING_SHORT) }
}

/// The line of a head.
pub(super) fn head(head: &FileHead) -> Result<Vec<u8>, AuditError> {
    encode(&Line::Head(head), STRING_MAX)
}

/// The line of a note. Only a fragment can be long, and that one may fill the line.
pub(super) fn note(note: &Note) -> Result<Vec<u8>, AuditError> {
    encode(&Line::Note(note), RECORD_MAX / 2)
}

fn encode(line: &Line<'_>, string_max: usize) -> Result<Vec<u8>, AuditError> {
    let mut out = Vec::with_capacity(1024);
    let formatter = Careful { max: string_max, written: 0, cut: 0, inner: CompactFormatter };
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, formatter);
    line.serialize(&mut serializer)
        .map_err(|error| AuditError::Encode { message: error.to_string() })?;
    out.push(b'\n');
    Ok(out)
}

/// Writes compact JSON, escapes [`dangerous`] characters, and cuts strings.
struct Careful {
    max: usize,
    /// Bytes of the present string that were written.
    written: usize,
    /// Bytes of the present string, as they came, that were left out.
    cut: usize,
    inner: CompactFormatter,
}

impl Careful {
    /// Whether `cost` more bytes of a string may be written; otherwise `length` bytes of it are
    /// counted as left out. Once something was left out, the rest of the string is: no gap in the
    /// middle.
    fn admits(&mut self, cost: usize, length: usize) -> bool {
        if self.cut > 0 || self.written + cost > self.max {
            self.cut += length;
            return false;
        }
        self.written += cost;
        true
    }
}

impl Formatter for Careful {
    fn begin_string<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        (self.written, self.cut) = (0, 0);
        self.inner.begin_string(writer)
    }

    fn end_string<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        if self.cut > 0 {
            write!(writer, "...[{} bytes cut]", self.cut)?;
        }
        self.inner.end_string(writer)
    }

    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        if !fragment.chars().any(dangerous)
            && self.cut == 0
            && self.written + fragment.len() <= self.max
        {
            self.written += fragment.len();
            return writer.write_all(fragment.as_bytes());
        }
        let mut units = [0; 2];
        let mut utf8 = [0; 4];
        for c in fragment.chars() {
            if !dangerous(c) {
                if self.admits(c.len_utf8(), c.len_utf8()) {
                    writer.write_all(c.encode_utf8(&mut utf8).as_bytes())?;
                }
                continue;
            }
            let units = c.encode_utf16(&mut units);
            if self.admits(6 * units.len(), c.len_utf8()) {
                for unit in units {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
        }
        Ok(())
    }

    fn write_char_escape<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        escape: CharEscape,
    ) -> io::Result<()> {
        let cost = if matches!(escape, CharEscape::AsciiControl(_)) { 6 } else { 2 };
        if self.admits(cost, 1) { self.inner.write_char_escape(writer, escape) } else { Ok(()) }
    }
}

/// Characters that a terminal, a log viewer or a reader may take for something else than a letter:
/// controls, line breaks, and everything invisible or that turns the direction of text (Unicode
/// categories Cc, Cf, Zl, Zp as far as they are of that kind; Unicode Technical Report 36,
/// "Bidirectional Text Spoofing").
fn dangerous(c: char) -> bool {
    matches!(c,
        '\u{00}'..='\u{1f}'
        | '\u{7f}'..='\u{9f}'
        | '\u{ad}'
        | '\u{61c}'
        | '\u{180e}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::record::stamp::Ids;
    use super::super::record::verdict::Verdict;
    use super::super::record::{Call, Entry, Reason};
    use super::*;

    fn refusal(reference: &str) -> Record {
        let id = Ids::new(1).next(Duration::from_secs(1));
        let mut record = Record::new(
            id,
            Call::PullImage,
            Verdict::Refused,
            Reason::new("no_signature", "none found"),
        );
        reference.clone_into(&mut record.reference);
        record
    }

    fn text(record: &Record) -> String {
        String::from_utf8(super::record(record).unwrap()).unwrap()
    }

    #[test]
    fn reads_back_as_it_was() {
        let mut written = refusal("registry.example.com/app:1 \"quoted\" \\ näive 漢字 🦀");
        written.policies =
            serde_json::json!({"documents": [{"policy": "production", "satisfied": false}]});
        written.timings.insert("resolve".into(), 1234);
        let line = text(&written);
        assert!(
            line.ends_with("}\n") && line.starts_with(r#"{"kind":"decision","schema":3,"id":"#),
            "{line}"
        );
        assert_eq!(line.matches('\n').count(), 1);
        let read: Entry = serde_json::from_str(&line).unwrap();
        assert_eq!(read, Entry::Decision(Box::new(written)));
    }

    #[test]
    fn attack_e3_controls_and_overrides_never_reach_the_file() {
        let hostile = "a\nb\u{1b}[2J\u{7f}\u{85}\u{9b}31m\u{2028}\u{2029}\u{202e}gnp.\u{2066}\u{200b}\u{feff}\u{e0041}z";
        let mut record = refusal(hostile);
        record.reason.message = hostile.to_owned();
        record.policies = serde_json::json!({ hostile: [hostile] });
        record.pod.name = Some(hostile.to_owned());
        let line = text(&record);
        let body = line.trim_end_matches('\n');
        assert!(!body.chars().any(dangerous), "{body:?}");
        for escape in [
            r"\u001b",
            r"\u007f",
            r"\u0085",
            r"\u009b",
            r"\u2028",
            r"\u2029",
            r"\u202e",
            r"\u2066",
            r"\udb40\udc41",
        ] {
            assert!(body.contains(escape), "{escape} in {body}");
        }
        assert_eq!(
            serde_json::from_str::<Entry>(&line).unwrap(),
            Entry::Decision(Box::new(record)),
            "nothing is lost"
        );
    }

    #[test]
    fn long_strings_are_cut_and_say_so() {
        let line = text(&refusal(&"é".repeat(100_000)));
        let Entry::Decision(read) = serde_json::from_str(&line).unwrap() else {
            panic!("a decision")
        };
        let kept = STRING_MAX / 2;
        assert_eq!(
            read.reference,
            format!("{}...[{} bytes cut]", "é".repeat(kept), 200_000 - STRING_MAX)
        );
        let line = text(&refusal(&format!("{}\u{202e}tail", "x".repeat(STRING_MAX - 1))));
        let Entry::Decision(read) = serde_json::from_str(&line).unwrap() else {
            panic!("a decision")
        };
        assert_eq!(
            read.reference,
            format!("{}...[7 bytes cut]", "x".repeat(STRING_MAX - 1)),
            "no gap, no half escape"
        );
    }

    #[test]
    fn attack_d1_no_record_is_longer_than_a_line_may_be() {
        let mut record = refusal("registry.example.com/app:1");
        let report: Vec<_> =
            (0..1000).map(|n| serde_json::json!({"signature": "y".repeat(1000), "n": n})).collect();
        record.policies = serde_json::Value::Array(report);
        let line = text(&record);
        assert!(line.len() <= RECORD_MAX);
        let Entry::Decision(read) = serde_json::from_str(&line).unwrap() else {
            panic!("a decision")
        };
        assert!(read.policies["cut"].as_str().unwrap().ends_with("at most 65536 are written"));
        assert_eq!(read.reference, record.reference);

        let hostile = "\u{1}".repeat(1 << 20);
        let all = || Some(hostile.clone());
        record.pod = super::super::Pod { namespace: all(), name: all(), uid: all() };
        (record.container, record.container_id, record.digest, record.image_id) =
            (all(), all(), all(), all());
        (record.policy_generation, record.trust_generation) = (all(), all());
        record.platform_manifest = all();
        (record.reference, record.reason.message) = (hostile.clone(), hostile.clone());
        (record.method, record.reason.code) =
            (Some(hostile.clone().into()), hostile.clone().into());
        record.timings = (0..10_000).map(|n| (format!("{n}").into(), n)).collect();
        let line = text(&record);
        assert!(line.len() <= RECORD_MAX, "{}", line.len());
        assert!(serde_json::from_str::<Entry>(&line).is_ok());
    }
}
