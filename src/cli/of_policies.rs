//! The verbs of `sealgate policy` and `sealgate keys`, with their help.

use clap::Subcommand;

use super::terminal::no_options::NoOptions;
use super::trial::{diff, test};
use super::{init, policy};

/// What to do with policies.
#[derive(Debug, Subcommand)]
pub(super) enum PolicyCommand {
    /// Read every document and key, and say what is wrong or likely not meant, and where. Changes
    /// nothing.
    ///
    /// A deny list that is to be published (with metadata.version) is read as the gates read it that
    /// fetch it. Exit code 65 when something is wrong, 66 when a path is not there, 0 when there are
    /// warnings alone.
    #[command(
        after_help = "Examples:\n  sealgate policy check\n  sealgate policy check ./policies \
            --keys ./keys\n  sealgate policy check --output sarif ./policies > policies.sarif\n  \
            kustomize build policies | sealgate policy check -"
    )]
    Check(policy::check::Options),
    /// Of every policy whether it is about an image and by which field, what those that are ask,
    /// where signatures would be looked for, and what it comes to. For a person who was refused.
    ///
    /// Asks no registry: whether the image has what is asked, sealgate verify says. Exit code 1
    /// where nothing that is signed could admit it, 65 where the files are faulty.
    #[command(after_help = "Examples:\n  sealgate policy explain --namespace prod-eu \
            registry.example.com/prod/app:1.2\n  sealgate policy explain --policies ./policies \
            --keys ./keys registry.example.com/prod/app")]
    Explain(policy::explain::Options),
    /// Policies to begin with: ready sets by name, or drafts from what is on this node (--from-node),
    /// by who signed each image, and by digest where nobody is known to have.
    ///
    /// Sets have the identities and names of keys that publishers document; of those that sign nothing,
    /// --from-node NAME drafts digests. A draft is made from the runtime's images and
    /// the evidence on the node; it says who signed, not who should have, so read it before you put it
    /// in force. No file is written over, and nothing in force changes until the gate reads what was
    /// written. Exit code 2 when something on the node is in no document, or nothing was written.
    #[command(
        after_help = "Examples:\n  sealgate policy init\n  sudo sealgate policy init kubernetes cilium\n  sudo sealgate policy init --from-node\n  sudo sealgate policy init \
            --from-node calico\n  sudo sealgate policy init --from-node --network --out ./policies && sudo sealgate policy diff ./policies"
    )]
    Init(init::command::Options),
    /// Every document that counts, of all folders of policies: what it does, for which images, in
    /// which file, and which document of an earlier folder it replaces.
    #[command(
        after_help = "Examples:\n  sealgate policy list\n  sealgate policy list --output json \
            | jq -r 'select(.kind == \"Exception\") | .name'"
    )]
    List(NoOptions),
    /// The JSON Schema of the documents, for an editor that checks and completes them as they are
    /// written.
    ///
    /// It has the form of every kind of document, with a sentence about each field. What it cannot
    /// tell, sealgate policy check does. Needs no configuration.
    #[command(
        after_help = "Examples:\n  sealgate policy schema > sealgate.schema.json\n  sealgate policy \
            schema | jq '.\"$defs\".imagePolicy.properties | keys'"
    )]
    Schema(NoOptions),
    /// What would break if the gate enforced: every call that it let through in observe mode, by
    /// image and reason, with what to do about it.
    ///
    /// Reads the audit log alone. Exits with 1 when something would be refused.
    #[command(
        after_help = "Examples:\n  sealgate policy observed\n  sealgate policy observed --since \
            2026-01-31T12:00:00.000Z --output json | jq '.would_break[].image'"
    )]
    Observed(policy::observed::Options),
    /// Turn policies of CRI-O, policy-controller, Kyverno and Talos into documents of Sealgate.
    ///
    /// What cannot be carried over is an error, or is left out and listed with --partial; beside that
    /// the documents are never weaker. Needs no configuration. Exit code 1 when something cannot be
    /// carried over or there is nothing to import, 65 when a file is faulty.
    #[command(after_help = policy::import::EXAMPLES)]
    Import(policy::import::Options),
    /// What would change if a candidate were in force: every decision on record, every running
    /// container and every image of this node, judged by today's policies and by the candidate.
    ///
    /// Judges by the evidence on this node, with no network, and changes nothing. Exits with 1 when
    /// something that runs or was admitted would be refused, with 2 when that cannot be told, and
    /// with 65 when the candidate is faulty.
    #[command(after_help = "Examples:\n  sealgate policy diff ./policies\n  sealgate policy diff \
            ./20-production.yaml --output json | jq '.changes[] | select(.change == \"would-refuse\")'")]
    Diff(diff::Options),
    /// Judge cases: images with the evidence that was recorded of them, a pod and a moment, and what
    /// the policies must say of them.
    ///
    /// Asks nobody, reads no clock, and needs no configuration: without one, name the folders. A case
    /// is a YAML document (see sealgate-policy(5)); `sealgate evidence export --as-case` writes one
    /// of what a node has. Exits with 1 when a case comes out otherwise, and with 65 when cases or
    /// policies are faulty.
    #[command(after_help = "Examples:\n  sealgate policy test ./cases\n  sealgate policy test \
            ./cases --policies ./policies --keys ./keys --junit results.xml")]
    Test(test::Options),
}

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub(super) enum KeysCommand {
    /// Every key that a policy names, and every other one in the folder of keys: its file, kind, size
    /// and SHA-256 fingerprint, which policies and fetched deny lists take what it signed, and whether
    /// a deny list denies it.
    ///
    /// The fingerprint is that of the key in DER, as `openssl pkey -pubin -outform der | sha256sum`
    /// prints it, and the one that `sealgate deny add --key` takes. Exit code 65 where the files are
    /// faulty.
    #[command(
        after_help = "Examples:\n  sealgate keys list\n  sealgate keys list --output json | jq \
            -r 'select(.policies == [] and .denyLists == null) | .files[]'"
    )]
    List(NoOptions),
}
