//! `sealgate verify IMAGE...`: the gate's own decision about images, made from here, with every
//! signature's result.
//!
//! What is asked is read here and in [`manifest`]; the gate decides; [`answer`] prints.

mod advice;
mod answer;
mod manifest;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use self::answer::{GateDecision, VerifiedImage};
use super::evidence::on_node::{existing, tokio_runtime};
use super::policy::settings::{keys_hint, settings, with_keys_hint};
use super::terminal::command_error::{CommandError, is_folder};
use super::terminal::screen::{Exit, Screen, plain};
use crate::config::Settings;
use crate::cri::ask::{Call, LocalImageRequest, PullRequest};
use crate::cri::{Gate, Timings};
use crate::daemon::{self, CLOCK};
use crate::decision::decide::Reach;
use crate::evidence::Pod;
use crate::image::{Digest, Reference};
use crate::loader;

/// What tools that name transports put before a registry's image.
const TRANSPORT: &str = "docker://";

/// What to decide on.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Images, each as a pod would name it, or the id of one that is on this node (sha256:…). A
    /// docker:// before it is left out.
    #[arg(value_name = "IMAGE", required_unless_present = "file")]
    images: Vec<String>,
    /// Every image of the pods and templates in this file of manifests, each in the namespace of
    /// its object; - for standard input.
    #[arg(short, long, value_name = "FILE")]
    file: Vec<PathBuf>,
    /// The namespace of the pod, where a manifest names none; without it every policy that is
    /// limited to namespaces counts.
    #[arg(long, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// Decide as at the creation of a container: about the image that this node has under the name,
    /// by the evidence that is kept here, and ask no registry.
    #[arg(long)]
    local: bool,
    /// The folder of documents; the configured one when left out. With it no configuration is
    /// needed.
    #[arg(long, value_name = "FOLDER")]
    policies: Option<PathBuf>,
    /// The folder of keys; the configured one when left out.
    #[arg(long, value_name = "FOLDER")]
    keys: Option<PathBuf>,
}

/// One image that is asked about.
struct AskedImage {
    image: String,
    namespace: Option<String>,
    /// Where it stands in manifests.
    places: Vec<String>,
}

/// Decides and prints; the worst end of all images.
pub(super) fn run(options: &Options, config: &Path, screen: &mut Screen) -> Exit {
    verify(options, config, screen).unwrap_or_else(|error| error.say(screen))
}

fn verify(options: &Options, config: &Path, screen: &mut Screen) -> Result<Exit, CommandError> {
    let folders = options.policies.iter().chain(&options.keys);
    folders.into_iter().try_for_each(|folder| is_folder(folder))?;
    let asked = asked(options)?;
    let (mut settings, _) = settings(config, options.policies.is_some())?;
    settings.registry.inherit(&daemon::environment());
    let runtime = tokio_runtime()?;
    // Within, since the clients of the gate are made for it.
    let gate = {
        let _within = runtime.enter();
        gate(options, &mut settings)?
    };
    let (mut exit, mut counts) = (Exit::Done, answer::VerdictTally::default());
    for one in &asked {
        let verified = runtime.block_on(decide(one, options.local, &gate));
        verified.print(asked.len() > 1, screen);
        counts.add(&verified);
        exit = exit.worse(verified.exit());
    }
    if asked.len() > 1 {
        counts.print(screen);
    }
    Ok(exit)
}

/// Everything that is asked about, each image once for a namespace.
fn asked(options: &Options) -> Result<Vec<AskedImage>, CommandError> {
    let named = options.images.iter().map(|image| (image.clone(), None, None));
    let mut all: Vec<_> = named.collect();
    for file in &options.file {
        let found = manifest::images(file)?;
        all.extend(found.into_iter().map(|one| (one.image, one.namespace, Some(one.place))));
    }
    // A pod that names none is refused; on a command line it is a mistake of the line.
    for (image, ..) in all.iter().filter(|(_, _, place)| place.is_none()) {
        let bare = image.strip_prefix(TRANSPORT).unwrap_or(image);
        if !is_id(bare)
            && let Err(error) = Reference::parse(bare)
        {
            return Err(CommandError::usage(format!("{}: {error}", plain(image))));
        }
    }
    let mut asked: Vec<AskedImage> = Vec::new();
    for (image, namespace, place) in all {
        let image = image.strip_prefix(TRANSPORT).map_or_else(|| image.clone(), str::to_owned);
        let namespace = namespace.or_else(|| options.namespace.clone());
        let known = asked.iter_mut().find(|one| one.image == image && one.namespace == namespace);
        match known {
            Some(known) => known.places.extend(place),
            None => {
                asked.push(AskedImage { image, namespace, places: place.into_iter().collect() })
            }
        }
    }
    Ok(asked)
}

/// A gate of the policies that are meant. With the evidence that is kept where that alone decides.
fn gate(options: &Options, settings: &mut Settings) -> Result<Gate, CommandError> {
    let is_in_force = options.policies.is_none();
    let hint = keys_hint(options.policies.as_deref(), options.keys.as_deref());
    let policy = &mut settings.policy;
    if let Some(folder) = &options.policies {
        policy.policies = folder.clone().into();
    }
    policy.keys = options.keys.clone().unwrap_or_else(|| policy.keys.clone());
    let loaded = loader::load_with_patterns(&settings.policy, &settings.trust, is_in_force);
    let (loaded, _) = loaded.map_err(|error| with_keys_hint(error, hint))?;
    let gate = daemon::gate_of(settings, loaded.policies).map_err(|error| error.to_string())?;
    if options.local {
        match existing(&settings.evidence)? {
            Some(store) => gate.open_store(Arc::new(store)),
            None => gate.without_store("nothing is kept on this node".to_owned()),
        }
    }
    Ok(gate)
}

async fn decide(asked: &AskedImage, is_local: bool, gate: &Gate) -> VerifiedImage {
    let AskedImage { image, namespace, places } = asked;
    let mut timings = Timings::start(CLOCK);
    let pod = Pod { namespace: namespace.clone(), ..Pod::default() };
    let deadline = CLOCK.steady() + gate.limits().decision() + Duration::from_secs(1);
    let (is_id, set) = (is_id(image), gate.policy());
    let decided = if is_local || is_id {
        // As the kubelet asks: the pod's own word for it beside, unless that is no name.
        let user_specified = if is_id { String::new() } else { image.clone() };
        let (call, container) = (Call::CreateContainer, String::new());
        let image = image.clone();
        let ask = LocalImageRequest { call, image, user_specified, pod, container, deadline };
        let reach = if is_local { Reach::Node } else { Reach::Anywhere };
        GateDecision::Local(gate.judge_for_container(reach, &ask, &set, &mut timings).await)
    } else {
        let ask = PullRequest { image: image.clone(), pod, auth: None, deadline };
        GateDecision::Pull(gate.admit_pull(&ask, &mut timings).await)
    };
    let asked = (image.as_str(), namespace.as_deref(), places.as_slice());
    VerifiedImage::new(asked, decided, (&timings, set.as_ref()))
}

/// Whether it is the id of an image, the digest of its configuration, in full.
fn is_id(image: &str) -> bool {
    let bare = image.strip_prefix("sha256:").unwrap_or(image);
    Digest::parse(&format!("sha256:{bare}")).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_image_is_asked_about_once_for_a_namespace() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pods.yaml");
        let pod = |name: &str, namespace: &str| {
            format!(
                "---\nkind: Pod\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: \
                 {{containers: [{{name: c, image: reg.test/a}}]}}\n"
            )
        };
        let text = [pod("one", "prod"), pod("two", "prod"), pod("three", "dev")].concat();
        std::fs::write(&file, text).unwrap();
        let options = Options {
            images: vec!["docker://reg.test/a".to_owned()],
            file: vec![file],
            namespace: Some("dev".to_owned()),
            local: false,
            policies: None,
            keys: None,
        };
        let asked = asked(&options).unwrap();
        let seen: Vec<_> = asked
            .iter()
            .map(|one| (one.image.as_str(), one.namespace.as_deref(), one.places.len()))
            .collect();
        assert_eq!(seen, [("reg.test/a", Some("dev"), 1), ("reg.test/a", Some("prod"), 2)]);
    }

    #[test]
    fn an_id_is_told_from_a_name() {
        let hex = "0".repeat(64);
        assert!(is_id(&hex) && is_id(&format!("sha256:{hex}")));
        assert!(!is_id("cafe") && !is_id(&format!("reg.test/a@sha256:{hex}")));
    }
}
