//! What several keys of a mapping that we do not use must be together, as in Prometheus (discovery/*/, config/config.go): a
//! file that Prometheus refuses is refused here too, so that a mistake is found before the file goes back to one.

use crate::yaml::{Entry, Kind, Report};

/// One rule about the keys of a mapping.
enum Rule {
    /// One of these must be there, and not empty.
    Needs(&'static [&'static str]),
    /// No more than one of these may be there.
    AtMostOne(&'static [&'static str]),
    /// These must be there unless the key has one of the values.
    UnlessNeeds(
        &'static str,
        &'static [&'static str],
        &'static [&'static str],
    ),
    /// A key that is there must not be empty.
    NotEmpty(&'static str),
}

use Rule::{AtMostOne, Needs, NotEmpty, UnlessNeeds};

/// By the name of the mapping.
static RULES: &[(&str, &[Rule])] = &[
    (
        "an azure_sd_config",
        &[
            Needs(&["subscription_id"]),
            UnlessNeeds(
                "authentication_method",
                &["ManagedIdentity", "SDK", "WorkloadIdentity"],
                &["tenant_id", "client_id", "client_secret"],
            ),
        ],
    ),
    (
        "a consul_sd_config",
        &[
            NotEmpty("server"),
            AtMostOne(&["token", "authorization", "oauth2"]),
        ],
    ),
    ("a docker_sd_config", &[Needs(&["host"])]),
    (
        "a dockerswarm_sd_config",
        &[Needs(&["host"]), Needs(&["role"])],
    ),
    ("a eureka_sd_config", &[Needs(&["server"])]),
    ("a gce_sd_config", &[Needs(&["project"]), Needs(&["zone"])]),
    ("a hetzner_sd_config", &[Needs(&["role"])]),
    ("an ionos_sd_config", &[Needs(&["datacenter_id"])]),
    ("a kuma_sd_config", &[Needs(&["server"])]),
    (
        "a marathon_sd_config",
        &[
            Needs(&["servers"]),
            AtMostOne(&[
                "auth_token",
                "auth_token_file",
                "basic_auth",
                "bearer_token",
                "bearer_token_file",
                "authorization",
            ]),
        ],
    ),
    (
        "a nerve_sd_config",
        &[Needs(&["servers"]), Needs(&["paths"])],
    ),
    ("a nomad_sd_config", &[NotEmpty("server")]),
    (
        "an openstack_sd_config",
        &[Needs(&["role"]), Needs(&["region"])],
    ),
    (
        "an outscale_sd_config",
        &[
            NotEmpty("region"), // there is a default
            Needs(&["access_key"]),
            Needs(&["secret_key", "secret_key_file"]),
            AtMostOne(&["secret_key", "secret_key_file"]),
        ],
    ),
    (
        "an ovhcloud_sd_config",
        &[
            NotEmpty("endpoint"),
            Needs(&["application_key"]),
            Needs(&["application_secret"]),
            Needs(&["consumer_key"]),
        ],
    ),
    (
        "a puppetdb_sd_config",
        &[Needs(&["url"]), Needs(&["query"])],
    ),
    (
        "a scaleway_sd_config",
        &[
            Needs(&["role"]),
            Needs(&["project_id"]),
            Needs(&["access_key"]),
            Needs(&["secret_key", "secret_key_file"]),
            AtMostOne(&["secret_key", "secret_key_file"]),
        ],
    ),
    (
        "a serverset_sd_config",
        &[Needs(&["servers"]), Needs(&["paths"])],
    ),
    (
        "a triton_sd_config",
        &[
            Needs(&["account"]),
            Needs(&["dns_suffix"]),
            Needs(&["endpoint"]),
        ],
    ),
    (
        "a uyuni_sd_config",
        &[
            Needs(&["server"]),
            Needs(&["username"]),
            Needs(&["password"]),
        ],
    ),
    ("a remote_read", &[Needs(&["url"])]),
    ("tracing", &[Needs(&["endpoint"])]),
    (
        "otlp",
        &[
            AtMostOne(&[
                "promote_all_resource_attributes",
                "promote_resource_attributes",
            ]),
            UnlessNeeds(
                "ignore_resource_attributes",
                &[],
                &["promote_all_resource_attributes"],
            ),
        ],
    ),
];

/// Says what is wrong with the keys of a mapping of this name that stands at `line`.
pub(super) fn check(what: &str, entries: &[Entry], line: usize, report: &mut Report) {
    let rules = RULES.iter().filter(|(name, _)| *name == what);
    for rule in rules.flat_map(|(_, rules)| *rules) {
        if let Err(why) = rule.check(entries) {
            report.error(line, format!("{what} {why}"));
        }
    }
}

impl Rule {
    fn check(&self, entries: &[Entry]) -> Result<(), String> {
        let is_there = |key: &&str| {
            entries
                .iter()
                .any(|entry| entry.key == **key && is_given(entry))
        };
        match self {
            Needs(keys) if !keys.iter().any(&is_there) => {
                Err(format!("needs {}", keys.join(" or ")))
            }
            AtMostOne(keys) => {
                let given: Vec<&str> = keys.iter().copied().filter(|key| is_there(key)).collect();
                match given.len() {
                    0 | 1 => Ok(()),
                    _ => Err(format!("may have only one of {}", given.join(", "))),
                }
            }
            // A key without values is about whether it is there at all.
            UnlessNeeds(key, [], needed) if is_there(key) => {
                match needed.iter().find(|key| !is_there(key)) {
                    Some(missing) => Err(format!("needs {missing} beside {key}")),
                    None => Ok(()),
                }
            }
            UnlessNeeds(_, [], _) => Ok(()),
            UnlessNeeds(key, values, needed) => {
                let value = entries.iter().find(|entry| entry.key == **key);
                let value = value.and_then(|entry| text(entry)).unwrap_or("");
                if values.contains(&value) {
                    return Ok(());
                }
                match needed.iter().find(|key| !is_there(key)) {
                    Some(missing) => Err(format!("needs {missing}")),
                    None => Ok(()),
                }
            }
            NotEmpty(key) => {
                let empty = entries.iter().find(|entry| entry.key == **key);
                match empty
                    .filter(|entry| !is_given(entry) && !matches!(entry.value.kind, Kind::Null))
                {
                    Some(_) => Err(format!("has an empty {key}")),
                    None => Ok(()),
                }
            }
            Needs(_) => Ok(()),
        }
    }
}

fn text(entry: &Entry) -> Option<&str> {
    match &entry.value.kind {
        Kind::Scalar { text, .. } => Some(text),
        _ => None,
    }
}

/// Whether a key says something: `false`, an empty text and an empty list are as good as none.
fn is_given(entry: &Entry) -> bool {
    match &entry.value.kind {
        Kind::Null => false,
        Kind::Scalar { text, .. } => !matches!(text.trim(), "" | "false"),
        Kind::List(items) => !items.is_empty(),
        Kind::Map(_) => true,
    }
}
