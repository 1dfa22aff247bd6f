#!/usr/bin/env python3
"""Makes the seeds below corpus/ out of tests/fixtures and packaging/policies: `good-` must be accepted, `bad-` refused."""

import base64
import json
import pathlib
import re
import shutil

here = pathlib.Path(__file__).parent
fixtures = here.parent / "fixtures"
corpus = here / "corpus"
index = json.loads((fixtures / "images/index.json").read_text())
tags = {m["annotations"]["org.opencontainers.image.ref.name"]: m["digest"] for m in index["manifests"]}
subjects = set()


def blob(digest):
    return (fixtures / "images/blobs" / digest.replace(":", "/")).read_bytes()


def subject(name):
    digest = tags[f"registry.example.test/prod/{name}:v1"]
    subjects.add(digest)
    return digest


def put(target, name, data):
    (corpus / target).mkdir(parents=True, exist_ok=True)
    (corpus / target / name).write_bytes(data)


def layer(name, suffix):
    digest = subject(name).replace(":", "-")
    manifest = json.loads(blob(tags[f"registry.example.test/prod/{name}:{digest}.{suffix}"]))
    layer = manifest["layers"][0]
    return blob(layer["digest"]), layer["annotations"]


def older(name, suffix):
    payload, annotations = layer(name, suffix)
    return payload + b"\0" + json.dumps(annotations).encode()


if corpus.exists():
    shutil.rmtree(corpus)
for name in ["keyless", "keyless-no-log", "key-logged", "provenance", "pki-v3"]:
    subject(name)
    put("bundle", f"good-{name}", (fixtures / f"bundles/{name}.json").read_bytes())
put("bundle", "bad-foreign", (fixtures / "bundles/keyless-foreign.json").read_bytes())
for name in ["keyless-v2-timestamp", "key-logged-v2", "pki", "signed-v2"]:
    put("simple_signing", f"good-{name}", older(name, "sig"))
put("simple_signing", "bad-wrong-digest", older("keyless-wrong-digest-v2", "sig"))
for name in ["provenance-v2", "provenance-key-v2"]:
    put("attestation", f"good-{name}", older(name, "att"))
put("attestation", "bad-payload-type", older("provenance-v2", "att").replace(b"vnd.in-toto", b"vnd.in-tote", 1))
subjects.discard(tags["registry.example.test/prod/keyless-wrong-digest-v2:v1"])
for name in ["local", "foreign"]:
    put("trust_root", f"good-{name}", (fixtures / f"trust/{name}.json").read_bytes())
put("trust_root", "bad-empty", b"{}")


def leaf(name):
    _, annotations = layer(name, "sig")
    body = re.search("-----BEGIN CERTIFICATE-----(.*?)-----END", annotations["dev.sigstore.cosign/certificate"], re.S)
    return base64.b64decode(body[1])


put("certificate", "good-pki", leaf("pki"))
put("certificate", "bad-pki-uri", leaf("pki-uri"))
put("certificate", "bad-keyless", leaf("keyless-v2-timestamp"))
pki = {file.name: file.read_bytes() for file in (fixtures / "pki").iterdir()}
put("authority", "good-root", pki["root.pem"])
put("authority", "good-lists", b"\0".join([pki["root.pem"], pki["intermediate.pem"], pki["team.crl"] + pki["root.crl"]]))
put("authority", "bad-foreign-list", b"\0".join([pki["foreign-root.pem"], pki["intermediate.pem"], pki["root.crl"]]))
for name in ["keyless", "provenance", "scan", "vsa-passed"]:
    bundle = json.loads((fixtures / f"bundles/{name}.json").read_text())
    put("statement", f"good-{name}", base64.b64decode(bundle["dsseEnvelope"]["payload"]))
put("statement", "bad-no-subject", b'{"_type":"https://in-toto.io/Statement/v1","predicateType":"x","subject":[]}')
for file in sorted((here.parent.parent / "packaging/policies").glob("*.yaml")):
    put("policy", f"good-{file.stem}", file.read_bytes())
put("policy", "bad-unknown-field", b"version: 1\nunknown: true\n")
for number, text in enumerate(["nginx", "registry.example.test:5000/a/b:v1", "a.test/b@sha256:" + "0" * 64, "[::1]:5000/a"]):
    put("reference", f"good-{number}", text.encode())
for number, text in enumerate(["", "a.test/B", "a:b:c", "a@sha256:0"]):
    put("reference", f"bad-{number}", text.encode())
for name in ["index-v2", "signed-v2"]:
    document = blob(tags[f"registry.example.test/prod/{name}:v1"])
    put("manifest", f"good-{name}", document)
    if name == "signed-v2":
        put("manifest", "good-config", blob(json.loads(document)["config"]["digest"]))
put("manifest", "bad-both", b'{"schemaVersion":2,"manifests":[],"layers":[]}')
(here / "subjects.txt").write_text("".join(f"{digest}\n" for digest in sorted(subjects)))
