//! `dns_sd_configs`: names that resolve to targets, asked again and again.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use stillwell_engine::labels::{Labels, LabelsBuilder};
use tokio::task::JoinSet;

use super::dns_records::{DnsAnswer, Records};
use super::groups::Groups;
use crate::config::{DnsDiscovery, DnsRecord};
use crate::http_client::{Silence, look_up};
use crate::scrape::TargetGroup;

/// A name that is not answered by then is tried again at the next refresh.
const LOOKUP_MS_MAX: u64 = 10_000;
/// Said of such a name.
const SILENT: &str = "no answer in time";

/// What is known of the names.
#[derive(Default)]
struct Names {
    /// Of names that were not answered lately.
    silences: HashMap<String, Silence>,
    /// Those that were answered once. Before all are, what the others have is no list.
    answered: HashSet<String>,
}

/// Keeps `groups` up to date until it is dropped. A name that cannot be looked up keeps its last targets; one that does not exist
/// has none.
pub(super) async fn run(config: DnsDiscovery, groups: Groups) {
    let mut names = Names::default();
    loop {
        let mut problems = Vec::new();
        // Read anew each time, as Prometheus does: `/etc/resolv.conf` may have changed.
        match Records::of_the_system() {
            Ok(records) => refresh(&config, &records, &groups, &mut names, &mut problems).await,
            Err(why) => problems.push(why),
        }
        if !problems.is_empty() {
            groups.fail(problems.join("; "));
        }
        tokio::time::sleep(Duration::from_millis(config.refresh_ms)).await;
    }
}

async fn refresh(
    config: &DnsDiscovery,
    records: &Records,
    groups: &Groups,
    Names { silences, answered }: &mut Names,
    problems: &mut Vec<String>,
) {
    let wait_max = Duration::from_millis(LOOKUP_MS_MAX.min(config.refresh_ms));
    let mut looking = JoinSet::new();
    for name in &config.names {
        let silence = silences.get(name).copied().unwrap_or_default();
        if silence.rests() {
            problems.push(format!("{name}: {SILENT}"));
            continue;
        }
        // Their places bound how many are looked up at a time.
        let (name, records, record) = (name.clone(), records.clone(), config.record);
        looking.spawn(async move {
            let found = look_up(silence, wait_max, || records.of(&name, record)).await;
            (name, found)
        });
    }
    while let Some(looked) = looking.join_next().await {
        match looked {
            Ok((name, None)) => {
                problems.push(format!("{name}: {SILENT}"));
                let silence = silences.entry(name).or_default();
                *silence = silence.longer();
            }
            Ok((name, Some(found))) => {
                silences.insert(name.clone(), Silence::ended());
                match found {
                    Ok(answers) => {
                        groups.put_part(name.clone(), group(&name, config, &answers));
                        answered.insert(name);
                    }
                    Err(why) => problems.push(format!("{name}: {why}")),
                }
            }
            Err(error) => problems.push(error.to_string()), // it panicked
        }
    }
    note_answered(config, answered, groups);
    problems.sort(); // in the order of names, not of answers, so that the same outage reads the same
}

/// What there is is a list once each name was answered.
fn note_answered(config: &DnsDiscovery, answered: &HashSet<String>, groups: &Groups) {
    if config.names.iter().all(|name| answered.contains(name)) {
        groups.read_all();
    }
}

fn group(name: &str, config: &DnsDiscovery, answers: &[DnsAnswer]) -> TargetGroup {
    let targets = answers
        .iter()
        .map(|answer| target(name, config, answer))
        .collect();
    TargetGroup {
        targets,
        ..TargetGroup::default()
    }
}

fn target(name: &str, config: &DnsDiscovery, answer: &DnsAnswer) -> Labels {
    let mut labels = LabelsBuilder::default();
    labels.set("__meta_dns_name", name);
    let address = match answer {
        DnsAnswer::Address(ip) if ip.is_ipv6() => format!("[{ip}]:{}", config.port),
        DnsAnswer::Address(ip) => format!("{ip}:{}", config.port),
        DnsAnswer::Host(host, port) => {
            let kind = match config.record {
                DnsRecord::Mx => "mx",
                DnsRecord::Ns => "ns",
                DnsRecord::Srv | DnsRecord::A | DnsRecord::Aaaa => "srv",
            };
            labels.set(&format!("__meta_dns_{kind}_record_target"), host);
            if let Some(port) = port {
                labels.set("__meta_dns_srv_record_port", &port.to_string());
            }
            let port = port.unwrap_or(config.port);
            format!("{}:{port}", host.trim_end_matches('.'))
        }
    };
    labels.set("__address__", &address);
    labels.build()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// Of two names one was answered at our start and the other was not, and the first's targets were told for both.
    #[test]
    fn a_name_that_was_never_answered_is_no_list() {
        let config = DnsDiscovery {
            names: vec!["a".to_owned(), "b".to_owned()],
            record: DnsRecord::A,
            port: 80,
            refresh_ms: 30_000,
        };
        let groups = Groups::new("test".to_owned(), Arc::default());
        let mut answered = HashSet::new();
        let answer = [DnsAnswer::Address("10.0.0.7".parse().expect("an address"))];
        for (name, answers, is_read) in [
            ("a", &answer[..], false),
            ("a", &answer, false),
            // It does not exist, which is an answer.
            ("b", &[], true),
            ("a", &[], true),
        ] {
            groups.put_part(name.to_owned(), group(name, &config, answers));
            answered.insert(name.to_owned());
            note_answered(&config, &answered, &groups);
            assert_eq!(groups.get().is_read, is_read, "{name}");
        }
        assert_eq!(groups.get().groups.len(), 2);
    }

    #[test]
    fn records_become_targets_with_prometheus_labels() {
        let config = |record| DnsDiscovery {
            names: Vec::new(),
            record,
            port: 80,
            refresh_ms: 30_000,
        };
        let host = |port| DnsAnswer::Host("db.example.org.".to_owned(), port);
        let ip = |text: &str| DnsAnswer::Address(text.parse().expect("an address"));
        for (record, answer, shown) in [
            (
                DnsRecord::Srv,
                host(Some(3306)),
                r#"{__address__="db.example.org:3306", __meta_dns_name="n", __meta_dns_srv_record_port="3306", __meta_dns_srv_record_target="db.example.org."}"#,
            ),
            (
                DnsRecord::Mx,
                host(None),
                r#"{__address__="db.example.org:80", __meta_dns_mx_record_target="db.example.org.", __meta_dns_name="n"}"#,
            ),
            (
                DnsRecord::Ns,
                host(None),
                r#"{__address__="db.example.org:80", __meta_dns_name="n", __meta_dns_ns_record_target="db.example.org."}"#,
            ),
            (
                DnsRecord::A,
                ip("10.0.0.7"),
                r#"{__address__="10.0.0.7:80", __meta_dns_name="n"}"#,
            ),
            (
                DnsRecord::Aaaa,
                ip("::1"),
                r#"{__address__="[::1]:80", __meta_dns_name="n"}"#,
            ),
        ] {
            assert_eq!(target("n", &config(record), &answer).to_string(), shown);
        }
    }
}
