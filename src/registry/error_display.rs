//! The texts of [`RegistryError`] and of what it names.

use std::fmt;

use super::error::{Budget, Malformed, Presented, RedirectFault, RegistryError, TlsFault, Why};

impl fmt::Display for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound { name } => write!(f, "{name} is not in the registry"),
            Self::Beside { error, beside } => write!(f, "{error}; and {beside}"),
            Self::Unauthorized { host, status, credentials } => {
                write!(f, "{host} refused access with status {status}; ")?;
                credentials.explain(host, f)
            }
            Self::NoCredentials { host, status, source, why } => {
                write!(
                    f,
                    "{host} refused access with status {status}; no credentials for it: {source} \
                     {why}"
                )
            }
            Self::Unreachable { host, why } => write!(f, "{host} could not be reached: {why}"),
            Self::TooLarge { host, limit } => {
                write!(f, "{host} sent more than the {limit} bytes allowed")
            }
            Self::DigestMismatch { host, expected, got } => {
                write!(
                    f,
                    "{host} sent other content than asked for: expected {expected}, got {got}"
                )
            }
            Self::BudgetSpent(budget) => write!(f, "the decision's budget of {budget} is used up"),
            Self::Malformed { host, what } => write!(f, "{host} sent {what}"),
            Self::Refused { host, status, code: None } => {
                write!(f, "{host} refused with status {status}")
            }
            Self::Refused { host, status, code: Some(code) } => {
                write!(f, "{host} refused with status {status}, {code}")
            }
            Self::Redirect { host, fault } => write!(f, "{host} redirected {fault}"),
            Self::ForbiddenAddress { host, address } => write!(
                f,
                "{host} is at {address}, an address of this node or its link; allow it with \
                 registry.allow_local_hosts or hosts.toml"
            ),
            Self::Realm { host } => {
                write!(f, "{host} named a token service that is not an https address")
            }
            Self::NoHost { host } => {
                write!(f, "hosts.toml lets no host answer for {host}; check its capabilities")
            }
            Self::Unsafe(fault) => {
                write!(f, "a file of the registry's configuration is not used: {fault}")
            }
            Self::Config { file, line: None, problem } => write!(f, "{file}: {problem}"),
            Self::Config { file, line: Some(line), problem } => {
                write!(f, "{file}, line {line}: {problem}")
            }
            Self::Options { option, problem } => write!(f, "registry.{option} {problem}"),
        }
    }
}

impl std::error::Error for RegistryError {}

impl Presented {
    fn explain(&self, host: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => write!(
                f,
                "there are no credentials for it: a pull needs the pod's pull secret, a check \
                 without a pull the node's own (registry.docker_configs or a credential plugin)"
            ),
            Self::Refused => write!(
                f,
                "it did not take the credentials that it was shown: they are wrong, or do not \
                 reach this repository"
            ),
            Self::NotForMirror { registry } => write!(
                f,
                "hosts.toml has it for {registry}, whose credentials are not shown to it; if it \
                 checks the same accounts, allow it in [registry]: credential_hosts = \
                 {{ \"{registry}\" = [\"{host}\"] }}"
            ),
            Self::ForAnother { registry } => {
                write!(f, "the pull secret is for {registry} and is shown to nobody else")
            }
            Self::NotForTokenService { realm } => write!(
                f,
                "the credentials for {host} were not sent to its token service {realm}; if it is \
                 to have them, allow it in [registry]: token_realms = {{ \"{host}\" = \
                 [\"{realm}\"] }}"
            ),
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "status {status}"),
            Self::Timeout => f.write_str("no answer in time"),
            Self::Name(text) => write!(f, "its name did not resolve: {text}"),
            Self::Connection(text) => write!(f, "no connection: {text}"),
            Self::NoMeans(text) => {
                write!(f, "this node has nothing left for one more connection: {text}")
            }
            Self::Wait { status, seconds } => {
                write!(f, "status {status}, to be asked again in {seconds} s and not before")
            }
            Self::Slow => f.write_str("its answer comes too slowly"),
            Self::Crowded { by } => {
                write!(f, "{by} takes too long, and too many wait for it; try again")
            }
            Self::Recalled => {
                f.write_str("no answer for seconds, while other registries waited for the place")
            }
            Self::Tls(fault) => write!(f, "TLS failed: {fault}"),
        }
    }
}

impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Issuer => {
                "its certificate is from an authority that is not known here; name it with ca in \
                 hosts.toml"
            }
            Self::Expired => "its certificate has expired",
            Self::NotYetValid => "its certificate is not valid yet; check the clock of this node",
            Self::Name => "its certificate is for other names",
            Self::Authority => {
                "its certificate is an authority's own (CA:TRUE) and not, byte for byte, one that \
                 ca in hosts.toml names"
            }
            Self::Purpose => "its certificate is not for servers (extended key usage)",
            Self::NotTls => "it does not speak TLS",
            Self::Other(text) => text,
        })
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Requests => "registry requests (registry.session_requests)",
            Self::Bytes => "registry bytes (registry.session_bytes)",
            Self::Time => "registry time",
            Self::Pages => "pages of referrers (registry.referrers_pages)",
            Self::Entries => "referrers (registry.referrers_entries)",
            Self::Held { limit } => return write!(f, "memory ({limit} bytes at once)"),
            Self::Turn => "time to wait for memory that other decisions hold",
        })
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Page(kind) => {
                return write!(
                    f,
                    "a page ({kind}) where content of a registry was asked for: a login page or a \
                     proxy may have answered in its place"
                );
            }
            Self::Http => "what cannot be understood as HTTP",
            Self::Encoding => "an encoded body where plain bytes were asked for",
            Self::Referrers => "a list of referrers that is not an image index",
            Self::Link => "a list whose next page is elsewhere",
            Self::NextPage => "a list whose next page is not there",
            Self::Loop => "a list whose next page is one that came before",
            Self::Algorithm => "a list with digests other than sha256",
            Self::NotFound => "status 404 without an error of a registry",
            Self::Token => "a token answer without a token",
            Self::Challenge => "status 401 without a challenge that can be answered",
        })
    }
}

impl fmt::Display for RedirectFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooMany => "more than 5 times",
            Self::Downgrade => "from https to http",
            Self::Location => "to no usable address",
            Self::Token => "a token request",
        })
    }
}
