//! What only OpenMetrics has: its rules, seconds, units, creation times.

use super::*;

#[test]
fn openmetrics_has_seconds_and_its_own_rules() {
    let mut scene = Scene::new(plain());
    let at_s = (START_MS + 500) as f64 / 1000.0;
    let page = format!("# TYPE a gauge\n# UNIT a \na 1 {at_s}\n# EOF\n");
    scene
        .scrape(page.as_bytes(), Format::OpenMetrics)
        .expect("valid");
    let time = scene.ask("timestamp(a)");
    assert!(time[0].ends_with(&format!(" {at_s}")), "{time:?}");
    for (page, line, reason) in [
        ("a 1\n", 1, "does not end with # EOF"),
        ("a 1\n# EOF\nb 1\n# EOF\n", 2, "something follows # EOF"),
        ("a 1\n\n# EOF\n", 2, "expected a metric name"),
        ("# a comment\n# EOF\n", 1, "no other comments"),
        ("# TYPE a untyped\n# EOF\n", 1, "invalid metric type"),
        ("# UNIT a s\n# EOF\n", 1, "not a suffix"),
        ("a  1\n# EOF\n", 1, "expected a value"),
        ("a{b=\"c\" } 1\n# EOF\n", 1, "expected \",\""),
        ("a 1 NaN\n# EOF\n", 1, "expected a value"),
        ("a 1 # 3\n# EOF\n", 1, "expected a value"),
    ] {
        let error = scene
            .scrape(page.as_bytes(), Format::OpenMetrics)
            .expect_err(page);
        assert!(error.reason.contains(reason), "{page:?}: {error}");
        assert_eq!(error.line, line, "{page:?}: {error}");
    }
}

#[test]
fn what_openmetrics_adds_is_kept() {
    let mut scene = Scene::new(plain());
    let page = "# TYPE a_seconds info\n# HELP a_seconds h\n# UNIT a_seconds seconds\n\
                # TYPE b counter\nb_total 1\nb_created 1.5\n# EOF";
    scene
        .scrape(page.as_bytes(), Format::OpenMetrics)
        .expect("valid");
    let metadata = scene.reader.metadata();
    let info = &metadata["a_seconds"][0];
    assert_eq!(
        (info.family_type.as_str(), &*info.help, &*info.unit),
        ("info", "h", "seconds")
    );
    assert_eq!(scene.ask("b_created"), ["b_created{job=\"a\"} 1.5"]);
}
