//! Which signatures count: both forms, every kind of key, on the image, on an index and on a
//! manifest under it; and those that do not.

use tonic::Code;

use crate::ensure;
use crate::fixtures;
use crate::means::{admitted, asked_by, cold, digest_of, hide, keep, no, prod, refused, target_of};
use crate::registry::Settings;
use crate::stage::{HOST, Outcome, Props, Stage, by_id, expect_refusal};

/// A policy of one document for some images of `prod/`.
fn one_key(images: &str, key: &str) -> String {
    let usual = crate::stage::usual_policy();
    let (_, pause) = usual.split_once("---").expect("two documents");
    format!(
        "apiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {{name: one-key}}\nspec:\n  images: \
         [\"{HOST}/prod/{images}\"]\n  \
         require: {{name: {key}, key: {{files: [{key}.pub]}}}}\n---{pause}"
    )
}

pub async fn signed_by_digest() -> Outcome {
    let stage = Stage::usual().await?;
    for name in ["signed-v2", "signed-v3", "signed-docker"] {
        let digest = digest_of(name, "v1");
        let image = prod(&format!("{name}@{digest}"));
        let (record, cost) = admitted(&stage, &image, &format!("hello from {name}")).await?;
        ensure!(record["digest"] == digest.as_str(), "admitted another digest: {record:#}");
        ensure!(
            asked_by(&stage.registry, "sealgate/", &format!("manifests/{digest}")) == 0,
            "the digest was resolved"
        );
        ensure!(cost.gate <= 6, "more requests than a verification may take: {cost}");
        ensure!(target_of(&stage, &image) == Some(digest), "the store has it otherwise");
    }
    Ok(())
}

pub async fn index_signed() -> Outcome {
    for settings in [Settings::without_referrers(), Settings::conforming()] {
        let stage = Stage::set(Props { registry: settings, ..Props::usual()? }).await?;
        for name in ["index-v2", "index-v3"] {
            let index = digest_of(name, "v1");
            for image in [prod(name), prod(&format!("{name}@{index}"))] {
                let (record, _) =
                    admitted(&stage, &image, &format!("hello from {name} on")).await?;
                ensure!(
                    record["digest"] == index.as_str(),
                    "pulled otherwise than as the index: {record:#}"
                );
                ensure!(
                    target_of(&stage, &image).as_ref() == Some(&index),
                    "{image} is not the index in the store"
                );
            }
        }
    }
    Ok(())
}

pub async fn index_asked() -> Outcome {
    let stage = Stage::usual().await?;
    for name in ["index-child-v2", "index-child-v3"] {
        let index = digest_of(name, "v1");
        let image = prod(&format!("{name}@{index}"));
        let record =
            refused(&stage, &image, no("unsigned"), &["production", "build", &index]).await?;
        ensure!(record["policies"].is_array(), "the record does not say which policy: {record:#}");
    }
    Ok(())
}

pub async fn platform_only() -> Outcome {
    for settings in [Settings::without_referrers(), Settings::conforming()] {
        let stage = Stage::set(Props { registry: settings, ..Props::usual()? }).await?;
        for name in ["index-child-v2", "index-child-v3"] {
            let index = digest_of(name, "v1");
            let (record, _) =
                admitted(&stage, &prod(name), &format!("hello from {name} on")).await?;
            let child = record["digest"].as_str().unwrap_or_default().to_owned();
            let signed = fixtures::prod(name);
            let signed =
                !signed.signatures(&child).is_empty() || !signed.bundles(&child).is_empty();
            ensure!(
                signed && child != index,
                "what was pulled is not the signed child: {record:#}"
            );
            ensure!(
                target_of(&stage, &prod(name)) == Some(child.clone()),
                "the tag is not the child"
            );
            ensure!(
                target_of(&stage, &prod(&format!("{name}@{child}"))) == Some(child),
                "the child has no record"
            );
            ensure!(
                target_of(&stage, &prod(&format!("{name}@{index}"))).is_none(),
                "the unsigned index has a record"
            );
        }
        refused(&stage, &prod("index-unsigned"), no("unsigned"), &["or its platform manifest"])
            .await?;
    }
    Ok(())
}

pub async fn unsigned_by_digest() -> Outcome {
    let stage = Stage::usual().await?;
    let digest = digest_of("unsigned", "v1");
    let image = prod(&format!("unsigned@{digest}"));
    let words = ["production", "build", "looked in", "absent", &digest];
    refused(&stage, &image, no("unsigned"), &words).await?;
    ensure!(
        asked_by(&stage.registry, "sealgate/", ".sig") == 1,
        "the older form was not looked for"
    );
    ensure!(
        asked_by(&stage.registry, "sealgate/", "/referrers/") == 1,
        "referrers were not looked for"
    );
    Ok(())
}

pub async fn other_key() -> Outcome {
    for settings in [Settings::without_referrers(), Settings::conforming()] {
        let stage = Stage::set(Props { registry: settings, ..Props::usual()? }).await?;
        let record =
            refused(&stage, &prod("signed-other"), no("no-signature-counts"), &["build", "found"])
                .await?;
        let fates = record.to_string();
        ensure!(
            fates.contains("sha256:"),
            "the record does not tell the signatures' fates: {record:#}"
        );
    }
    Ok(())
}

pub async fn other_digest() -> Outcome {
    let stage = Stage::usual().await?;
    for name in ["wrong-digest-v2", "wrong-digest-v3"] {
        refused(&stage, &prod(name), no("no-signature-counts"), &["build", "found"]).await?;
    }
    // A payload that says another name; and an attestation, which is no signature of the image,
    // whoever made it (attack B2).
    refused(&stage, &prod("named-elsewhere"), no("no-signature-counts"), &["build", "found"])
        .await?;
    refused(&stage, &prod("attested"), no("unsigned"), &["build", "absent"]).await?;
    Ok(())
}

pub async fn sig_only() -> Outcome {
    for settings in [Settings::without_referrers(), Settings::conforming()] {
        let stage = Stage::set(Props { registry: settings, ..Props::usual()? }).await?;
        let (record, cost) = admitted(&stage, &prod("signed-v2"), "hello from signed-v2").await?;
        ensure!(cost.gate <= 4, "more than four requests: {cost}");
        ensure!(
            record.to_string().contains(".sig"),
            "the record does not say where it was found: {record:#}"
        );
        cold(&stage, &prod("signed-v2"), 4, 3)?;
        cold(&stage, &prod(&format!("signed-v2@{}", digest_of("signed-v2", "v1"))), 4, 2)?;
        // Where the signature is taken away, nothing else may count.
        hide(&stage.registry, ".sig");
        refused(
            &stage,
            &prod(&format!("moving@{}", digest_of("moving", "unsigned"))),
            no("unsigned"),
            &["absent"],
        )
        .await?;
    }
    Ok(())
}

pub async fn bundle_only() -> Outcome {
    for (settings, endpoint) in
        [(Settings::without_referrers(), false), (Settings::conforming(), true)]
    {
        // The places are asked side by side.
        let most = 5;
        let stage = Stage::set(Props { registry: settings, ..Props::usual()? }).await?;
        let (_, cost) = admitted(&stage, &prod("signed-v3"), "hello from signed-v3").await?;
        ensure!(cost.gate <= most, "more than {most} requests: {cost}");
        let older = asked_by(&stage.registry, "sealgate/", ".sig");
        let fallback = asked_by(&stage.registry, "sealgate/", "manifests/sha256-") - older;
        cold(&stage, &prod("signed-v3"), most, 4)?;
        cold(&stage, &prod(&format!("signed-v3@{}", digest_of("signed-v3", "v1"))), most, 3)?;
        ensure!(
            (fallback == 0) == endpoint,
            "{fallback} requests for a fallback tag, endpoint: {endpoint}"
        );
    }
    Ok(())
}

pub async fn key_kinds() -> Outcome {
    for kind in ["p384", "rsa", "ed25519"] {
        let name = format!("key-{kind}");
        let policy = one_key(&name, kind);
        let fallback = format!("manifests/{}", digest_of(&name, "v1").replace(':', "-"));
        for form in ["bundle", "older form"] {
            let stage = Stage::set(Props { policy: policy.clone(), ..Props::usual()? }).await?;
            if form == "older form" {
                keep(&stage.registry, &format!("{fallback}.sig"));
                hide(&stage.registry, &fallback);
            } else {
                hide(&stage.registry, &format!("{fallback}.sig"));
            }
            println!("   {kind}, {form}:");
            let (record, _) = admitted(&stage, &prod(&name), &format!("hello from {name}")).await?;
            let by_tag = record["policies"].to_string().contains(".sig");
            ensure!(
                by_tag == (form == "older form"),
                "another form counted: {:#}",
                record["policies"]
            );
        }
    }
    wrong_kinds().await
}

/// None of those keys passes for another.
async fn wrong_kinds() -> Outcome {
    let stage = Stage::usual().await?;
    for kind in ["p384", "rsa", "ed25519"] {
        refused(&stage, &prod(&format!("key-{kind}")), no("no-signature-counts"), &["build"])
            .await?;
    }
    Ok(())
}

/// What was admitted under its own name is not admitted under another that a container asks for.
pub async fn other_name_at_create() -> Outcome {
    let stage = Stage::usual().await?;
    let id = stage.cri().pull(&prod("signed-v2")).await?;
    let pod = stage.pod().await?;
    let refusal = stage.cri().create(&pod, by_id(&id, &prod("unsigned"))).await.unwrap_err();
    println!("   {}", refusal.message());
    expect_refusal(&refusal, Code::Unknown, "SignatureValidationFailed: ", &["does not list"])?;
    stage.expect_record("CreateContainer", "refused", "name-not-listed")?;
    Ok(())
}
