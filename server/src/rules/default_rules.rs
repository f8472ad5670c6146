//! The rules that prometheus-adapter's Helm chart has of its own (`rules.default`): a metric of each series that names a
//! namespace, totals as rates over 5 minutes.

/// Series of containers, and all others: what selects them, what names their objects, and what is left out of their sums.
const CONTAINERS: Family = Family {
    series: r#"{__name__=~"^container_.*",container!="POD",namespace!="",pod!=""}"#,
    resources: "{overrides: {namespace: {resource: namespace}, pod: {resource: pod}}}",
    without: r#",container!="POD""#,
};
const OTHERS: Family = Family {
    series: r#"{namespace!="",__name__!~"^container_.*"}"#,
    resources: "{template: <<.Resource>>}",
    without: "",
};

struct Family {
    series: &'static str,
    resources: &'static str,
    without: &'static str,
}

/// Family, names that are left out, the part of a name that becomes the metric, and whether it is a rate. As in the chart a
/// later rule wins.
const RULES: [(&Family, &str, &str, bool); 6] = [
    (&CONTAINERS, "", "^container_(.*)_seconds_total$", true),
    (
        &CONTAINERS,
        "^container_.*_seconds_total$",
        "^container_(.*)_total$",
        true,
    ),
    (
        &CONTAINERS,
        "^container_.*_total$",
        "^container_(.*)$",
        false,
    ),
    (&OTHERS, ".*_total$", "", false),
    (&OTHERS, ".*_seconds_total", "^(.*)_total$", true),
    (&OTHERS, "", "^(.*)_seconds_total$", true),
];

/// The rules as a rules file.
pub(super) fn text() -> String {
    let mut text = "rules:\n".to_owned();
    for (family, left_out, name, is_rate) in RULES {
        let filters = match left_out {
            "" => String::new(),
            left_out => format!("{{isNot: '{left_out}'}}"),
        };
        let selected = format!("<<.Series>>{{<<.LabelMatchers>>{}}}", family.without);
        let value = match is_rate {
            true => format!("rate({selected}[5m])"),
            false => selected,
        };
        text.push_str(&format!(
            "- seriesQuery: '{}'\n  seriesFilters: [{filters}]\n  resources: {}\n  name: {{matches: '{name}', as: ''}}\n  \
             metricsQuery: 'sum({value}) by (<<.GroupBy>>)'\n",
            family.series, family.resources
        ));
    }
    text
}
