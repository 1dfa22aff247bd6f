//! [`WhoRuns`]: the images and containers of this node that a change of deny lists would have
//! refused, judged from the evidence here, as the gate judges with no network.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;

use crate::cli::evidence::catalog::Catalog;
use crate::cli::evidence::offline::{Judged, Judgement, KeptImage};
use crate::cli::evidence::on_node::{existing, tokio_runtime};
use crate::cli::terminal::screen::{Screen, Tone, plain};
use crate::config::Settings;
use crate::containerd::{NodeContainer, NodeImage, Runtime};
use crate::evidence_store::Store;
use crate::image::{Digest, Reference};
use crate::policy::PolicySet;

/// What would be refused.
#[derive(Debug, Default, Serialize)]
pub(super) struct WhoRuns {
    /// Containers that run, of images that are admitted now and would not be.
    running: Vec<RefusedImage>,
    /// Images that no container runs.
    images: Vec<RefusedImage>,
    /// Images of which the evidence here says nothing, before or after.
    untold: usize,
    /// Why nothing could be told at all.
    fault: Option<String>,
}

/// One of them.
#[derive(Debug, Serialize)]
struct RefusedImage {
    image: String,
    digest: String,
    why: String,
    namespace: Option<String>,
    pod: Option<String>,
    container: Option<String>,
}

/// What is on the node: each image with its names and what they point at, and the containers.
struct OnNode {
    images: Vec<(NodeImage, Vec<(String, Digest)>)>,
    containers: Vec<NodeContainer>,
}

/// What a change does to an image.
enum Effect {
    Refused(Judged),
    None,
    Untold,
}

/// Judges what is on the node under two sets.
pub(super) fn of(
    before: &Arc<PolicySet>,
    after: &Arc<PolicySet>,
    settings: &Settings,
    screen: &mut Screen,
) -> WhoRuns {
    let told = on_node(settings).and_then(|on_node| {
        let store = existing(&settings.evidence)?.ok_or("there is no evidence on this node")?;
        judged(&on_node, &store, [before, after], settings, screen)
    });
    screen.end_progress();
    told.unwrap_or_else(|why| WhoRuns { fault: Some(why), ..WhoRuns::default() })
}

fn on_node(settings: &Settings) -> Result<OnNode, String> {
    let runtime = tokio_runtime()?;
    runtime.block_on(async {
        let containerd = Runtime::new(settings.runtime.clone());
        let words = |error: crate::containerd::RuntimeError| error.to_string();
        let containers = containerd.node_containers().await.map_err(words)?;
        let mut images = Vec::new();
        for image in containerd.node_images().await.map_err(words)? {
            let mut named = Vec::new();
            for name in &image.names {
                let digest = Reference::parse(name).ok().and_then(|name| name.digest().cloned());
                let target = match digest {
                    Some(digest) => Some(digest),
                    None => {
                        containerd.record(name).await.map_err(words)?.map(|it| it.target.digest)
                    }
                };
                named.extend(target.map(|target| (name.clone(), target)));
            }
            images.push((image, named));
        }
        Ok(OnNode { images, containers })
    })
}

fn judged(
    on_node: &OnNode,
    store: &Store,
    [before, after]: [&Arc<PolicySet>; 2],
    settings: &Settings,
    screen: &mut Screen,
) -> Result<WhoRuns, String> {
    let catalog = Catalog::of(store)?;
    let namespaces: BTreeSet<Option<String>> = on_node
        .containers
        .iter()
        .map(|container| container.pod.as_ref().map(|(namespace, _)| namespace.clone()))
        .chain([None])
        .collect();
    let judgement = |set: &Arc<PolicySet>, namespace: &Option<String>| {
        Judgement::new(settings, Arc::clone(set), store, namespace.clone())
    };
    let judgements: BTreeMap<Option<String>, [Judgement<'_>; 2]> = namespaces
        .into_iter()
        .map(|namespace| {
            let both = [judgement(before, &namespace), judgement(after, &namespace)];
            (namespace, both)
        })
        .collect();
    let mut who = WhoRuns::default();
    let all = u64::try_from(on_node.images.len()).unwrap_or(u64::MAX);
    for ((image, names), done) in on_node.images.iter().zip(1..) {
        screen.progress("judging what is on the node", done, all);
        let is_its = |container: &&NodeContainer| container.image == image.id;
        let mut containers = on_node.containers.iter().filter(is_its).peekable();
        if containers.peek().is_none() {
            match judgements.get(&None).map(|both| effect(names, both, &catalog)) {
                Some(Effect::Refused(judged)) => who.images.push(RefusedImage::of(judged, None)),
                Some(Effect::Untold) => who.untold += 1,
                Some(Effect::None) | None => {}
            }
            continue;
        }
        let mut is_untold = false;
        for container in containers {
            let namespace = container.pod.as_ref().map(|(namespace, _)| namespace.clone());
            match judgements.get(&namespace).map(|both| effect(names, both, &catalog)) {
                Some(Effect::Refused(judged)) => {
                    who.running.push(RefusedImage::of(judged, Some(container)));
                }
                Some(Effect::Untold) => is_untold = true,
                Some(Effect::None) | None => {}
            }
        }
        who.untold += usize::from(is_untold);
    }
    Ok(who)
}

/// What becomes of an image of these names: refused under one that was admitted, or that is struck
/// off now and was not.
fn effect(
    names: &[(String, Digest)],
    [before, after]: &[Judgement<'_>; 2],
    catalog: &Catalog,
) -> Effect {
    let mut is_untold = names.is_empty();
    for (name, target) in names {
        let image = KeptImage::named(name, target, catalog);
        let now = after.judge(&image, catalog);
        if now.is_admitted() {
            continue;
        }
        let then = before.judge(&image, catalog);
        if then.is_admitted() || (now.is_struck_off() && !then.is_struck_off()) {
            return Effect::Refused(now);
        }
        is_untold |= !then.is_struck_off();
    }
    if is_untold { Effect::Untold } else { Effect::None }
}

impl RefusedImage {
    fn of(judged: Judged, container: Option<&NodeContainer>) -> Self {
        let (image, digest, why) = judged.told();
        let pod = container.and_then(|container| container.pod.clone());
        let (namespace, pod) = pod.unzip();
        let container = container.map(|container| container.name.clone());
        Self { image, digest, why, namespace, pod, container }
    }

    fn print(&self, screen: &mut Screen) {
        let or_unknown = |text: &Option<String>| plain(text.as_deref().unwrap_or("?"));
        if let Some(container) = &self.container {
            let (namespace, pod) = (or_unknown(&self.namespace), or_unknown(&self.pod));
            screen.line(&format!("  {namespace}/{pod}  {}", plain(container)));
        }
        screen.line(&format!("  {}", plain(&self.image)));
        screen.line(&format!("    {}", plain(&self.digest)));
        screen.line(&format!("    {}", plain(&self.why)));
    }
}

impl WhoRuns {
    /// Prints it.
    pub(super) fn print(&self, screen: &mut Screen) {
        if let Some(why) = &self.fault {
            let warn = screen.tone(Tone::Warn, "who runs it cannot be told:");
            return screen.line(&format!("{warn} {}", plain(why)));
        }
        let tone = |screen: &Screen, many: bool, text: &str| match many {
            true => screen.tone(Tone::Warn, text),
            false => text.to_owned(),
        };
        let count = self.running.len();
        let text = match count {
            0 => "no container runs here that would be refused now".to_owned(),
            1 => "1 container runs here that would be refused now; stop it".to_owned(),
            _ => format!("{count} containers run here that would be refused now; stop them"),
        };
        screen.line(&tone(screen, count > 0, &text));
        self.running.iter().for_each(|refused| refused.print(screen));
        let count = self.images.len();
        if count > 0 {
            let images = if count == 1 { "image" } else { "images" };
            screen.line(&format!("{count} more {images} on this node would be refused:"));
            self.images.iter().for_each(|refused| refused.print(screen));
        }
        match self.untold {
            0 => {}
            1 => screen.line("of 1 image here the evidence on this node does not say"),
            many => screen
                .line(&format!("of {many} images here the evidence on this node does not say")),
        }
    }
}
