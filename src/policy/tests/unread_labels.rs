//! Labels of images that are not known: when a refusal rests on them.

use super::support::*;

const IMAGE: &str = "reg.test/prod/app:1";
const DIGEST: &str = "{digest: {anyOf: [\"sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"]}}";

/// A document with these fields beside its images.
fn selecting(name: &str, fields: &str, require: &str) -> String {
    named(name, r#"["reg.test/**"]"#, require).replace("spec: {", &format!("spec: {{{fields}, "))
}

/// Labels that are not known explain a refusal only where no other policy refuses the image as well.
#[test]
fn a_refusal_rests_on_labels_where_each_policy_that_refuses_goes_by_them() {
    let target = digest("image");
    let listed = format!("{{digest: {{anyOf: [\"{target}\"]}}}}");
    for (all, labelled, rests) in
        [(listed.as_str(), DIGEST, true), (DIGEST, DIGEST, false), (DIGEST, &listed, false)]
    {
        let text = [
            selecting("all", "excludeNamespaces: [dev]", all),
            selecting("some", "imageLabels: {tier: pci}", labelled),
            selecting("told", "action: warn", DIGEST),
        ]
        .join("---\n");
        let set = set(&text, &[]);
        let subject = subject(IMAGE, &target);
        let evidence = found(&target, Vec::new());
        let denial = denied(judge_in(&set, &subject, &in_namespace("prod"), &[&evidence]));
        assert_eq!(set.rests_on_image_labels(&denial), rests, "{all} {labelled}");
    }
}
