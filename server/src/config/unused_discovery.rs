//! Discovery mechanisms that Prometheus 3.14 has and that are not built here: their keys, so that a typo among them is
//! found as in Prometheus (discovery/*/).

use super::discovery::Sources;
use super::http_client::UnusedHttp;
use super::schema::Shape::{Any, Duration, Flag, Int, Text, TextMap, Texts};
use super::schema::{Keys, Mapping, Shape};
use crate::yaml::Report;
use crate::yaml::{Entry, Kind};

/// Keys of a scrape job whose targets are not found.
pub(super) struct NotBuilt;

impl Keys<Sources> for NotBuilt {
    fn take(&self, entry: &Entry, _what: &str, into: &mut Sources, report: &mut Report) -> bool {
        let Some((name, mapping)) = MECHANISMS.iter().find(|(name, _)| *name == entry.key) else {
            return false;
        };
        for item in report.sections(entry) {
            mapping.check(item, report);
        }
        into.missing.push((name, entry.line));
        true
    }

    fn names(&self) -> Vec<&'static str> {
        MECHANISMS.iter().map(|(name, _)| *name).collect()
    }
}

static MECHANISMS: &[(&str, Mapping)] = &[
    ("aws_sd_configs", AWS),
    ("azure_sd_configs", AZURE),
    ("consul_sd_configs", CONSUL),
    ("digitalocean_sd_configs", DIGITALOCEAN),
    ("docker_sd_configs", DOCKER),
    ("dockerswarm_sd_configs", DOCKERSWARM),
    ("ec2_sd_configs", EC2),
    ("ecs_sd_configs", ECS),
    ("elasticache_sd_configs", ELASTICACHE),
    ("eureka_sd_configs", EUREKA),
    ("gce_sd_configs", GCE),
    ("hetzner_sd_configs", HETZNER),
    ("ionos_sd_configs", IONOS),
    ("kuma_sd_configs", KUMA),
    ("lightsail_sd_configs", LIGHTSAIL),
    ("linode_sd_configs", LINODE),
    ("marathon_sd_configs", MARATHON),
    ("msk_sd_configs", MSK),
    ("nerve_sd_configs", NERVE),
    ("nomad_sd_configs", NOMAD),
    ("oci_sd_configs", OCI),
    ("openstack_sd_configs", OPENSTACK),
    ("outscale_sd_configs", OUTSCALE),
    ("ovhcloud_sd_configs", OVHCLOUD),
    ("puppetdb_sd_configs", PUPPETDB),
    ("rds_sd_configs", RDS),
    ("scaleway_sd_configs", SCALEWAY),
    ("serverset_sd_configs", SERVERSET),
    ("stackit_sd_configs", STACKIT),
    ("triton_sd_configs", TRITON),
    ("uyuni_sd_configs", UYUNI),
    ("vultr_sd_configs", VULTR),
];

/// Filters of cloud APIs: one without values selects nothing.
const FILTERS: Shape = Shape::Checked(|node, name, report| {
    for item in report.list(node, name) {
        let Kind::Map(entries) = &item.kind else {
            continue;
        };
        let values = entries.iter().find(|entry| entry.key == "values");
        if let Some(Kind::List(values)) = values.map(|entry| &entry.value.kind)
            && values.is_empty()
        {
            report.error(item.line, format!("{name}: values is empty"));
        }
    }
});

const AWS: Mapping = Mapping {
    what: "an aws_sd_config",
    keys: &[
        ("role", Text),
        ("region", Text),
        ("endpoint", Text),
        ("access_key", Text),
        ("secret_key", Text),
        ("profile", Text),
        ("role_arn", Text),
        ("external_id", Text),
        ("refresh_interval", Duration),
        ("port", Int),
        ("filters", FILTERS),
        ("clusters", Texts),
    ],
    inline: Some(&UnusedHttp),
};

const AZURE: Mapping = Mapping {
    what: "an azure_sd_config",
    keys: &[
        ("environment", Text),
        ("port", Int),
        ("subscription_id", Text),
        ("tenant_id", Text),
        ("client_id", Text),
        ("client_secret", Text),
        ("refresh_interval", Duration),
        ("authentication_method", Text),
        ("resource_group", Text),
    ],
    inline: Some(&UnusedHttp),
};

const CONSUL: Mapping = Mapping {
    what: "a consul_sd_config",
    keys: &[
        ("server", Text),
        ("path_prefix", Text),
        ("token", Text),
        ("datacenter", Text),
        ("namespace", Text),
        ("partition", Text),
        ("tag_separator", Text),
        ("scheme", Text),
        ("username", Text),
        ("password", Text),
        ("allow_stale", Flag),
        ("refresh_interval", Duration),
        ("services", Texts),
        ("tags", Texts),
        ("node_meta", TextMap),
        ("filter", Text),
        ("health_filter", Text),
    ],
    inline: Some(&UnusedHttp),
};

const DIGITALOCEAN: Mapping = Mapping {
    what: "a digitalocean_sd_config",
    keys: &[
        ("refresh_interval", Duration),
        ("port", Int),
        ("role", Text),
    ],
    inline: Some(&UnusedHttp),
};

const DOCKER: Mapping = Mapping {
    what: "a docker_sd_config",
    keys: &[
        ("host", Text),
        ("port", Int),
        ("filters", FILTERS),
        ("host_networking_host", Text),
        ("refresh_interval", Duration),
        ("match_first_network", Flag),
    ],
    inline: Some(&UnusedHttp),
};

const DOCKERSWARM: Mapping = Mapping {
    what: "a dockerswarm_sd_config",
    keys: &[
        ("host", Text),
        ("role", Text),
        ("port", Int),
        ("filters", FILTERS),
        ("refresh_interval", Duration),
    ],
    inline: Some(&UnusedHttp),
};

const EC2: Mapping = Mapping {
    what: "an ec2_sd_config",
    keys: &[
        ("endpoint", Text),
        ("region", Text),
        ("access_key", Text),
        ("secret_key", Text),
        ("profile", Text),
        ("role_arn", Text),
        ("external_id", Text),
        ("refresh_interval", Duration),
        ("port", Int),
        ("filters", FILTERS),
    ],
    inline: Some(&UnusedHttp),
};

const ECS: Mapping = Mapping {
    what: "an ecs_sd_config",
    keys: &[
        ("region", Text),
        ("endpoint", Text),
        ("access_key", Text),
        ("secret_key", Text),
        ("profile", Text),
        ("role_arn", Text),
        ("external_id", Text),
        ("clusters", Texts),
        ("port", Int),
        ("refresh_interval", Duration),
        ("request_concurrency", Int),
    ],
    inline: Some(&UnusedHttp),
};

const ELASTICACHE: Mapping = Mapping {
    what: "an elasticache_sd_config",
    keys: &[
        ("region", Text),
        ("endpoint", Text),
        ("access_key", Text),
        ("secret_key", Text),
        ("profile", Text),
        ("role_arn", Text),
        ("external_id", Text),
        ("clusters", Texts),
        ("port", Int),
        ("refresh_interval", Duration),
        ("request_concurrency", Int),
    ],
    inline: Some(&UnusedHttp),
};

const EUREKA: Mapping = Mapping {
    what: "a eureka_sd_config",
    keys: &[("server", Text), ("refresh_interval", Duration)],
    inline: Some(&UnusedHttp),
};

const GCE: Mapping = Mapping {
    what: "a gce_sd_config",
    keys: &[
        ("project", Text),
        ("zone", Text),
        ("filter", Text),
        ("refresh_interval", Duration),
        ("port", Int),
        ("tag_separator", Text),
    ],
    inline: None,
};

const HETZNER: Mapping = Mapping {
    what: "a hetzner_sd_config",
    keys: &[
        ("refresh_interval", Duration),
        ("port", Int),
        ("role", Text),
        ("label_selector", Text),
    ],
    inline: Some(&UnusedHttp),
};

const IONOS: Mapping = Mapping {
    what: "an ionos_sd_config",
    keys: &[
        ("datacenter_id", Text),
        ("refresh_interval", Duration),
        ("port", Int),
    ],
    inline: Some(&UnusedHttp),
};

const KUMA: Mapping = Mapping {
    what: "a kuma_sd_config",
    keys: &[
        ("refresh_interval", Duration),
        ("fetch_timeout", Duration),
        ("server", Text),
        ("client_id", Text),
    ],
    inline: Some(&UnusedHttp),
};

const LIGHTSAIL: Mapping = Mapping {
    what: "a lightsail_sd_config",
    keys: &[
        ("endpoint", Text),
        ("region", Text),
        ("access_key", Text),
        ("secret_key", Text),
        ("profile", Text),
        ("role_arn", Text),
        ("external_id", Text),
        ("refresh_interval", Duration),
        ("port", Int),
    ],
    inline: Some(&UnusedHttp),
};

const LINODE: Mapping = Mapping {
    what: "a linode_sd_config",
    keys: &[
        ("refresh_interval", Duration),
        ("port", Int),
        ("tag_separator", Text),
        ("region", Text),
    ],
    inline: Some(&UnusedHttp),
};

const MARATHON: Mapping = Mapping {
    what: "a marathon_sd_config",
    keys: &[
        ("servers", Texts),
        ("refresh_interval", Duration),
        ("auth_token", Text),
        ("auth_token_file", Text),
    ],
    inline: Some(&UnusedHttp),
};

const MSK: Mapping = Mapping {
    what: "an msk_sd_config",
    keys: &[
        ("region", Text),
        ("endpoint", Text),
        ("access_key", Text),
        ("secret_key", Text),
        ("profile", Text),
        ("role_arn", Text),
        ("external_id", Text),
        ("clusters", Texts),
        ("port", Int),
        ("refresh_interval", Duration),
        ("request_concurrency", Int),
    ],
    inline: Some(&UnusedHttp),
};

const NERVE: Mapping = Mapping {
    what: "a nerve_sd_config",
    keys: &[("servers", Texts), ("paths", Texts), ("timeout", Duration)],
    inline: None,
};

const NOMAD: Mapping = Mapping {
    what: "a nomad_sd_config",
    keys: &[
        ("allow_stale", Flag),
        ("namespace", Text),
        ("refresh_interval", Duration),
        ("region", Text),
        ("server", Text),
        ("tag_separator", Text),
    ],
    inline: Some(&UnusedHttp),
};

const OCI: Mapping = Mapping {
    what: "an oci_sd_config",
    keys: &[
        ("auth", Text),
        ("tenancy", Text),
        ("user", Text),
        ("fingerprint", Text),
        ("key_file", Text),
        ("key_passphrase", Text),
        ("key_passphrase_file", Text),
        ("region", Text),
        ("compartments", Texts),
        ("port", Int),
        ("refresh_interval", Duration),
    ],
    inline: Some(&UnusedHttp),
};

const OPENSTACK: Mapping = Mapping {
    what: "an openstack_sd_config",
    keys: &[
        ("identity_endpoint", Text),
        ("username", Text),
        ("userid", Text),
        ("password", Text),
        ("project_name", Text),
        ("project_id", Text),
        ("domain_name", Text),
        ("domain_id", Text),
        ("application_credential_name", Text),
        ("application_credential_id", Text),
        ("application_credential_secret", Text),
        ("role", Text),
        ("region", Text),
        ("refresh_interval", Duration),
        ("port", Int),
        ("all_tenants", Flag),
        ("tls_config", Any),
        ("availability", Text),
    ],
    inline: None,
};

const OUTSCALE: Mapping = Mapping {
    what: "an outscale_sd_config",
    keys: &[
        ("endpoint", Text),
        ("region", Text),
        ("access_key", Text),
        ("secret_key", Text),
        ("secret_key_file", Text),
        ("refresh_interval", Duration),
        ("port", Int),
    ],
    inline: Some(&UnusedHttp),
};

const OVHCLOUD: Mapping = Mapping {
    what: "an ovhcloud_sd_config",
    keys: &[
        ("endpoint", Text),
        ("application_key", Text),
        ("application_secret", Text),
        ("consumer_key", Text),
        ("refresh_interval", Duration),
        ("service", Text),
    ],
    inline: None,
};

const PUPPETDB: Mapping = Mapping {
    what: "a puppetdb_sd_config",
    keys: &[
        ("refresh_interval", Duration),
        ("url", Text),
        ("query", Text),
        ("include_parameters", Flag),
        ("port", Int),
    ],
    inline: Some(&UnusedHttp),
};

const RDS: Mapping = Mapping {
    what: "an rds_sd_config",
    keys: &[
        ("region", Text),
        ("endpoint", Text),
        ("access_key", Text),
        ("secret_key", Text),
        ("profile", Text),
        ("role_arn", Text),
        ("external_id", Text),
        ("clusters", Texts),
        ("port", Int),
        ("refresh_interval", Duration),
        ("filters", FILTERS),
        ("request_concurrency", Int),
    ],
    inline: Some(&UnusedHttp),
};

const SCALEWAY: Mapping = Mapping {
    what: "a scaleway_sd_config",
    keys: &[
        ("project_id", Text),
        ("api_url", Text),
        ("zone", Text),
        ("access_key", Text),
        ("secret_key", Text),
        ("secret_key_file", Text),
        ("name_filter", Text),
        ("tags_filter", Texts),
        ("refresh_interval", Duration),
        ("port", Int),
        ("role", Text),
    ],
    inline: Some(&UnusedHttp),
};

const SERVERSET: Mapping = Mapping {
    what: "a serverset_sd_config",
    keys: &[("servers", Texts), ("paths", Texts), ("timeout", Duration)],
    inline: None,
};

const STACKIT: Mapping = Mapping {
    what: "a stackit_sd_config",
    keys: &[
        ("project", Text),
        ("refresh_interval", Duration),
        ("port", Int),
        ("region", Text),
        ("endpoint", Text),
        ("service_account_key", Text),
        ("private_key", Text),
        ("service_account_key_path", Text),
        ("private_key_path", Text),
        ("credentials_file_path", Text),
    ],
    inline: Some(&UnusedHttp),
};

const TRITON: Mapping = Mapping {
    what: "a triton_sd_config",
    keys: &[
        ("account", Text),
        ("role", Text),
        ("dns_suffix", Text),
        ("endpoint", Text),
        ("groups", Texts),
        ("port", Int),
        ("refresh_interval", Duration),
        ("tls_config", Any),
        ("version", Int),
    ],
    inline: None,
};

const UYUNI: Mapping = Mapping {
    what: "a uyuni_sd_config",
    keys: &[
        ("server", Text),
        ("username", Text),
        ("password", Text),
        ("entitlement", Text),
        ("separator", Text),
        ("refresh_interval", Duration),
    ],
    inline: Some(&UnusedHttp),
};

const VULTR: Mapping = Mapping {
    what: "a vultr_sd_config",
    keys: &[("refresh_interval", Duration), ("port", Int)],
    inline: Some(&UnusedHttp),
};
