#!/usr/bin/env python3
"""Checks a Sealgate audit log by its format alone (man sealgate-audit).

usage: check_log.py VKEY FILE...   the node's public key, and the log's files from the oldest on
"""
import base64, hashlib, json, sys
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def add(nodes, size, leaf):
    """Adds an entry to the roots of the perfect subtrees of a tree."""
    while size & 1:
        leaf, size = sha(b"\1", nodes.pop(), leaf), size >> 1
    nodes.append(leaf)


def root(nodes):
    if not nodes:
        return sha()
    head = nodes[-1]
    for node in reversed(nodes[:-1]):
        head = sha(b"\1", node, head)
    return head


def opened(note, vkey):
    """The text of a signed note, if this key signed it."""
    name, _, key = vkey.split("+", 2)
    key = base64.b64decode(key)
    text, _, lines = note.rpartition("\n\n")
    text = (text + "\n").encode()
    for line in lines.rstrip("\n").split("\n"):
        signature = base64.b64decode(line.split(" ")[2])
        if line.split(" ")[1] == name and signature[:4] == sha(name.encode(), b"\n", key)[:4]:
            Ed25519PublicKey.from_public_bytes(key[1:]).verify(signature[4:], text)
            return text.decode().split("\n")[:-1]
    raise InvalidSignature


def check(vkey, files):
    nodes, size, covered, wrong, before = None, 0, 0, 0, 0
    for file in files:
        for number, line in enumerate(open(file, "rb"), 1):
            line = line.rstrip(b"\n")
            if line.startswith(b'{"kind":"checkpoint"'):
                try:
                    checkpoint = json.loads(line)
                    _, count, head = opened(checkpoint["note"], vkey)[:3]
                    claimed = [base64.b64decode(node) for node in checkpoint["range"]]
                    if root(claimed) != base64.b64decode(head) or len(claimed) != bin(int(count)).count("1"):
                        raise ValueError
                    if nodes is not None and (size, root(nodes)) != (int(count), root(claimed)):
                        print(f"{file}:{number}: the log is not what this checkpoint says")
                        wrong += 1
                    nodes, size, covered = claimed, int(count), int(count)
                except (InvalidSignature, ValueError, KeyError, IndexError):
                    print(f"{file}:{number}: no checkpoint of this key")
                    wrong += 1
            before += nodes is None
            if nodes is not None:
                add(nodes, size, sha(b"\0", line))
                size += 1
    if before:
        print(f"{before} lines stand before the first checkpoint: nothing is known of them")
    print(f"{covered} of {size} entries are covered, {wrong} faults")
    return 1 if wrong or nodes is None else 0


if __name__ == "__main__":
    sys.exit(check(sys.argv[1], sys.argv[2:]))
