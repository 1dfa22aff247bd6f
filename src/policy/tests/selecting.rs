//! Labels, annotations, handlers and uses: which documents they select, what is not known of a pod,
//! and that what lets through goes by nothing that a pod's author writes.

use proptest::prelude::*;

use super::support::*;
use crate::evidence::{ImageUse, Name, Notes, Pod, Traits};
use crate::image::Reference;
use crate::policy::{
    Class, Elsewhere, Material, PolicyFault, PolicySet, SelectorFault, Unmatched, Verdict,
};

const DIGEST: &str = "{digest: {anyOf: [\"sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"]}}";
const ANY: &str = "{insecureAcceptAnything: true}";
const IMAGE: &str = "reg.test/prod/app:1";

/// A document with these fields beside its images.
fn selecting(name: &str, fields: &str, require: &str) -> String {
    named(name, r#"["reg.test/**"]"#, require).replace("spec: {", &format!("spec: {{{fields}, "))
}

fn notes(entries: &[(&str, &str)]) -> Notes {
    Notes::all(entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())))
}

fn pod(labels: &[(&str, &str)], handler: &str, image_use: ImageUse) -> Pod {
    let traits = Traits {
        labels: notes(labels),
        annotations: notes(&[]),
        handler: Some(handler.to_owned()),
        image_use: Some(image_use),
        image_labels: notes(&[]),
    };
    Pod { traits, ..in_namespace("prod") }
}

fn matching(set: &PolicySet, pod: &Pod) -> Vec<usize> {
    let name = Name::Known(Reference::parse(IMAGE).unwrap());
    set.applicable(&name, pod).documents().iter().collect()
}

#[test]
fn labels_handlers_and_kinds_select() {
    let text = [
        selecting("a", "podLabels: {tier: \"prod-*\", app: \"*\"}", DIGEST),
        selecting("b", "runtimeHandlers: [kata, \"\"]", DIGEST),
        selecting("c", "kinds: [imageVolume, sandbox]", DIGEST),
        selecting("d", "excludeNamespaces: [\"kube-*\"]", DIGEST),
        selecting("e", "podAnnotations: {acme.example/tier: \"a b/c\"}", DIGEST),
    ]
    .join("---\n");
    let set = set(&text, &[]);
    let both = [("tier", "prod-eu"), ("app", "")];
    assert_eq!(matching(&set, &pod(&both, "kata", ImageUse::Container)), [0, 1, 3]);
    assert_eq!(matching(&set, &pod(&both[..1], "", ImageUse::ImageVolume)), [1, 2, 3]);
    assert_eq!(matching(&set, &pod(&[], "runc", ImageUse::Sandbox)), [2, 3]);
    let mut system = pod(&[], "runc", ImageUse::Container);
    system.namespace = Some("kube-system".to_owned());
    system.traits.annotations = notes(&[("acme.example/tier", "a b/c")]);
    assert_eq!(matching(&set, &system), [4]);
}

/// Attack E8: what is not known of a pod is in every document that demands and in none that lets
/// through.
#[test]
fn attack_e8_what_is_not_known_is_not_absent() {
    let demanding = [
        selecting("a", "podLabels: {tier: prod}", DIGEST),
        selecting("b", "podAnnotations: {tier: prod}", DIGEST),
        selecting("c", "runtimeHandlers: [kata]", DIGEST),
        selecting("d", "kinds: [sandbox]", DIGEST),
        selecting("e", "excludeNamespaces: [dev]", DIGEST),
    ];
    let permissive = [
        selecting("f", "kinds: [sandbox]", ANY),
        selecting("g", "excludeNamespaces: [dev]", ANY),
        selecting("h", "excludeNamespaces: [dev], action: warn", DIGEST),
    ];
    let text = demanding.iter().chain(&permissive).cloned().collect::<Vec<_>>().join("---\n");
    let set = set(&text, &[]);
    assert_eq!(matching(&set, &Pod::default()), [0, 1, 2, 3, 4]);
    let known = pod(&[], "", ImageUse::Sandbox);
    assert_eq!(matching(&set, &known), [3, 4, 5, 6, 7]);
}

/// Attack E8: a pod's author writes labels, annotations and the handler: what lets through goes by
/// none of them.
#[test]
fn attack_e8_no_author_writes_themselves_out_of_proof() {
    let exception = "apiVersion: sealgate/v1\nkind: Exception\nmetadata: {name: x}\nspec: {images: \
                     [\"reg.test/**\"], FIELD, expires: 2026-02-01T00:00:00Z, owner: a, reason: b}\n";
    for (name, value) in [
        ("podLabels", "{verified: \"yes\"}"),
        ("podAnnotations", "{verified: \"yes\"}"),
        ("runtimeHandlers", "[kata]"),
        ("imageLabels", "{verified: \"yes\"}"),
    ] {
        let field = format!("{name}: {value}");
        let fault = PolicyFault::Selector(SelectorFault::WrittenByAuthors { field: name });
        for text in [
            selecting("a", &field, ANY),
            selecting("a", &format!("{field}, action: warn"), DIGEST),
            exception.replace("FIELD", &field),
        ] {
            assert_eq!(faults(&text), [(4, format!("spec.{name}"), fault.clone())], "{text}");
        }
        assert!(faults(&selecting("a", &field, DIGEST)).is_empty(), "{name}");
    }
    // A use is a fact and no claim, and the namespace is not the author's to choose.
    for field in ["kinds: [sandbox]", "excludeNamespaces: [dev]"] {
        assert!(faults(&selecting("a", field, ANY)).is_empty(), "{field}");
        assert!(faults(&exception.replace("FIELD", field)).is_empty(), "{field}");
    }
}

#[test]
fn what_cannot_be_meant_is_an_error_at_its_place() {
    for (fields, place, code, meant) in [
        ("podLabels: {}", "spec.podLabels", "empty-list", None),
        ("podLabels: [a]", "spec.podLabels", "wrong-type", None),
        ("podLabels: {\"-a\": b}", "spec.podLabels.-a", "selector-key", None),
        ("podLabels: {\"a/b/c\": b}", "spec.podLabels.a/b/c", "selector-key", None),
        ("podLabels: {\"a*\": b}", "spec.podLabels.a*", "selector-key", None),
        ("podLabels: {a: \"b c\"}", "spec.podLabels.a", "selector-value", None),
        ("podLabels: {a: true}", "spec.podLabels.a", "wrong-type", None),
        ("podAnnotations: {a: \"x\\ny\"}", "spec.podAnnotations.a", "selector-value", None),
        ("runtimeHandlers: [\"a b\"]", "spec.runtimeHandlers[0]", "selector-value", None),
        ("imageLabels: {}", "spec.imageLabels", "empty-list", None),
        ("imageLabels: {a: 1}", "spec.imageLabels.a", "wrong-type", None),
        ("imageLabels: {\"a b\": c}", "spec.imageLabels.a b", "selector-key", None),
        ("imageLabels: {\"a*\": c}", "spec.imageLabels.a*", "selector-key", None),
        ("imageLabels: {a: \"x\\ny\"}", "spec.imageLabels.a", "selector-value", None),
        ("imageLabel: {a: b}", "spec.imageLabel", "unknown-field", Some("imageLabels")),
        ("kinds: [initContainer]", "spec.kinds[0]", "untold-kind", None),
        ("kinds: [ephemeral]", "spec.kinds[0]", "untold-kind", None),
        ("kinds: [containers]", "spec.kinds[0]", "unknown-word", Some("container")),
        ("podLables: {a: b}", "spec.podLables", "unknown-field", Some("podLabels")),
        ("runtimeHandler: [a]", "spec.runtimeHandler", "unknown-field", Some("runtimeHandlers")),
        ("excludeNamespaces: [Dev]", "spec.excludeNamespaces[0]", "namespace", None),
    ] {
        let found = faults(&selecting("a", fields, DIGEST));
        let [(4, field, fault)] = found.as_slice() else { panic!("{fields}: {found:?}") };
        assert_eq!((field.as_str(), fault.code()), (place, code), "{fields}");
        assert_eq!(fault.suggestion().as_deref(), meant, "{fields}");
    }
}

/// A registry of a fixed owner may leave its region open, also where a document lets through; and a
/// name that only looks like a region is no region.
#[test]
fn attack_e8_regions_may_be_open_and_owners_may_not() {
    let eks = "602401143452.dkr.ecr.*.amazonaws.com/eks/**";
    let text = named("a", &format!("[\"{eks}\"]"), ANY);
    let set = set(&text, &[]);
    let is_in = |host: &str| {
        let name = Name::Known(Reference::parse(&format!("{host}/eks/pause:3")).unwrap());
        set.applicable(&name, &Pod::default()).len()
    };
    assert_eq!(is_in("602401143452.dkr.ecr.eu-west-1.amazonaws.com"), 1);
    for host in [
        "602401143452.dkr.ecr.s3.amazonaws.com",
        "602401143452.dkr.ecr.s3.eu-west-1.amazonaws.com",
        "602401143452.dkr.ecr.s3-eu-west-1.amazonaws.com",
        "602401143453.dkr.ecr.eu-west-1.amazonaws.com",
        "602401143452.dkr.ecr.eu-west-1.amazonaws.com.evil.test",
    ] {
        assert_eq!(is_in(host), 0, "{host}");
    }
    // What demands is about all of them.
    let demanding = super::support::set(&named("a", &format!("[\"{eks}\"]"), DIGEST), &[]);
    let name = Reference::parse("602401143452.dkr.ecr.s3.amazonaws.com/eks/pause:3").unwrap();
    assert_eq!(demanding.applicable(&Name::Known(name), &Pod::default()).len(), 1);
    for open in ["*.dkr.ecr.eu-west-1.amazonaws.com/**", "acme.*.co.uk/**", "*-docker.pkg.dev/**"] {
        let found = faults(&named("a", &format!("[\"{open}\"]"), ANY));
        assert!(matches!(&found[..], [(4, _, PolicyFault::PermissiveHost)]), "{open}: {found:?}");
    }
    let project = named("a", "[\"*-docker.pkg.dev/gke-release/**\"]", ANY);
    assert!(faults(&project).is_empty());
}

/// Attack E9: a verdict is remembered for pods that the same documents are about, and for no others:
/// the key differs wherever a label, a handler or a use makes a difference, and nowhere else.
#[test]
fn attack_e9_no_verdict_is_another_pods() {
    let text = [
        selecting("a", "podLabels: {tier: prod}", DIGEST),
        selecting("b", "runtimeHandlers: [kata]", DIGEST),
        selecting("c", "kinds: [imageVolume]", DIGEST),
    ]
    .join("---\n");
    let set = set(&text, &[]);
    let subject = subject(IMAGE, &digest("image"));
    let key = |pod: &Pod| set.verdict_key(&subject, &set.applicable(&subject.name, pod));
    let plain = pod(&[], "runc", ImageUse::Container);
    for other in [
        pod(&[("tier", "prod")], "runc", ImageUse::Container),
        pod(&[], "kata", ImageUse::Container),
        pod(&[], "runc", ImageUse::ImageVolume),
        Pod::default(),
    ] {
        assert_ne!(key(&other), key(&plain), "{other:?}");
        // As much as is remembered of it leads to the same documents.
        assert_eq!(key(&set.seen_of(&other)), key(&other));
    }
    assert_eq!(key(&pod(&[("app", "x")], "", ImageUse::Sandbox)), key(&plain));
    // Documents that go by another label do not take it for absent in what is remembered.
    let others = super::support::set(&selecting("d", "podLabels: {zone: eu}", DIGEST), &[]);
    assert_eq!(matching(&others, &plain), [0; 0]);
    assert_eq!(matching(&others, &set.seen_of(&plain)), [0]);
}

/// An image with these labels, wanted by a pod of which everything is known.
fn image(labels: &[(&str, &str)]) -> Pod {
    let mut pod = pod(&[("tier", "pod")], "", ImageUse::Container);
    pod.traits.image_labels = notes(labels);
    pod
}

/// The labels of the image are none of the pod's, and the other way round.
#[test]
fn a_document_goes_by_the_labels_of_the_image() {
    let text = [
        selecting("a", "imageLabels: {tier: \"pci-*\", Maintainer: \"*\"}", DIGEST),
        selecting("b", "imageLabels: {tier: pod}", DIGEST),
        selecting("c", "podLabels: {tier: \"pci-*\"}", DIGEST),
        selecting("d", "podLabels: {tier: pod}, imageLabels: {tier: pci-a}", DIGEST),
        selecting("e", "runtimeHandlers: [kata], imageLabels: {tier: pci-a}", DIGEST),
    ]
    .join("---\n");
    let set = set(&text, &[]);
    assert_eq!(matching(&set, &image(&[("tier", "pci-a"), ("Maintainer", "x y")])), [0, 3]);
    assert_eq!(matching(&set, &image(&[("tier", "pci-b"), ("maintainer", "x")])), [0; 0]);
    assert_eq!(matching(&set, &image(&[("tier", "pod")])), [1]);
    assert_eq!(matching(&set, &image(&[])), [0; 0]);
    assert_eq!(matching(&set, &Pod::default()), [0, 1, 2, 3, 4], "nothing is known");
    let name = Name::Known(Reference::parse(IMAGE).unwrap());
    let told = set.elsewhere(&name, &image(&[])).unwrap().to_string();
    assert!(told.contains("the image does not meet its spec.imageLabels (tier=pci-*, "), "{told}");
}

/// The config is read where it can make a difference, and a verdict is remembered by what it made.
#[test]
fn attack_e9_labels_of_images_are_looked_at_where_a_document_goes_by_them() {
    let text = [
        selecting("a", "imageLabels: {tier: pci}", DIGEST),
        named("b", r#"["other.test/**"]"#, DIGEST),
    ]
    .join("---\n");
    let set = set(&text, &[]);
    let of = |name: &str, pod: &Pod| set.applicable(&subject(name, &digest("image")).name, pod);
    assert!(set.looks_at_image_labels());
    assert!(set.goes_by_image_labels(&of(IMAGE, &Pod::default())));
    assert!(!set.goes_by_image_labels(&of("other.test/a:1", &Pod::default())));
    assert!(!set.goes_by_pods(), "the runtime is not asked what the pod is");
    let key = |pod: &Pod| {
        let subject = subject(IMAGE, &digest("image"));
        set.verdict_key(&subject, &set.applicable_to(&subject, pod))
    };
    let (pci, plain) = (image(&[("tier", "pci")]), image(&[("a", "b")]));
    assert_ne!(key(&pci), key(&plain));
    for pod in [&pci, &plain] {
        assert_eq!(key(&set.seen_of(pod)), key(pod));
        assert!(set.is_seen_of_image(&set.seen_of_image(&pod.traits.image_labels)));
    }
    // What was kept under documents that look at other labels tells nothing here.
    let others = super::support::set(&selecting("d", "imageLabels: {zone: eu}", DIGEST), &[]);
    let kept = others.seen_of_image(&plain.traits.image_labels);
    assert!(others.is_seen_of_image(&kept) && !set.is_seen_of_image(&kept));
    assert!(
        !super::support::set(&selecting("e", "kinds: [sandbox]", DIGEST), &[])
            .looks_at_image_labels()
    );
}

#[test]
fn a_policy_for_other_pods_is_told() {
    let set = set(&selecting("a", "podLabels: {tier: prod}", DIGEST), &[]);
    let name = Name::Known(Reference::parse(IMAGE).unwrap());
    let told = set.elsewhere(&name, &pod(&[], "", ImageUse::Container)).unwrap();
    assert!(matches!(&told, Elsewhere::Pods(other) if other.field == "podLabels"));
    let text = "policy \"a\" matches the name, but the pod does not meet its spec.podLabels \
                (tier=prod)";
    assert_eq!(told.to_string(), text);
    assert_eq!(set.elsewhere(&name, &Pod::default()), None, "it matches then");
    let excluding = super::support::set(&selecting("b", "excludeNamespaces: [prod]", DIGEST), &[]);
    let told = excluding.elsewhere(&name, &in_namespace("prod")).unwrap().to_string();
    assert!(told.ends_with("excludeNamespaces have the pod's, prod"), "{told}");
}

/// What takes one thing that is known of a pod away.
type Forget = fn(&mut Pod);

/// Fields by which a document selects, and what a pod has: few words, so that what is drawn meets.
fn fields() -> impl Strategy<Value = String> {
    let one = prop::sample::select(vec![
        "podLabels: {x: a}",
        "podLabels: {x: \"*\", y: b}",
        "podAnnotations: {x: \"a*\"}",
        "podAnnotations: {y: b}",
        "imageLabels: {x: a}",
        "imageLabels: {x: \"*b\", y: \"*\"}",
        "runtimeHandlers: [kata]",
        "runtimeHandlers: [\"\", \"r*\"]",
        "kinds: [container]",
        "kinds: [sandbox, imageVolume]",
        "excludeNamespaces: [\"p*\"]",
        "namespaces: [prod]",
    ]);
    prop::collection::vec(one, 0..4).prop_map(|fields| {
        let mut known = std::collections::BTreeSet::new();
        let fresh = |field: &&str| known.insert(field.split(':').next().unwrap().to_owned());
        fields.into_iter().filter(fresh).map(|field| format!("{field}, ")).collect()
    })
}

fn any_pod() -> impl Strategy<Value = Pod> {
    let map = || {
        let entry = ("x|y", "a|b|ab");
        prop::option::of(prop::collection::btree_map(entry.0, entry.1, 0..3))
    };
    let image_use = prop::option::of(prop::sample::select(ImageUse::ALL.to_vec()));
    let handler = prop::option::of("kata|runc|");
    let namespace = prop::option::of("prod|dev");
    (map(), map(), map(), handler, image_use, namespace).prop_map(
        |(labels, annotations, image_labels, handler, image_use, namespace)| {
            let told = |map: Option<_>| map.map_or_else(Notes::default, Notes::all);
            let (labels, annotations) = (told(labels), told(annotations));
            let image_labels = told(image_labels);
            let traits = Traits { labels, annotations, handler, image_use, image_labels };
            Pod { namespace, traits, ..Pod::default() }
        },
    )
}

/// What a set of these documents is, each with the digest that it admits.
fn built(documents: &[(String, bool)], image: &str) -> PolicySet {
    let other = DIGEST.replace(&"a".repeat(64), &"b".repeat(64));
    let text: Vec<String> = documents
        .iter()
        .enumerate()
        .map(|(number, (fields, admits))| {
            let listed = format!("{{digest: {{anyOf: [\"{image}\"]}}}}");
            let require = if *admits { &listed } else { &other };
            named(&format!("p{number}"), r#"["reg.test/**"]"#, require)
                .replace("spec: {", &format!("spec: {{{fields}"))
        })
        .collect();
    set(&text.join("---\n"), &[])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// Adding a document of a new name never turns a refusal into an admission, whatever the fields
    /// by which it selects, and whatever is known of the pod; an image that nothing matched aside.
    #[test]
    fn a_document_that_selects_never_lets_anything_in(
        documents in prop::collection::vec((fields(), any::<bool>()), 2..6), pod in any_pod(),
    ) {
        let image = digest("image");
        let fewer = built(&documents[..documents.len() - 1], image.as_str());
        let all = built(&documents, image.as_str());
        let subject = subject(IMAGE, &image);
        let had_a_say = !fewer.applicable(&subject.name, &pod).is_empty();
        let was_permitted = matches!(judge_in(&fewer, &subject, &pod, &[]), Verdict::Permit(_));
        let is_permitted = matches!(judge_in(&all, &subject, &pod, &[]), Verdict::Permit(_));
        prop_assert!(!had_a_say || was_permitted || !is_permitted, "{:#?}", documents);
    }

    /// What is forgotten of a pod, and what was never known, refuses more and never less.
    #[test]
    fn attack_e8_less_that_is_known_never_lets_anything_in(
        documents in prop::collection::vec((fields(), any::<bool>()), 1..5), pod in any_pod(),
        forgets in 0u8..64,
    ) {
        let image = digest("image");
        let set = built(&documents, image.as_str());
        let subject = subject(IMAGE, &image);
        let mut less = pod.clone();
        let each: [(u8, Forget); 6] = [
            (1, |pod| pod.traits.labels = Notes::default()),
            (2, |pod| pod.traits.annotations = Notes::default()),
            (4, |pod| pod.traits.handler = None),
            (8, |pod| pod.traits.image_use = None),
            (16, |pod| pod.namespace = None),
            (32, |pod| pod.traits.image_labels = Notes::default()),
        ];
        each.iter().filter(|(bit, _)| forgets & bit != 0).for_each(|(_, forget)| forget(&mut less));
        let matched: std::collections::BTreeSet<usize> = matching(&set, &pod).into_iter().collect();
        let more: std::collections::BTreeSet<usize> = matching(&set, &less).into_iter().collect();
        prop_assert!(matched.is_subset(&more), "{matched:?} {more:?} {documents:#?}");
        // As much as is remembered beside a verdict leads to the same documents.
        prop_assert_eq!(matching(&set, &set.seen_of(&pod)), matching(&set, &pod));
        if let Verdict::Denial(denial) = judge_in(&set, &subject, &pod, &[]) {
            prop_assert!(matched.is_empty() || denial.class() == Class::Refused);
            let permits = matches!(judge_in(&set, &subject, &less, &[]), Verdict::Permit(_));
            prop_assert!(matched.is_empty() || !permits);
        }
    }
}

/// A thousand documents that go by other labels: none is found, and the one that is meant is.
#[test]
fn many_documents_that_select_are_told_apart() {
    let mut text: Vec<String> = (0..1000)
        .map(|n| selecting(&format!("p{n}"), &format!("podLabels: {{tier: t-{n}}}"), DIGEST))
        .collect();
    text.push(selecting("pattern", "podLabels: {tier: \"t-1*7\"}", DIGEST));
    let documents = crate::policy::Documents::parse(&[file(&text.join("---\n"))]).unwrap();
    let set = PolicySet::build(documents, Material::default(), Unmatched::Deny).unwrap();
    let of = |tier: &str| matching(&set, &pod(&[("tier", tier)], "", ImageUse::Container));
    assert_eq!(of("t-17"), [17, 1000]);
    assert_eq!(of("t-1000"), [0; 0]);
    assert_eq!(matching(&set, &pod(&[], "", ImageUse::Container)), [0; 0]);
    assert_eq!(matching(&set, &Pod::default()).len(), 1001);
}

/// A verdict on what is on record hinges on what a record does not have only where some document that
/// is about the image, in its namespace, goes by it.
#[test]
fn a_verdict_hinges_on_what_is_not_known_where_a_document_goes_by_it() {
    let exception = "apiVersion: sealgate/v1\nkind: Exception\nmetadata: {name: x}\nspec: {images: \
                     [\"reg.test/excepted/**\"], kinds: [sandbox], expires: 2026-02-01T00:00:00Z, \
                     owner: a, reason: b}\n";
    let text = [
        selecting("a", "podLabels: {tier: prod}, namespaces: [prod]", DIGEST),
        selecting("b", "imageLabels: {tier: pci}, namespaces: [shop]", DIGEST),
        exception.to_owned(),
    ]
    .join("---\n");
    let set = set(&text, &[]);
    let hinges = |name: &str, pod: &Pod| {
        set.hinges_on_unknown(&subject(&format!("reg.test/{name}"), &digest("app")), pod)
    };
    let of = |namespace: &str| in_namespace(namespace);
    assert!(hinges("prod/app", &of("prod")) && hinges("prod/app", &of("shop")));
    assert!(!hinges("prod/app", &of("dev")), "no document is about that namespace");
    assert!(hinges("excepted/app", &of("dev")), "an exception goes by the use");
    let known = pod(&[], "", ImageUse::Container);
    assert!(!hinges("prod/app", &known), "all of it is known");
    let mut labels = of("shop");
    labels.traits.image_labels = notes(&[("tier", "pci")]);
    assert!(!hinges("prod/app", &labels));
}
