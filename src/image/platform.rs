//! [`Platform`]: operating system, architecture and variant, compared as containerd compares them.
//!
//! What this node is, `daemon` says; nothing here asks.

use std::fmt;

/// An operating system on an architecture (OCI image-spec, image-index.md, `platform`).
///
/// Values are kept as written; [`Platform::normal`] gives the form in which they are compared.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Platform {
    /// `linux`, in the words of Go's `GOOS`.
    pub os: String,
    /// `amd64`, in the words of Go's `GOARCH`.
    pub architecture: String,
    /// `v7`; `None` where the architecture has none or its default.
    pub variant: Option<String>,
}

impl Platform {
    /// The one spelling of this platform, after containerd's `platforms` package (database.go):
    /// other names of an architecture are replaced, a default variant is dropped (`amd64/v1`,
    /// `arm64/v8`) or added (`arm` is `arm/v7`).
    #[must_use]
    pub fn normal(&self) -> Self {
        let os = self.os.to_lowercase();
        let architecture = self.architecture.to_lowercase();
        let variant = self.variant.as_deref().unwrap_or_default().to_lowercase();
        let (architecture, variant) = match (architecture.as_str(), variant.as_str()) {
            ("i386", _) => ("386", ""),
            ("x86_64" | "x86-64" | "amd64", "v1") => ("amd64", ""),
            ("x86_64" | "x86-64", other) => ("amd64", other),
            ("aarch64" | "arm64", "8" | "v8") => ("arm64", ""),
            ("aarch64", other) => ("arm64", other),
            ("armhf", _) | ("arm", "" | "7") => ("arm", "v7"),
            ("armel", _) | ("arm", "6") => ("arm", "v6"),
            ("arm", "5") => ("arm", "v5"),
            ("arm", "8") => ("arm", "v8"),
            (architecture, variant) => (architecture, variant),
        };
        let os = if os == "macos" { "darwin".to_owned() } else { os };
        Self {
            os,
            architecture: architecture.to_owned(),
            variant: (!variant.is_empty()).then(|| variant.to_owned()),
        }
    }

    /// Whether this is `other`, which is in its normal form; an empty operating system is any
    /// (containerd takes it for the node's own).
    #[must_use]
    pub fn fits(&self, other: &Self) -> bool {
        let normal = self.normal();
        let same_os = normal.os.is_empty() || normal.os == other.os;
        same_os && normal.architecture == other.architecture && normal.variant == other.variant
    }

    /// What this platform can run, best first, each in its normal form (containerd's
    /// `platforms.Only`): itself, then older variants, then the 32-bit architecture below it.
    #[must_use]
    pub fn runs(&self) -> Vec<Self> {
        let normal = self.normal();
        let mut runs = vec![normal.clone()];
        let variant = normal.variant.as_deref();
        let mut add = |architecture: &str, variant: String| {
            let variant = Some(variant);
            runs.push(
                Self { os: normal.os.clone(), architecture: architecture.to_owned(), variant }
                    .normal(),
            );
        };
        match normal.architecture.as_str() {
            "amd64" => {
                (1..number(variant)).rev().for_each(|n| add("amd64", format!("v{n}")));
                add("386", String::new());
            }
            "arm64" => {
                older_arm64(variant.unwrap_or("v8")).into_iter().for_each(|v| add("arm64", v));
                (5..=8).rev().for_each(|n| add("arm", format!("v{n}")));
            }
            "arm" => (5..number(variant)).rev().for_each(|n| add("arm", format!("v{n}"))),
            _ => {}
        }
        runs
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os.escape_default(), self.architecture.escape_default())?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{}", variant.escape_default()))
    }
}

/// `v7` is 7; what is no such variant is 0, so that nothing is older.
fn number(variant: Option<&str>) -> u8 {
    let digits = variant.and_then(|v| v.strip_prefix('v')).unwrap_or_default();
    // Two digits: no architecture has more, and the loop over them stays short.
    if digits.len() <= 2 { digits.parse().unwrap_or(0) } else { 0 }
}

/// `v8.2` runs `v8.1` and `v8`; `v9.x` runs `v9.{x-1}` and down, then `v8.{x+5}` and down.
fn older_arm64(variant: &str) -> Vec<String> {
    let (major, minor) = variant.split_once('.').unwrap_or((variant, ""));
    let (major, minor) = (number(Some(major)), minor.parse::<u8>().unwrap_or(0).min(9));
    let down = |major: u8, below: u8| (0..below).rev().map(move |n| named(major, n));
    match major {
        8 => down(8, minor).collect(),
        9 => down(9, minor).chain(down(8, minor.saturating_add(6))).collect(),
        _ => Vec::new(),
    }
}

fn named(major: u8, minor: u8) -> String {
    if minor == 0 { format!("v{major}") } else { format!("v{major}.{minor}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(text: &str) -> Platform {
        let mut parts = text.split('/').map(str::to_owned);
        Platform {
            os: parts.next().unwrap(),
            architecture: parts.next().unwrap(),
            variant: parts.next(),
        }
    }

    #[test]
    fn normalises_as_containerd_does() {
        for (written, normal) in [
            ("Linux/AMD64", "linux/amd64"),
            ("linux/x86_64", "linux/amd64"),
            ("linux/amd64/v1", "linux/amd64"),
            ("linux/amd64/v3", "linux/amd64/v3"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/aarch64/8", "linux/arm64"),
            ("linux/arm64/v9", "linux/arm64/v9"),
            ("linux/arm", "linux/arm/v7"),
            ("linux/arm/6", "linux/arm/v6"),
            ("linux/armel", "linux/arm/v6"),
            ("linux/armhf", "linux/arm/v7"),
            ("linux/i386/v1", "linux/386"),
            ("macos/arm64", "darwin/arm64"),
            ("linux/riscv64/rva23", "linux/riscv64/rva23"),
        ] {
            assert_eq!(platform(written).normal().to_string(), normal, "{written}");
        }
    }

    #[test]
    fn runs_what_containerd_would_run() {
        for (node, runs) in [
            ("linux/amd64", "linux/amd64 linux/386"),
            ("linux/amd64/v3", "linux/amd64/v3 linux/amd64/v2 linux/amd64 linux/386"),
            ("linux/arm/v7", "linux/arm/v7 linux/arm/v6 linux/arm/v5"),
            ("linux/arm64", "linux/arm64 linux/arm/v8 linux/arm/v7 linux/arm/v6 linux/arm/v5"),
            (
                "linux/arm64/v8.2",
                "linux/arm64/v8.2 linux/arm64/v8.1 linux/arm64 linux/arm/v8 linux/arm/v7 \
                 linux/arm/v6 linux/arm/v5",
            ),
            ("linux/s390x", "linux/s390x"),
        ] {
            let got: Vec<_> = platform(node).runs().iter().map(Platform::to_string).collect();
            assert_eq!(got.join(" "), runs, "{node}");
        }
        assert_eq!(platform("linux/arm64/v9").runs().len(), 1 + 6 + 4);
        assert_eq!(platform("linux/arm/v99999999999999999999").runs().len(), 1);
    }
}
