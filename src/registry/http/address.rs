//! Addresses of this node and its link, which no registry, mirror, redirect or token service may
//! point at unless the operator named that host (attack E5), and the name resolution that holds
//! this for names; [`lacks_means`], of a node that has nothing left to ask or to connect with.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use nix::errno::Errno;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Metadata services outside the link-local range: Alibaba, Azure's wire server, Oracle.
const METADATA_V4: [Ipv4Addr; 3] = [
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(192, 0, 0, 192),
];
/// Metadata services over IPv6, which have unique local addresses: Google's, Oracle's, Scaleway's.
/// Amazon's have a prefix of their own ([`is_amazon`]).
const METADATA_V6: [Ipv6Addr; 3] = [
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe),
    Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42),
];

/// Resolves names and fails when an address behind one is local.
pub(in crate::registry) struct Guarded;

/// Resolves names as the system does, for hosts that the operator named.
pub(in crate::registry) struct Open;

/// The name stood for a local address.
#[derive(Debug)]
pub(in crate::registry) struct LocalAddress(pub(in crate::registry) IpAddr);

/// The name stood for nothing.
#[derive(Debug)]
pub(in crate::registry) struct NotResolved {
    said: String,
    /// The node had nothing left to ask with.
    pub(super) lacks_means: bool,
}

/// Whether a connection failed for want of something on this node: files, ports, memory. A pod on
/// the node's own network can use up the ports, and the host may well be there.
pub(super) fn lacks_means(error: &std::io::Error) -> bool {
    let number = error.raw_os_error().map(Errno::from_raw);
    matches!(
        number,
        Some(
            Errno::EMFILE
                | Errno::ENFILE
                | Errno::ENOMEM
                | Errno::ENOBUFS
                | Errno::EADDRNOTAVAIL
                | Errno::EAGAIN
        )
    )
}

/// Loopback, link-local, unspecified, multicast or a metadata service, also inside IPv6.
pub(in crate::registry) fn is_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_local_v4(v4),
        IpAddr::V6(v6) => embedded_v4(v6).is_some_and(is_local_v4) || is_local_v6(v6),
    }
}

/// The address when a URL's host is one in numbers.
pub(in crate::registry) fn literal(url: &reqwest::Url) -> Option<IpAddr> {
    let host = url.host_str()?;
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).parse().ok()
}

fn is_local_v4(v4: Ipv4Addr) -> bool {
    v4.is_loopback()
        || v4.is_link_local()
        || v4.is_multicast()
        || v4.is_broadcast()
        || v4.octets().first() == Some(&0)
        || METADATA_V4.contains(&v4)
}

fn is_local_v6(v6: Ipv6Addr) -> bool {
    v6.is_loopback()
        || v6.is_unspecified()
        || v6.is_unicast_link_local()
        || v6.is_multicast()
        || is_amazon(v6)
        || METADATA_V6.contains(&v6)
}

/// `fd00:ec2::/32`: instance metadata (`::254`), credentials of pods (`::23`), names and time of
/// Amazon's clouds.
fn is_amazon(v6: Ipv6Addr) -> bool {
    matches!(v6.segments(), [0xfd00, 0xec2, ..])
}

/// IPv4-mapped (`::ffff:0:0/96`), IPv4-compatible, NAT64 (`64:ff9b::/96`) and 6to4 (`2002::/16`)
/// addresses.
fn embedded_v4(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = v6.segments();
    let join = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match (a, b, c, d, e, f) {
        (0, 0, 0, 0, 0, 0xffff | 0) | (0x64, 0xff9b, 0, 0, 0, 0) => Some(join(g, h)),
        (0x2002, ..) => Some(join(b, c)),
        _ => None,
    }
}

async fn lookup(name: &str) -> Result<Vec<SocketAddr>, NotResolved> {
    let found = tokio::net::lookup_host((name, 0)).await;
    let found = found.map_err(|error| NotResolved {
        said: error.to_string(),
        lacks_means: lacks_means(&error) || has_no_port(),
    })?;
    let addresses: Vec<SocketAddr> = found.collect();
    match addresses.is_empty() {
        true => Err(NotResolved { said: "no address".to_owned(), lacks_means: false }),
        false => Ok(addresses),
    }
}

/// Whether no port is left to ask for names with. The resolver does not say so: to it a question that
/// could not be sent is one without an answer.
fn has_no_port() -> bool {
    UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).is_err()
}

/// One local address among others is refused as a whole: honest names do not mix them.
fn check(addresses: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, LocalAddress> {
    match addresses.iter().find(|address| is_local(address.ip())) {
        Some(local) => Err(LocalAddress(local.ip())),
        None => Ok(addresses),
    }
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let addresses = check(lookup(name.as_str()).await?)?;
            Ok::<Addrs, _>(Box::new(addresses.into_iter()))
        })
    }
}

impl Resolve for Open {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move { Ok::<Addrs, _>(Box::new(lookup(name.as_str()).await?.into_iter())) })
    }
}

impl fmt::Display for LocalAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the name stands for {}", self.0)
    }
}

impl std::error::Error for LocalAddress {}

impl fmt::Display for NotResolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.said)
    }
}

impl std::error::Error for NotResolved {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Attack G: what a pod on the node's own network can use up is not the other side's silence.
    #[test]
    fn attack_g_what_the_node_lacks_is_told_from_what_the_other_side_does() {
        let lacks = |errno: Errno| lacks_means(&std::io::Error::from(errno));
        for errno in [Errno::EMFILE, Errno::ENFILE, Errno::ENOBUFS, Errno::EADDRNOTAVAIL] {
            assert!(lacks(errno), "{errno}");
        }
        for errno in [Errno::ECONNREFUSED, Errno::ENETUNREACH, Errno::ETIMEDOUT, Errno::ECONNRESET]
        {
            assert!(!lacks(errno), "{errno}");
        }
        assert!(!lacks_means(&std::io::Error::other("no number")));
    }

    /// Attack E5: every spelling of a local address.
    #[test]
    fn attack_e5_local_addresses_in_every_spelling() {
        for local in [
            "127.0.0.1",
            "127.8.8.8",
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "ff02::1",
            "fd00:ec2::254",
            "fd00:ec2::23",
            "fd20:ce::254",
            "fd00:c1::a9fe:a9fe",
            "fd00:42::42",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::169.254.169.254",
            "2002:7f00:1::",
            "::127.0.0.1",
        ] {
            assert!(is_local(local.parse().unwrap()), "{local}");
        }
        for other in [
            "10.0.0.1",
            "192.168.1.1",
            "172.16.0.1",
            "8.8.8.8",
            "2001:db8::1",
            "fd00::1",
            "fd20:ce::1",
            "100.64.0.1",
        ] {
            assert!(!is_local(other.parse().unwrap()), "{other}");
        }
    }

    /// Attack E5: a name with one public and one local address.
    #[test]
    fn attack_e5_a_name_that_mixes_addresses_is_refused() {
        let mixed = ["93.184.216.34:0", "127.0.0.1:0"].map(|text| text.parse().unwrap()).to_vec();
        assert!(matches!(check(mixed), Err(LocalAddress(ip)) if ip.is_loopback()));
        assert!(check(vec!["93.184.216.34:0".parse().unwrap()]).is_ok());
    }

    /// Attack E5: addresses in numbers that URL parsers accept in odd forms.
    #[test]
    fn attack_e5_odd_numbers_are_seen_as_addresses() {
        for odd in [
            "http://2130706433/",
            "http://0x7f.1/",
            "http://0177.0.0.1/",
            "http://[::ffff:7f00:1]/",
        ] {
            let url = reqwest::Url::parse(odd).unwrap();
            assert!(literal(&url).is_some_and(is_local), "{odd}");
        }
    }
}
