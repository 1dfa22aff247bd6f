//! `sealgate evidence show`: places, files, and what signatures say of themselves. Nothing here is
//! judged: whatever is shown of a signer, anybody could have written (attack E3: and has no power
//! over the terminal).

use clap::Args;
use serde::Serialize;

use super::columns::ago;
use super::on_node::{existing, tell_broken};
use super::wanted::Wanted;
use crate::cli::terminal::command_error::CommandError;
use crate::cli::terminal::screen::{Exit, Screen, Tone, plain};
use crate::config::Settings;
use crate::daemon;
use crate::evidence::Item;
use crate::evidence_store::{BLOB_MAX, Kept, Store, source_word};
use crate::image::Digest;
use crate::policy::Plan;
use crate::sources;
use crate::verify::{Certificate, Claims, Fault, Form, Untrusted};

/// What to read of an entry: everything.
pub(super) const EVERYTHING: Plan =
    Plan { signatures: true, certificates: true, names_tag: true, attestations: true };

/// What to show.
#[derive(Debug, Args)]
pub(in crate::cli) struct Options {
    /// A digest, of an index or of a manifest; the first digits of one; or an image name, as it was
    /// asked for.
    #[arg(value_name = "DIGEST_OR_IMAGE", value_parser = Wanted::parse)]
    what: Wanted,
}

/// One entry.
#[derive(Serialize)]
struct Shown {
    digest: String,
    place: String,
    repository: String,
    source: &'static str,
    fetched: jiff::Timestamp,
    used: jiff::Timestamp,
    names: Vec<String>,
    targets: Vec<String>,
    files: Vec<KeptFile>,
    claims: Vec<Claimed>,
}

/// One file that the entry needs.
#[derive(Serialize)]
struct KeptFile {
    kind: &'static str,
    digest: String,
    bytes: Option<usize>,
}

/// What one signature says of itself.
#[derive(Default, Serialize)]
struct Claimed {
    item: String,
    form: Option<&'static str>,
    digests: Vec<String>,
    reference: Option<String>,
    predicate_type: Option<String>,
    certificate: Option<Holder>,
    error: Option<String>,
}

/// What the certificate beside it says.
#[derive(Serialize)]
struct Holder {
    names: Vec<String>,
    issuer: Option<String>,
    not_before: jiff::Timestamp,
    not_after: jiff::Timestamp,
    fingerprint: String,
}

/// Prints every entry about the image; 1 when there is none.
pub(super) fn run(
    options: &Options,
    settings: &Settings,
    screen: &mut Screen,
) -> Result<Exit, CommandError> {
    let mut found = false;
    if let Some(store) = existing(&settings.evidence)? {
        let listed = store.each_entry(&mut |kept| {
            if options.what.is_about(&kept.entry) {
                found = true;
                let shown = Shown::of(&store, &kept);
                if screen.is_json() { screen.json(&shown) } else { print(&shown, screen) }
            }
        });
        tell_broken(&store, screen);
        listed.map_err(|error| error.to_string())?;
    }
    if found {
        return Ok(Exit::Done);
    }
    screen.complain(&format!("nothing is kept about it in {}", settings.evidence.path.display()));
    Ok(Exit::Refused)
}

impl Shown {
    fn of(store: &Store, kept: &Kept) -> Self {
        let Kept { entry, used, .. } = kept;
        let file = |kind| {
            move |digest: &Digest| {
                let bytes = store.read(digest, BLOB_MAX).ok().flatten().map(|bytes| bytes.len());
                KeptFile { kind, digest: digest.to_string(), bytes }
            }
        };
        let manifests = entry.manifests.iter().map(file("manifest"));
        let evidence = sources::kept(store, entry, EVERYTHING);
        Self {
            digest: entry.place.subject.to_string(),
            place: entry.place.to_string(),
            repository: entry.place.repository.to_string(),
            source: source_word(entry.place.source),
            fetched: entry.fetched,
            used: *used,
            names: entry.names.clone(),
            targets: entry.targets.iter().map(ToString::to_string).collect(),
            files: manifests.chain(entry.blobs.iter().map(file("blob"))).collect(),
            claims: evidence.items.iter().map(Claimed::of).collect(),
        }
    }
}

impl Claimed {
    fn of(item: &Item) -> Self {
        let item_digest = item.digest.to_string();
        match read(item) {
            Err(fault) => {
                Self { item: item_digest, error: Some(fault.to_string()), ..Self::default() }
            }
            Ok(untrusted) => {
                let Claims { form, digests, reference, predicate_type, certificate } =
                    untrusted.claims();
                Self {
                    item: item_digest,
                    form: Some(word(form)),
                    digests: digests.into_iter().map(ToString::to_string).collect(),
                    reference: reference.map(str::to_owned),
                    predicate_type: predicate_type.map(str::to_owned),
                    certificate: certificate.map(Holder::of),
                    error: None,
                }
            }
        }
    }
}

impl Holder {
    fn of(certificate: &Certificate) -> Self {
        let (not_before, not_after) = certificate.validity();
        Self {
            names: certificate.sans().iter().map(|name| name.as_str().to_owned()).collect(),
            issuer: certificate.issuer().map(str::to_owned),
            not_before,
            not_after,
            fingerprint: format!("sha256:{}", hex::encode(certificate.fingerprint())),
        }
    }
}

/// Parses one signature; nothing is proven by that.
pub(super) fn read(item: &Item) -> Result<Untrusted, Fault> {
    item.content.read()
}

fn word(form: Form) -> &'static str {
    match form {
        Form::SimpleSigning => "simple-signing",
        Form::Statement => "statement",
        Form::MessageSignature => "message-signature",
    }
}

fn print(shown: &Shown, screen: &mut Screen) {
    let now = daemon::now();
    screen.line(&shown.digest);
    let mut field = |name: &str, value: &str| screen.line(&format!("  {name:<9} {}", plain(value)));
    field("place", &shown.place);
    field("fetched", &format!("{:.0}, {} ago", shown.fetched, ago(now, shown.fetched)));
    field("used", &format!("{:.0}, {} ago", shown.used, ago(now, shown.used)));
    for name in &shown.names {
        field("asked as", name);
    }
    for target in &shown.targets {
        field("image", target);
    }
    for file in &shown.files {
        let size = match file.bytes {
            Some(bytes) => format!("{bytes} bytes"),
            None => screen.tone(Tone::Bad, "missing or broken"),
        };
        screen.line(&format!("  {:<9} {}", file.kind, file.digest));
        screen.line(&format!("  {:<9} {size}", ""));
    }
    if !shown.claims.is_empty() {
        let note = "claims, not judged: whoever could write to the repository wrote them";
        screen.line(&format!("  {}", screen.tone(Tone::Warn, note)));
    }
    for claimed in &shown.claims {
        print_claims(claimed, screen);
    }
}

fn print_claims(claimed: &Claimed, screen: &mut Screen) {
    screen.line(&format!("    {}", claimed.item));
    let mut field = |name: &str, value: &str| {
        screen.line(&format!("      {name:<14} {}", plain(value)));
    };
    if let Some(error) = &claimed.error {
        return field("cannot be read", error);
    }
    field("form", claimed.form.unwrap_or("?"));
    for digest in &claimed.digests {
        field("says it is of", digest);
    }
    for (name, value) in [("named", &claimed.reference), ("says it is", &claimed.predicate_type)] {
        value.iter().for_each(|value| field(name, value));
    }
    match &claimed.certificate {
        None => field("signer", "a key, which a signature does not name"),
        Some(holder) => {
            holder.names.iter().for_each(|name| field("signer", name));
            holder.issuer.iter().for_each(|issuer| field("issuer", issuer));
            field("certificate", &format!("{:.0} to {:.0}", holder.not_before, holder.not_after));
            field("", &holder.fingerprint);
        }
    }
}
