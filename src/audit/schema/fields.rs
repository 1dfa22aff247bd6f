//! [`FIELDS`]: every field of a line, in which kinds it stands, and by which names OpenTelemetry's log
//! attributes and the Elastic Common Schema have it.
//!
//! A name is that of the conventions where they have the same thing, and `sealgate.` with the field's
//! path where they have none (OpenTelemetry semantic conventions 1.38; ECS 9.2).

/// One field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogField {
    /// Its path in the line, the parts joined by dots.
    pub name: &'static str,
    /// The kinds of lines that have it.
    pub kinds: &'static [&'static str],
    /// What stands in it.
    pub shape: FieldShape,
    /// Whether it is never left out.
    pub always: bool,
    /// The attribute, or the part of a log record, that OpenTelemetry has it by.
    pub otel: &'static str,
    /// The field that ECS has it by.
    pub ecs: &'static str,
    /// What it says.
    pub about: &'static str,
}

/// What stands in a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldShape {
    /// A text.
    Text,
    /// A text, or null where the request did not say it.
    TextOrNull,
    /// One of a few words.
    Word,
    /// The id of a line.
    Id,
    /// Ids of lines.
    Ids,
    /// A moment, in RFC 3339 and UTC.
    Time,
    /// A number from 0.
    Number,
    /// True or false.
    Truth,
    /// An object whose fields are in the table.
    Object,
    /// Texts in their order.
    List,
    /// Texts by name.
    Texts,
    /// Numbers by name.
    Numbers,
    /// An object with one key.
    OneKey,
    /// The policies' reports.
    Reports,
}

use FieldShape::{
    Id, Ids, List, Number, Numbers, Object, OneKey, Reports, Text, TextOrNull, Texts, Time, Truth,
    Word,
};

const ALL: &[&str] = &["decision", "outcome", "finding", "note", "head", "checkpoint"];
const DECISION: &[&str] = &["decision"];
const OUTCOME: &[&str] = &["outcome"];
const FINDING: &[&str] = &["finding"];
const NOTE: &[&str] = &["note"];
const HEAD: &[&str] = &["head"];
const CHECKPOINT: &[&str] = &["checkpoint"];
/// What is about a call or a container.
const ABOUT: &[&str] = &["decision", "outcome", "finding"];
const JUDGED: &[&str] = &["decision", "finding"];
const CALLED: &[&str] = &["decision", "outcome"];
const IN_FORCE: &[&str] = &["decision", "head"];

const fn field(
    name: &'static str,
    (kinds, shape, always): (&'static [&'static str], FieldShape, bool),
    (otel, ecs): (&'static str, &'static str),
    about: &'static str,
) -> LogField {
    LogField { name, kinds, shape, always, otel, ecs, about }
}

/// Every field, in the order in which a reader wants them.
pub const FIELDS: &[LogField] = &[
    field("kind", (ALL, Text, true), ("sealgate.kind", "sealgate.kind"), "What the line is."),
    field(
        "schema",
        (ALL, Number, true),
        ("sealgate.schema", "sealgate.schema"),
        "The version of this schema.",
    ),
    field(
        "id",
        (ALL, Id, true),
        ("log.record.uid", "event.id"),
        "Names the line; ids sort as they were given out.",
    ),
    field("time", (ALL, Time, true), ("Timestamp", "@timestamp"), "When."),
    field(
        "call",
        (CALLED, Word, false),
        ("sealgate.call", "event.action"),
        "The call that was decided on.",
    ),
    field(
        "method",
        (JUDGED, Text, false),
        ("sealgate.method", "sealgate.method"),
        "The CRI method, where it is no call of that list, or of a finding.",
    ),
    field(
        "verdict",
        (DECISION, Word, true),
        ("sealgate.verdict", "sealgate.verdict"),
        "What was decided.",
    ),
    field(
        "observed",
        (DECISION, Truth, false),
        ("sealgate.observed", "sealgate.observed"),
        "The verdict was not carried out: observe mode.",
    ),
    field(
        "outcome",
        (OUTCOME, Word, true),
        ("sealgate.outcome", "sealgate.outcome"),
        "What came of a call that was let through.",
    ),
    field(
        "finding",
        (FINDING, Word, true),
        ("sealgate.finding", "sealgate.finding"),
        "What was seen.",
    ),
    field(
        "alert",
        (FINDING, Truth, true),
        ("sealgate.alert", "sealgate.alert"),
        "Whether somebody should look at it now.",
    ),
    field("reason", (ABOUT, Object, false), ("sealgate.reason", "sealgate.reason"), "Why."),
    field(
        "reason.code",
        (ABOUT, Text, true),
        ("sealgate.reason.code", "event.code"),
        "Why, for programs.",
    ),
    field("reason.message", (ABOUT, Text, true), ("Body", "message"), "Why, for people."),
    field(
        "decision",
        (OUTCOME, Id, false),
        ("sealgate.decision", "sealgate.decision"),
        "The decision that let the call through.",
    ),
    field(
        "also",
        (OUTCOME, Ids, false),
        ("sealgate.also", "sealgate.also"),
        "The decisions on the other images of the call.",
    ),
    field("pod", (ABOUT, Object, true), ("k8s.pod", "orchestrator.resource"), "The pod."),
    field(
        "pod.namespace",
        (ABOUT, TextOrNull, true),
        ("k8s.namespace.name", "orchestrator.namespace"),
        "The pod's namespace.",
    ),
    field(
        "pod.name",
        (ABOUT, TextOrNull, true),
        ("k8s.pod.name", "orchestrator.resource.name"),
        "The pod's name.",
    ),
    field(
        "pod.uid",
        (ABOUT, TextOrNull, true),
        ("k8s.pod.uid", "orchestrator.resource.id"),
        "The pod's uid.",
    ),
    field(
        "container",
        (ABOUT, Text, false),
        ("k8s.container.name", "container.name"),
        "The container's name in the pod.",
    ),
    field(
        "container_id",
        (ABOUT, Text, false),
        ("container.id", "container.id"),
        "The runtime's id of the container.",
    ),
    field(
        "sandbox_id",
        (ABOUT, Text, false),
        ("sealgate.sandbox_id", "sealgate.sandbox_id"),
        "The runtime's id of the pod's sandbox.",
    ),
    field(
        "reference",
        (CALLED, Text, false),
        ("container.image.name", "container.image.name"),
        "The image as it was asked for.",
    ),
    field(
        "image",
        (JUDGED, Text, false),
        ("sealgate.image", "sealgate.image"),
        "The string by which the runtime was to find the image.",
    ),
    field(
        "digest",
        (ABOUT, TextOrNull, false),
        ("oci.manifest.digest", "container.image.hash.all"),
        "The digest that was decided on.",
    ),
    field(
        "image_id",
        (CALLED, TextOrNull, false),
        ("container.image.id", "sealgate.image_id"),
        "The digest of the image's config.",
    ),
    field(
        "platform_manifest",
        (CALLED, Text, false),
        ("sealgate.platform_manifest", "sealgate.platform_manifest"),
        "The manifest that this node runs: one under the digest, or the digest itself.",
    ),
    field(
        "cached",
        (DECISION, Truth, true),
        ("sealgate.cached", "sealgate.cached"),
        "Whether the verdict came from memory.",
    ),
    field(
        "source",
        (DECISION, Word, false),
        ("sealgate.source", "sealgate.source"),
        "Where the evidence came from.",
    ),
    field(
        "evidence_age_seconds",
        (DECISION, Number, false),
        ("sealgate.evidence_age_seconds", "sealgate.evidence_age_seconds"),
        "How long ago the registry last showed it.",
    ),
    field(
        "policies",
        (DECISION, Reports, true),
        ("sealgate.policies", "sealgate.policies"),
        "The policies that matched, and the fate of each signature.",
    ),
    field(
        "policy_generation",
        (IN_FORCE, TextOrNull, true),
        ("sealgate.policy_generation", "sealgate.policy_generation"),
        "Which policies were in force.",
    ),
    field(
        "trust_generation",
        (IN_FORCE, TextOrNull, true),
        ("sealgate.trust_generation", "sealgate.trust_generation"),
        "Which keys and roots were in force.",
    ),
    field(
        "timings",
        (DECISION, Numbers, true),
        ("sealgate.timings", "sealgate.timings"),
        "Microseconds by phase.",
    ),
    field(
        "detail",
        (FINDING, Texts, false),
        ("sealgate.detail", "sealgate.detail"),
        "What else belongs to it, by name.",
    ),
    field(
        "repeats",
        (ABOUT, Number, true),
        ("sealgate.repeats", "sealgate.repeats"),
        "How many like it this line stands for.",
    ),
    field(
        "repeats_of",
        (ABOUT, Id, false),
        ("sealgate.repeats_of", "sealgate.repeats_of"),
        "The line that was repeated.",
    ),
    field(
        "supersedes",
        (DECISION, Id, false),
        ("sealgate.supersedes", "sealgate.supersedes"),
        "The decision that this one takes back.",
    ),
    field(
        "note",
        (NOTE, OneKey, true),
        ("sealgate.note", "sealgate.note"),
        "What the log says about itself.",
    ),
    field(
        "cause",
        (HEAD, Word, true),
        ("sealgate.cause", "sealgate.cause"),
        "Why there is a head.",
    ),
    field("node", (HEAD, Text, true), ("host.name", "host.name"), "The node's host name."),
    field(
        "boot_id",
        (HEAD, Text, true),
        ("sealgate.boot_id", "host.boot.id"),
        "The kernel's id of this boot.",
    ),
    field(
        "version",
        (HEAD, Text, true),
        ("service.version", "service.version"),
        "The version of the gate.",
    ),
    field(
        "process_start",
        (HEAD, Time, true),
        ("process.creation.time", "process.start"),
        "When this process of the gate began.",
    ),
    field(
        "cause",
        (CHECKPOINT, Text, true),
        ("sealgate.cause", "sealgate.cause"),
        "Why the checkpoint was made at its time.",
    ),
    field(
        "note",
        (CHECKPOINT, Text, true),
        ("sealgate.note", "sealgate.note"),
        "The signed checkpoint.",
    ),
    field(
        "key",
        (CHECKPOINT, Text, true),
        ("sealgate.key", "sealgate.key"),
        "The public key that it is signed with.",
    ),
    field(
        "range",
        (CHECKPOINT, List, true),
        ("sealgate.range", "sealgate.range"),
        "The roots of the subtrees that its tree is made of.",
    ),
    field(
        "entries",
        (CHECKPOINT, Text, true),
        ("sealgate.entries", "sealgate.entries"),
        "Eight bytes of the hash of each line since the checkpoint before.",
    ),
    field(
        "kept_from",
        (CHECKPOINT, Number, true),
        ("sealgate.kept_from", "sealgate.kept_from"),
        "The first line that rotation has left.",
    ),
    field(
        "hashes_from",
        (CHECKPOINT, Number, true),
        ("sealgate.hashes_from", "sealgate.hashes_from"),
        "The first line whose hash is kept.",
    ),
];
