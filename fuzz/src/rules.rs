//! Rules files of prometheus-adapter: any text is rules or a list of errors, and any rule renders or says why not.

use stillwell::rules::{metric_name, query, read};
use stillwell_adapters::objects::Selector;

/// Reads the rules and asks each for a metric; the text's first line serves as a selector too.
pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let selector = Selector::parse(text.lines().next().unwrap_or("")).unwrap_or_default();
    let rules = read(&text).0;
    for rule in rules.external.iter().chain(&rules.custom) {
        let _ = metric_name(rule, "inference_extension_flow_control_queue_size");
        let _ = query(rule, "a", "b", &selector);
    }
}
