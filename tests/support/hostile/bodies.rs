//! Bodies that are made to hurt whoever reads them, and documents changed before anything is said
//! about their digest.

use std::sync::LazyLock;

use bytes::Bytes;

/// How many entries, headers, annotations are far too many.
pub(crate) const FAR_TOO_MANY: usize = 100_000;
/// How deep is far too deep, of what is short enough to be read at all.
const DEEP: usize = 10_000;

/// Makes what takes long to make, before anything is measured.
pub(crate) fn prepare() {
    drop((gzip_bomb(), endless_list(), long_list(), many_headers()));
}

/// 100,000 lines of a head.
pub(crate) fn many_headers() -> &'static str {
    static MADE: LazyLock<String> = LazyLock::new(|| vec!["X-Many: y"; FAR_TOO_MANY].join("\r\n"));
    &MADE
}

/// 256 MiB of zeros as gzip, some 1.7 MB; its checksum is not right, which nobody sees who does not
/// inflate it all.
pub(crate) fn gzip_bomb() -> Bytes {
    static MADE: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(deflated_zeros(256 << 20)));
    MADE.clone()
}

/// An index of 100,000 entries, each well formed, 11 MB.
pub(crate) fn endless_list() -> Bytes {
    static MADE: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(document_of(FAR_TOO_MANY)));
    MADE.clone()
}

/// The same of as many as fit into 4 MiB.
pub(crate) fn long_list() -> Bytes {
    static MADE: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(document_of(24_000)));
    MADE.clone()
}

/// A page of `count` entries.
pub(crate) fn document_of(count: usize) -> Vec<u8> {
    let entry = |number: usize| {
        format!(
            r#"{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:{number:064x}","size":7}}"#
        )
    };
    let entries: Vec<String> = (0..count).map(entry).collect();
    let list = entries.join(",");
    format!(r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{list}]}}"#)
        .into_bytes()
}

/// An array in an array in an array, 10,000 deep, as one more member of a document.
pub(crate) fn deep(document: &str) -> String {
    inserted(document, &format!(r#""deep":{}{},"#, "[".repeat(DEEP), "]".repeat(DEEP)))
}

/// 300,000 annotations in place of none, in a document that has a place for them.
pub(crate) fn annotated(document: &str) -> String {
    let many: Vec<String> =
        (0..3 * FAR_TOO_MANY).map(|number| format!(r#""{number:05x}":"""#)).collect();
    document.replacen(r#""annotations":{}"#, &format!(r#""annotations":{{{}}}"#, many.join(",")), 1)
}

/// A manifest that is an index as well, or an index that is a manifest.
pub(crate) fn dual(document: &str) -> String {
    let other =
        if document.contains(r#""layers""#) { r#""manifests":[],"# } else { r#""layers":[],"# };
    inserted(document, other)
}

/// A list under two spellings of its name, which are one for a reader in Go.
pub(crate) fn two_spellings(document: &str) -> String {
    let other =
        if document.contains(r#""layers""#) { r#""Layers":[],"# } else { r#""Manifests":[],"# };
    inserted(document, other)
}

/// A member twice, of which readers take the first or the last.
pub(crate) fn twice(document: &str) -> String {
    let names = ["layers", "manifests", "dsseEnvelope", "critical", "token"];
    let name = names
        .into_iter()
        .find(|name| document.contains(&format!("\"{name}\"")))
        .expect("a known document");
    let empty = if matches!(name, "layers" | "manifests") { "[]" } else { "{}" };
    inserted(document, &format!(r#""{name}":{empty},"#))
}

fn inserted(document: &str, member: &str) -> String {
    let rest = document.strip_prefix('{').expect("an object");
    format!("{{{member}{rest}")
}

/// DEFLATE with fixed codes (RFC 1951, 3.2.6): a zero, then "258 bytes as the one before" as often
/// as needed.
fn deflated_zeros(length: usize) -> Vec<u8> {
    let mut bits = Bits::default();
    bits.put(0b1, 1);
    bits.put(0b01, 2);
    bits.code(0b0011_0000, 8);
    for _ in 0..length / 258 {
        bits.code(0b1100_0101, 8);
        bits.code(0, 5);
    }
    bits.code(0, 7);
    let mut gzip = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    gzip.extend(bits.done());
    gzip.extend([0; 4]);
    gzip.extend(u32::try_from(length).expect("a length").to_le_bytes());
    gzip
}

#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    open: u32,
    held: u32,
}

impl Bits {
    /// Lowest bit first.
    fn put(&mut self, value: u32, count: u32) {
        self.open |= value << self.held;
        self.held += count;
        while self.held >= 8 {
            self.bytes.push(self.open.to_le_bytes()[0]);
            self.open >>= 8;
            self.held -= 8;
        }
    }

    /// A Huffman code: highest bit first.
    fn code(&mut self, value: u32, count: u32) {
        (0..count).rev().for_each(|at| self.put((value >> at) & 1, 1));
    }

    fn done(mut self) -> Vec<u8> {
        self.put(0, 7);
        self.bytes
    }
}
