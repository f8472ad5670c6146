//! Lists of targets: any text is a list or an error, in both formats.

use stillwell::discovery::{ListFormat, parse_target_list};

/// Reads it as JSON and as YAML.
pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let json = parse_target_list(&text, ListFormat::Json);
    let yaml = parse_target_list(&text, ListFormat::Yaml);
    // What is a list in JSON is none in YAML only where the two notations differ: in keys given twice, and in escapes.
    if let (Ok(json), Ok(yaml)) = (json, yaml) {
        assert_eq!(json.len(), yaml.len());
    }
}
