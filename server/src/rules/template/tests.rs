//! Templates against what Go's text/template makes of them.

use super::*;

fn arguments() -> Arguments {
    let mut arguments = Arguments::default();
    arguments.texts.insert("Series", "queue_size".to_owned());
    arguments
        .texts
        .insert("LabelMatchers", "pool=\"a\",ns=\"d\"".to_owned());
    arguments.texts.insert("GroupBy", String::new());
    let values =
        [("pool", "a"), ("model", "x|y")].map(|(key, value)| (key.to_owned(), value.to_owned()));
    arguments
        .maps
        .insert("LabelValuesByName", BTreeMap::from(values));
    arguments
        .lists
        .insert("GroupBySlice", vec!["one".to_owned(), "two".to_owned()]);
    arguments
}

#[test]
fn renders_as_go_does() {
    for (template, text) in [
        (
            "sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)",
            "sum(queue_size{pool=\"a\",ns=\"d\"}) by ()",
        ),
        ("a << .Series >> b", "a queue_size b"),
        ("a \n<<- .Series ->> \n b", "aqueue_sizeb"),
        ("a<</* note */>>b", "ab"),
        ("a <<- /* note */ ->> b", "ab"),
        (
            r#"<<index .LabelValuesByName "pool">>/<<index .LabelValuesByName "none">>/"#,
            "a//",
        ),
        ("<<.LabelValuesByName.model>>", "x|y"),
        (
            r#"<<if index .LabelValuesByName "pool">>yes<<else>>no<<end>>"#,
            "yes",
        ),
        (
            r#"<<if .GroupBy>>1<<else if eq .Series "queue_size" "b">>2<<else>>3<<end>>"#,
            "2",
        ),
        ("<<if and .Series (not .GroupBy)>>x<<end>>", "x"),
        ("<<or .GroupBy \"none\">>", "none"),
        ("<<range .GroupBySlice>>[<<.>>]<<end>>", "[one][two]"),
        (
            "<<range $i, $g := .GroupBySlice>><<if $i>>,<<end>><<$g>>=<<$.Series>><<end>>",
            "one=queue_size,two=queue_size",
        ),
        (
            "<<range $k, $v := .LabelValuesByName>><<$k>>=~\"<<$v>>\",<<end>>",
            "model=~\"x|y\",pool=~\"a\",",
        ),
        (
            "<<range .GroupBy | len | eq 0 | not | print | index>>x<<else>>none<<end>>",
            "",
        ),
        (
            "<<with .Series>><<.>>!<<end>><<with .GroupBy>>x<<else>>y<<end>>",
            "queue_size!y",
        ),
        (
            "<<$x := .Series>><<if $x>><<$x = \"changed\">><<end>><<$x>>",
            "changed",
        ),
        (
            r#"<<printf "%s{%q}%%" .Series .GroupBy>>"#,
            "queue_size{\"\"}%",
        ),
        (r#"<<.Series | printf "%s_total">>"#, "queue_size_total"),
        (
            "<<len .GroupBySlice>><<gt (len .GroupBySlice) 1>><<ne 1 2>>",
            "2truetrue",
        ),
        ("<<`raw \"text\"`>>", "raw \"text\""),
        ("{{.Series}} <", "{{.Series}} <"),
        ("", ""),
    ] {
        let rendered = Template::parse(template).and_then(|parsed| parsed.render(&arguments()));
        match rendered {
            Ok(rendered) => assert_eq!(rendered, text, "{template}"),
            Err(error) => assert!(
                text.is_empty() && !template.is_empty(),
                "{template}: {error}"
            ),
        }
    }
}

#[test]
fn what_go_refuses_is_refused_with_a_place() {
    let deep = "<<if .Series>>".repeat(40) + &"<<end>>".repeat(40);
    for (template, at, says) in [
        ("a<<.Series", 1, "without >>"),
        (
            "<<.Nothing>>",
            2,
            "there are .GroupBy, .LabelMatchers, .Series",
        ),
        ("<<end>>", 2, "without its if"),
        ("<<if .Series>>x", 14, "without its end"),
        ("<<nosuch .Series>>", 2, "no function nosuch"),
        ("<<$x>>", 2, "no variable $x"),
        ("<<index .GroupBySlice 7>>", 2, "outside a list of 2"),
        ("<<.Series .GroupBy>>", 2, "only a function"),
        ("<<range .Series>><<end>>", 8, "a list or a map"),
        ("<<\"open>>", 2, "without its other one"),
        ("<<>>", 2, "expected a field"),
        ("<<.Series.x>>", 2, "has no field"),
        ("<<template \"x\">>", 2, "not built"),
        ("<<(.Series>>", 10, "expected )"),
        ("<<#>>", 2, "no meaning"),
        (&deep, 462, "deeper"),
    ] {
        let error = Template::parse(template)
            .and_then(|parsed| parsed.render(&arguments()))
            .expect_err(template);
        assert!(error.reason.contains(says), "{template}: {error}");
        assert!(
            error.at.abs_diff(at) <= 4,
            "{template}: {error}, wanted near {at}"
        );
    }
}
