//! Random pages that change a little from step to step, and what else happens to their targets.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::side::START;

pub(crate) const TARGETS: usize = 2;

/// Families with the labels of their series and their type. All lines of a name have the same labels.
const FAMILIES: &[(&str, &[&str], &str)] = &[
    (
        "llm_d_epp_flow_control_queue_size",
        &["inference_pool", "model_name"],
        "gauge",
    ),
    (
        "inference_extension_flow_control_queue_size",
        &["inference_pool", "model_name"],
        "gauge",
    ),
    (
        "llm_d_epp_flow_control_pool_saturation",
        &["inference_pool"],
        "gauge",
    ),
    ("llm_d_epp_request_running", &["model_name"], "gauge"),
    ("llm_d_epp_request_total", &["model_name"], "counter"),
    (
        "llm_d_epp_request_duration_seconds",
        &["model_name"],
        "histogram",
    ),
    ("go_goroutines", &[], "gauge"),
    ("go_threads", &[], "gauge"),
    ("other_total", &["l"], "counter"),
    ("inference_pool_average_queue_size", &["name"], "gauge"),
    ("workqueue_depth", &["name"], "gauge"),
    ("leader_election_master_status", &["name"], "gauge"),
    ("vllm:num_requests_waiting", &["engine"], "gauge"),
    ("vllm:kv_cache_usage_perc", &["model_name"], "gauge"),
    ("junk", &["x"], "gauge"),
    ("junk_seconds", &["model_name"], "histogram"),
];

/// Index of `vllm:num_requests_waiting`.
pub(crate) const WAITING: usize = 12;

const FLOW: &[&str] = &[
    "llm_d_epp_flow_control_queue_size",
    "inference_extension_flow_control_queue_size",
    "llm_d_epp_flow_control_pool_saturation",
];
const POOL: &str = "inference_pool_average_queue_size";

/// Queries, and the names that each needs of the families above.
pub(crate) const QUERIES: &[(&str, &[&str])] = &[
    (
        "sum(llm_d_epp_flow_control_queue_size{inference_pool=\"v1\"})",
        FLOW,
    ),
    (
        "sum(inference_extension_flow_control_queue_size{inference_pool=\"v2\"})",
        FLOW,
    ),
    (
        "sum by (model_name) (llm_d_epp_request_running)",
        &["llm_d_epp_request_running", POOL],
    ),
    (
        "sum(llm_d_epp_flow_control_queue_size{model_name=\"v1\"})",
        FLOW,
    ),
    (
        "sum(rate(llm_d_epp_request_total[3s]))",
        &["llm_d_epp_request_total", POOL],
    ),
    (
        "histogram_quantile(0.5, sum by (le) (rate(llm_d_epp_request_duration_seconds_bucket[4s])))",
        &[
            "llm_d_epp_request_duration_seconds_bucket",
            "llm_d_epp_request_duration_seconds_count",
            POOL,
        ],
    ),
    (
        "sum({__name__=~\"go_.*\"})",
        &["go_goroutines", "go_threads"],
    ),
    (
        "max_over_time(sum(llm_d_epp_flow_control_queue_size)[3s:1s])",
        FLOW,
    ),
    ("sum(other_total)", &["other_total"]),
    ("count({job=\"epp\"})", &["*"]),
    (
        "sum(inference_pool_average_queue_size{name=\"v1\"})",
        &[POOL],
    ),
    (
        "sum(vllm:num_requests_waiting)",
        &["vllm:num_requests_waiting"],
    ),
    (
        "max(vllm:kv_cache_usage_perc) * 100",
        &["vllm:kv_cache_usage_perc", "vllm:num_requests_waiting"],
    ),
    (
        "sum({__name__=~\"vllm:.*\"})",
        &["vllm:kv_cache_usage_perc", "vllm:num_requests_waiting"],
    ),
];

/// Indices of queries of `vllm:num_requests_waiting`.
pub(crate) const SUM_OF_WAITING: usize = 11;
pub(crate) const SUM_OF_ALL_OF_VLLM: usize = 13;

#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) family: usize,
    pub(crate) label: u8,
    pub(crate) value: u32,
}

#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) lines: Vec<Line>,
    pub(crate) start: u32,
    pub(crate) start_first: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Pages(Vec<Page>),
    Broken(usize),
    Fail(usize),
    Register(usize),
    Remove(prop::sample::Index),
}

#[derive(Clone, Debug)]
enum Edit {
    Change(Vec<(prop::sample::Index, Line)>),
    Insert(prop::sample::Index, Line),
    Remove(prop::sample::Index, usize),
    Rotate(prop::sample::Index),
    Restart,
    Other(Step),
}

fn line() -> impl Strategy<Value = Line> {
    (0..FAMILIES.len(), 0u8..4, 0u32..30).prop_map(|(family, label, value)| Line {
        family,
        label,
        value,
    })
}

pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let at = any::<prop::sample::Index>;
    let other = prop_oneof![
        2 => (0..TARGETS).prop_map(Step::Fail),
        1 => (0..TARGETS).prop_map(Step::Broken),
        4 => (0..QUERIES.len()).prop_map(Step::Register),
        3 => at().prop_map(Step::Remove),
    ];
    let edit = prop_oneof![
        6 => prop::collection::vec((at(), line()), 0..6).prop_map(Edit::Change),
        4 => (at(), line()).prop_map(|(at, line)| Edit::Insert(at, line)),
        3 => (at(), 1usize..12).prop_map(|(at, count)| Edit::Remove(at, count)),
        1 => at().prop_map(Edit::Rotate),
        1 => Just(Edit::Restart),
        4 => other.prop_map(Edit::Other),
    ];
    let page = prop::collection::vec(line(), 0..40).prop_map(|mut lines| {
        lines.sort_by_key(|line| line.family);
        Page {
            lines,
            start: 1_000,
            start_first: false,
        }
    });
    let edits = prop::collection::vec((0..TARGETS, edit), 1..40);
    (prop::collection::vec(page, TARGETS), edits).prop_map(|(mut pages, edits)| {
        let mut steps = vec![Step::Pages(pages.clone())];
        for (target, edit) in edits {
            let page = &mut pages[target];
            match edit {
                Edit::Change(changes) => {
                    for (at, line) in changes {
                        if !page.lines.is_empty() {
                            let at = at.index(page.lines.len());
                            page.lines[at].value = line.value;
                        }
                    }
                }
                Edit::Insert(at, line) => {
                    page.lines.insert(at.index(page.lines.len() + 1), line);
                }
                Edit::Remove(at, count) => {
                    let start = at.index(page.lines.len() + 1);
                    let end = (start + count).min(page.lines.len());
                    page.lines.drain(start..end);
                }
                Edit::Rotate(at) => {
                    let middle = at.index(page.lines.len() + 1);
                    page.lines.rotate_left(middle);
                    page.start_first = !page.start_first;
                }
                Edit::Restart => page.start += 7,
                Edit::Other(step) => steps.push(step),
            }
            steps.push(Step::Pages(pages.clone()));
        }
        steps
    })
}

/// The page's text, without samples of names that `keeps` refuses.
pub(crate) fn render(
    page: &Page,
    reports_start_time: bool,
    keeps: &dyn Fn(&str) -> bool,
) -> String {
    let mut out = String::new();
    let start = format!("{START} {}\n", page.start);
    if reports_start_time && page.start_first {
        out += &start;
    }
    let mut family = usize::MAX;
    for line in &page.lines {
        let (name, labels, kind) = FAMILIES[line.family];
        if family != line.family {
            family = line.family;
            // What stands between families belongs to no sample.
            let extra = ["", "\n", "# a remark\n"][line.family % 3];
            out += &format!("{extra}# HELP {name} \"what\" it is\n# TYPE {name} {kind}\n");
        }
        let pairs = labels
            .iter()
            .map(|label| format!("{label}=\"v{}\"", line.label));
        let pairs: Vec<String> = pairs.collect();
        let braced = |more: Option<&str>| {
            let all: Vec<&str> = pairs.iter().map(String::as_str).chain(more).collect();
            if all.is_empty() {
                String::new()
            } else {
                format!("{{{}}}", all.join(","))
            }
        };
        let value = f64::from(line.value);
        let mut sample = |name: String, labels: String, value: f64| {
            if keeps(&name) {
                writeln!(out, "{name}{labels} {value}").expect("a string takes everything");
            }
        };
        if kind == "histogram" {
            sample(format!("{name}_bucket"), braced(Some("le=\"1\"")), value);
            sample(
                format!("{name}_bucket"),
                braced(Some("le=\"+Inf\"")),
                value + 2.0,
            );
            sample(format!("{name}_sum"), braced(None), value * 1.5);
            sample(format!("{name}_count"), braced(None), value + 2.0);
        } else {
            sample(name.to_owned(), braced(None), value);
        }
    }
    if reports_start_time && !page.start_first {
        out += &start;
    }
    out
}
