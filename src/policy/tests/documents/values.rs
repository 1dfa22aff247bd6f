//! Lists, scalars and patterns in a document.

use super::*;

#[test]
fn lists_and_scalars() {
    let text_for_list =
        PolicyFault::WrongType { expected: "a list ([a, b], or one - per line)", got: "text" };
    let number = "text (in quotes when it looks like a number or a truth value)";
    for (text, line, field, fault) in [
        (GOOD.replace(r#"["prod-*"]"#, "prod-a"), 8, "spec.namespaces", text_for_list.clone()),
        (
            GOOD.replace(r#"["registry.example.com/prod/**"]"#, "registry.example.com/a"),
            6,
            "spec.images",
            text_for_list.clone(),
        ),
        (
            GOOD.replace("files: [build.pub]", "files: build.pub"),
            17,
            "spec.require.all[0].key.files",
            text_for_list,
        ),
        (GOOD.replace(r#"["prod-*"]"#, "[]"), 8, "spec.namespaces", PolicyFault::EmptyList),
        (
            GOOD.replace(r#"["registry.example.com/prod/**"]"#, "[]"),
            6,
            "spec.images",
            PolicyFault::EmptyList,
        ),
        (
            GOOD.replace(r#"["registry.example.com/prod/scratch/*"]"#, "[]"),
            7,
            "spec.exclude",
            PolicyFault::EmptyList,
        ),
        (
            GOOD.replace("[build.pub]", "[]"),
            17,
            "spec.require.all[0].key.files",
            PolicyFault::EmptyList,
        ),
        (
            GOOD.replace("[build.pub]", "[build.pub, build.pub]"),
            17,
            "spec.require.all[0].key.files[1]",
            PolicyFault::DuplicateEntry { value: "build.pub".to_owned() },
        ),
        (
            GOOD.replace(r#"["prod-*"]"#, "[1]"),
            8,
            "spec.namespaces[0]",
            PolicyFault::WrongType { expected: number, got: "a number" },
        ),
        (
            GOOD.replace(r#"["prod-*"]"#, "[true]"),
            8,
            "spec.namespaces[0]",
            PolicyFault::WrongType { expected: number, got: "true or false" },
        ),
        (
            GOOD.replace(r#"["prod-*"]"#, "[~]"),
            8,
            "spec.namespaces[0]",
            PolicyFault::WrongType { expected: "text", got: "nothing" },
        ),
        (GOOD.replace(r#"["prod-*"]"#, "[Prod]"), 8, "spec.namespaces[0]", PolicyFault::Namespace),
        (
            GOOD.replace("  action: enforce", "  action:"),
            9,
            "spec.action",
            PolicyFault::WrongType { expected: "text", got: "nothing" },
        ),
    ] {
        assert_eq!(faults(&text), [(line, field.to_owned(), fault)], "{text}");
    }
}

#[test]
fn patterns_point_at_their_place() {
    for (images, column, fault) in [
        (r#"["reg.test/a", "reg.test/b:1"]"#, 31, PolicyFault::Pattern(PatternFault::Tag)),
        (
            r#"["reg.test/a", "reg.test/a@sha256:00"]"#,
            31,
            PolicyFault::Pattern(PatternFault::ImageDigest(crate::image::DigestError::Encoding)),
        ),
        (
            r#"["reg.test/a", "app"]"#,
            31,
            PolicyFault::Pattern(PatternFault::NoHost {
                write: "docker.io/library/app".to_owned(),
            }),
        ),
        (
            r#"["reg.test/a", "REG.test:443/a"]"#,
            31,
            PolicyFault::DuplicateEntry { value: "REG.test:443/a".to_owned() },
        ),
    ] {
        let text = named("test", images, &format!("{{digest: {{anyOf: [\"{HEX}\"]}}}}"));
        let errors = Documents::parse(&[file(&text)]).unwrap_err();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert_eq!(
            (errors[0].position, errors[0].field.as_str()),
            (Some(Position { line: 4, column }), "spec.images[1]")
        );
        assert_eq!(errors[0].fault, fault);
    }
}
