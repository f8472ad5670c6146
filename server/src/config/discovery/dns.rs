//! `dns_sd_configs`: names that resolve to targets.

use super::refresh;
use crate::config::schema::{Key, decode, read};
use crate::yaml::{Entry, Node, Report};

/// Names that resolve to targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsDiscovery {
    /// The names.
    pub names: Vec<String>,
    /// What is asked for.
    pub record: DnsRecord,
    /// The port of what is no SRV record.
    pub port: u16,
    /// Asked this often.
    pub refresh_ms: u64,
}

/// Kinds of DNS records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DnsRecord {
    /// Host and port.
    Srv,
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Mail exchangers.
    Mx,
    /// Name servers.
    Ns,
}

pub(super) fn dns(node: &Node, report: &mut Report) -> DnsDiscovery {
    static DNS: &[Key<(DnsDiscovery, bool)>] = &[
        read("names", |entry, (dns, _), report| {
            dns.names = report.texts(entry);
        }),
        read("type", |entry, (dns, _), report| {
            let record = report.parsed(entry, |text| {
                Ok(match text.to_ascii_uppercase().as_str() {
                    "SRV" => DnsRecord::Srv,
                    "A" => DnsRecord::A,
                    "AAAA" => DnsRecord::Aaaa,
                    "MX" => DnsRecord::Mx,
                    "NS" => DnsRecord::Ns,
                    _ => return Err(format!("{text:?} is not SRV, A, AAAA, MX or NS")),
                })
            });
            dns.record = record.unwrap_or(dns.record);
        }),
        read("port", |entry, (dns, port), report| {
            dns.port = self::port(entry, report);
            *port = true;
        }),
        read("refresh_interval", |entry, (dns, _), report| {
            refresh(entry, &mut dns.refresh_ms, report);
        }),
    ];
    let dns = DnsDiscovery {
        names: Vec::new(),
        record: DnsRecord::Srv,
        port: 0,
        refresh_ms: 30_000,
    };
    let mut read = (dns, false);
    decode(node, "a dns_sd_config", &[&DNS], &mut read, report);
    let (dns, port) = read;
    if dns.names.is_empty() {
        report.error(node.line, "a dns_sd_config needs names");
    }
    if dns.record != DnsRecord::Srv && !port {
        report.error(
            node.line,
            "a dns_sd_config needs a port, for only SRV records name one",
        );
    }
    dns
}

fn port(entry: &Entry, report: &mut Report) -> u16 {
    let port = report.parsed(entry, |text| {
        let port = text.parse::<u16>();
        port.map_err(|_| format!("{text:?} is not a port"))
    });
    port.unwrap_or(0)
}
