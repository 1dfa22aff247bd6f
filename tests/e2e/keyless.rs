//! Signatures without a key of one's own: identities vouched for by a Sigstore, attestations and
//! what stands in them, certificates of an own authority, and keys that are rotated. All were made
//! by the real cosign (tests/fixtures).

use serde_json::Value;

use crate::acts::{No, create_refused, past_the_gate};
use crate::containerd::Flavour;
use crate::ensure;
use crate::means::{admitted, cold, digest_of, no, prod, refused};
use crate::outage::take_away;
use crate::registry::Settings;
use crate::stage::{Failure, HOST, Outcome, Props, Stage, by_id, usual_policy};

pub const ISSUER: &str = "https://token.actions.githubusercontent.com";
pub const ACME: &str = "https://github.com/acme/app";
const OTHER: &str = "https://github.com/other/app";
/// When the fixtures were signed, by the clock of the Sigstore that vouches for it.
const SIGNED: &str = "2025-06-01T12:00:00Z";

/// Whom the policies below trust: a workflow of one repository.
pub fn acme() -> String {
    format!(
        "keyless: {{trustRoot: local, identities: [{{issuer: \"{ISSUER}\", subjectRegExp: \
         '{ACME}/\\.github/workflows/release\\.yml@refs/tags/v.*', extensions: \
         {{sourceRepositoryURI: \"{ACME}\", runnerEnvironment: github-hosted}}}}]}}"
    )
}

/// A policy for `prod/` with one requirement, beside the one for the pause image.
fn policy(require: &str) -> String {
    let usual = usual_policy();
    let (_, pause) = usual.split_once("---").unwrap_or_default();
    format!(
        "apiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {{name: production}}\nspec:\n  \
         images: [\"{HOST}/prod/**\"]\n  \
         require: {{{require}}}\n---{pause}"
    )
}

async fn stage(require: &str, registry: Settings) -> Result<Stage, Failure> {
    Stage::set(Props { registry, policy: policy(require), ..Props::usual()? }).await
}

/// The record of an admission says all of this of the signatures that it rests on.
fn says(record: &Value, words: &[&str]) -> Outcome {
    let policies = record["policies"].to_string();
    for word in words {
        ensure!(
            policies.contains(word),
            "the record does not say {word}: {:#}",
            record["policies"]
        );
    }
    Ok(())
}

pub async fn keyless() -> Outcome {
    let require = format!("name: release, {}", acme());
    let subject =
        |repository: &str| format!("{repository}/.github/workflows/release.yml@refs/tags/v1.0.0");
    for (settings, misplaced) in [
        (Settings::without_referrers(), "no-signature-counts"),
        (Settings::conforming(), "unsigned"),
    ] {
        let stage = stage(&require, settings).await?;
        for name in [
            "keyless",
            "keyless-v2",
            "keyless-v2-timestamp",
            "keyless-rekor2",
            "keyless-two",
            "keyless-two-v2",
        ] {
            let (record, _) = admitted(&stage, &prod(name), &format!("hello from {name}")).await?;
            says(&record, &[ISSUER, &subject(ACME), SIGNED])?;
        }
        for name in ["keyless-neighbour", "keyless-neighbour-v2"] {
            let words = ["production", "release", &subject(OTHER)];
            refused(&stage, &prod(name), no("no-signature-counts"), &words).await?;
        }
        for name in ["keyless-email", "keyless-email-v2"] {
            let words = ["release", "release@acme.example", "https://accounts.google.com"];
            refused(&stage, &prod(name), no("no-signature-counts"), &words).await?;
        }
        // Signed, and nobody vouches for when or for whom, or it is about something else.
        for name in [
            "keyless-foreign",
            "keyless-no-sct",
            "keyless-no-log",
            "keyless-late",
            "keyless-late-v2",
            "keyless-wrong-digest-v2",
            "signed-v2",
            "signed-v3",
        ] {
            refused(&stage, &prod(name), no("no-signature-counts"), &["release"]).await?;
        }
        // A referrers endpoint goes by what a bundle says it is about, a tag by its name.
        refused(&stage, &prod("keyless-wrong-digest"), no(misplaced), &["release"]).await?;
        // An attestation is no signature of the image (attack B2).
        refused(&stage, &prod("provenance"), no("unsigned"), &["release"]).await?;
        refused(&stage, &prod("unsigned"), no("unsigned"), &["release"]).await?;
        shown(&stage, &subject(ACME))?;
        cold(&stage, &prod("keyless"), 8, 4)?;
        cold(&stage, &prod(&format!("keyless@{}", digest_of("keyless", "v1"))), 8, 3)?;
    }
    Ok(())
}

/// `sealgate verify` says who signed, when, who vouches for that, and which log entry.
fn shown(stage: &Stage, subject: &str) -> Outcome {
    let output = stage.sealgate(&["verify", &prod("keyless")])?;
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{text}");
    ensure!(output.status.success(), "sealgate verify ended with {}", output.status);
    for word in
        [subject, ISSUER, SIGNED, "https://rekor.example.test", "https://tsa.example.test", "41634"]
    {
        ensure!(text.contains(word), "it does not say {word}");
    }
    Ok(())
}

/// On every runtime: what was admitted once is created again when no registry is there, in both
/// forms; a neighbour's image that the runtime has got past the gate is not.
pub async fn offline() -> Outcome {
    let policy = policy(&format!("name: release, {}", acme()));
    for flavour in Flavour::all() {
        println!("   containerd {}.{}", flavour.version.0, flavour.version.1);
        let registry = Settings::conforming();
        let mut stage =
            Stage::set(Props { flavour, registry, policy: policy.clone(), ..Props::usual()? })
                .await?;
        let mut known = Vec::new();
        for name in ["keyless", "keyless-v2"] {
            admitted(&stage, &prod(name), &format!("hello from {name}")).await?;
            known.push((name, stage.cri().pull(&prod(name)).await?));
        }
        refused(&stage, &prod("keyless-neighbour"), no("no-signature-counts"), &[OTHER]).await?;
        let neighbour = prod("keyless-neighbour-v2");
        let id = past_the_gate(&stage, &neighbour).await?;
        let pod = stage.pod().await?;
        let refusal = create_refused(
            &stage,
            &pod,
            by_id(&id, &neighbour),
            No::refused("no-signature-counts"),
        )
        .await?;
        ensure!(refusal.contains(OTHER), "the neighbour is not named: {refusal}");
        take_away(&mut stage);
        println!("   the registry is gone");
        for (name, id) in known {
            let (exit, output) = stage.cri().run(&pod, by_id(&id, &prod(name))).await?;
            ensure!(
                exit == 0 && output.contains(&format!("hello from {name}")),
                "exit code {exit}: {output}"
            );
            let record = stage.expect_record("CreateContainer", "admitted", "satisfied")?;
            ensure!(record["cached"] == true, "not from memory: {record:#}");
            println!("   created and ran: {}", output.trim());
        }
    }
    Ok(())
}

pub async fn provenance() -> Outcome {
    let slsa = format!("slsa: {{source: \"{ACME}\"}}");
    let condition = format!(
        "predicateType: \"https://slsa.dev/provenance/v1\", where: \
         'predicate.buildDefinition.externalParameters.workflow.repository == \"{ACME}\"'"
    );
    for (wanted, settings, misplaced, finding, quote) in [
        (&slsa, Settings::conforming(), "unsigned", "provenanceDiffers", ""),
        (&condition, Settings::without_referrers(), "no-signature-counts", "conditionFalse", "\""),
    ] {
        let require = format!("name: built, attestation: {{{wanted}, by: {{{}}}}}", acme());
        let stage = stage(&require, settings).await?;
        for name in ["provenance", "provenance-v2", "attested-whole"] {
            let (record, _) = admitted(&stage, &prod(name), &format!("hello from {name}")).await?;
            says(&record, &[ISSUER, ACME, SIGNED])?;
        }
        for name in ["provenance-elsewhere", "provenance-v2-elsewhere"] {
            let told = format!("is {quote}{OTHER}{quote}, wanted is {quote}{ACME}{quote}");
            let record =
                refused(&stage, &prod(name), no("no-signature-counts"), &["built", &told]).await?;
            says(&record, &[finding, ACME, OTHER])?;
        }
        if *wanted == slsa {
            admitted(&stage, &prod("provenance-v02"), "hello from provenance-v02").await?;
            let words = ["built", ACME, OTHER];
            refused(&stage, &prod("provenance-v02-elsewhere"), no("no-signature-counts"), &words)
                .await?;
        }
        // By somebody else, about another image, of another kind, no attestation at all.
        refused(
            &stage,
            &prod("provenance-neighbour"),
            no("no-signature-counts"),
            &["built", OTHER],
        )
        .await?;
        for name in ["provenance-key", "provenance-wrong-digest-v2", "sbom", "keyless"] {
            refused(&stage, &prod(name), no("no-signature-counts"), &["built"]).await?;
        }
        refused(&stage, &prod("provenance-wrong-digest"), no(misplaced), &["built"]).await?;
        refused(&stage, &prod("unsigned"), no("unsigned"), &["built"]).await?;
        cold(&stage, &prod("provenance"), 8, 4)?;
        cold(&stage, &prod(&format!("provenance@{}", digest_of("provenance", "v1"))), 8, 3)?;
    }
    Ok(())
}

/// What else is attested: contents, scans, verification by somebody else; and by keys.
pub async fn attested() -> Outcome {
    let of = |name: &str, condition: &str| {
        format!("name: {name}, attestation: {{{condition}, by: {{{}}}}}", acme())
    };
    let sbom = of("sbom", "predicateType: spdxjson");
    let scan = |hours: &str| {
        let fresh =
            format!("timestamp(predicate.metadata.scanFinishedOn) > now - duration(\"{hours}h\")");
        of(
            "scan",
            &format!(
                "predicateType: vuln, where: '{fresh} && predicate.scanner.result.critical == 0'"
            ),
        )
    };
    let vsa = of(
        "vsa",
        "predicateType: \"https://slsa.dev/verification_summary/v1\", where: \
         'predicate.verificationResult == \"PASSED\"'",
    );
    let long = scan("262800");
    let all = format!("all: [{{{sbom}}}, {{{long}}}, {{{vsa}}}, {{name: release, {}}}]", acme());
    for (require, good, bad) in [
        (&sbom, "sbom", &["scan", "keyless"][..]),
        (&long, "scan", &["scan-critical", "sbom"]),
        (&vsa, "vsa-passed", &["vsa-failed"]),
        (&all, "attested-whole", &["sbom", "scan", "vsa-passed", "keyless"]),
    ] {
        let stage = stage(require, Settings::conforming()).await?;
        admitted(&stage, &prod(good), &format!("hello from {good}")).await?;
        for name in bad {
            refused(&stage, &prod(name), no("no-signature-counts"), &[]).await?;
        }
    }
    let old = stage(&scan("24"), Settings::conforming()).await?;
    refused(&old, &prod("scan"), no("no-signature-counts"), &["scan", "scanFinishedOn"]).await?;
    let by_key = "name: built, attestation: {predicateType: slsaprovenance1, by: {key: {files: \
        [build.pub]}}}";
    let by_key = stage(by_key, Settings::conforming()).await?;
    for name in ["provenance-key", "provenance-key-v2"] {
        admitted(&by_key, &prod(name), &format!("hello from {name}")).await?;
    }
    refused(&by_key, &prod("provenance"), no("no-signature-counts"), &["built"]).await?;
    refused(&by_key, &prod("signed-v2"), no("unsigned"), &["built"]).await?;
    Ok(())
}

pub async fn own_pki() -> Outcome {
    let of = |subject: &str, more: &str| {
        format!(
            "name: team, certificate: {{roots: [root.pem], intermediates: [intermediate.pem], \
             crls: [team.crl, root.crl], subjects: [{subject}]{more}}}"
        )
    };
    let with_chain = stage(&of("{email: team@acme.example}", ""), Settings::conforming()).await?;
    for name in ["pki", "pki-logged"] {
        let (record, _) = admitted(&with_chain, &prod(name), &format!("hello from {name}")).await?;
        says(&record, &["team@acme.example"])?;
    }
    for name in [
        "pki-revoked",
        "pki-revoked-v3",
        "pki-foreign",
        "pki-uri",
        "pki-expired",
        "pki-short",
        "keyless-email",
    ] {
        refused(&with_chain, &prod(name), no("no-signature-counts"), &["team"]).await?;
    }
    refused(&with_chain, &prod("unsigned"), no("unsigned"), &["team"]).await?;
    for (subject, name) in [
        ("{uri: \"https://ci.acme.example/build\"}", "pki-uri"),
        ("{host: build.acme.example}", "pki-host"),
    ] {
        let stage = stage(&of(subject, ""), Settings::conforming()).await?;
        admitted(&stage, &prod(name), &format!("hello from {name}")).await?;
        refused(&stage, &prod("pki"), no("no-signature-counts"), &["team@acme.example"]).await?;
    }
    // With someone who vouches for times, a certificate that has ended counts for what it signed
    // before.
    let timed =
        stage(&of("{email: team@acme.example}", ", trustRoot: local"), Settings::conforming())
            .await?;
    for name in ["pki-short", "pki-v3", "pki-logged"] {
        let (record, _) = admitted(&timed, &prod(name), &format!("hello from {name}")).await?;
        says(&record, &[SIGNED])?;
    }
    for name in ["pki-expired", "pki-revoked-v3"] {
        refused(&timed, &prod(name), no("no-signature-counts"), &["team"]).await?;
    }
    Ok(())
}

/// A key that is rotated: what it signed while it was good counts, if somebody else says that it
/// was then.
pub async fn key_window() -> Outcome {
    let require = "name: build, key: {files: [{file: build.pub, notAfter: 2025-07-01T00:00:00Z}], \
        trustRoot: local}";
    let stage = stage(require, Settings::conforming()).await?;
    for name in ["key-logged", "key-logged-v2", "key-timestamp"] {
        let (record, _) = admitted(&stage, &prod(name), &format!("hello from {name}")).await?;
        says(&record, &["build.pub", SIGNED])?;
    }
    // Signed later, with proof; and without proof of when: judged at now.
    for name in ["key-logged-later", "signed-v2", "signed-v3"] {
        refused(&stage, &prod(name), no("no-signature-counts"), &["build"]).await?;
    }
    Ok(())
}
