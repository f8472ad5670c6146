//! What becomes of histograms, and the series about scrapes, that a job has itself or takes from `global`.

use stillwell_engine::HistogramOptions;

use super::schema::{Key, read};
use crate::yaml::Entry;
use crate::yaml::Report;

/// Keys that a job takes from `global` where it sets none itself.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct HistogramKeys {
    native: Option<bool>,
    always_classic: Option<bool>,
    convert_classic: Option<bool>,
    /// Series about each scrape beyond the usual ones.
    extra_metrics: Option<bool>,
}

pub(super) static HISTOGRAMS: &[Key<HistogramKeys>] = &[
    read("scrape_native_histograms", |entry, keys, report| {
        keys.native = report.flag(entry);
    }),
    read("always_scrape_classic_histograms", |entry, keys, report| {
        keys.always_classic = report.flag(entry);
    }),
    read(
        "convert_classic_histograms_to_nhcb",
        |entry, keys, report| {
            keys.convert_classic = report.flag(entry);
        },
    ),
    read("extra_scrape_metrics", |entry, keys, report| {
        keys.extra_metrics = report.flag(entry);
    }),
];

impl HistogramKeys {
    /// Takes from `global` what is not set.
    pub(super) fn inherit(self, global: &HistogramKeys) -> HistogramKeys {
        HistogramKeys {
            native: self.native.or(global.native),
            always_classic: self.always_classic.or(global.always_classic),
            convert_classic: self.convert_classic.or(global.convert_classic),
            extra_metrics: self.extra_metrics.or(global.extra_metrics),
        }
    }

    /// Whether native histograms are asked for.
    pub(super) fn native(&self) -> bool {
        self.native.unwrap_or(false)
    }

    /// Whether the further series about scrapes are written.
    pub(super) fn extra_metrics(&self) -> bool {
        self.extra_metrics.unwrap_or(false)
    }

    /// Sets what these keys say of histograms.
    pub(super) fn apply(&self, options: &mut HistogramOptions) {
        options.native = self.native();
        options.always_classic = self.always_classic.unwrap_or(false);
        options.convert_classic = self.convert_classic.unwrap_or(false);
    }
}

/// Reads the smallest factor between the bounds of neighbouring buckets as the finest schema that keeps it (rule:
/// Prometheus scrape/scrape.go, `pickSchema`).
pub(super) fn schema_max(entry: &Entry, report: &mut Report) -> Option<i32> {
    let factor = report.parsed(entry, |text| {
        let factor = text.parse::<f64>().ok().filter(|factor| factor.is_finite());
        factor.ok_or_else(|| format!("{text:?} is not a number"))
    })?;
    if factor == 0.0 {
        return None;
    }
    // Below this factor no schema is fine enough.
    let factor = if factor <= 1.0 { 1.00271 } else { factor };
    let exponent = factor.log2().log2().floor();
    Some((-exponent).clamp(-4.0, 8.0) as i32)
}

#[cfg(test)]
mod tests {
    use super::super::load;
    use stillwell_engine::HistogramOptions;

    fn options(text: &str) -> HistogramOptions {
        let (config, report) = load(text);
        config.unwrap_or_else(|| panic!("{:?}", report.errors)).jobs[0].histograms
    }

    #[test]
    fn a_job_takes_from_global_what_it_does_not_say() {
        let text = "global: {scrape_native_histograms: true, convert_classic_histograms_to_nhcb: true}\n\
                    scrape_configs: [{job_name: a, convert_classic_histograms_to_nhcb: false, \
                    native_histogram_bucket_limit: 50}]\n";
        let expected = HistogramOptions {
            native: true,
            buckets_max: 50,
            ..HistogramOptions::default()
        };
        assert_eq!(options(text), expected);
    }

    #[test]
    fn the_factor_of_buckets_is_a_schema() {
        for (factor, schema) in [
            ("0", None),
            ("1", Some(8)),
            ("1.1", Some(3)),
            ("2", Some(0)),
            ("4", Some(-1)),
            ("65536", Some(-4)),
            ("1e30", Some(-4)),
        ] {
            let text = format!(
                "scrape_configs: [{{job_name: a, native_histogram_min_bucket_factor: {factor}}}]\n"
            );
            assert_eq!(options(&text).schema_max, schema, "{factor}");
        }
    }
}
