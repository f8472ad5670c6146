//! A gateway that serves requests: its page moves as client_golang's counters and histograms move with them.
//!
//! Each request belongs to one flow and is observed by each of that flow's histograms: the buckets from its own on, the count, and
//! the sum, which has all digits of a float. Requests come at random, at a rate that rises and falls over an hour as that of a
//! day does. It reads no clock and draws from a fixed seed: the same page after the same time.

use std::fmt::Write as _;

/// Flows, each of its own tenant and model.
const FLOWS: usize = 8;
/// Histograms of each flow.
const FAMILIES: usize = 14;
const BOUNDS: [f64; 15] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0,
];
/// Requests a second, at the least and at the most.
const RATES: (f64, f64) = (1.0, 50.0);
/// The rate rises and falls once in so many seconds.
const PERIOD_S: f64 = 3_600.0;

/// The state of such a gateway.
pub struct Traffic {
    now_s: f64,
    next_s: f64,
    random: u64,
    served: u64,
    histograms: Vec<Histogram>,
    queues: [u64; FLOWS],
}

#[derive(Clone, Default)]
struct Histogram {
    buckets: [u64; BOUNDS.len()],
    count: u64,
    sum: f64,
}

impl Traffic {
    /// A gateway that has served nothing.
    pub fn new() -> Traffic {
        Traffic {
            now_s: 0.0,
            next_s: 0.0,
            random: 0x9e37_79b9_7f4a_7c15,
            served: 0,
            histograms: vec![Histogram::default(); FLOWS * FAMILIES],
            queues: [0; FLOWS],
        }
    }

    /// Samples on its page.
    pub fn samples(&self) -> usize {
        FLOWS + self.histograms.len() * (BOUNDS.len() + 3)
    }

    /// Requests that it served.
    pub fn served(&self) -> u64 {
        self.served
    }

    /// Serves what comes in so many seconds.
    pub fn serve(&mut self, seconds: f64) {
        self.now_s += seconds;
        while self.next_s <= self.now_s {
            self.request();
            let phase = self.next_s / PERIOD_S * std::f64::consts::TAU;
            let rate = RATES.0 + (RATES.1 - RATES.0) * (1.0 - phase.cos()) / 2.0;
            self.next_s += -(1.0 - self.uniform()).ln() / rate;
        }
    }

    /// Writes its page, whose lines are in the same order each time.
    pub fn render(&self, page: &mut String) {
        page.clear();
        for (flow, queue) in self.queues.iter().enumerate() {
            let labels = labels(flow);
            line(page, "llm_d_epp_flow_control_queue_size", &labels, queue);
        }
        for (index, histogram) in self.histograms.iter().enumerate() {
            histogram.render(page, index % FAMILIES, &labels(index / FAMILIES));
        }
    }

    fn request(&mut self) {
        self.served += 1;
        let flow = (self.uniform() * FLOWS as f64) as usize;
        // Its queue is as long as a walk that goes up as often as down.
        let queue = &mut self.queues[flow];
        *queue = match self.served % 7 < 3 {
            true => *queue + 1,
            false => queue.saturating_sub(1),
        };
        for family in 0..FAMILIES {
            // Nearly log-normal: of every size, most of them within a decade.
            let exponent = (0..4).map(|_| self.uniform()).sum::<f64>() - 2.0;
            let value = 10f64.powf(exponent - 1.0 + family as f64 * 0.15);
            self.histograms[flow * FAMILIES + family].observe(value);
        }
    }

    /// Of xorshift64*: from 0, below 1.
    fn uniform(&mut self) -> f64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        let bits = self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11;
        bits as f64 / (1u64 << 53) as f64
    }
}

impl Default for Traffic {
    fn default() -> Traffic {
        Traffic::new()
    }
}

impl Histogram {
    fn observe(&mut self, value: f64) {
        for (bucket, bound) in self.buckets.iter_mut().zip(BOUNDS) {
            *bucket += u64::from(value <= bound);
        }
        self.count += 1;
        self.sum += value;
    }

    fn render(&self, page: &mut String, family: usize, labels: &str) {
        let name = format!("llm_d_epp_request_phase_{family:02}_duration_seconds");
        let bucket = format!("{name}_bucket");
        for (count, bound) in self.buckets.iter().zip(BOUNDS) {
            line(page, &bucket, &format!("{labels},le=\"{bound}\""), count);
        }
        let all = format!("{labels},le=\"+Inf\"");
        line(page, &bucket, &all, &self.count);
        line(page, &format!("{name}_sum"), labels, &self.sum);
        line(page, &format!("{name}_count"), labels, &self.count);
    }
}

fn labels(flow: usize) -> String {
    let model = flow % 4;
    format!(
        "fairness_id=\"tenant-{:04}\",inference_pool=\"pool-llama-3-1-8b-instruct\",\
         model_name=\"meta-llama/Llama-3.1-8B-Instruct-{model}\",priority=\"0\"",
        flow / 4
    )
}

fn line(page: &mut String, name: &str, labels: &str, value: &dyn std::fmt::Display) {
    // Writing to a String cannot fail.
    let _ = writeln!(page, "{name}{{{labels}}} {value}");
}
