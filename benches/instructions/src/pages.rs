//! Pages like those of an Endpoint Picker: histograms by model and tenant, long label values, few changing values.
//!
//! A page is rendered once; `step` rewrites the changing values in place, so that the load generator takes little
//! CPU.

use std::fmt::Write as _;

use stillwell_engine::labels::Labels;
use stillwell_engine::{Stage, TargetSpec, Writer};

/// A page whose values can be moved.
#[derive(Clone, Debug)]
pub struct LoadPage {
    /// The page as it stands.
    pub text: Vec<u8>,
    /// Where the values that move are: each a fixed run of digits.
    moving: Vec<(usize, u64)>,
    samples: usize,
}

/// Targets of an engine, each with its stage and its page: gateways of four pools, a fifth of whose values move.
pub fn gateways(
    writer: &mut Writer,
    targets: usize,
    samples: usize,
    interval_ms: u64,
) -> Vec<(Stage, LoadPage)> {
    let target = |target: usize| {
        let instance = format!("10.0.0.{target}:9090");
        let labels = Labels::from_pairs([("job", "epp"), ("instance", instance.as_str())]);
        let spec = TargetSpec {
            labels,
            interval_ms,
            ..TargetSpec::default()
        };
        let page = LoadPage::new(target % 4, samples, 20);
        (writer.add_target(spec).1, page)
    };
    (0..targets).map(target).collect()
}

/// Digits of a moving value. Fixed, so that rewriting one moves no other byte.
const VALUE_DIGITS: usize = 7;

/// Lines of one histogram child: 16 buckets, sum and count.
const LINES_PER_CHILD: usize = 18;

const BOUNDS: [&str; 16] = [
    "0.005", "0.025", "0.05", "0.1", "0.2", "0.4", "0.6", "0.8", "1", "2.5", "5", "10", "30", "60",
    "120", "+Inf",
];

impl LoadPage {
    /// About `samples` samples of pool `pool`, of which each `moving_percent` of a hundred moves from page to page.
    pub fn new(pool: usize, samples: usize, moving_percent: usize) -> LoadPage {
        let mut page = LoadPage {
            text: Vec::new(),
            moving: Vec::new(),
            samples: 0,
        };
        let mut writer = Lines {
            page: &mut page,
            moving_percent,
            debt: 0,
        };
        let children = samples / LINES_PER_CHILD;
        let queues = samples - children * LINES_PER_CHILD;
        writer.header("llm_d_epp_flow_control_queue_size", "gauge");
        for flow in 0..queues {
            let labels = flow_labels(pool, flow);
            writer.sample(&format!("llm_d_epp_flow_control_queue_size{{{labels}}} "));
        }
        let families = children.div_ceil(10).max(1);
        let mut left = children;
        for family in 0..families {
            let name = format!("llm_d_epp_request_phase_{family:04}_duration_seconds");
            writer.header(&name, "histogram");
            for child in 0..left.min(10) {
                writer.histogram(&name, &flow_labels(pool, child));
            }
            left = left.saturating_sub(10);
        }
        page
    }

    /// Moves every moving value on by one step.
    pub fn step(&mut self) {
        for (at, value) in &mut self.moving {
            *value = (*value + 1) % 10u64.pow(VALUE_DIGITS as u32 - 1);
            let mut digits = *value + 10u64.pow(VALUE_DIGITS as u32 - 1);
            for place in (0..VALUE_DIGITS).rev() {
                self.text[*at + place] = b'0' + (digits % 10) as u8;
                digits /= 10;
            }
        }
    }

    /// Adds the process start time.
    pub fn add_start(&mut self) {
        let line = b"process_start_time_seconds 1.7952e+09\n";
        self.text.extend_from_slice(line);
        self.samples += 1;
    }

    /// Samples on the page.
    pub fn samples(&self) -> usize {
        self.samples
    }
}

fn flow_labels(pool: usize, flow: usize) -> String {
    format!(
        "fairness_id=\"tenant-{:04}\",inference_pool=\"pool-{pool:03}-llama-3-1-8b-instruct\",\
         model_name=\"meta-llama/Llama-3.1-8B-Instruct-{}\",priority=\"0\",\
         target_model_name=\"meta-llama/Llama-3.1-8B-Instruct-{}\"",
        flow / 4,
        flow % 4,
        flow % 4
    )
}

struct Lines<'a> {
    page: &'a mut LoadPage,
    moving_percent: usize,
    debt: usize,
}

impl Lines<'_> {
    fn header(&mut self, name: &str, family_type: &str) {
        self.push(&format!(
            "# HELP {name} Measured at the gateway.\n# TYPE {name} {family_type}\n"
        ));
    }

    fn histogram(&mut self, name: &str, labels: &str) {
        for bound in BOUNDS {
            self.sample(&format!("{name}_bucket{{{labels},le=\"{bound}\"}} "));
        }
        self.sample(&format!("{name}_sum{{{labels}}} "));
        self.sample(&format!("{name}_count{{{labels}}} "));
    }

    fn sample(&mut self, key: &str) {
        self.push(key);
        self.debt += self.moving_percent;
        if self.debt >= 100 {
            self.debt -= 100;
            let start = 1_000_000 + self.page.samples as u64;
            self.page
                .moving
                .push((self.page.text.len(), start - 1_000_000));
            let mut digits = String::new();
            let _ = write!(digits, "{start}");
            self.push(&digits);
        } else {
            self.push("17");
        }
        self.push("\n");
        self.page.samples += 1;
    }

    fn push(&mut self, text: &str) {
        self.page.text.extend_from_slice(text.as_bytes());
    }
}
