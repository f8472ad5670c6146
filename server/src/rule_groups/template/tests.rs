use stillwell_engine::labels;

use super::*;

fn filled(text: &str) -> String {
    filled_within(text, &Budget::new(&|| false))
}

fn filled_within(text: &str, budget: &Budget<'_>) -> String {
    let labels = labels! {"instance" => "10.0.0.1:9090", "pool" => "p"};
    let external = labels! {"zone" => "z"};
    let query = |text: &str| match text {
        "up" => Ok(vec![
            (labels! {"__name__" => "up", "job" => "b"}, 1.0),
            (labels! {"__name__" => "up", "job" => "a"}, 0.0),
        ]),
        "none" => Ok(Vec::new()),
        "wide" => Ok((0..3_000)
            .map(|n| (Labels::from_pairs([("pod", format!("p{n}").as_str())]), 1.0))
            .collect()),
        other => Err(format!("no {other}")),
    };
    let data = Data {
        labels: &labels,
        value: 1234.5,
        external_labels: &external,
        external_url: "http://h:9090/p/",
        now_s: 7.0,
        query: &query,
        budget,
    };
    expand(text, &data)
}

#[test]
fn annotations_read_as_in_prometheus() {
    for (text, shown) in [
        ("plain", "plain"),
        ("{{ $labels.pool }} at {{ $value }}", "p at 1234.5"),
        (
            "{{ .Labels.pool }}/{{ .Value }}/{{ $labels.none }}",
            "p/1234.5/",
        ),
        (
            "{{ $externalLabels.zone }} {{ $externalURL }} {{ pathPrefix }}",
            "z http://h:9090/p/ /p",
        ),
        (
            "{{ $value | humanize }} {{ humanizeDuration 3725 }}",
            "1.234k 1h 2m 5s",
        ),
        ("{{ 0.125 | humanizePercentage }}", "12.5%"),
        (
            "{{ printf \"%.2f|%5d|%-4s|%05.1f|%q|%+d|%%\" $value 42 \"ab\" 2.5 \"x\" 3 }}",
            "1234.50|   42|ab  |002.5|\"x\"|+3|%",
        ),
        (
            "{{ define \"q\" }}{{ . }}!{{ end }}{{ template \"q\" $labels.pool }}{{ template \"q\" }}",
            "p!!",
        ),
        ("{{ block \"b\" .Value }}<{{ . }}>{{ end }}", "<1234.5>"),
        (
            "{{ range query \"up\" | sortByLabel \"job\" }}{{ if eq .Labels.job \"b\" }}{{ break }}{{ end }}{{ .Labels.job }}{{ end }}.",
            "a.",
        ),
        (
            "{{ range query \"up\" | sortByLabel \"job\" }}{{ if eq .Labels.job \"a\" }}{{ continue }}{{ end }}{{ .Labels.job }}{{ end }}.",
            "b.",
        ),
        (
            "{{ template \"grafana.filter\" (args $labels.pool) }}",
            "<error expanding template: template, byte 3: template \"grafana.filter\" not defined>",
        ),
        (
            "{{ define \"r\" }}{{ template \"r\" }}{{ end }}{{ template \"r\" }}",
            "<error expanding template: template, byte 19: templates within templates, more than 10 deep>",
        ),
        (
            "{{ if gt $value 1000.0 }}high{{ else }}low{{ end }}",
            "high",
        ),
        (
            "{{ range query \"up\" | sortByLabel \"job\" }}{{ .Labels.job }}={{ .Value }} {{ end }}",
            "a=0 b=1 ",
        ),
        (
            "{{ with query \"up\" }}{{ . | first | value }} {{ . | first | label \"job\" }}{{ end }}",
            "1 b",
        ),
        (
            "{{ with query \"none\" }}x{{ else }}nothing{{ end }}",
            "nothing",
        ),
        (
            "{{ stripPort $labels.instance }} {{ stripDomain \"a.b.c:80\" }}",
            "10.0.0.1 a:80",
        ),
        (
            "{{ reReplaceAll \"([a-z])1\" \"<$1>\" \"a1b1c\" }}",
            "<a><b>c",
        ),
        (
            "{{ match \"^p\" $labels.pool }} {{ title \"ab cd\" }} {{ toUpper \"x\" }}",
            "true Ab Cd X",
        ),
        (
            "{{ index $labels \"pool\" }} {{ len \"abc\" }} {{ now }}",
            "p 3 7",
        ),
        (
            "{{ graphLink \"up == 0\" }}",
            "/graph?g0.expr=up+%3D%3D+0&g0.tab=0",
        ),
        ("{{- $x := 1 -}} {{ $x }}", "1"),
    ] {
        assert_eq!(filled(text), shown, "{text}");
        assert_eq!(check(text), Ok(()), "{text}");
    }
}

#[test]
fn a_template_that_fails_says_so_in_its_place() {
    for (text, says) in [
        ("{{ query \"bad\" }}", "no bad"),
        (
            "{{ with query \"none\" }}{{ end }}{{ first (query \"none\") }}",
            "no elements",
        ),
        ("{{ humanize \"x\" }}", "\"x\" is no number"),
        ("{{ $nope }}", "no variable $nope"),
        ("{{ gt \"a\" 1 }}", "different kinds"),
    ] {
        let shown = filled(text);
        assert!(
            shown.starts_with("<error expanding template: ") && shown.contains(says),
            "{shown}"
        );
    }
    for text in [
        "{{ $value",
        "{{ nosuch 1 }}",
        "{{ $label.x }}",
        "{{ if }}{{ end }}",
        "{{ end }}",
    ] {
        assert!(check(text).is_err(), "{text}");
    }
}

/// Each took all memory, or all time, of everybody's rules.
#[test]
fn what_a_template_may_do_is_bounded() {
    let double = "{{ $a := \"xxxxxxxxxx\" }}{{ range query \"wide\" }}{{ $a = printf \"%s%s\" $a $a }}{{ end }}{{ len $a }}";
    let nested = "{{ range query \"wide\" }}{{ range query \"wide\" }}{{ range query \"wide\" }}{{ end }}{{ end }}{{ end }}";
    let copies = "{{ $a := query \"wide\" }}{{ range $a }}{{ $b := $a }}{{ end }}";
    let replaced = "{{ $a := printf \"%1000d\" 1 }}{{ $a = reReplaceAll \".\" $a $a }}{{ len $a }}";
    let slow = "{{ $a := printf \"%1000d%1000d%1000d%1000d%1000d%1000d%1000d%1000d%1000d%1000d\" 1 1 1 1 1 1 1 1 1 1 }}\
                {{ reReplaceAll \".\" \"x\" $a | len }}{{ reReplaceAll \".\" \"x\" $a | len }}";
    for (text, says) in [
        (double, "longer than"),
        (nested, "look at more than"),
        (copies, "look at more than"),
        (replaced, "longer than"),
        (slow, "look at more than"),
    ] {
        let shown = filled(text);
        assert!(
            shown.starts_with("<error") && shown.contains(says),
            "{text}: {shown}"
        );
    }
    let digits =
        filled("{{ printf \"%.2000000000f %.65536e %.99999g %2000000000d\" 1.0 1.0 1.0 1 }}");
    assert!(
        digits.starts_with("1.000") && digits.len() < 5_000,
        "{digits}"
    );
    let budget = Budget::new(&|| true);
    assert!(filled_within("{{ $value }}", &budget).contains("take too long"));
    assert_eq!(filled_within("plain", &budget), "plain");
}
