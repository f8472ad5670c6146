//! The records of a name as `dns_sd_configs` asks for them: from the name server each time, whatever a record's time to live, for
//! the list has to be as new as `refresh_interval` says, and not from `/etc/hosts`.
//!
//! The domains of `search` are walked here and not by the resolver, which answers with what the last of them led to: a domain
//! whose server fails, followed by one where the name does not exist, would read as "no records", and the targets would be gone.
//! The rules are those of Prometheus (`lookupWithSearchPath` in `discovery/dns/dns.go`).

use std::net::IpAddr;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::system_conf::read_system_conf;

use crate::config::DnsRecord;
use crate::http_client::in_words;

/// Asks for records. Clones share the resolver.
#[derive(Clone)]
pub(super) struct Records {
    resolver: TokioResolver,
    search: Vec<Name>,
    ndots: usize,
}

/// One record of an answer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum DnsAnswer {
    /// An address.
    Address(IpAddr),
    /// A host and, in an SRV record, its port.
    Host(String, Option<u16>),
}

impl Records {
    /// As `/etc/resolv.conf` says.
    pub(super) fn of_the_system() -> Result<Records, String> {
        let (config, options) =
            read_system_conf().map_err(|error| format!("/etc/resolv.conf: {error}"))?;
        Records::new(config, options)
    }

    fn new(config: ResolverConfig, mut options: ResolverOpts) -> Result<Records, String> {
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        let (search, ndots) = (config.search().to_vec(), options.ndots);
        let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        let resolver = builder.with_options(options).build();
        Ok(Records {
            resolver: resolver.map_err(|error| error.to_string())?,
            search,
            ndots,
        })
    }

    /// The records of a name, sorted, so that servers which turn them around change nothing. None where the name exists without
    /// records of this kind, or where it exists in no domain of the search; an error where that is not known.
    pub(super) async fn of(&self, name: &str, kind: DnsRecord) -> Result<Vec<DnsAnswer>, String> {
        let record_type = match kind {
            DnsRecord::Srv => RecordType::SRV,
            DnsRecord::A => RecordType::A,
            DnsRecord::Aaaa => RecordType::AAAA,
            DnsRecord::Mx => RecordType::MX,
            DnsRecord::Ns => RecordType::NS,
        };
        let mut failed = None;
        for name in self.names(name)? {
            match self.resolver.lookup(name, record_type).await {
                Ok(found) => return Ok(answers(&found)),
                Err(error) if error.is_nx_domain() => {}
                Err(error) if error.is_no_records_found() => return Ok(Vec::new()),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(Vec::new()), |error| Err(in_words(&error)))
    }

    /// In which order a name is looked for: as it is first where it has `ndots` dots, else last.
    fn names(&self, name: &str) -> Result<Vec<Name>, String> {
        let relative = Name::from_str_relaxed(name).map_err(|error| error.to_string())?;
        let is_whole = relative.is_fqdn();
        let mut alone = relative.clone();
        alone.set_fqdn(true);
        if is_whole {
            return Ok(vec![alone]);
        }
        // A name that becomes too long in a domain does not exist there.
        let within = self
            .search
            .iter()
            .filter_map(|domain| relative.clone().append_domain(domain).ok())
            .map(|mut name| {
                name.set_fqdn(true);
                name
            });
        let mut names: Vec<Name> = within.collect();
        let dots = usize::from(relative.num_labels()).saturating_sub(1);
        let at = if dots >= self.ndots { 0 } else { names.len() };
        names.insert(at, alone);
        Ok(names)
    }
}

fn answers(found: &Lookup) -> Vec<DnsAnswer> {
    let records = found.answers().iter();
    let mut answers: Vec<DnsAnswer> = records
        .filter_map(|record| match &record.data {
            RData::A(address) => Some(DnsAnswer::Address(IpAddr::V4(address.0))),
            RData::AAAA(address) => Some(DnsAnswer::Address(IpAddr::V6(address.0))),
            RData::SRV(srv) => Some(DnsAnswer::Host(srv.target.to_string(), Some(srv.port))),
            RData::MX(mx) => Some(DnsAnswer::Host(mx.exchange.to_string(), None)),
            RData::NS(ns) => Some(DnsAnswer::Host(ns.0.to_string(), None)),
            _ => None,
        })
        .collect();
    answers.sort();
    answers
}

#[cfg(test)]
mod tests {
    use hickory_resolver::config::{ConnectionConfig, NameServerConfig};
    use stillwell_testing::name_server::{NameServer, Record, Said};

    use super::*;

    fn server() -> NameServer {
        let address = "127.0.0.1:0".parse().expect("an address");
        NameServer::start(address).expect("loopback listens")
    }

    /// Asks that server, which is looked for in two domains.
    fn records(server: &NameServer) -> Records {
        let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
        for connection in &mut connections {
            connection.port = server.address.port();
        }
        let servers = vec![NameServerConfig::new(
            server.address.ip(),
            true,
            connections,
        )];
        let search = ["ns.svc.test.", "svc.test."].map(|name| name.parse().expect("a name"));
        let config = ResolverConfig::from_parts(None, search.to_vec(), servers);
        Records::new(config, ResolverOpts::default()).expect("a resolver")
    }

    fn address(last: u8) -> Record {
        Record::Address([127, 0, 0, last].into())
    }

    /// What is found, or whether it failed.
    fn shown(found: Result<Vec<DnsAnswer>, String>) -> String {
        let Ok(answers) = found else {
            return "failed".to_owned();
        };
        let one = |answer: &DnsAnswer| match answer {
            DnsAnswer::Address(ip) => ip.to_string(),
            DnsAnswer::Host(host, port) => format!("{host} {port:?}"),
        };
        answers.iter().map(one).collect::<Vec<_>>().join(", ")
    }

    #[tokio::test]
    async fn domains_are_searched_as_prometheus_searches_them() {
        use Said::{Failure, Records};
        let none = || Records(Vec::new());
        for (story, said, asked, found) in [
            ("it is nowhere", vec![], "epp", ""),
            (
                "the first domain that knows it",
                vec![
                    ("epp.svc.test", Records(vec![address(2)])),
                    ("epp", Records(vec![address(3)])),
                ],
                "epp",
                "127.0.0.2",
            ),
            (
                "it exists there, without such records",
                vec![
                    ("epp.ns.svc.test", none()),
                    ("epp.svc.test", Records(vec![address(2)])),
                ],
                "epp",
                "",
            ),
            (
                "a domain failed, and the name does not exist in the others: who knows",
                vec![("epp.ns.svc.test", Failure)],
                "epp",
                "failed",
            ),
            (
                "a domain failed, and another one has it",
                vec![
                    ("epp.ns.svc.test", Failure),
                    ("epp.svc.test", Records(vec![address(2)])),
                ],
                "epp",
                "127.0.0.2",
            ),
            (
                "of a name with dots, itself before the domains",
                vec![
                    ("a.b", Records(vec![address(1)])),
                    ("a.b.ns.svc.test", Records(vec![address(2)])),
                ],
                "a.b",
                "127.0.0.1",
            ),
            (
                "no domain for a name with a final dot",
                vec![("epp.ns.svc.test", Records(vec![address(2)]))],
                "epp.",
                "",
            ),
        ] {
            let server = server();
            for (name, said) in said {
                server.say(name, said);
            }
            let answer = records(&server).of(asked, DnsRecord::A).await;
            assert_eq!(shown(answer), found, "{story}");
        }
    }

    #[tokio::test]
    async fn a_list_is_asked_for_again_while_its_records_may_be_cached() {
        let server = server();
        let records = records(&server);
        let all: Vec<Record> = (0..60).map(address).collect();
        for (story, said) in [
            ("first", vec![address(1)]),
            ("other records", vec![address(2), address(3)]),
            ("more than fits in a datagram", all),
            ("none", vec![]),
            ("some again", vec![address(4)]),
        ] {
            server.say("pods.test", Said::Records(said.clone()));
            let answer = records.of("pods.test", DnsRecord::A).await;
            assert_eq!(answer.map(|found| found.len()), Ok(said.len()), "{story}");
        }
        server.forget("pods.test");
        let answer = records.of("pods.test", DnsRecord::A).await;
        assert_eq!(answer, Ok(Vec::new()), "it does not exist any more");
    }

    #[tokio::test]
    async fn records_of_every_kind_are_read() {
        let server = server();
        let said = vec![
            Record::Srv("b.test", 2),
            Record::Srv("a.test", 1),
            Record::Mx("mail.test"),
            Record::Ns("ns.test"),
            Record::Address("::1".parse().expect("an address")),
            address(9),
        ];
        server.say("_metrics._tcp.all.test", Said::Records(said));
        let records = records(&server);
        for (kind, found) in [
            (DnsRecord::Srv, "a.test. Some(1), b.test. Some(2)"),
            (DnsRecord::Mx, "mail.test. None"),
            (DnsRecord::Ns, "ns.test. None"),
            (DnsRecord::Aaaa, "::1"),
            (DnsRecord::A, "127.0.0.9"),
        ] {
            let answer = records.of("_metrics._tcp.all.test", kind).await;
            assert_eq!(shown(answer), found);
        }
    }
}
