//! The error codes of the distribution-spec in the body of an answer. A registry's own words are
//! dropped.

/// The code of a distribution-spec error body when it is one of the known ones; the registry's own
/// words are dropped. Of several errors the one that says "not allowed" counts: what else is said
/// then is no knowledge.
pub(super) fn known_code(body: &[u8]) -> Option<&'static str> {
    const CODES: [&str; 16] = [
        "BLOB_UNKNOWN",
        "BLOB_UPLOAD_INVALID",
        "BLOB_UPLOAD_UNKNOWN",
        "DENIED",
        "DIGEST_INVALID",
        "MANIFEST_BLOB_UNKNOWN",
        "MANIFEST_INVALID",
        "MANIFEST_UNKNOWN",
        "NAME_INVALID",
        "NAME_UNKNOWN",
        "SIZE_INVALID",
        "TAG_INVALID",
        "TOOMANYREQUESTS",
        "UNAUTHORIZED",
        "UNKNOWN",
        "UNSUPPORTED",
    ];
    let errors = errors(body)?;
    let codes = errors.iter().filter_map(|error| error.get("code")?.as_str());
    let known = codes.filter_map(|code| CODES.into_iter().find(|known| *known == code));
    let (refused, other): (Vec<&str>, Vec<&str>) = known.partition(|code| is_refusal(code));
    refused.into_iter().chain(other).next()
}

/// Whether an error code says that the one who asks may not know.
pub(super) fn is_refusal(code: &str) -> bool {
    matches!(code, "DENIED" | "UNAUTHORIZED")
}

/// Whether a body is an error of the distribution-spec ("Error Codes"), whatever its codes are.
pub(super) fn is_spoken_by_registry(body: &[u8]) -> bool {
    errors(body).is_some_and(|errors| !errors.is_empty())
}

fn errors(body: &[u8]) -> Option<Vec<serde_json::Value>> {
    let mut body: serde_json::Value = serde_json::from_slice(body).ok()?;
    body.get_mut("errors")?.as_array_mut().map(std::mem::take)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_codes_are_repeated() {
        assert_eq!(
            known_code(br#"{"errors":[{"code":"NAME_UNKNOWN","message":"hunter2"}]}"#),
            Some("NAME_UNKNOWN")
        );
        assert_eq!(known_code(br#"{"errors":[{"code":"hunter2"}]}"#), None);
        assert_eq!(known_code(b"<html>"), None);
        let two = br#"{"errors":[{"code":"NAME_UNKNOWN"},{"code":"DENIED"}]}"#;
        assert_eq!(known_code(two), Some("DENIED"), "what may not be known is not absent");
    }

    #[test]
    fn errors_of_registries_are_told_from_other_pages() {
        for yes in
            [r#"{"errors":[{"code":"MANIFEST_UNKNOWN"}]}"#, r#"{"errors":[{"code":"NOT_FOUND"}]}"#]
        {
            assert!(is_spoken_by_registry(yes.as_bytes()), "{yes}");
        }
        for no in [
            "",
            "<html>",
            "404 page not found",
            "{}",
            r#"{"message":"no route"}"#,
            r#"{"errors":[]}"#,
        ] {
            assert!(!is_spoken_by_registry(no.as_bytes()), "{no}");
        }
    }
}
