//! Whether the alerts fire that a test expects.

use stillwell_engine::labels::Labels;

use super::file::AlertTest;
use crate::config::units::show_duration_ms;
use crate::rule_groups::alert::ALERT_NAME;
use crate::rule_groups::group::Group;

impl AlertTest {
    /// What fires instead, where it is something else.
    pub(super) fn check(&self, groups: &[Group]) -> Option<String> {
        let mut got: Vec<(Labels, Labels)> = groups
            .iter()
            .flat_map(|group| group.firing(&self.name))
            .collect();
        let wanted = self.expected.iter().map(|(labels, annotations)| {
            let labels = labels.to_builder().set(ALERT_NAME, &self.name).build();
            (labels, annotations.clone())
        });
        let mut wanted: Vec<(Labels, Labels)> = wanted.collect();
        got.sort();
        wanted.sort();
        let show = |alerts: &[(Labels, Labels)]| {
            let lines = alerts.iter().map(|(labels, annotations)| {
                format!("\n            Labels:{labels}\n            Annotations:{annotations}")
            });
            match alerts.is_empty() {
                true => "[]".to_owned(),
                false => lines.collect::<String>(),
            }
        };
        (got != wanted).then(|| {
            format!(
                "alertname: {}, time: {},\n        exp:{}\n        got:{}",
                self.name,
                show_duration_ms(self.at_ms),
                show(&wanted),
                show(&got)
            )
        })
    }
}
