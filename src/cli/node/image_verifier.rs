//! `sealgate image-verifier`: a program of containerd's image verifier (`bindir`), which asks the
//! running gate.
//!
//! containerd runs each program of its folder with `-name`, `-digest` and `-stdin-media-type`, the
//! image's descriptor on its input, and takes exit code 0 for yes, any other for no, and the output
//! for the reason (containerd's docs/image-verification.md). What is not understood is a no.

use std::io::Read;

use clap::Args;
use serde::Deserialize;

use crate::cli::terminal::gate::{NOT_UNDERSTOOD, ask_daemon};
use crate::cli::terminal::screen::{Exit, Screen, plain};
use crate::config::Settings;
use crate::control::{Answer, Request};
use crate::errno;

/// The name by which the program is a verifier without being told: containerd runs the files of its
/// folder with arguments of its own.
pub(in crate::cli) const PROGRAM: &str = "sealgate-image-verifier";
/// Longest descriptor, in bytes: one has some hundred, and annotations of at most a few KiB.
const INPUT_MAX: u64 = 64 << 10;
/// Longest reason, in characters: containerd reads 32 KiB.
const REASON_MAX: usize = 4096;
/// Longest argument, in bytes: a name of 255 characters, with host, tag and digest.
const ARGUMENT_MAX: usize = 1024;
/// What the input must be.
const DESCRIPTOR: &str = "application/vnd.oci.descriptor.v1+json";

/// What containerd says, in its own way.
#[derive(Debug, Args)]
pub(in crate::cli) struct Options {
    /// -name NAME -digest DIGEST -stdin-media-type TYPE
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENT")]
    arguments: Vec<String>,
}

/// The image that is asked about.
#[derive(Debug, PartialEq, Eq)]
struct VerifierQuestion {
    name: String,
    digest: String,
}

/// An OCI descriptor, as far as it matters.
#[derive(Debug, Deserialize)]
struct InputDescriptor {
    digest: String,
}

/// Asks the gate, and answers containerd.
pub(in crate::cli) fn run(options: &Options, settings: &Settings, screen: &mut Screen) -> Exit {
    let asked = match read(&options.arguments, std::io::stdin().lock()) {
        Ok(asked) => asked,
        Err(why) => return say(Exit::Unable, &format!("not understood: {why}"), screen),
    };
    let VerifierQuestion { name, digest } = asked;
    match ask_daemon(settings, Request::VerifyImage { name, digest }) {
        Ok(Answer::MayBring { verdict, message }) => {
            say_as(Exit::Done, (Some(&verdict), &message), screen)
        }
        Ok(Answer::MayNotBring { code, message }) => {
            say(Exit::Refused, &format!("{code}: {message}"), screen)
        }
        Ok(_) => say(Exit::Unable, NOT_UNDERSTOOD, screen),
        Err(error) => say(Exit::Unable, &error, screen),
    }
}

/// The reason, on the output that containerd reads.
pub(in crate::cli) fn say(exit: Exit, reason: &str, screen: &mut Screen) -> Exit {
    say_as(exit, (None, reason), screen)
}

/// The same, with the verdict for programs.
fn say_as(exit: Exit, (verdict, reason): (Option<&str>, &str), screen: &mut Screen) -> Exit {
    let reason: String = plain(reason).chars().take(REASON_MAX).collect();
    if screen.is_json() {
        // What may be pulled is not always admitted: the verdict says by what it may.
        let admitted = exit == Exit::Done;
        screen.json(&match verdict {
            Some(verdict) => serde_json::json!({
                "admitted": admitted, "verdict": verdict, "reason": reason
            }),
            None => serde_json::json!({ "admitted": admitted, "reason": reason }),
        });
    } else {
        screen.line(&reason);
    }
    exit
}

/// What containerd asks, by its arguments and its input, which must agree.
fn read(arguments: &[String], input: impl Read) -> Result<VerifierQuestion, String> {
    let (mut name, mut digest, mut media_type, mut operation) = (None, None, None, None);
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let place = match word.as_str() {
            "-name" => &mut name,
            "-digest" => &mut digest,
            "-stdin-media-type" => &mut media_type,
            "-operation" => &mut operation,
            other => return Err(format!("the argument {other:?}")),
        };
        let value = words.next().ok_or_else(|| format!("{word} has no value"))?;
        if value.len() > ARGUMENT_MAX {
            return Err(format!("{word} is longer than {ARGUMENT_MAX} bytes"));
        }
        if place.replace(value.clone()).is_some() {
            return Err(format!("{word} is given twice"));
        }
    }
    if let Some(operation) = operation.filter(|operation| operation != "pull") {
        return Err(format!(
            "it asks at {operation:?}; the gate decides about containers when they are created, set \
             verify_on_run = false"
        ));
    }
    if media_type.as_deref() != Some(DESCRIPTOR) {
        let is = media_type.unwrap_or_else(|| "not said".to_owned());
        return Err(format!("the input is {is}, expected {DESCRIPTOR}"));
    }
    let name = name.ok_or("no -name")?;
    let digest = digest.ok_or("no -digest")?;
    let mut bytes = Vec::new();
    let read = input.take(INPUT_MAX + 1).read_to_end(&mut bytes);
    read.map_err(|error| format!("the input cannot be read: {}", errno::told(&error)))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > INPUT_MAX {
        return Err(format!("the input is longer than {INPUT_MAX} bytes"));
    }
    let descriptor: InputDescriptor = serde_json::from_slice(&bytes)
        .map_err(|error| format!("the input is no descriptor: {error}"))?;
    if descriptor.digest != digest {
        return Err(format!("the input is about {}, -digest about {digest}", descriptor.digest));
    }
    Ok(VerifierQuestion { name, digest })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(arguments: &[&str], input: &str) -> Result<VerifierQuestion, String> {
        let arguments: Vec<String> = arguments.iter().map(|word| (*word).to_owned()).collect();
        read(&arguments, input.as_bytes())
    }

    const WELL: [&str; 6] =
        ["-name", "r.test/a:1", "-digest", "sha256:0", "-stdin-media-type", DESCRIPTOR];
    const INPUT: &str = r#"{"mediaType":"x","digest":"sha256:0","size":3}"#;

    #[test]
    fn what_containerd_sends_is_read() {
        let asked =
            VerifierQuestion { name: "r.test/a:1".to_owned(), digest: "sha256:0".to_owned() };
        assert_eq!(of(&WELL, INPUT).as_ref(), Ok(&asked));
        assert_eq!(of(&[&WELL[..], &["-operation", "pull"]].concat(), INPUT), Ok(asked));
    }

    #[test]
    fn attack_a5_what_can_be_read_in_two_ways_or_not_at_all_is_a_no() {
        for more in [
            &["-name", "r.test/b:1"][..],
            &["-digest", "sha256:1"],
            &["-operation", "run"],
            &["-annotations", "x"],
            &["-operation"],
            &["stray"],
        ] {
            assert!(of(&[&WELL[..], more].concat(), INPUT).is_err(), "{more:?}");
        }
        for without in 0..3 {
            let mut fewer = WELL.to_vec();
            fewer.drain(without * 2..without * 2 + 2);
            assert!(of(&fewer, INPUT).is_err(), "{fewer:?}");
        }
        let long = "x".repeat(ARGUMENT_MAX + 1);
        let large = format!("{INPUT}{}", " ".repeat(usize::try_from(INPUT_MAX).unwrap()));
        assert!(of(&["-name", &long], INPUT).is_err());
        for input in ["", "{}", "[]", r#"{"digest":"sha256:1"}"#, large.as_str()] {
            assert!(of(&WELL, input).is_err(), "{} bytes", input.len());
        }
        let twice = r#"{"digest":"sha256:1","digest":"sha256:0"}"#;
        assert!(of(&WELL, twice).is_err(), "a field that stands twice");
    }
}
