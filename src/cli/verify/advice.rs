//! [`advice`]: the command by which an image would come to have the signature that is missing.

use std::path::Path;

use crate::policy::{DeniedBy, SigningParty, SigningWay};

/// A command of cosign's, and what there is to know about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SigningAdvice {
    /// The command line.
    pub(super) command: String,
    /// By whom it must be run, or with what.
    pub(super) by: String,
}

/// How `pinned`, the image by its digest, is signed in this way; what denies every signer, where none
/// is left whose signature would count.
pub(super) fn advice(way: &SigningWay, pinned: &str) -> Result<SigningAdvice, DeniedBy> {
    let mut words = Vec::new();
    if let Some(repository) = &way.repository {
        words.push(format!("COSIGN_REPOSITORY={}", quoted(repository)));
    }
    words.push("cosign".to_owned());
    match &way.predicate_types {
        None => words.push("sign".to_owned()),
        Some(types) => {
            let first = types.first().map(String::as_str).unwrap_or_default();
            words.push(format!("attest --type {} --predicate FILE", quoted(first)));
        }
    }
    let by = match &way.by {
        SigningParty::Key(file) => {
            words.push(format!("--key {}", quoted(&private_half(file.as_deref()))));
            let public = file.as_deref().unwrap_or("the key that the policy has");
            format!("with the private half of {public}, a file or a KMS reference")
        }
        SigningParty::Keyless(identity) => format!("run by {identity}"),
        SigningParty::Certificate(identity) => {
            words.push("--key KEY --certificate CERTIFICATE --certificate-chain CHAIN".to_owned());
            format!("with the certificate of {identity}")
        }
        SigningParty::Nobody(by) => return Err(by.clone()),
    };
    if way.needs_timestamp {
        words.push("--timestamp-server-url URL".to_owned());
    }
    words.push(quoted(pinned));
    Ok(SigningAdvice { command: words.join(" "), by })
}

/// The name that cosign gives the private key beside a public one.
fn private_half(public: Option<&str>) -> String {
    let stem = public.and_then(|file| Path::new(file).file_stem()).and_then(|stem| stem.to_str());
    stem.map_or_else(|| "KEY".to_owned(), |stem| format!("{stem}.key"))
}

/// A word as a shell takes it whole: what a policy or an image says never ends the command.
fn quoted(word: &str) -> String {
    let is_plain =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | ':' | '@');
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGE: &str = "reg.test/app@sha256:11";

    fn way(by: SigningParty) -> SigningWay {
        SigningWay {
            policy: "production".to_owned(),
            requirement: "build".to_owned(),
            predicate_types: None,
            by,
            repository: None,
            needs_timestamp: false,
        }
    }

    #[test]
    fn a_key_signs_with_its_private_half_where_the_policy_looks() {
        let key = way(SigningParty::Key(Some("team/build.pub".to_owned())));
        assert_eq!(
            advice(&key, IMAGE).unwrap().command,
            format!("cosign sign --key build.key {IMAGE}")
        );
        let elsewhere = SigningWay { repository: Some("reg.test/signatures".to_owned()), ..key };
        assert_eq!(
            advice(&elsewhere, IMAGE).unwrap().command,
            format!("COSIGN_REPOSITORY=reg.test/signatures cosign sign --key build.key {IMAGE}")
        );
    }

    #[test]
    fn an_identity_signs_without_a_key_and_attests_with_its_type() {
        let keyless = way(SigningParty::Keyless("a@b.test by https://issuer.test".to_owned()));
        let said = advice(&keyless, IMAGE).unwrap();
        assert_eq!(said.command, format!("cosign sign {IMAGE}"));
        assert_eq!(said.by, "run by a@b.test by https://issuer.test");
        let types = Some(vec!["https://slsa.dev/provenance/v1".to_owned()]);
        let attest = SigningWay { predicate_types: types, needs_timestamp: true, ..keyless };
        assert_eq!(
            advice(&attest, IMAGE).unwrap().command,
            format!(
                "cosign attest --type https://slsa.dev/provenance/v1 --predicate FILE \
                 --timestamp-server-url URL {IMAGE}"
            )
        );
    }

    /// Attack E3: who wrote a policy or named an image runs nothing in the shell of who copies this.
    #[test]
    fn attack_e3_a_command_to_copy_is_quoted() {
        let key = way(SigningParty::Key(Some("a';reboot;'.pub".to_owned())));
        let command = advice(&key, "reg.test/a$(reboot)@sha256:11").unwrap().command;
        assert_eq!(
            command,
            r"cosign sign --key 'a'\'';reboot;'\''.key' 'reg.test/a$(reboot)@sha256:11'"
        );
    }
}
