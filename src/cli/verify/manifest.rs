//! [`images`]: every image that the manifests in a file would run or mount.
//!
//! A manifest is looked at as what it holds, not by its kind: wherever there is a pod's
//! specification (a list of containers), its containers, init and ephemeral containers and image
//! volumes count. So the templates of kinds that nobody knows yet count as well.

use std::io::Read as _;
use std::path::Path;

use serde_json::Value;
use serde_saphyr::options::DuplicateKeyPolicy;

use crate::cli::terminal::command_error::CommandError;
use crate::cli::terminal::screen::{plain, shown};

/// Most bytes of one file of manifests: larger than what an API server takes as one object, times
/// the objects of a large application.
const FILE_MAX: u64 = 16 << 20;
/// Most documents in one file.
const DOCUMENTS_MAX: usize = 4096;
/// Deepest nesting: a pod's specification in a template in a list takes some twenty levels.
const DEPTH_MAX: usize = 64;
/// Most values in one file: what 16 MiB of manifests hold.
const NODES_MAX: usize = 1_000_000;
/// Most images of one file: each costs a decision.
const IMAGES_MAX: usize = 1000;

/// The lists of a pod's specification that name images.
const CONTAINERS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

/// An image that a manifest names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ManifestImage {
    /// The image as it is written.
    pub(super) image: String,
    /// The namespace of the object; none where it names none.
    pub(super) namespace: Option<String>,
    /// Where it stands: `Deployment web, container app`.
    pub(super) place: String,
}

/// Reads a file of manifests, YAML or JSON, or standard input by the name `-`.
///
/// # Errors
/// When it cannot be read, is no YAML, names no image at all, or has a container without one.
pub(super) fn images(file: &Path) -> Result<Vec<ManifestImage>, CommandError> {
    let (shown, text) = read(file)?;
    let faulty = |why: String| CommandError::faulty(format!("{shown}: {why}"));
    let documents = documents(&text).map_err(faulty)?;
    let mut found = Vec::new();
    for document in &documents {
        objects(document, &mut found).map_err(faulty)?;
    }
    if found.is_empty() {
        return Err(faulty("no pod and no template of one, so no image".to_owned()));
    }
    Ok(found)
}

fn read(file: &Path) -> Result<(String, String), CommandError> {
    let is_stdin = file == Path::new("-");
    let shown = if is_stdin { "standard input".to_owned() } else { shown(file) };
    let unread = |error| CommandError::unread(Path::new(&shown), &error);
    let mut bytes = Vec::new();
    let limit = FILE_MAX.saturating_add(1);
    let read = match is_stdin {
        true => std::io::stdin().lock().take(limit).read_to_end(&mut bytes),
        false => std::fs::File::open(file).map_err(unread)?.take(limit).read_to_end(&mut bytes),
    };
    read.map_err(unread)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > FILE_MAX {
        return Err(CommandError::faulty(format!("{shown}: larger than {FILE_MAX} bytes")));
    }
    let text = String::from_utf8(bytes)
        .map_err(|_| CommandError::faulty(format!("{shown}: not UTF-8 text")))?;
    Ok((shown, text))
}

fn documents(text: &str) -> Result<Vec<Value>, String> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_documents: DOCUMENTS_MAX,
            max_depth: DEPTH_MAX,
            flow_nesting_limit: DEPTH_MAX,
            max_nodes: NODES_MAX,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        emit_comments: false,
        with_snippet: false,
    };
    serde_saphyr::from_multiple_with_options(text, options)
        .map_err(|error| error.without_snippet().to_string())
}

/// The objects of a document: itself, or those of a list, which says by its kind that it is one.
fn objects(document: &Value, found: &mut Vec<ManifestImage>) -> Result<(), String> {
    let text = |path: &str| document.pointer(path).and_then(Value::as_str);
    let (kind, name) = (text("/kind").unwrap_or("object"), text("/metadata/name"));
    // Of another kind it is a field like any other, and stands beside those that count as well.
    let items = document.get("items").and_then(Value::as_array);
    if let Some(items) = items.filter(|_| kind.ends_with("List")) {
        return items.iter().try_for_each(|item| objects(item, found));
    }
    let object = match name.or_else(|| text("/metadata/generateName")) {
        Some(name) => format!("{kind} {name}"),
        None => kind.to_owned(),
    };
    let namespace = text("/metadata/namespace").map(str::to_owned);
    walk(document, &(object, namespace), found)
}

/// Looks for pods' specifications in a value. The parser bounds how deep it is.
fn walk(
    value: &Value,
    of: &(String, Option<String>),
    found: &mut Vec<ManifestImage>,
) -> Result<(), String> {
    match value {
        Value::Object(fields) => {
            if fields.get("containers").is_some_and(Value::is_array) {
                specification(value, of, found)?;
            }
            fields.values().try_for_each(|below| walk(below, of, found))
        }
        Value::Array(items) => items.iter().try_for_each(|below| walk(below, of, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

fn specification(
    pod: &Value,
    (object, namespace): &(String, Option<String>),
    found: &mut Vec<ManifestImage>,
) -> Result<(), String> {
    let mut add = |image: Option<&Value>, place: String| {
        let image = image.and_then(Value::as_str).filter(|image| !image.is_empty());
        let image = image.ok_or_else(|| format!("{} names no image", plain(&place)))?;
        if found.len() >= IMAGES_MAX {
            return Err(format!("more than {IMAGES_MAX} images"));
        }
        found.push(ManifestImage { image: image.to_owned(), namespace: namespace.clone(), place });
        Ok(())
    };
    for list in CONTAINERS {
        let kind = list.strip_suffix("ontainers").unwrap_or_default();
        let word = match kind {
            "initC" => "init container",
            "ephemeralC" => "ephemeral container",
            _ => "container",
        };
        for container in pod.get(list).and_then(Value::as_array).into_iter().flatten() {
            let name = container.get("name").and_then(Value::as_str).unwrap_or("without a name");
            add(container.get("image"), format!("{object}, {word} {name}"))?;
        }
    }
    for volume in pod.get("volumes").and_then(Value::as_array).into_iter().flatten() {
        let Some(image) = volume.get("image").filter(|image| !image.is_null()) else { continue };
        let name = volume.get("name").and_then(Value::as_str).unwrap_or("without a name");
        add(image.get("reference"), format!("{object}, volume {name}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn of(text: &str) -> Result<Vec<(String, Option<String>, String)>, CommandError> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("m.yaml");
        fs::write(&file, text).unwrap();
        let found = images(&file)?;
        Ok(found.into_iter().map(|one| (one.image, one.namespace, one.place)).collect())
    }

    #[test]
    fn every_image_of_every_object_counts_with_its_namespace() {
        let found = of("\
# comment
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: prod}
spec:
  template:
    spec:
      initContainers: [{name: init, image: reg.test/init}]
      containers: [{name: app, image: reg.test/app:1}]
      volumes:
        - {name: data, emptyDir: {}}
        - {name: model, image: {reference: reg.test/model:2, pullPolicy: Always}}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: night}
spec: {jobTemplate: {spec: {template: {spec: {containers: [{name: job, image: reg.test/job}]}}}}}
---
apiVersion: v1
kind: List
items:
  - apiVersion: v1
    kind: Pod
    metadata: {generateName: debug-, namespace: ops}
    spec:
      containers: [{name: a, image: reg.test/a}]
      ephemeralContainers: [{name: e, image: reg.test/e}]
  - {apiVersion: v1, kind: Service, metadata: {name: web}, spec: {ports: [{port: 80}]}}
")
        .unwrap();
        let (prod, ops) = (Some("prod".to_owned()), Some("ops".to_owned()));
        let expected = [
            ("reg.test/init", &prod, "Deployment web, init container init"),
            ("reg.test/app:1", &prod, "Deployment web, container app"),
            ("reg.test/model:2", &prod, "Deployment web, volume model"),
            ("reg.test/job", &None, "CronJob night, container job"),
            ("reg.test/a", &ops, "Pod debug-, container a"),
            ("reg.test/e", &ops, "Pod debug-, ephemeral container e"),
        ];
        let expected = expected.map(|(image, namespace, place)| {
            (image.to_owned(), namespace.clone(), place.to_owned())
        });
        assert_eq!(found, expected);
    }

    /// A field of that name in another kind hides nothing.
    #[test]
    fn items_are_objects_in_a_list_alone() {
        let pod = "kind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: a, image: x}]}\n";
        let images = |text: &str| -> Vec<String> {
            of(text).unwrap().into_iter().map(|(image, ..)| image).collect()
        };
        assert_eq!(images(&format!("{pod}items: []\n")), ["x"]);
        let inner = "items: [{spec: {containers: [{name: b, image: reg.test/y}]}}]\n";
        let mut both = images(&format!("{pod}{inner}"));
        both.sort();
        assert_eq!(both, ["reg.test/y", "x"]);
        assert_eq!(images(&format!("kind: PodList\n{inner}")), ["reg.test/y"]);
    }

    #[test]
    fn names_have_no_power_over_the_terminal() {
        let pod =
            "kind: Pod\nmetadata: {name: \"p\\e[2J\"}\nspec: {containers: [{name: \"a\\nb\"}]}\n";
        let why = of(pod).unwrap_err().to_string();
        assert!(why.contains("Pod p\\u{1b}[2J, container a\\u{a}b names no image"), "{why}");
    }

    /// As the API's own tools read YAML.
    #[test]
    fn anchors_and_merge_keys_are_resolved() {
        let found = of("\
kind: Pod
metadata: {name: p}
spec:
  containers:
    - &app {name: a, image: reg.test/a}
    - {<<: *app, name: b}
")
        .unwrap();
        let images: Vec<&str> = found.iter().map(|(image, ..)| image.as_str()).collect();
        assert_eq!(images, ["reg.test/a"; 2]);
    }

    #[test]
    fn what_names_no_image_is_faulty_and_never_nothing() {
        let faults = [
            "kind: Service\n",
            "",
            "kind: Pod\nspec: {containers: [{name: a}]}\n",
            "kind: Pod\nspec: {containers: [{name: a, image: ''}]}\n",
            "kind: Pod\nspec: {containers: [{name: a, image: x, image: y}]}\n",
            "kind: Pod\nspec: {containers: [{name: a, image: x}], volumes: [{name: v, image: {}}]}",
            "{",
        ];
        for fault in faults {
            let error = of(fault).unwrap_err();
            assert_eq!(error.exit(), crate::cli::Exit::Faulty, "{fault}: {error}");
        }
        let gone = images(Path::new("/nowhere/m.yaml")).unwrap_err();
        assert_eq!(gone.exit(), crate::cli::Exit::NoInput);
    }
}
