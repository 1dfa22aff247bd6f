//! Sealgate: a gate between the kubelet and containerd that lets an image through only when the
//! node's policy is satisfied by signatures over the image's digest.
//!
//! The map, from the pure core outwards; arrows between rooms point one way and `tests/layers.rs`
//! holds them:
//!
//! | room | what is in it |
//! |---|---|
//! | [`image`] | references, digests, manifests, indexes: parsing only |
//! | [`verify`] | who signed this digest |
//! | [`evidence`] | the words between policy and the outside: subject, place, evidence |
//! | [`policy`] | documents, requirements, the judge, the permit |
//! | [`import`] | policies of other programs become documents |
//! | [`tlog`] | a transparency log: Merkle tree, checkpoints, signed notes, proofs |
//! | [`cache`] | bounded memory of verdicts |
//! | [`aside`] | large input is worked on away from the thread that carries calls |
//! | [`budget`] | how many bytes of registries are held at once |
//! | [`registry`] | the network: resolve, manifests, referrers, blobs |
//! | [`loader`] | policies, keys and trust roots from disk |
//! | [`tuf`] | refreshing trust roots over the network |
//! | [`host_paths`] | what of this node a container would reach |
//! | [`nri`] | the tripwire in the runtime: it asks before it makes a container |
//! | [`metrics`] | numbers for a monitor |
//! | [`audit`] | the record of every decision |
//! | [`otlp`] | the audit log for a collector |
//! | [`containerd`] | containerd as a client: identify, prove, name |
//! | [`proto`] | generated messages, clients and servers of the CRI and of containerd |
//! | [`systemd`] | readiness, watchdog, inherited sockets |
//! | [`sources`] | where evidence comes from: memory, disk, the registry |
//! | `decision` | a question becomes a permit or a denial |
//! | [`proxy`] | the socket: listen, pass through, frame, patch |
//! | [`cri`] | the intercepted calls, from message to answer |
//! | [`node`] | the node's own processes, and the files that they name |
//! | [`kubelet`] | what the node's kubelet is told about its runtime |
//! | [`canary`] | how the gate tests itself |
//! | [`config`] | the file, its drop-ins, the settings |
//! | [`daemon`] | wiring; the only reader of the clock |
//! | [`share`] | what there is only so much of, shared by the hosts that it is used for |
//! | [`clock`] | the seam through which time comes in |
//! | [`floor`] | the latest time that was recorded, which the clock is not believed to be before |
//! | [`errno`] | what the system answered, in words |
//! | [`doctor`] | what of a node keeps the gate from its work |
//! | [`cli`] | words for humans |

pub mod aside;
pub mod audit;
pub mod budget;
pub mod cache;
pub mod canary;
pub mod cli;
pub mod clock;
pub mod config;
pub mod containerd;
pub mod control;
pub mod cri;
pub mod daemon;
mod decision;
pub mod deny_fetch;
pub mod doctor;
pub mod errno;
pub mod evidence;
pub mod evidence_store;
pub mod fetched_list;
pub mod file_trust;
pub mod floor;
pub mod host_paths;
pub mod image;
pub mod import;
pub mod kubelet;
pub mod loader;
pub mod metrics;
pub mod node;
pub mod nri;
pub mod otlp;
pub mod policy;
pub mod proto;
pub mod proxy;
pub mod registry;
pub mod share;
pub mod sources;
pub mod systemd;
pub mod tlog;
pub mod tuf;
pub mod verify;
