//! Pages of a referrers list, good and hostile.

use super::*;

fn link(value: &str) -> Result<Option<String>, ()> {
    let mut headers = HeaderMap::new();
    headers.insert(LINK, value.parse().unwrap());
    let page = Url::parse("https://r.example/v2/a/referrers/sha256:00?n=2").unwrap();
    next(&headers, &page).map(|url| url.map(|url| url.to_string()))
}

#[test]
fn the_next_page_is_on_the_same_host() {
    assert_eq!(
        link(r#"</v2/a/x?last=2>; rel="next""#),
        Ok(Some("https://r.example/v2/a/x?last=2".to_owned()))
    );
    assert_eq!(
        link("<?n=3>;REL=next"),
        Ok(Some("https://r.example/v2/a/referrers/sha256:00?n=3".to_owned()))
    );
    assert_eq!(
        link(r#"</first>; rel="first", </y>; rel="next""#),
        Ok(Some("https://r.example/y".to_owned()))
    );
    assert_eq!(link(r#"</x>; rel="prev""#), Ok(None));
}

#[test]
fn attack_e1_a_next_page_elsewhere_is_refused() {
    for bad in [
        r#"<https://evil.example/x>; rel="next""#,
        r#"<http://r.example/x>; rel="next""#,
        r#"<https://r.example:8443/x>; rel="next""#,
        r#"<//evil.example/x>; rel="next""#,
        r#"<https://u@r.example/x>; rel="next""#,
        "garbage",
    ] {
        assert_eq!(link(bad), Err(()), "{bad}");
    }
}

fn read(body: &[u8], filter: &Filter) -> Option<(List, usize)> {
    let mut gathered = Gathered::default();
    page(body, filter, &mut gathered).then(|| {
        let foreign = gathered.foreign;
        (gathered.list(None), foreign)
    })
}

const ALL: Filter = Filter::all(1024);

#[test]
fn pages_are_indexes() {
    let hex = "a".repeat(64);
    let json = format!(
        r#"{{"manifests":[{{"mediaType":"m","digest":"sha256:{hex}","size":3,"artifactType":"t","annotations":{{"k":"v"}},"x":1}},
               {{"mediaType":"m","digest":"sha512:{hex}","size":3}}]}}"#
    );
    let (list, foreign) = read(json.as_bytes(), &ALL).unwrap();
    assert_eq!((list.len(), foreign, list.cut), (1, 1, None));
    assert_eq!((list[0].size, list[0].artifact_type.as_deref()), (3, Some("t")));
    assert_eq!(read(br#"{"manifests":null}"#, &ALL), Some((List::default(), 0)));
    for bad in [
        "",
        "[]",
        "<html>",
        r#"{"manifests":5}"#,
        r#"{"manifests":[{"digest":"x"}]}"#,
        r#"{"manifests":[],"manifests":[]}"#,
        r#"{"manifests":[]}{}"#,
    ] {
        assert_eq!(read(bad.as_bytes(), &ALL), None, "{bad}");
    }
    // Under a tag anything may stand; an endpoint has lists alone.
    for bad in [
        r#"{"manifests":[],"layers":[]}"#,
        r#"{"manifests":[],"Manifests":[]}"#,
        r#"{"config":{}}"#,
    ] {
        assert_eq!(
            (read(bad.as_bytes(), &ALL).is_some(), ALL.read(bad.as_bytes())),
            (true, None),
            "{bad}"
        );
    }
}

#[test]
fn what_is_of_other_kinds_is_counted_and_not_kept() {
    let entry = |number: usize, kind: &str| {
        format!(
            r#"{{"mediaType":"m","digest":"{}","size":3,"artifactType":"{kind}","annotations":{{"a":"1","b":"2"}}}}"#,
            Digest::of(&number.to_be_bytes())
        )
    };
    let entries: Vec<String> = ["scan", "wanted", "", "bundle.v9", "scan"]
        .iter()
        .enumerate()
        .map(|(n, kind)| entry(n, kind))
        .collect();
    let json = format!(r#"{{"manifests":[{}]}}"#, entries.join(","));
    let filter = Filter { types: &["wanted"], prefix: "bundle.", annotations: &["b"], most: 8 };
    let (list, _) = read(json.as_bytes(), &filter).unwrap();
    let kinds: Vec<Option<&str>> =
        list.iter().map(|entry| entry.artifact_type.as_deref()).collect();
    assert_eq!(kinds, [Some("wanted"), None, Some("bundle.v9")]);
    assert_eq!((list.others, list.other_kind.as_deref()), (2, Some("scan")));
    assert_eq!(list[0].annotations, BTreeMap::from([("b".to_owned(), "2".to_owned())]));
}

/// Attack D1: what a page of 4 MiB has room for does not become ten times as much in memory; of
/// more entries than are kept the newest are, and it is said.
#[test]
fn attack_d1_annotations_and_entries_without_number_are_not_kept() {
    let hex = "a".repeat(64);
    let many: Vec<String> = (0..10_000).map(|number| format!(r#""{number}":"""#)).collect();
    let entry = format!(
        r#"{{"mediaType":"m","digest":"sha256:{hex}","size":3,"annotations":{{{}}}}}"#,
        many.join(",")
    );
    let (list, _) = read(format!(r#"{{"manifests":[{entry}]}}"#).as_bytes(), &ALL).unwrap();
    assert_eq!((list.cut, list[0].annotations.len()), (None, ANNOTATIONS_MAX));
    let entry =
        |size: usize| format!(r#"{{"mediaType":"m","digest":"sha256:{hex}","size":{size}}}"#);
    let entries: Vec<String> = (0..5000).map(entry).collect();
    let (list, _) =
        read(format!(r#"{{"manifests":[{}]}}"#, entries.join(",")).as_bytes(), &ALL).unwrap();
    assert_eq!((list.cut, list.len(), list[0].size), (Some(Budget::Entries), 1024, 3976));
}
