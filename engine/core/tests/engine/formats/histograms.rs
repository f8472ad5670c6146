//! Native histograms as samples, and what a job makes of histograms.

use super::*;

#[test]
fn native_histograms_are_samples_of_the_page() {
    let mut scene = Scene::new(native());
    let page_of = |factor| page(&[family("h", 4, vec![histogram(both_kinds(factor))])]);
    for factor in [1, 1, 2, 4] {
        scene
            .scrape(&page_of(factor), Format::Protobuf)
            .expect("valid");
    }
    assert_eq!(scene.all().len(), 1, "{:?}", scene.all());
    let shown = "h{job=\"a\"} {count:24, sum:24, (1,2]:4, (2,4]:8, (4,8]:12}";
    assert_eq!(scene.all(), [shown]);
    assert_eq!(scene.ask("histogram_count(h)"), ["{job=\"a\"} 24"]);
    assert_eq!(scene.ask("histogram_count(increase(h[3s]))").len(), 1);
    assert_eq!(scene.ask("count_over_time(h[1m])"), ["{job=\"a\"} 4"]);
    // A reset, a failed scrape, and the end of the series.
    scene.scrape(&page_of(1), Format::Protobuf).expect("valid");
    assert_eq!(scene.ask("resets(h[1m])"), ["{job=\"a\"} 1"]);
    scene
        .scrape(b"\xff", Format::Protobuf)
        .expect_err("no page");
    assert!(scene.all().is_empty(), "{:?}", scene.all());
    scene.scrape(&page_of(2), Format::Protobuf).expect("valid");
    assert_eq!(scene.ask("histogram_count(h)"), ["{job=\"a\"} 12"]);
    scene.scrape(b"", Format::Protobuf).expect("empty");
    assert!(scene.all().is_empty(), "{:?}", scene.all());
    // A float under the same name, and back.
    scene
        .scrape(
            &page(&[family("h", 1, vec![gauge(&[], 5.0)])]),
            Format::Protobuf,
        )
        .expect("valid");
    assert_eq!(scene.all(), ["h{job=\"a\"} 5"]);
    scene.scrape(&page_of(1), Format::Protobuf).expect("valid");
    assert_eq!(scene.ask("histogram_count(h)"), ["{job=\"a\"} 6"]);
}

#[test]
fn a_job_chooses_what_becomes_of_histograms() {
    let both = page(&[family("h", 4, vec![histogram(both_kinds(1))])]);
    let only_classic = page(&[family(
        "h",
        4,
        vec![histogram(classic(&[(2.0, 1)], 3, 9.0))],
    )]);
    let names = |options: HistogramOptions, page: &[u8], format| {
        let mut scene = Scene::new(options);
        scene.scrape(page, format).expect("valid");
        scene.scrape(page, format).expect("valid");
        let name = |shown: &String| {
            let name = shown.split('{').next().unwrap_or("").to_owned();
            let is_native = shown.contains("count:");
            name + if is_native { "!" } else { "" }
        };
        let mut names: Vec<String> = scene.all().iter().map(name).collect();
        names.dedup();
        names.join(" ")
    };
    let options = |native, always_classic, convert_classic| HistogramOptions {
        native,
        always_classic,
        convert_classic,
        ..plain()
    };
    let all = "h_bucket h_count h_sum";
    let text =
        b"# TYPE h histogram\nh_bucket{le=\"2\"} 1\nh_bucket{le=\"+Inf\"} 3\nh_count 3\nh_sum 9\n";
    for (options, of_both, of_classic) in [
        (options(false, false, false), all, all),
        (options(true, false, false), "h!", all),
        (options(true, true, false), "h_bucket h_count h_sum h!", all),
        (options(false, false, true), "h!", "h!"),
        (
            options(true, true, true),
            "h_bucket h_count h_sum h!",
            "h_bucket h_count h_sum h!",
        ),
    ] {
        let format = Format::Protobuf;
        assert_eq!(names(options, &both, format), of_both, "{options:?}");
        assert_eq!(
            names(options, &only_classic, format),
            of_classic,
            "{options:?}"
        );
        assert_eq!(
            names(options, text, Format::Text),
            of_classic,
            "{options:?} text"
        );
        let openmetrics = [&text[..], b"# EOF\n"].concat();
        let of_text = names(options, &openmetrics, Format::OpenMetrics);
        assert_eq!(of_text, of_classic, "{options:?} OpenMetrics");
    }
    let mut scene = Scene::new(options(false, false, true));
    scene.scrape(text, Format::Text).expect("valid");
    scene.scrape(text, Format::Text).expect("valid");
    assert_eq!(
        scene.ask("h"),
        ["h{job=\"a\"} {count:3, sum:9, [-Inf,2]:1, (2,+Inf]:2}"]
    );
}
