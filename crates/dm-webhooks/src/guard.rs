//! Which addresses may be dialled: whoever may subscribe must not reach the network of
//! the node by it.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, LazyLock},
};

use ipnet::IpNet;
use reqwest::{
    Url,
    dns::{Addrs, Name, Resolve, Resolving},
};

/// Networks that are not on the public internet, by the registries of IANA for special
/// addresses of [IPv4](https://www.iana.org/assignments/iana-ipv4-special-registry) and
/// [IPv6](https://www.iana.org/assignments/iana-ipv6-special-registry).
const SPECIAL: [&str; 28] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::/96",
    "64:ff9b:1::/48",
    "100::/64",
    "2001::/23",
    "2001:db8::/32",
    "3fff::/20",
    "5f00::/16",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
    "::ffff:0:0:0/96",
    "2620:4f:8000::/48",
];

static SPECIAL_NETWORKS: LazyLock<Vec<IpNet>> = LazyLock::new(|| {
    SPECIAL
        .iter()
        .filter_map(|network| network.parse().ok())
        .collect()
});

/// Says which addresses may be dialled; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Guard {
    allowed: Arc<[IpNet]>,
}

impl Guard {
    /// Lets addresses of these networks be dialled, and public ones.
    pub(crate) fn new(allowed: &[IpNet]) -> Self {
        Self {
            allowed: allowed.into(),
        }
    }

    /// Whether an address may be dialled. One that stands for an IPv4 address is judged as
    /// that.
    pub(crate) fn admits(&self, address: IpAddr) -> bool {
        let address = match address {
            IpAddr::V6(v6) => embedded_v4(v6).map_or(address, IpAddr::V4),
            IpAddr::V4(_) => address,
        };
        let is_in = |networks: &[IpNet]| networks.iter().any(|network| network.contains(&address));
        is_in(&self.allowed) || !is_in(&SPECIAL_NETWORKS)
    }

    /// What is wrong with an address of a receiver, as far as it can be told from it.
    pub(crate) fn check(&self, text: &str) -> Result<Url, String> {
        let url: Url = text.parse().map_err(|_| "must be a URL".to_owned())?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err("must begin with http:// or https://".to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("must not contain a user name or password".to_owned());
        }
        // A URL of these schemes always has a host; all spellings of an address are one here.
        let host = url.host_str().unwrap_or_default();
        let literal = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<IpAddr>();
        if literal.is_ok_and(|address| !self.admits(address)) {
            return Err(format!(
                "leads to {host}, which is not on the public internet; events.allowed_networks can allow it"
            ));
        }
        Ok(url)
    }
}

/// The IPv4 address that an IPv6 address stands for: mapped, by NAT64, or by 6to4.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let v4 = |high: u16, low: u16| Some(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)));
    match [a, b, c, d, e, f] {
        [0, 0, 0, 0, 0, 0xffff] | [0x64, 0xff9b, 0, 0, 0, 0] => v4(g, h),
        [0x2002, ..] => v4(b, c),
        _ => None,
    }
}

/// Resolves names to those of their addresses that may be dialled.
impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let admitted: Vec<SocketAddr> = found.filter(|found| guard.admits(found.ip())).collect();
            if admitted.is_empty() {
                return Err("the name leads to no address on the public internet".into());
            }
            Ok(Box::new(admitted.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_network_in_the_list_is_read() {
        assert_eq!(SPECIAL_NETWORKS.len(), SPECIAL.len());
    }

    #[test]
    fn no_spelling_of_an_address_leads_into_the_network_of_the_node() {
        let guard = Guard::new(&[]);
        for url in [
            "http://127.0.0.1/",
            "http://127.1/",
            "http://2130706433/",
            "http://0x7f000001/",
            "http://0177.0.0.1/",
            "http://0x7f.1/",
            "http://127.0.0.1./",
            "http://%31%32%37.0.0.1/",
            "http://①②⑦.0.0.1/",
            "http://0/",
            "http://10.0.0.1/",
            "http://172.31.255.255/",
            "http://192.168.1.1:8080/",
            "http://169.254.169.254/latest/meta-data",
            "http://100.100.100.200/",
            "http://[::1]/",
            "http://[::]/",
            "http://[::ffff:127.0.0.1]/",
            "http://[::ffff:a9fe:a9fe]/",
            "http://[::127.0.0.1]/",
            "http://[64:ff9b::10.0.0.1]/",
            "http://[2002:7f00:1::]/",
            "http://[fe80::1]/",
            "http://[fd00::1]/",
            "http://[ff02::1]/",
            "http://255.255.255.255/",
        ] {
            let error = guard.check(url).unwrap_err();
            assert!(error.contains("not on the public internet"), "{url}: {error}");
        }
    }

    #[test]
    fn public_addresses_and_names_may_be_called() {
        let guard = Guard::new(&[]);
        for url in [
            "https://receiver.example/hook?x=1",
            "http://8.8.8.8/",
            "http://[2606:4700::1111]/",
            "http://[::ffff:8.8.8.8]/",
        ] {
            assert!(guard.check(url).is_ok(), "{url}");
        }
    }

    #[test]
    fn what_is_no_address_of_a_receiver_is_refused() {
        let guard = Guard::new(&[]);
        for (url, reason) in [
            ("", "must be a URL"),
            ("receiver.example", "must be a URL"),
            ("http://", "must be a URL"),
            ("ftp://receiver.example/", "must begin with http:// or https://"),
            ("file:///etc/passwd", "must begin with http:// or https://"),
            (
                "http://user:secret@receiver.example/",
                "must not contain a user name or password",
            ),
        ] {
            assert_eq!(guard.check(url).unwrap_err(), reason, "{url}");
        }
    }

    #[test]
    fn a_network_that_is_allowed_may_be_called_in_every_spelling() {
        let guard = Guard::new(&["127.0.0.0/8".parse().unwrap()]);
        for url in [
            "http://127.0.0.1/",
            "http://2130706433/",
            "http://[::ffff:127.0.0.1]/",
        ] {
            assert!(guard.check(url).is_ok(), "{url}");
        }
        assert!(guard.check("http://10.0.0.1/").is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_the_guard_panic(text in "\\PC{0,64}") {
            let _ = Guard::new(&[]).check(&text);
        }

        #[test]
        fn an_address_in_a_private_network_is_never_admitted(host: u32, mapped: bool) {
            let v4 = Ipv4Addr::from((10 << 24) | (host & 0x00ff_ffff));
            let address = if mapped { IpAddr::V6(v4.to_ipv6_mapped()) } else { IpAddr::V4(v4) };
            prop_assert!(!Guard::new(&[]).admits(address));
        }
    }
}
