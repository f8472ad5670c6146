//! What whoever writes a page does not know (S2b): pods that a sender no longer sends.

use stillwell_engine::labels::Labels;
use stillwell_engine::signal::{Absent, Nan, Policy, SignalId};
use stillwell_engine::{Format, NotKnown, TargetSpec};

use crate::commits;
use crate::scenario::{INTERVAL_MS, Reported, Scenario, held, unknown, value};
use crate::servers::WAITING;

/// Pods behind a sender: what it does not send any more is named by whoever writes its page.
struct Sent {
    scenario: Scenario,
    target: usize,
}

impl Sent {
    fn new() -> Sent {
        let mut scenario = Scenario::new();
        let target = scenario.target_with(TargetSpec {
            labels: Labels::from_pairs([("job", "senders"), ("instance", "0")]),
            honor_labels: true,
            interval_ms: INTERVAL_MS as u64,
            ..TargetSpec::default()
        });
        Sent { scenario, target }
    }

    fn page(&mut self, lines: &[(&str, f64)], silent: &[&str]) {
        self.scenario.now_ms += INTERVAL_MS;
        let labels = |pod: &str| Labels::from_pairs([("__name__", WAITING), ("pod", pod)]);
        let lines = lines
            .iter()
            .map(|(pod, waiting)| format!("{WAITING}{{pod=\"{pod}\"}} {waiting}\n"));
        let text: String = lines.collect();
        let mut not_known = NotKnown::default();
        for pod in silent {
            not_known.add(&labels(pod), || format!("{pod} was not sent since noon"));
        }
        let at = self.scenario.at();
        let stage = self.scenario.stages[self.target].as_mut().expect("listed");
        let mut staged = stage.parse(text.as_bytes(), Format::Text).expect("valid");
        staged.set_not_known(not_known);
        let how = self.scenario.now_ms.count_ones();
        commits::commit(&mut self.scenario.writer, staged, at, how).expect("taken");
    }

    fn pages(&mut self, count: usize, lines: &[(&str, f64)], silent: &[&str]) {
        (0..count).for_each(|_| self.page(lines, silent));
    }

    fn told(&self, signal: SignalId) -> Reported {
        self.scenario.reported(signal)
    }
}

/// A pod that a collector no longer sends was no number for five minutes, or 0 where NaN means 0, and then the rest was told.
#[test]
fn what_a_sender_no_longer_sends_is_held_and_then_unknown() {
    let mut sent = Sent::new();
    let policies = [
        (Nan::Unknown, Absent::Auto),
        (Nan::Zero, Absent::Zero),
        (Nan::Last, Absent::Auto),
    ];
    let policies = policies.map(|(nan, absent)| Policy {
        nan,
        absent,
        ..Policy::default()
    });
    let sum = format!("sum({WAITING})");
    let all = policies.map(|policy| {
        let texts = [
            sum.clone(),
            format!("{sum} or vector(0)"),
            format!("max({WAITING})"),
        ];
        texts.map(|text| sent.scenario.register_with(&text, policy.clone()))
    });
    let register = |sent: &mut Sent, text: &str| sent.scenario.register(text);
    let of_a = register(&mut sent, &format!("sum({WAITING}{{pod=\"a\"}})"));
    let of_b = register(
        &mut sent,
        &format!("sum({WAITING}{{pod=\"b\"}}) or vector(0)"),
    );
    let by_pod = register(&mut sent, &format!("sum by (pod) ({WAITING})"));
    let falls = register(&mut sent, &format!("40 - sum({WAITING})"));
    sent.pages(3, &[("a", 5.0), ("b", 30.0)], &[]);
    assert_eq!(sent.told(all[0][0]), value(35.0));
    for _ in 0..3 {
        sent.page(&[("a", 5.0)], &["b"]);
        for of_policy in all {
            assert_eq!(
                of_policy.map(|one| sent.told(one)),
                [held(35.0), held(35.0), held(30.0)]
            );
        }
        assert_eq!(sent.told(of_a), held(5.0));
        assert_eq!(sent.told(of_b), held(30.0));
        assert_eq!(sent.told(by_pod), Reported::Held(vec![5.0, 30.0]));
        unknown(&sent.told(falls), &["b was not sent"]);
    }
    sent.pages(1, &[("a", 50.0)], &["b"]);
    assert_eq!(sent.told(all[0][0]), held(50.0), "more is told");
    sent.scenario.now_ms += 61_000;
    sent.pages(3, &[("a", 5.0)], &["b"]);
    for signal in all.as_flattened().iter().chain([&of_b, &by_pod, &falls]) {
        unknown(&sent.told(*signal), &["b was not sent since noon"]);
    }
    assert_eq!(sent.told(of_a), value(5.0));
    assert_eq!(
        sent.scenario.reported_pinned(by_pod, &[("pod", "a")]),
        value(5.0)
    );
    // Another change does not bring back what was measured so long ago, nor make the rest of it the whole.
    sent.pages(3, &[("a", 5.0), ("c", 1.0)], &["b"]);
    sent.pages(3, &[("a", 5.0)], &["b"]);
    unknown(&sent.told(all[0][0]), &["b was not sent since noon"]);
    // It is sent again, or is forgotten.
    sent.scenario.now_ms += 61_000;
    sent.pages(3, &[("a", 5.0), ("b", 8.0)], &[]);
    assert_eq!(sent.told(all[1][0]), value(13.0));
    sent.pages(3, &[("a", 5.0)], &["b"]);
    assert_eq!(sent.told(all[1][0]), held(13.0));
    sent.scenario.now_ms += 61_000;
    sent.pages(3, &[("a", 5.0)], &[]);
    assert_eq!(sent.told(all[1][0]), value(5.0));
}

/// A number that is NaN because whoever sends it does not know it was 0 where NaN means 0.
#[test]
fn a_number_that_is_said_not_to_be_known_is_none_whatever_nan_means() {
    let mut sent = Sent::new();
    let zero = Policy {
        nan: Nan::Zero,
        ..Policy::default()
    };
    let texts = [
        "sum(Q)",
        "max(Q)",
        "count(Q > 3)",
        "sum(Q) or vector(0)",
        "sum(Q{job=\"senders\"})",
    ];
    let signals = texts.map(|text| {
        sent.scenario
            .register_with(&text.replace('Q', WAITING), zero.clone())
    });
    sent.pages(3, &[("a", 5.0), ("b", f64::NAN)], &[]);
    assert_eq!(
        sent.told(signals[0]),
        value(5.0),
        "NaN that the page states counts as 0"
    );
    sent.pages(3, &[("a", 5.0), ("b", f64::NAN)], &["b"]);
    for signal in signals {
        unknown(&sent.told(signal), &["b was not sent since noon"]);
    }
    sent.pages(3, &[("a", 5.0), ("b", 2.0)], &[]);
    assert_eq!(sent.told(signals[0]), value(7.0));
}
