//! What producers of provenance write, and what each place of it is held to.

mod spellings;

use serde_json::json;

use super::*;

const COMMIT: &str = "3f096cb41d0f7a3f4f7d1f0a2b1c6d8e9f001122";

/// The generator of the SLSA project for containers, version 0.2 of the predicate.
fn generator() -> Value {
    json!({
        "builder": {"id": "https://github.com/slsa-framework/slsa-github-generator/.github/workflows/generator_container_slsa3.yml@refs/tags/v2.1.0"},
        "buildType": "https://github.com/slsa-framework/slsa-github-generator/container@v1",
        "invocation": {
            "configSource": {
                "uri": "git+https://github.com/acme/app@refs/tags/v1.4.0",
                "digest": {"sha1": COMMIT},
                "entryPoint": ".github/workflows/release.yml"
            },
            "environment": {"github_ref": "refs/tags/v1.4.0", "github_event_name": "push"}
        },
        "materials": [{"uri": "git+https://github.com/acme/app@refs/tags/v1.4.0", "digest": {"sha1": COMMIT}}]
    })
}

/// GitHub artifact attestations.
fn attested() -> Value {
    json!({
        "buildDefinition": {
            "buildType": "https://actions.github.io/buildtypes/workflow/v1",
            "externalParameters": {"workflow": {
                "ref": "refs/heads/main", "repository": "https://github.com/acme/app", "path": ".github/workflows/release.yml"
            }},
            "internalParameters": {"github": {"event_name": "push", "runner_environment": "github-hosted"}},
            "resolvedDependencies": [
                {"uri": "git+https://github.com/acme/app@refs/heads/main", "digest": {"gitCommit": COMMIT}}
            ]
        },
        "runDetails": {
            "builder": {"id": "https://github.com/acme/app/.github/workflows/release.yml@refs/heads/main"},
            "metadata": {"invocationId": "https://github.com/acme/app/actions/runs/1/attempts/1"}
        }
    })
}

fn cloud_build() -> Value {
    json!({
        "buildDefinition": {
            "buildType": "https://cloud.google.com/build/gcb-buildtypes/google-worker/v1",
            "externalParameters": {"buildConfigSource": {
                "path": "cloudbuild.yaml", "ref": "refs/heads/main", "repository": "git+https://github.com/acme/app"
            }, "substitutions": {}},
            "resolvedDependencies": [
                {"uri": "git+https://github.com/acme/app@refs/heads/main", "digest": {"gitCommit": COMMIT}},
                {"uri": "gcr.io/cloud-builders/docker@sha256:00", "digest": {"sha256": "00"}}
            ]
        },
        "runDetails": {"builder": {"id": "https://cloudbuild.googleapis.com/GoogleHostedWorker"}}
    })
}

/// The delegating builders of the SLSA project, version 1 of the predicate; the container-based one
/// states `sha1`.
fn delegated(digest: &str) -> Value {
    let source = json!({"uri": "git+https://github.com/acme/app@refs/tags/app@1.4.0", "digest": {digest: COMMIT}});
    json!({
        "buildDefinition": {
            "buildType": "https://github.com/slsa-framework/slsa-github-generator/delegator-generic@v0",
            "externalParameters": {"inputs": {}, "vars": {}, "source": source},
            "internalParameters": {
                "GITHUB_REF": "refs/tags/app@1.4.0", "GITHUB_REF_TYPE": "tag", "GITHUB_REPOSITORY": "acme/app",
                "GITHUB_SHA": COMMIT, "GITHUB_WORKFLOW_REF": "acme/app/.github/workflows/release.yml@refs/tags/app@1.4.0"
            },
            "resolvedDependencies": [
                {"uri": "git+https://github.com/acme/app@refs/tags/app@1.4.0", "digest": {digest: COMMIT}},
                {"uri": "git+https://github.com/slsa-framework/slsa-github-generator@refs/tags/v2.1.0", "digest": {"sha256": "22"}}
            ]
        },
        "runDetails": {"builder": {
            "id": "https://github.com/slsa-framework/slsa-github-generator/.github/workflows/builder_x_slsa3.yml@refs/tags/v2.1.0"
        }}
    })
}

/// The deprecated build type for builds that a trigger of Google Cloud Build started.
fn triggered() -> Value {
    json!({
        "buildDefinition": {
            "buildType": "https://slsa-framework.github.io/gcb-buildtypes/triggered-build/v1",
            "externalParameters": {
                "configSource": {
                    "ref": "refs/heads/main", "repository": "https://github.com/acme/app", "path": "cloudbuild.yaml"
                },
                "sourceToBuild": {"ref": "refs/heads/main", "repository": "https://github.com/acme/app"}
            },
            "resolvedDependencies": [
                {"uri": "git+https://github.com/acme/app@refs/heads/main", "digest": {"sha1": COMMIT}}
            ]
        },
        "runDetails": {"builder": {"id": "https://cloudbuild.googleapis.com/GoogleHostedWorker@v1"}}
    })
}

fn buildkit_v1() -> Value {
    json!({
        "buildDefinition": {
            "buildType": "https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md",
            "externalParameters": {"configSource": {
                "uri": "https://github.com/acme/app.git#refs/heads/main:docker", "digest": {"sha1": COMMIT}, "path": "Dockerfile"
            }, "request": {"frontend": "dockerfile.v0"}},
            "resolvedDependencies": [
                {"uri": "pkg:docker/alpine@3.20", "digest": {"sha256": "11"}},
                {"uri": "https://github.com/acme/app.git#refs/heads/main", "digest": {"sha1": COMMIT}}
            ]
        },
        "runDetails": {"builder": {"id": "https://github.com/acme/app/actions/runs/1"}}
    })
}

fn buildkit_v0_2() -> Value {
    json!({
        "builder": {"id": ""},
        "buildType": "https://mobyproject.org/buildkit@v1",
        "invocation": {"configSource": {
            "uri": "https://github.com/acme/app.git#refs/heads/main", "digest": {"sha1": COMMIT}, "entryPoint": "Dockerfile"
        }, "parameters": {}, "environment": {"platform": "linux/amd64"}},
        "materials": [{"uri": "pkg:docker/alpine@3.20", "digest": {"sha256": "11"}}]
    })
}

fn wanted(fields: &[(&str, &str)]) -> Slsa {
    let mut slsa = Slsa::default();
    for (field, value) in fields {
        let value = Some((*value).to_owned());
        match *field {
            "builder" => slsa.builder = value,
            "source" => slsa.source = value,
            "ref" => slsa.reference = value,
            "branch" => slsa.branch = value,
            "tag" => slsa.tag = value,
            "workflow" => slsa.workflow = value,
            "commit" => slsa.commit = value,
            "buildType" => slsa.build_type = value,
            other => panic!("{other}"),
        }
    }
    slsa
}

fn differs(answer: Result<(), SlsaFault>, wanted_field: &str) -> bool {
    matches!(answer, Err(SlsaFault::Differs { field, .. }) if field == wanted_field)
}

const SOURCE: (&str, &str) = ("source", "https://github.com/acme/app");

/// A predicate's type, the predicate, and what it says.
type Written = (&'static str, Value, Vec<(&'static str, &'static str)>);

/// What producers write.
fn producers() -> Vec<Written> {
    let path = ".github/workflows/release.yml";
    let generated = "https://github.com/slsa-framework/slsa-github-generator/.github/workflows/generator_container_slsa3.yml";
    let container = "https://github.com/slsa-framework/slsa-github-generator/container@v1";
    vec![
        (
            V0_2,
            generator(),
            vec![
                ("builder", generated),
                ("tag", "v1.4.0"),
                ("workflow", path),
                ("buildType", container),
            ],
        ),
        (V1, attested(), vec![("branch", "main"), ("ref", "refs/heads/main"), ("workflow", path)]),
        (
            V1,
            cloud_build(),
            vec![
                ("builder", "https://cloudbuild.googleapis.com/GoogleHostedWorker"),
                ("branch", "main"),
                ("workflow", "cloudbuild.yaml"),
            ],
        ),
        (
            V1,
            delegated("gitCommit"),
            vec![
                ("tag", "app@1.4.0"),
                ("workflow", path),
                (
                    "builder",
                    "https://github.com/slsa-framework/slsa-github-generator/.github/workflows/builder_x_slsa3.yml",
                ),
            ],
        ),
        (V1, delegated("sha1"), vec![("ref", "refs/tags/app@1.4.0"), ("workflow", path)]),
        (
            V1,
            triggered(),
            vec![
                ("branch", "main"),
                ("workflow", "cloudbuild.yaml"),
                ("builder", "https://cloudbuild.googleapis.com/GoogleHostedWorker"),
            ],
        ),
        (V1, buildkit_v1(), vec![("ref", "refs/heads/main"), ("workflow", "Dockerfile")]),
        (V0_2, buildkit_v0_2(), vec![("branch", "main"), ("workflow", "Dockerfile")]),
    ]
}

#[test]
fn each_producer_says_what_is_wanted() {
    for (version, predicate, mut fields) in producers() {
        fields.extend([SOURCE, ("commit", COMMIT)]);
        assert_eq!(wanted(&fields).check(version, &predicate), Ok(()), "{predicate}");
        for (field, _) in &fields {
            let mut other = fields.clone();
            other.retain(|(name, _)| name != field);
            other.push((field, "https://example.com/other/name"));
            assert!(
                differs(wanted(&other).check(version, &predicate), field),
                "{field} of {predicate}"
            );
            let empty = wanted(&[(field, "https://example.com/a/b")]).check(version, &json!({}));
            assert_eq!(
                empty,
                Err(SlsaFault::Missing {
                    field: Slsa::FIELDS.iter().find(|f| *f == field).unwrap()
                })
            );
        }
    }
}

#[test]
fn the_builder_is_pinned_to_a_version_when_one_is_wanted() {
    let id = "https://github.com/slsa-framework/slsa-github-generator/.github/workflows/generator_container_slsa3.yml";
    assert_eq!(
        wanted(&[("builder", &format!("{id}@refs/tags/v2.1.0"))]).check(V0_2, &generator()),
        Ok(())
    );
    for other in [
        format!("{id}@refs/tags/v2.1.1"),
        format!("{id}@"),
        id[..id.len() - 1].to_owned(),
        String::new(),
    ] {
        assert!(
            differs(wanted(&[("builder", &other)]).check(V0_2, &generator()), "builder"),
            "{other}"
        );
    }
    let missing = Err(SlsaFault::Missing { field: "builder" });
    assert_eq!(wanted(&[("builder", "")]).check(V0_2, &buildkit_v0_2()), missing);
}

#[test]
fn attack_b2_another_file_with_the_builder_before_its_at_is_no_version_of_it() {
    let id = "https://github.com/acme/build/.github/workflows/build.yml";
    let check = |got: &str| {
        let mut predicate = attested();
        predicate["runDetails"]["builder"]["id"] = json!(got);
        wanted(&[("builder", id)]).check(V1, &predicate)
    };
    for version in ["", "@refs/heads/main", "@refs/tags/build@1.0", "@v1", "@main", "@3f096cb4"] {
        assert_eq!(check(&format!("{id}{version}")), Ok(()), "{version}");
    }
    for other in ["@", "@x.yml@refs/heads/main", "@v1/x", "/", "2@v1", "?@v1"] {
        assert!(differs(check(&format!("{id}{other}")), "builder"), "{other}");
    }
}

#[test]
fn attack_b2_another_repository_is_refused_and_both_are_named() {
    let mut other = attested();
    other["buildDefinition"]["externalParameters"]["workflow"]["repository"] =
        json!("https://github.com/other/app");
    let differs = SlsaFault::Differs {
        field: "source",
        got: "https://github.com/other/app".into(),
        want: SOURCE.1.into(),
    };
    assert_eq!(wanted(&[SOURCE]).check(V1, &other), Err(differs.clone()));
    assert_eq!(
        differs.to_string(),
        "the provenance's source is \"https://github.com/other/app\", \
         wanted \"https://github.com/acme/app\""
    );
}

#[test]
fn attack_b2_parameters_and_dependencies_must_agree() {
    let mut other = attested();
    other["buildDefinition"]["resolvedDependencies"][0]["uri"] =
        json!("git+https://github.com/other/app@refs/heads/main");
    assert!(differs(wanted(&[SOURCE]).check(V1, &other), "source"));
    let mut two = attested();
    two["buildDefinition"]["externalParameters"]["source"] =
        json!("git+https://github.com/other/app");
    assert!(differs(wanted(&[SOURCE]).check(V1, &two), "source"));
    let mut reference = attested();
    reference["buildDefinition"]["externalParameters"]["source"] =
        json!({"ref": "refs/heads/evil"});
    assert!(differs(wanted(&[("branch", "main")]).check(V1, &reference), "branch"));
    let mut commits = attested();
    let second = json!({"uri": "git+https://github.com/acme/app@refs/heads/main", "digest": {"gitCommit": "00"}});
    commits["buildDefinition"]["resolvedDependencies"].as_array_mut().unwrap().push(second);
    assert!(differs(wanted(&[("commit", COMMIT)]).check(V1, &commits), "commit"));
}

/// One place after the other says something else, beside all others that say what is wanted.
#[test]
fn attack_b2_one_place_that_differs_is_enough() {
    let other = json!("git+https://github.com/other/app@refs/heads/evil");
    let dependency = "/buildDefinition/resolvedDependencies/0";
    let outer = "/buildDefinition/externalParameters";
    let wrong = |version, mut predicate: Value, pointer: &str, got: Value, field: &str| {
        *predicate.pointer_mut(pointer).unwrap() = got;
        let want = match field {
            "source" => SOURCE.1,
            "ref" => "refs/heads/main",
            "workflow" => ".github/workflows/release.yml",
            _ => COMMIT,
        };
        assert!(
            differs(wanted(&[(field, want)]).check(version, &predicate), field),
            "{pointer} of {predicate}"
        );
    };
    let (ours, evil) =
        ("git+https://github.com/acme/app", "0000000000000000000000000000000000000000");
    wrong(V1, attested(), &format!("{outer}/workflow/repository"), other.clone(), "source");
    wrong(V1, attested(), &format!("{dependency}/uri"), other.clone(), "source");
    wrong(V1, attested(), &format!("{outer}/workflow/ref"), json!("refs/heads/evil"), "ref");
    wrong(
        V1,
        attested(),
        &format!("{dependency}/uri"),
        json!(format!("{ours}@refs/heads/evil")),
        "ref",
    );
    wrong(V1, attested(), &format!("{dependency}/uri"), json!(format!("{ours}@{evil}")), "commit");
    wrong(
        V1,
        attested(),
        &format!("{dependency}/digest"),
        json!({"gitCommit": COMMIT, "sha1": evil}),
        "commit",
    );
    wrong(V1, triggered(), &format!("{outer}/sourceToBuild/repository"), other.clone(), "source");
    wrong(V1, triggered(), &format!("{outer}/configSource/repository"), other.clone(), "source");
    wrong(V1, triggered(), &format!("{outer}/sourceToBuild/ref"), json!("refs/heads/evil"), "ref");
    wrong(V1, buildkit_v1(), &format!("{outer}/configSource/digest/sha1"), json!(evil), "commit");
    let run = "/buildDefinition/internalParameters/GITHUB_WORKFLOW_REF";
    for text in [
        "other/app/.github/workflows/release.yml@refs/heads/main",
        "acme/app/.github/workflows/evil.yml@refs/heads/main",
        "acme/app/.github/workflows/release.yml",
        "acme/app2/.github/workflows/release.yml@refs/heads/main",
        "",
    ] {
        let mut predicate = delegated("gitCommit");
        *predicate.pointer_mut(run).unwrap() = json!(text);
        let answer = wanted(&[("workflow", ".github/workflows/release.yml")]).check(V1, &predicate);
        assert!(answer.is_err(), "{text}");
    }
}

/// The same of provenance v0.2.
#[test]
fn attack_b2_one_place_that_differs_is_enough_in_v0_2() {
    let other = json!("git+https://github.com/other/app@refs/heads/evil");
    let (ours, evil) =
        ("git+https://github.com/acme/app", "0000000000000000000000000000000000000000");
    let wrong = |mut predicate: Value, pointer: &str, got: Value, field: &str, want: &str| {
        *predicate.pointer_mut(pointer).unwrap() = got;
        assert!(differs(wanted(&[(field, want)]).check(V0_2, &predicate), field), "{pointer}");
    };
    let config = "/invocation/configSource";
    wrong(buildkit_v0_2(), &format!("{config}/uri"), other.clone(), "source", SOURCE.1);
    wrong(buildkit_v0_2(), &format!("{config}/digest/sha1"), json!(evil), "commit", COMMIT);
    let tag = |mut predicate: Value, pointer: &str, got: Value| {
        *predicate.pointer_mut(pointer).unwrap() = got;
        wanted(&[SOURCE, ("tag", "v1.4.0"), ("commit", COMMIT)]).check(V0_2, &predicate)
    };
    assert!(differs(tag(generator(), "/materials/0/uri", other), "source"));
    assert!(differs(tag(generator(), "/materials/0/digest/sha1", json!(evil)), "commit"));
    assert!(differs(
        tag(generator(), "/materials/0/uri", json!(format!("{ours}@refs/tags/v2"))),
        "tag"
    ));
    assert!(differs(
        tag(generator(), "/invocation/environment/github_ref", json!("refs/heads/x")),
        "tag"
    ));
    assert_eq!(
        tag(generator(), "/materials", json!({})),
        Err(SlsaFault::Malformed { field: "source" })
    );
}

/// BuildKit lists what a Dockerfile fetches with `ADD`, also where the build itself came from a
/// local folder.
#[test]
fn attack_b2_a_repository_that_was_fetched_is_no_source() {
    let mut local = buildkit_v1();
    local["buildDefinition"]["externalParameters"]["configSource"] = json!({"path": "Dockerfile"});
    for (field, want) in [SOURCE, ("commit", COMMIT), ("branch", "main")] {
        let missing = Slsa::FIELDS.iter().find(|name| **name == field).unwrap();
        assert_eq!(
            wanted(&[(field, want)]).check(V1, &local),
            Err(SlsaFault::Missing { field: missing })
        );
    }
}
