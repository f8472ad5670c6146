//! What the demo prints: where everything is, what to try, and the two signals as they move.
#![expect(clippy::print_stdout, reason = "printing is what the demo is for")]

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use stillwell_adapters::host::{Host, Reading};
use stillwell_adapters::objects::Selector;

use crate::serve::App;

/// The guide's names.
pub(super) const QUEUE: &str = "igw_queue_depth";
/// The guide's names.
pub(super) const RUNNING: &str = "igw_running_requests";

/// A line is printed this often.
const LINE_MS: u64 = 1_000;
/// Columns of a full bar.
const BAR_COLUMNS: usize = 30;
/// The value of a full bar.
const BAR_FULL: f64 = 120.0;

/// Prints until nobody reads any more.
pub(super) async fn show(app: &Arc<App>, base: &str, gateway: &str, keda: Option<SocketAddr>) {
    let namespace = "default";
    let external = "apis/external.metrics.k8s.io/v1beta1";
    println!(
        "A day of an inference gateway in two minutes: its pool wakes, fills up, and falls to zero at night.\n"
    );
    println!("  the page to look at                 {base}/");
    println!("  the gateway, scraped every 100 ms   curl -s http://{gateway}/metrics");
    println!(
        "  the number that the HPA reads       curl -s {base}/{external}/namespaces/{namespace}/{QUEUE}"
    );
    println!(
        "                                      curl -s {base}/{external}/namespaces/{namespace}/{RUNNING}"
    );
    println!(
        "  the query that KEDA sends           curl -s '{base}/guarded/api/v1/query?query=sum(llm_d_epp_flow_control_queue_size)'"
    );
    println!(
        "  any PromQL, for Grafana too         curl -s '{base}/api/v1/query?query=rate(llm_d_epp_request_total%5B10s%5D)'"
    );
    if let Some(keda) = keda {
        println!("  KEDA's external scaler, gRPC        scalerAddress: {keda}, signal: {QUEUE}");
    }
    println!("  why a signal says what it says      curl -s {base}/signals");
    println!("  what is scraped, and how it goes    curl -s {base}/api/v1/targets");
    println!("\nCtrl-C ends it.\n");
    println!(
        "  time   {QUEUE:<width$}  {RUNNING}",
        width = BAR_COLUMNS + 6
    );
    let color = std::io::stdout().is_terminal();
    let mut ticks = tokio::time::interval(Duration::from_millis(LINE_MS));
    for second in 0.. {
        ticks.tick().await;
        let reading = |name| {
            app.signals()
                .read(name, namespace, &Selector::default(), app.now())
        };
        let line = format!(
            "  {:02}:{:02}  {}  {}\n",
            second / 60,
            second % 60,
            cell(reading(QUEUE), color.then_some("33")),
            cell(reading(RUNNING), color.then_some("36")),
        );
        let mut out = std::io::stdout().lock();
        if out
            .write_all(line.as_bytes())
            .and_then(|()| out.flush())
            .is_err()
        {
            return; // a closed pipe
        }
    }
}

/// The last words.
pub(super) fn goodbye() {
    println!("\nEnded. To run it against a real gateway: stillwell --config.file=stillwell.yml");
}

fn cell(reading: Option<Reading>, color: Option<&str>) -> String {
    let value = match reading {
        Some(Reading::Value(elements) | Reading::Held { elements, .. }) => {
            elements.iter().map(|element| element.value).sum::<f64>()
        }
        Some(
            Reading::Unknown(_) | Reading::NotThere(_) | Reading::NoneFits(_) | Reading::Forbidden,
        )
        | None => {
            return format!("{:>5} {:<BAR_COLUMNS$}", "-", "unknown");
        }
    };
    let columns =
        ((value / BAR_FULL * BAR_COLUMNS as f64).ceil().max(0.0) as usize).min(BAR_COLUMNS);
    let bar = "▇".repeat(columns);
    let blank = " ".repeat(BAR_COLUMNS - columns);
    match color {
        Some(code) => format!("{value:>5} \x1b[{code}m{bar}\x1b[0m{blank}"),
        None => format!("{value:>5} {bar}{blank}"),
    }
}

#[cfg(test)]
mod tests {
    use stillwell_adapters::host::Element;
    use stillwell_engine::{Timestamp, labels};

    use super::*;

    #[test]
    fn a_cell_is_as_wide_whatever_it_shows() {
        let value = |value| {
            let at = Timestamp::from_ms(0);
            Some(Reading::Value(vec![Element {
                labels: labels! {},
                value,
                at,
            }]))
        };
        for reading in [value(0.0), value(1.0), value(120.0), value(99_999.0), None] {
            assert_eq!(
                cell(reading.clone(), None).chars().count(),
                BAR_COLUMNS + 6,
                "{reading:?}"
            );
        }
    }
}
