//! The endpoints of distribution-spec 1.1 over the [`Store`](super::store::Store), as far as
//! clients use them.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::request::Parts;
use serde_json::{Value, json};

use super::answer::{Body, error, full};
use super::{OCI_INDEX, Referrers, Shared, lock};

type Response = http::Response<Body>;

/// The true answer to an authorised request.
pub(crate) fn answer(shared: &Shared, head: &Parts, body: &Bytes) -> Response {
    let path = head.uri.path();
    let query = query(head.uri.query().unwrap_or_default());
    let Some(rest) = path.strip_prefix("/v2/") else { return error(404, "NOT_FOUND") };
    if rest.is_empty() {
        return full(200, &[("content-type", "application/json".to_owned())], b"{}".to_vec());
    }
    if let Some((name, rest)) = rest.split_once("/blobs/uploads/") {
        return upload(shared, head, name, rest, &query, body);
    }
    if let Some((name, reference)) = rest.rsplit_once("/manifests/") {
        return manifest(shared, head, name, reference, body);
    }
    if let Some((name, digest)) = rest.rsplit_once("/blobs/") {
        return blob(shared, head, name, digest);
    }
    if let Some((name, digest)) = rest.rsplit_once("/referrers/") {
        return referrers(shared, name, digest, &query);
    }
    match rest.strip_suffix("/tags/list") {
        Some(name) => tags(shared, name),
        None => error(404, "NOT_FOUND"),
    }
}

fn manifest(shared: &Shared, head: &Parts, name: &str, reference: &str, body: &Bytes) -> Response {
    let mut store = lock(&shared.store);
    if head.method == http::Method::PUT {
        let media_type = head
            .headers
            .get("content-type")
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let tag = (!reference.contains(':')).then_some(reference);
        let digest = store.put_manifest(name, tag, body, media_type);
        let mut headers = vec![
            ("location", format!("/v2/{name}/manifests/{digest}")),
            ("docker-content-digest", digest),
        ];
        let subject = serde_json::from_slice::<Value>(body).ok();
        let subject = subject
            .as_ref()
            .and_then(|document| document.pointer("/subject/digest"))
            .and_then(Value::as_str);
        if let (Some(subject), Referrers::Endpoint | Referrers::Pages(_)) =
            (subject, shared.settings.referrers)
        {
            headers.push(("oci-subject", subject.to_owned()));
        }
        return full(201, &headers, Vec::new());
    }
    match store.manifest(name, reference) {
        Some((digest, media_type, bytes)) => content(head, &media_type, digest, bytes),
        None if store.knows(name) => error(404, "MANIFEST_UNKNOWN"),
        None => error(404, "NAME_UNKNOWN"),
    }
}

fn blob(shared: &Shared, head: &Parts, name: &str, digest: &str) -> Response {
    match lock(&shared.store).blob(name, digest) {
        Some(bytes) => content(head, "application/octet-stream", digest.to_owned(), bytes),
        None => error(404, "BLOB_UNKNOWN"),
    }
}

fn content(head: &Parts, media_type: &str, digest: String, bytes: Vec<u8>) -> Response {
    let mut headers =
        vec![("content-type", media_type.to_owned()), ("docker-content-digest", digest)];
    if head.method == http::Method::HEAD {
        headers.push(("content-length", bytes.len().to_string()));
        return full(200, &headers, Vec::new());
    }
    full(200, &headers, bytes)
}

fn upload(
    shared: &Shared,
    head: &Parts,
    name: &str,
    id: &str,
    query: &BTreeMap<String, String>,
    body: &Bytes,
) -> Response {
    let mut store = lock(&shared.store);
    let digest = query.get("digest");
    let created =
        |digest: &str| full(201, &[("location", format!("/v2/{name}/blobs/{digest}"))], Vec::new());
    if head.method == http::Method::POST {
        let id = store.begin_upload();
        if let Some(digest) = digest {
            store.append(&id, body);
            return if store.finish(name, &id, digest) {
                created(digest)
            } else {
                error(400, "DIGEST_INVALID")
            };
        }
        let headers =
            [("location", format!("/v2/{name}/blobs/uploads/{id}")), ("range", "0-0".to_owned())];
        return full(202, &headers, Vec::new());
    }
    let Some(length) = store.append(id, body) else { return error(404, "BLOB_UPLOAD_UNKNOWN") };
    match (&head.method, digest) {
        (&http::Method::PUT, Some(digest)) if store.finish(name, id, digest) => created(digest),
        (&http::Method::PUT, _) => error(400, "DIGEST_INVALID"),
        _ => {
            let range = format!("0-{}", length.saturating_sub(1));
            full(
                202,
                &[("location", format!("/v2/{name}/blobs/uploads/{id}")), ("range", range)],
                Vec::new(),
            )
        }
    }
}

fn referrers(
    shared: &Shared,
    name: &str,
    digest: &str,
    query: &BTreeMap<String, String>,
) -> Response {
    let page = match shared.settings.referrers {
        Referrers::Endpoint => usize::MAX,
        Referrers::Pages(page) => page,
        Referrers::Missing(404) => {
            return full(
                404,
                &[("content-type", "text/plain".to_owned())],
                b"404 page not found\n".to_vec(),
            );
        }
        Referrers::Missing(status) => return error(status, "UNSUPPORTED"),
        Referrers::WebPage => {
            return full(
                200,
                &[("content-type", "text/html".to_owned())],
                b"<html>welcome</html>".to_vec(),
            );
        }
    };
    let mut all = lock(&shared.store).referrers(name, digest);
    let kind = query.get("artifactType").filter(|_| shared.settings.filters);
    all.retain(|entry| kind.is_none_or(|kind| entry["artifactType"] == kind.as_str()));
    let from = query.get("from").and_then(|from| from.parse().ok()).unwrap_or(0_usize);
    let entries: Vec<Value> = all.iter().skip(from).take(page).cloned().collect();
    let next = from.saturating_add(page);
    let mut headers = vec![("content-type", OCI_INDEX.to_owned())];
    let kept =
        kind.map(|kind| format!("&artifactType={}", kind.replace('+', "%2B"))).unwrap_or_default();
    headers.extend(kind.map(|_| ("oci-filters-applied", "artifactType".to_owned())));
    if next < all.len() {
        headers.push((
            "link",
            format!("</v2/{name}/referrers/{digest}?from={next}{kept}>; rel=\"next\""),
        ));
    }
    let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries });
    full(200, &headers, index.to_string().into_bytes())
}

fn tags(shared: &Shared, name: &str) -> Response {
    let store = lock(&shared.store);
    if !store.knows(name) {
        return error(404, "NAME_UNKNOWN");
    }
    let list = json!({ "name": name, "tags": store.tags(name) });
    full(200, &[("content-type", "application/json".to_owned())], list.to_string().into_bytes())
}

/// Query pairs, percent-decoded.
fn query(text: &str) -> BTreeMap<String, String> {
    text.split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(k, v)| (k.to_owned(), decoded(v)))
        .collect()
}

fn decoded(text: &str) -> String {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let pair = (byte == b'%').then(|| [bytes.next().unwrap_or(0), bytes.next().unwrap_or(0)]);
        match pair.and_then(|pair| hex::decode(pair).ok()) {
            Some(decoded) => out.extend(decoded),
            None => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
