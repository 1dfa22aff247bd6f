//! [`Witnesses`]: the logs and timestamp authorities of a trust root; [`Witnesses::prove`] proves
//! what they say of a signature: when it existed, and in which logs it is.
//!
//! What nobody vouches for whom the root knows is set aside: a timestamp that does not hold, an
//! entry of another log. It counts for nothing, and whoever can put it there could leave it out as
//! well. An entry of a log that the root does know must hold. That an entry is about the signature,
//! its key and what it covers, [`crate::verify::signature::log`] says.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use sigstore_crypto::VerificationKey;
use sigstore_trust_root::TrustedRoot;
use sigstore_types::bundle::InclusionProof;
use sigstore_types::{
    SignatureBytes, TimeRange, TimestampToken, TransparencyLogEntry, TsaAuthority,
};

use super::timestamp;
use crate::verify::primitives::demands::{Demands, LogEntry, ProvenTime, TimeSource};
use crate::verify::primitives::fault::Fault;
use crate::verify::primitives::leaf;
use crate::verify::signature::attached::{Attached, ProvenParts, TimestampedObject};
use crate::verify::signature::log::Entry;
use crate::verify::sigstore::error::RootError;

/// Who can vouch for times and log entries.
pub(in crate::verify) struct Witnesses {
    logs: Vec<Log>,
    authorities: Vec<Authority>,
}

struct Log {
    id: Vec<u8>,
    name: String,
    key: VerificationKey,
    window: Option<TimeRange>,
}

struct Authority {
    name: String,
    authority: TsaAuthority,
    /// The same up to the leaf's issuer, which the file vouches for as it does for the root: a
    /// certificate less to check.
    issuer: Option<TsaAuthority>,
}

/// What is proven of a signature beside who made it.
#[derive(Debug, Default)]
pub(in crate::verify) struct Witnessed {
    pub(in crate::verify) times: Vec<ProvenTime>,
    pub(in crate::verify) entries: Vec<LogEntry>,
    /// Which log entries and which timestamps hold, by their numbers.
    pub(in crate::verify) held: ProvenParts,
    /// Why a timestamp was set aside; of several the most telling.
    timestamp_aside: Option<Fault>,
    /// Whether an entry was, since no log of the root has it.
    entry_aside: bool,
}

impl Witnesses {
    pub(in crate::verify) fn of(root: &TrustedRoot) -> Result<Self, RootError> {
        let unusable = |error: sigstore_crypto::Error| RootError::Unusable(error.to_string());
        let mut logs = Vec::new();
        for log in &root.tlogs {
            let id = log.log_id.key_id.as_bytes().to_vec();
            let name =
                if log.base_url.is_empty() { hex::encode(&id) } else { log.base_url.clone() };
            let key = VerificationKey::from_spki(&log.public_key.raw_bytes).map_err(unusable)?;
            logs.push(Log { id, name, key, window: log.public_key.valid_for });
        }
        let mut authorities = Vec::new();
        for entry in &root.timestamp_authorities {
            let chain: Vec<_> =
                entry.cert_chain.certificates.iter().map(|c| c.raw_bytes.clone()).collect();
            let (leaf, intermediates, top) = match chain.as_slice() {
                [] => continue,
                [only] => (only, &[][..], only),
                [leaf, between @ .., top] => (leaf, between, top),
            };
            let name = match entry.uri.as_deref() {
                Some(uri) if !uri.is_empty() => uri.to_owned(),
                Some(_) | None => leaf::parse(leaf.as_bytes())
                    .map_err(|fault| RootError::Unusable(fault.to_string()))?
                    .tbs_certificate
                    .subject
                    .to_string(),
            };
            let authority = TsaAuthority::new(
                leaf.clone(),
                intermediates.to_vec(),
                top.clone(),
                entry.valid_for,
            );
            let issuer = intermediates.first();
            let issuer = issuer.map(|top| {
                TsaAuthority::new(leaf.clone(), Vec::new(), top.clone(), entry.valid_for)
            });
            authorities.push(Authority { name, authority, issuer });
        }
        Ok(Self { logs, authorities })
    }

    /// Proves the log entries and timestamps beside a signature. `is_by` says whether an entry is
    /// of this signature.
    ///
    /// # Errors
    /// [`Fault`] where an entry of a log of the root does not hold, or a timestamp that does is
    /// from the future.
    pub(in crate::verify) fn prove(
        &self,
        attached: &Attached,
        signature: &[u8],
        now: Timestamp,
        is_by: &dyn Fn(&Entry) -> Result<(), Fault>,
    ) -> Result<Witnessed, Fault> {
        let mut witnessed = Witnessed::default();
        let signature = SignatureBytes::from_bytes(signature);
        for (number, stamp) in attached.timestamps.iter().enumerate() {
            let over = match &stamp.over {
                TimestampedObject::Signature => &signature,
                TimestampedObject::Envelope(envelope) => envelope,
            };
            match self.timestamp(&stamp.token, over) {
                Ok(proven) if proven.time > now => return Err(Fault::FutureTime),
                Ok(proven) => {
                    witnessed.add_time(proven);
                    witnessed.held.timestamps.push(number);
                }
                Err(fault) => {
                    witnessed.timestamp_aside =
                        witnessed.timestamp_aside.into_iter().chain([fault]).min()
                }
            }
        }
        for (number, entry) in attached.entries.iter().enumerate() {
            if !self.know(entry) {
                witnessed.entry_aside = true;
                continue;
            }
            is_by(entry)?;
            self.entry(&mut witnessed, entry, now)?;
            witnessed.held.entries.push(number);
        }
        Ok(witnessed)
    }

    /// Whether an entry is of a log of the root: it says so, or the tree head beside it does.
    pub(in crate::verify) fn know(&self, entry: &Entry) -> bool {
        let logged = entry.logged();
        let id = logged.log_id.key_id.as_bytes();
        let head = logged.inclusion_proof.as_ref().and_then(|proof| proof.checkpoint.checkpoint());
        let hints: Vec<_> = head
            .iter()
            .flat_map(|head| {
                head.signatures().iter().filter(|signature| is_of(head.origin(), &signature.name))
            })
            .map(|signature| signature.key_id.as_bytes().as_slice())
            .collect();
        self.logs
            .iter()
            .any(|log| log.id == id || hints.iter().any(|hint| log.id.starts_with(hint)))
    }

    fn entry(&self, witnessed: &mut Witnessed, entry: &Entry, now: Timestamp) -> Result<(), Fault> {
        let in_v2 = entry.is_second_version();
        let logged = entry.logged();
        let promised = self.promise(logged, now)?;
        let included = self.inclusion(entry, now)?;
        let log = promised.or(included).ok_or(Fault::LogInvalid)?;
        let bound = promised.is_some() || (in_v2 && included.is_some());
        witnessed.add_entry(LogEntry {
            log: log.name.clone(),
            index: bound.then(|| logged.log_index.get()),
        });
        // A version 2 entry has no time of its own (rekor-v2 specification).
        if let (Some(log), Some(time), false) = (promised, logged.integrated_time, in_v2) {
            witnessed.add_time(ProvenTime { time, by: TimeSource::Log(log.name.clone()) });
        }
        Ok(())
    }

    /// Which authority made a timestamp over this signature (RFC 3161), and when. Each is tried by
    /// itself, so that no window of another's counts.
    fn timestamp(
        &self,
        token: &TimestampToken,
        signature: &SignatureBytes,
    ) -> Result<ProvenTime, Fault> {
        let mut fault = Fault::TimestampInvalid;
        let by =
            |authority| sigstore_tsa::verify_timestamp_for_authority(token, signature, authority);
        for Authority { name, authority, issuer } in &self.authorities {
            let short = issuer.as_ref().and_then(|issuer| by(issuer).ok());
            match short.map_or_else(|| by(authority), Ok) {
                Ok(time) => {
                    let chain = [&authority.leaf, &authority.root]
                        .into_iter()
                        .chain(&authority.intermediates);
                    let chain: Vec<_> = chain.map(|certificate| certificate.as_bytes()).collect();
                    timestamp::check(token.as_bytes(), &chain)?;
                    return Ok(ProvenTime { time, by: TimeSource::Authority(name.clone()) });
                }
                Err(sigstore_tsa::Error::TimestampOutsideValidity { .. }) => {
                    fault = Fault::TimestampOutside
                }
                Err(_) => {}
            }
        }
        Err(fault)
    }

    /// Which log promised to include an entry (the signed entry timestamp of Rekor v1: a signature
    /// over the canonical JSON of the entry's body, time, log and index).
    fn promise(&self, entry: &TransparencyLogEntry, now: Timestamp) -> Result<Option<&Log>, Fault> {
        let Some(promise) = &entry.inclusion_promise else { return Ok(None) };
        let id = entry.log_id.key_id.as_bytes();
        let log = self.logs.iter().find(|log| log.id == id).ok_or(Fault::LogUnknown)?;
        let valid = match entry.integrated_time {
            Some(time) if time > now => return Err(Fault::FutureTime),
            Some(time) => log.window.is_none_or(|window| window.contains(time)),
            None => log.has_started(now),
        };
        if !valid {
            return Err(Fault::LogUnknown);
        }
        let payload = format!(
            r#"{{"body":"{}","integratedTime":{},"logID":"{}","logIndex":{}}}"#,
            STANDARD.encode(entry.canonicalized_body.as_bytes()),
            entry.integrated_time.map_or(0, Timestamp::as_second),
            hex::encode(id),
            entry.log_index.get(),
        );
        let signature = SignatureBytes::from_bytes(promise.signed_entry_timestamp.as_bytes());
        log.key.verify(payload, &signature).map_err(|_| Fault::LogInvalid)?;
        Ok(Some(log))
    }

    /// Which log has an entry in a tree whose head it signed (RFC 6962 section 2.1.1; C2SP
    /// `tlog-checkpoint`).
    fn inclusion(&self, entry: &Entry, now: Timestamp) -> Result<Option<&Log>, Fault> {
        let Some(proof) = &entry.logged().inclusion_proof else { return Ok(None) };
        let head = proof.checkpoint.checkpoint().ok_or(Fault::LogInvalid)?;
        let index = proven_index(entry, proof, head)?;
        let body = sigstore_merkle::hash_leaf(entry.logged().canonicalized_body.as_bytes());
        sigstore_merkle::verify_inclusion_proof(
            &body,
            index,
            head.tree_size(),
            &proof.hashes,
            head.root_hash(),
        )
        .map_err(|_| Fault::LogInvalid)?;
        let mut fault = Fault::LogUnknown;
        for signature in
            head.signatures().iter().filter(|signature| is_of(head.origin(), &signature.name))
        {
            let hint = signature.key_id.as_bytes().as_slice();
            // Four bytes may be those of several keys.
            for log in
                self.logs.iter().filter(|log| log.id.starts_with(hint) && log.has_started(now))
            {
                if log.key.verify(head.signed_data(), &signature.signature).is_ok() {
                    return Ok(Some(log));
                }
                fault = Fault::LogInvalid;
            }
        }
        Err(fault)
    }
}

/// The number under which the tree has an entry. Version 1 says number, size and root a second time
/// beside the signed head, and counts entries over all its trees elsewhere; in version 2 that is
/// unsigned and not looked at.
fn proven_index(
    entry: &Entry,
    proof: &InclusionProof,
    head: &sigstore_types::Checkpoint,
) -> Result<u64, Fault> {
    if entry.is_second_version() {
        return Ok(entry.logged().log_index.get());
    }
    let agree = proof.tree_size == head.tree_size() && proof.root_hash == *head.root_hash();
    if agree { Ok(proof.log_index.get()) } else { Err(Fault::LogInvalid) }
}

/// Whether a line's signer is the log that a tree head is of, and no witness of it: its name is the
/// head's origin (C2SP `tlog-checkpoint`), to which version 1 adds the number of the tree. The name
/// is part of what a version 2 key is told by, and is not signed itself.
fn is_of(origin: &str, signer: &str) -> bool {
    origin.strip_prefix(signer).is_some_and(|rest| rest.is_empty() || rest.starts_with(" - "))
}

impl Log {
    /// As of when a key that has expired since still speaks of what it did before.
    fn has_started(&self, now: Timestamp) -> bool {
        self.window.is_none_or(|window| window.has_started_by(now))
    }
}

impl Witnessed {
    /// Refuses evidence that is less than demanded. One log, or one authority, counts once (attack
    /// C2). Where something was set aside that could have counted, that says more than how many are
    /// left.
    pub(in crate::verify) fn meets(&self, demands: Demands) -> Result<(), Fault> {
        let logs: BTreeSet<_> = self.entries.iter().map(|entry| &entry.log).collect();
        let got = u8::try_from(logs.len()).unwrap_or(u8::MAX);
        if got < demands.log_entries {
            let few = Fault::TooFewLogEntries { got, want: demands.log_entries };
            return Err(if self.entry_aside { Fault::LogUnknown } else { few });
        }
        let authorities: BTreeSet<_> =
            self.times.iter().filter_map(|time| time.by.authority()).collect();
        let got = u8::try_from(authorities.len()).unwrap_or(u8::MAX);
        if got < demands.timestamps {
            return Err(self
                .timestamp_aside
                .unwrap_or(Fault::TooFewTimestamps { got, want: demands.timestamps }));
        }
        Ok(())
    }

    /// Refuses what nobody vouches for when it was made.
    pub(in crate::verify) fn has_time(&self) -> Result<(), Fault> {
        if self.times.is_empty() {
            Err(self.timestamp_aside.unwrap_or(Fault::NoProvenTime))
        } else {
            Ok(())
        }
    }

    fn add_time(&mut self, time: ProvenTime) {
        if !self.times.contains(&time) {
            self.times.push(time);
        }
    }

    fn add_entry(&mut self, entry: LogEntry) {
        if !self.entries.contains(&entry) {
            self.entries.push(entry);
        }
    }
}
