//! The strict check of OpenMetrics pages: the project's own cases, and the rules of the specification one by one.

#![allow(missing_docs, reason = "a test")]

use std::fs;

use stillwell_engine::exposition::check_openmetrics;
use stillwell_testing::outside::OPENMETRICS_CASES;

fn lines(page: &[&str]) -> Vec<u8> {
    let mut text = page.join("\n");
    text.push_str("\n# EOF\n");
    text.into_bytes()
}

#[test]
fn agrees_with_the_cases_of_the_project() {
    let Some(folder) = OPENMETRICS_CASES.find() else {
        return;
    };
    let mut cases = 0;
    for entry in fs::read_dir(folder).expect("the folder is readable") {
        let case = entry.expect("the folder is readable").path();
        let told = fs::read_to_string(case.join("test.json")).expect("a case says what is right");
        let valid = told.split_whitespace().collect::<String>();
        let valid = valid.contains("\"shouldParse\":true");
        let page = fs::read(case.join("metrics")).expect("a case has a page");
        let checked = check_openmetrics(&page);
        assert_eq!(checked.is_ok(), valid, "{}: {checked:?}", case.display());
        cases += 1;
    }
    assert!(cases > 50, "only {cases} cases");
}

#[test]
fn valid_pages_pass() {
    for page in [
        &["# TYPE a counter", "a_created 1", "a_total 1"][..],
        &[
            "# TYPE a histogram",
            "a_bucket{le=\"-1\"} 1",
            "a_bucket{le=\"+Inf\"} 2",
        ],
        &[
            "# TYPE a gaugehistogram",
            "a_bucket{le=\"-1\"} 1",
            "a_bucket{le=\"+Inf\"} 2",
            "a_gcount 2",
            "a_gsum -4",
        ],
        &[
            "# TYPE a histogram",
            "a_bucket{le=\"+Inf\",x=\"1\"} 1 1",
            "a_bucket{le=\"+Inf\",x=\"1\"} 2 2",
            "a_bucket{le=\"+Inf\",x=\"2\"} 1",
        ],
        &["# TYPE a info", "a_info{v=\"1\"} 1", "a_info{v=\"2\"} 1"],
        &["# TYPE a summary", "a_count 3"],
        &["# TYPE a gauge", "# TYPE b gauge", "b 1 -5.5"],
        &["a_bucket 1", "# TYPE a gauge", "a 1"],
        &["a inf", "b -Infinity", "c nan", "d +.5"],
        &["# HELP a \\\" \" \\q", "# UNIT a "],
        &["# TYPE a counter", "a_total 1 # {} 3 4.5"],
    ] {
        let checked = check_openmetrics(&lines(page));
        assert_eq!(checked, Ok(()), "{page:?}");
    }
}

#[test]
fn each_broken_rule_is_named_with_its_line() {
    for (page, line, reason) in [
        (&["a 1", ""][..], 2, "empty"),
        (&["a  1"], 1, "value"),
        (&["a 1 "], 1, "timestamp"),
        (&["a\t1"], 1, "' ' before the value"),
        (&["a.b 1"], 1, "before the value"),
        (&["{\"a.b\"} 1"], 1, "metric name"),
        (&["a{\"b\"=\"c\"} 1"], 1, "no quoted names"),
        (&["a{b=\"c\",} 1"], 1, "label name"),
        (&["a{__name__=\"b\"} 1"], 1, "reserved"),
        (&["a{b:c=\"d\"} 1"], 1, "'='"),
        (&["# a comment"], 1, "no comments"),
        (&["#TYPE a gauge"], 1, "no comments"),
        (&["# TYPE  a gauge"], 1, "metric name"),
        (&["# TYPE a Gauge"], 1, "not a type"),
        (&["a 1", "b 1", "a 2"], 4, "two families"),
        (&["# TYPE a counter", "a 1"], 3, "two families"),
        (
            &["# TYPE a summary", "a_count 1", "# TYPE a_sum gauge"],
            4,
            "a_sum belongs to two",
        ),
        (&["a 1", "a 1"], 2, "twice"),
        (&["a{b=\"\"} 1", "a 1"], 2, "twice"),
        (&["a 1 2", "a 1 1"], 2, "go back"),
        (&["a 1 1", "a 1"], 2, "without"),
        (
            &["# TYPE a histogram", "a_bucket{le=\"inf\"} 1"],
            2,
            "\"+Inf\"",
        ),
        (&["# TYPE a histogram", "a_bucket{le=\"1\"} 1"], 3, "+Inf"),
        (
            &[
                "# TYPE a histogram",
                "a_bucket{le=\"-1\"} 1",
                "a_bucket{le=\"+Inf\"} 2",
                "a_count 2",
            ],
            5,
            "without _sum",
        ),
        (
            &[
                "# TYPE a histogram",
                "a_bucket{le=\"1\"} 1 # {} 1.5",
                "a_bucket{le=\"+Inf\"} 2",
            ],
            2,
            "not in its bucket",
        ),
        (
            &["# TYPE a summary", "a{quantile=\"1.01\"} 1"],
            2,
            "from 0 to 1",
        ),
        (&["# TYPE a stateset", "a{b=\"c\"} 1"], 2, "label \"a\""),
        (&["# UNIT seconds seconds"], 1, "end with its unit"),
        (
            &["# UNIT a_s s", "# TYPE a_s info"],
            3,
            "cannot have a unit",
        ),
    ] {
        let error = check_openmetrics(&lines(page)).expect_err(&page.join(" | "));
        assert!(error.reason.contains(reason), "{page:?}: {error}");
        assert_eq!(error.line, line, "{page:?}: {error}");
    }
    let error = check_openmetrics(b"a 1\n").expect_err("no end");
    assert!(error.reason.contains("# EOF"), "{error}");
    let error = check_openmetrics(b"a \xff\n# EOF\n").expect_err("no text");
    assert!(error.reason.contains("UTF-8"), "{error}");
}
