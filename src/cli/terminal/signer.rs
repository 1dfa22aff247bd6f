//! Who signed, when, and which log entry says so, in lines for people: from the report of a
//! judgement or of a record, as JSON, so that `verify` and `audit show` say the same.
//!
//! What a report does not have is left out; a record of another version shows what it has.

use serde_json::Value;

use super::screen::{Screen, plain};

/// The extensions of a certificate that people look for; the others are in the JSON.
const EXTENSIONS: [(&str, &str); 8] = [
    ("sourceRepositoryURI", "repository"),
    ("sourceRepositoryRef", "ref"),
    ("sourceRepositoryDigest", "commit"),
    ("buildSignerURI", "built by"),
    ("buildTrigger", "trigger"),
    ("runnerEnvironment", "runner"),
    ("runInvocationURI", "run"),
    ("deploymentEnvironment", "deployment"),
];

/// Prints a signer, every line after `indent` spaces or more.
pub(in crate::cli) fn print(signer: &Value, indent: usize, screen: &mut Screen) {
    let holder = signer.get("certificate");
    let who = match holder {
        Some(holder) => text(holder, "subject").unwrap_or("a certificate without a name"),
        None if text(signer, "file").is_none() && text(signer, "key").is_some() => {
            "a key in the policy"
        }
        None => text(signer, "file").unwrap_or("?"),
    };
    screen.line(&format!("{:indent$}signed by {}", "", plain(who)));
    let details = holder.map_or_else(|| key(signer), certificate);
    for (name, value) in details.into_iter().chain(times(signer)).chain(entries(signer)) {
        screen.line(&format!("{:indent$}  {name:<11} {}", "", plain(&value)));
    }
}

fn key(signer: &Value) -> Vec<(&'static str, String)> {
    text(signer, "key").map(|key| ("key", key.to_owned())).into_iter().collect()
}

fn certificate(holder: &Value) -> Vec<(&'static str, String)> {
    let extensions = holder.get("extensions").unwrap_or(&Value::Null);
    let named = [("subjectKind", "kind"), ("issuer", "issuer")]
        .map(|(field, name)| (name, text(holder, field)));
    let extended = EXTENSIONS.map(|(field, name)| (name, text(extensions, field)));
    let last = [("trustRoot", "trust root"), ("fingerprint", "certificate")];
    let last = last.map(|(field, name)| (name, text(holder, field)));
    let all = named.into_iter().chain(extended).chain(last);
    all.filter_map(|(name, value)| Some((name, value?.to_owned()))).collect()
}

fn times(signer: &Value) -> impl Iterator<Item = (&'static str, String)> {
    list(signer, "times").iter().map(|time| {
        let by: Vec<&str> = [text(time, "by"), text(time, "name")].into_iter().flatten().collect();
        ("at", format!("{}, says {}", text(time, "time").unwrap_or("?"), by.join(" ")))
    })
}

fn entries(signer: &Value) -> impl Iterator<Item = (&'static str, String)> {
    list(signer, "logEntries").iter().map(|entry| {
        let log = text(entry, "log").unwrap_or("?");
        let index = entry.get("index").and_then(Value::as_u64);
        (
            "log entry",
            index.map_or_else(|| format!("in {log}"), |index| format!("{index} in {log}")),
        )
    })
}

/// A list in a report; empty where there is none.
pub(in crate::cli) fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A text in a report.
pub(in crate::cli) fn text<'a>(value: &'a Value, field: &str) -> Option<&'a str> {
    value.get(field).and_then(Value::as_str).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::terminal::screen::Output;

    fn shown(signer: &Value) -> String {
        let (mut screen, out) = Screen::into_memory(Output::Text);
        print(signer, 0, &mut screen);
        out.text()
    }

    #[test]
    fn a_certificate_is_shown_with_what_people_look_for() {
        let signer = json!({
            "certificate": {
                "subject": "https://github.com/acme/app/.github/workflows/release.yml@refs/tags/v1",
                "subjectKind": "uri",
                "issuer": "https://token.actions.githubusercontent.com",
                "extensions": {"sourceRepositoryURI": "https://github.com/acme/app", "tokenSubject": "x"},
                "fingerprint": "sha256:00",
                "trustRoot": "public-good",
            },
            "times": [{"time": "2025-06-01T12:00:00Z", "by": "log", "name": "https://rekor.example"}],
            "logEntries": [{"log": "https://rekor.example", "index": 7}, {"log": "https://rekor2.example"}],
        });
        assert_eq!(
            shown(&signer),
            "signed by https://github.com/acme/app/.github/workflows/release.yml@refs/tags/v1\n  \
             kind        uri\n  \
             issuer      https://token.actions.githubusercontent.com\n  \
             repository  https://github.com/acme/app\n  \
             trust root  public-good\n  \
             certificate sha256:00\n  \
             at          2025-06-01T12:00:00Z, says log https://rekor.example\n  \
             log entry   7 in https://rekor.example\n  \
             log entry   in https://rekor2.example\n"
        );
    }

    /// Attack E3: a record that somebody wrote into has no power over the terminal.
    #[test]
    fn attack_e3_names_in_certificates_have_no_power_over_the_terminal() {
        let evil = "\u{1b}[2J\n\u{202e}";
        let signer = json!({"certificate": {"subject": evil, "issuer": evil}, "times": [{"time": evil, "name": evil}]});
        let shown = shown(&signer);
        assert!(!shown.contains('\u{1b}') && !shown.contains('\u{202e}'), "{shown:?}");
        assert_eq!(shown.lines().count(), 3, "{shown:?}");
    }

    #[test]
    fn what_a_report_does_not_have_is_left_out() {
        assert_eq!(
            shown(&json!({"key": "sha256:00", "file": "build.pub"})),
            "signed by build.pub\n  key         sha256:00\n"
        );
        assert_eq!(shown(&json!({})), "signed by ?\n");
    }
}
