//! Rules, HPAs, ScaledObjects and queries that people have published, over the real faces of a server: every legal one is
//! served as its system would serve it, every illegal one gets an error that names place and fix.
//!
//! They are others', so they are not in this repository: `STILLWELL_FIELD` names the file, one JSON object a line with
//! `source`, `kind` and `text`. The pages are made for the families that they name (`generator`), a day of them, so that
//! every window is covered.

mod faces;
mod generator;
mod rows;

use faces::Faces;
use generator::Generator;
use rows::{Outcome, Row};
use stillwell_testing::outside::FIELD;

/// What is illegal, by a part of its text, with a part of the error that says where and what to do.
const ILLEGAL: &[(&str, &str)] = &[
    ("{app.kubernetes.io/component=", "parse error"),
    (
        "DCGM_FI_DEV_GPU_UTIL{pod=~\"my-llama-.*\"}[30s])",
        "parse error",
    ),
    ("event-service_events_count", "scalar"),
    ("seldon_model.*_total", "not YAML"),
    (
        "container!=\"POD\"}[2m])) by (<<.GroupBy>>)\"",
        "single quotes",
    ),
    (
        "name: { matches: \"^vllm:(.*)$\", as: \"vllm_${1}\" }",
        "which label names which object",
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_legal_one_is_served_and_every_illegal_one_says_where_and_what_to_do() {
    let Some(path) = FIELD.find() else { return };
    let text = std::fs::read_to_string(path).expect("readable");
    let rows: Vec<Row> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(Row::read)
        .collect();
    let mut generator = Generator::default();
    for row in &rows {
        row.generate(&mut generator);
    }
    let faces = Faces::start(generator, &rows).await;
    let mut table = Vec::new();
    let mut wrong = Vec::new();
    for row in &rows {
        for (what, outcome) in row.ask(&faces).await {
            let line = format!("{} | {} | {what} | {outcome}", row.kind, row.source);
            if let Outcome::Wrong(_) = outcome {
                wrong.push(line.clone());
            }
            table.push(line);
        }
    }
    crate::common::say(&table.join("\n"));
    assert!(table.len() >= rows.len(), "every row has an outcome");
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        table.len(),
        wrong.join("\n")
    );
    faces.end().await;
}

/// The error that is expected of a text, where it is illegal.
fn illegal(text: &str) -> Option<&'static str> {
    let found = ILLEGAL.iter().find(|(part, _)| text.contains(part));
    found.map(|(_, says)| *says)
}
