//! Changes that a page shows by what it has: series that leave it, and counters that fall (S6a).

use stillwell_engine::signal::Policy;

use crate::scenario::{INTERVAL_MS, Reported, Scenario, held, unknown, value};

/// A collector's page went on without the pods of one namespace: 67 became 10, and with `or vector(0)` 57 became 0.
#[test]
fn a_source_that_leaves_a_page_is_a_change() {
    let mut scenario = Scenario::new();
    let whole = scenario.register("sum(vllm:num_requests_waiting)");
    let of_x = scenario.register("sum(vllm:num_requests_waiting{namespace=\"x\"}) or vector(0)");
    let other = scenario.register("sum(vllm:num_requests_running)");
    let target = scenario.target_of("collector", "a:1", &[]);
    let running = "vllm:num_requests_running{namespace=\"y\"} 4\n";
    let of_y = "vllm:num_requests_waiting{namespace=\"y\",pod=\"q\"} 10\n";
    let both = format!(
        "{running}{of_y}vllm:num_requests_waiting{{namespace=\"x\",pod=\"p\"}} 50\n\
         vllm:num_requests_waiting{{namespace=\"x\",pod=\"o\"}} 7\n"
    );
    for _ in 0..3 {
        scenario.take(target, &both);
    }
    assert_eq!(scenario.reported(whole), value(67.0));
    scenario.take(target, &format!("{running}{of_y}"));
    assert_eq!(scenario.reported(whole), held(67.0));
    assert_eq!(scenario.reported(of_x), held(57.0));
    assert_eq!(scenario.reported(other), value(4.0));
    // What comes and goes is no change for ever: the namespace is empty now.
    scenario.now_ms += 61_000;
    scenario.take(target, &format!("{running}{of_y}"));
    scenario.take(target, &format!("{running}{of_y}"));
    assert_eq!(scenario.reported(whole), value(10.0));
}

/// A server whose page does not say when it started restarted, and its counters began with the first request: 30 became 0.
#[test]
fn counters_that_are_gone_of_a_page_without_a_start_time_are_a_restart() {
    for (start, counter, expected) in [
        ("", "", held(30.0)),
        // The counter goes on, and so does the process; or the process says that it is the same.
        ("", "sglang:num_requests_total 501\n", value(0.0)),
        ("process_start_time_seconds 1\n", "", value(0.0)),
    ] {
        let mut scenario = Scenario::new();
        let signal = scenario.register("sum(sglang:num_queue_reqs)");
        let target = scenario.target_of("sglang", "a:1", &[]);
        for _ in 0..3 {
            scenario.take(
                target,
                &format!("{start}sglang:num_queue_reqs 30\nsglang:num_requests_total 500\n"),
            );
        }
        scenario.take(
            target,
            &format!("{start}sglang:num_queue_reqs 0\n{counter}"),
        );
        assert_eq!(scenario.reported(signal), expected, "{start:?} {counter:?}");
    }
}

/// A counter whose series changes a label is no change of the process, and neither is a gauge that goes on as another series.
#[test]
fn series_that_take_the_place_of_others_are_no_change() {
    let mut scenario = Scenario::new();
    let (waiting, queued) = (
        scenario.register("sum(vllm:num_requests_waiting)"),
        scenario.register("sum(ray_serve_deployment_queued_queries)"),
    );
    let (server, ray) = (
        scenario.target_of("vllm", "a:1", &[]),
        scenario.target_of("ray", "b:1", &[]),
    );
    for at in 0..200 {
        let number = at / 20;
        scenario.take_now(
            server,
            &format!("vllm:num_requests_waiting 140\nbuilds_total{{at=\"{number}\"}} 1\n"),
        );
        scenario.take(
            ray,
            &format!("ray_serve_deployment_queued_queries{{handle=\"{number}\"}} 40\n"),
        );
        assert_eq!(scenario.reported(waiting), value(140.0), "{at}");
        assert_eq!(scenario.reported(queued), value(40.0), "{at}");
    }
}

/// A server whose page does not say when it started shows nothing after a restart until it is asked: the others' sum was refused.
#[test]
fn another_process_has_not_lost_what_the_one_before_had() {
    let mut scenario = Scenario::new();
    let signal = scenario.register("sum(sglang:num_queue_reqs)");
    let targets = ["a:1", "b:1"].map(|name| scenario.target_of("sglang", name, &[]));
    let page = "sglang:num_queue_reqs 3\nsglang:num_requests_total 500\nother 1\n";
    for _ in 0..3 {
        scenario.take_now(targets[0], page);
        scenario.take(targets[1], page);
    }
    for _ in 0..3 {
        scenario.take_now(targets[0], "other 1\n");
        scenario.take(targets[1], page);
        assert_eq!(scenario.reported(signal), held(6.0));
    }
}

/// Of a collector's page a source had left, with its counters, and the other's went on: 35 became 5 after the grace.
#[test]
fn a_page_that_has_counters_left_has_not_restarted() {
    let mut scenario = Scenario::new();
    let signal = scenario.register("sum(sglang:num_queue_reqs)");
    let (collector, other) = (
        scenario.target_of("collector", "c:1", &[]),
        scenario.target_of("sglang", "a:1", &[]),
    );
    let left = "vllm:num_requests_waiting 4\nvllm:request_success_total 700\n";
    let both = format!("{left}sglang:num_queue_reqs 30\nsglang:num_requests_total 500\n");
    for at in 0..9 {
        scenario.take_now(collector, if at < 3 { &both } else { left });
        scenario.take(
            other,
            "process_start_time_seconds 1\nsglang:num_queue_reqs 5\n",
        );
        if at == 5 {
            scenario.now_ms += 61_000;
        }
    }
    unknown(&scenario.reported(signal), &["c:1", "no longer has"]);
}

/// The proxy of Ray Serve ended, and its queue with it: 40 became 0.
#[test]
fn a_server_s_gauge_that_leaves_a_page_is_a_change() {
    let mut scenario = Scenario::new();
    let signal = scenario.register("sum(ray_serve_deployment_queued_queries)");
    let target = scenario.target_of("ray", "a:1", &[]);
    let healthy = "ray_serve_deployment_replica_healthy{deployment=\"d\"} 1\n";
    for _ in 0..3 {
        let queue = "ray_serve_deployment_queued_queries{deployment=\"d\"} 40\n";
        scenario.take(target, &format!("{healthy}{queue}"));
    }
    scenario.take(target, healthy);
    assert_eq!(scenario.reported(signal), held(40.0));
}

/// A page of a Prometheus that federates: each rate over it was refused after each restart of any server behind it.
#[test]
fn a_page_of_several_processes_is_not_restarted_with_one_of_them() {
    for starts in [true, false] {
        let mut scenario = Scenario::new();
        let (rate, waiting) = (
            scenario.register("sum(rate(vllm:request_success_total{server=\"a\"}[1s]))"),
            scenario.register("sum(vllm:num_requests_waiting)"),
        );
        let target = scenario.target_of("prometheus", "p:1", &[]);
        let process = |server: &str, start: i64, served: i64, waiting: i64| {
            let start = match starts {
                true => {
                    format!("process_start_time_seconds{{server=\"{server}\"}} {start}\n")
                }
                false => String::new(),
            };
            format!(
                "{start}vllm:request_success_total{{server=\"{server}\"}} {served}\n\
                 vllm:num_requests_waiting{{server=\"{server}\"}} {waiting}\n"
            )
        };
        let page = |at: i64| {
            let restarted = at >= 25;
            // With start times the restart is known by them alone.
            let (start, served) = match (restarted, starts) {
                (false, _) => (1, 1000 + at),
                (true, true) => (9, 1000 + at),
                (true, false) => (9, at - 24),
            };
            let waiting = if restarted { 0 } else { 30 };
            process("a", 1, 500 + at, 5) + &process("b", start, served, waiting)
        };
        for at in 0..40 {
            scenario.take(target, &page(at));
            if at > 15 {
                assert_eq!(scenario.reported(rate), value(10.0), "{at}");
            }
            let expected = if at < 25 { value(35.0) } else { held(35.0) };
            assert_eq!(scenario.reported(waiting), expected, "{at}, {starts}");
        }
    }
}

/// A process without a start time that has counted further than the one before is held like any other that may have restarted.
#[test]
fn a_restart_after_which_a_counter_is_higher_tells_no_lower_number() {
    let mut scenario = Scenario::new();
    let signal = scenario.register("sum(vllm:num_requests_waiting)");
    let target = scenario.target_of("vllm", "a:1", &[]);
    let page = |waiting: i64, served: i64, young: i64| {
        format!("vllm:num_requests_waiting {waiting}\nserved_total {served}\nyoung_total {young}\n")
    };
    for at in 0..3 {
        scenario.take(target, &page(30, 500 + at, 1));
    }
    scenario.take(target, &page(0, 20, 3));
    assert_eq!(scenario.reported(signal), held(30.0));
}

/// Of a page of two processes one was left, whose restart was none.
#[test]
fn the_last_process_of_a_page_restarts_like_any() {
    for order in [["a", "b"], ["b", "a"]] {
        let mut scenario = Scenario::new();
        let signal = scenario.register("sum(vllm:num_requests_waiting)");
        let target = scenario.target_of("prometheus", "p:1", &[]);
        let take = |scenario: &mut Scenario, count: usize, b: (i64, i64), has_a: bool| {
            let of = |server: &str, start: i64, waiting: i64| {
                format!(
                    "process_start_time_seconds{{server=\"{server}\"}} {start}\n\
                     vllm:num_requests_waiting{{server=\"{server}\"}} {waiting}\n"
                )
            };
            let lines = order.iter().map(|server| match *server {
                "a" if has_a => of("a", 1, 5),
                "b" => of("b", b.0, b.1),
                _ => String::new(),
            });
            let page: String = lines.collect();
            for _ in 0..count {
                scenario.take(target, &page);
            }
        };
        take(&mut scenario, 3, (1, 30), true);
        take(&mut scenario, 1_300, (1, 30), false);
        assert_eq!(scenario.reported(signal), value(30.0));
        take(&mut scenario, 3, (7, 0), false);
        assert_eq!(scenario.reported(signal), held(30.0), "{order:?}");
    }
}

/// Targets that take the place of others, under another label, were summed with them until the next page.
#[test]
fn targets_that_take_the_place_of_others_are_not_summed_with_them() {
    for offset_ms in [-3, -1, 0, 1, 7] {
        for late in [false, true] {
            let mut scenario = Scenario::new();
            let signal = scenario.register("sum(vllm:num_requests_waiting)");
            let add = |scenario: &mut Scenario, label: &str| {
                ["a:1", "a:2"].map(|name| scenario.target_of("v", name, &[("zone", label)]))
            };
            let page = "process_start_time_seconds 1\nvllm:num_requests_waiting 12\n";
            let mut targets = add(&mut scenario, "x");
            for round in 0..5 {
                for _ in 0..10 {
                    scenario.now_ms += 100;
                    for target in targets {
                        scenario.take_now(target, page);
                    }
                }
                let asked = scenario.register("sum(vllm:num_requests_waiting) + 0");
                scenario.now_ms += 50;
                let old = targets;
                targets = add(&mut scenario, if round % 2 == 0 { "y" } else { "x" });
                for target in old {
                    scenario.remove(target);
                }
                scenario.now_ms += offset_ms;
                let later = late.then(|| scenario.register("sum(vllm:num_requests_waiting) * 1"));
                for target in targets {
                    scenario.take_now(target, page);
                    for signal in [Some(signal), Some(asked), later].into_iter().flatten() {
                        let told = scenario.reported(signal);
                        let is_right = matches!(&told, Reported::Unknown(_))
                            || told == value(24.0)
                            || told == held(24.0);
                        assert!(is_right, "{offset_ms}, {round}: {told:?}");
                    }
                }
            }
        }
    }
}

/// A collector's page on which one pod took the place of another lost what waited at the first: 35 became 5.
#[test]
fn a_source_that_takes_the_place_of_another_is_a_change() {
    let mut scenario = Scenario::new();
    let sum = scenario.register("sum(vllm:num_requests_waiting)");
    let collector = scenario.target_of("otel", "c:1", &[]);
    let page = |pods: [(&str, i64); 2]| {
        let lines = pods.map(|(pod, waiting)| {
            format!("vllm:num_requests_waiting{{pod=\"{pod}\"}} {waiting}\n")
        });
        lines.concat()
    };
    for _ in 0..3 {
        scenario.take(collector, &page([("a", 5), ("b", 30)]));
    }
    for _ in 0..3 {
        scenario.take(collector, &page([("a", 5), ("c", 0)]));
        assert_eq!(scenario.reported(sum), held(35.0));
    }
    scenario.now_ms += 61_000;
    for _ in 0..3 {
        scenario.take(collector, &page([("a", 5), ("c", 0)]));
    }
    assert_eq!(scenario.reported(sum), value(5.0));
}

/// Of a page of two gateways one was lost, and the other's witness proved its queue to be idle: 30 became 0 and stayed so.
#[test]
fn a_gateway_that_leaves_a_page_of_several_proves_nothing() {
    let mut scenario = Scenario::new();
    let queue = "llm_d_epp_flow_control_queue_size";
    let signals = [
        format!("sum({queue}{{inference_pool=\"a\"}})"),
        format!("max({queue}{{inference_pool=\"a\"}})"),
        format!("sum({queue})"),
    ]
    .map(|query| scenario.register(&query));
    let target = scenario.target_with(stillwell_engine::TargetSpec {
        labels: stillwell_engine::labels::Labels::from_pairs([("job", "p"), ("instance", "p:1")]),
        honor_labels: true,
        interval_ms: 100,
        ..stillwell_engine::TargetSpec::default()
    });
    let gateway = |pool: &str, waiting: i64| {
        let own = format!("instance=\"i{pool}\"");
        format!(
            "process_start_time_seconds{{{own}}} 1\nllm_d_epp_info{{{own}}} 1\n\
             llm_d_epp_flow_control_pool_saturation{{{own},inference_pool=\"{pool}\"}} 0.5\n\
             {queue}{{{own},inference_pool=\"{pool}\"}} {waiting}\n"
        )
    };
    for _ in 0..3 {
        scenario.take(target, &(gateway("a", 30) + &gateway("b", 4)));
    }
    assert_eq!(scenario.reported(signals[0]), value(30.0));
    for round in 0..3 {
        for _ in 0..3 {
            scenario.take(target, &gateway("b", 4));
        }
        for signal in &signals[..2] {
            match scenario.reported(*signal) {
                Reported::Unknown(_) => {}
                told => assert_eq!(told, held(30.0), "{round}"),
            }
        }
        let all = if round == 0 { held(34.0) } else { value(4.0) };
        assert_eq!(scenario.reported(signals[2]), all, "{round}");
        scenario.now_ms += 61_000;
    }
    unknown(&scenario.reported(signals[0]), &["p:1"]);
}

/// A replica that starts inside the grace of another told 0 over a page of several processes, of which one had restarted.
#[test]
fn a_restart_behind_a_page_that_was_not_seen_tells_no_zero() {
    let mut scenario = Scenario::new();
    let signal = scenario.register("sum(vllm:num_requests_waiting{server=\"b\"})");
    let target = scenario.target_of("prometheus", "p:1", &[]);
    let now_s = scenario.now_ms / 1_000;
    let page = |server: &str, start_s: i64| {
        format!(
            "process_start_time_seconds{{server=\"{server}\"}} {start_s}\n\
             vllm:num_requests_waiting{{server=\"{server}\"}} 0\n"
        )
    };
    for _ in 0..3 {
        scenario.take(target, &(page("a", 1) + &page("b", now_s - 2)));
    }
    unknown(&scenario.reported(signal), &["p:1", "started at"]);
    scenario.now_ms += 61_000;
    for _ in 0..3 {
        scenario.take(target, &(page("a", 1) + &page("b", now_s - 2)));
    }
    assert_eq!(scenario.reported(signal), value(0.0));
}

/// A gateway that restarted with another pool, and had counted one thing further already, was idle for the old pool.
#[test]
fn a_pool_that_no_page_names_is_not_idle() {
    let mut scenario = Scenario::new();
    let old = scenario.register("sum(llm_d_epp_flow_control_queue_size{inference_pool=\"old\"})");
    let target = scenario.target("a:1");
    let page = |pool: &str, waiting: i64, a: i64, b: i64| {
        format!(
            "llm_d_epp_info 1\nllm_d_epp_flow_control_pool_saturation{{inference_pool=\"{pool}\"}} 0.5\n\
             llm_d_epp_flow_control_queue_size{{inference_pool=\"{pool}\"}} {waiting}\n\
             a_total {a}\nb_total {b}\n"
        )
    };
    for at in 0..3 {
        scenario.take(target, &page("old", 5, 1_000 + at, 100));
    }
    for round in 0..3 {
        for at in 0..3 {
            scenario.take(target, &page("new", 9, 10 + 10 * round + at, 300));
        }
        assert_ne!(scenario.reported(old), value(0.0), "{round}");
        scenario.now_ms += 61_000;
    }
    unknown(&scenario.reported(old), &["a:1", "now serves"]);
}

/// The other processes of a page were idle as one restarted: no counter rose, and all of them had restarted.
#[test]
fn a_page_of_several_processes_is_not_restarted_while_the_others_are_idle() {
    let mut scenario = Scenario::new();
    let rate = scenario.register("sum(rate(vllm:request_success_total{server=\"a\"}[1s]))");
    let target = scenario.target_of("prometheus", "p:1", &[]);
    let page = |start: i64, served: i64| {
        format!(
            "process_start_time_seconds{{server=\"a\"}} 1\nprocess_start_time_seconds{{server=\"b\"}} {start}\n\
             vllm:request_success_total{{server=\"a\"}} 500\nvllm:request_success_total{{server=\"b\"}} {served}\n"
        )
    };
    for at in 0..40 {
        let (start, served) = if at < 25 { (1, 100 + at) } else { (7, at) };
        scenario.take(target, &page(start, served));
        if at > 15 {
            assert_eq!(scenario.reported(rate), value(0.0), "{at}");
        }
    }
}

/// A server without a start time was gone for a moment, came back with an empty queue, and 20 became 0.
#[test]
fn who_was_away_and_cannot_say_that_it_is_the_same_may_have_restarted() {
    for (lines, expected) in [
        ("", held(20.0)),
        ("tgi_batch_current_size 3\n", held(20.0)),
        // Nothing was counted before, so that nothing could fall.
        ("tgi_request_count 0\n", held(20.0)),
        // A counter would have fallen, and a start time would be another.
        ("tgi_request_count 7\n", value(0.0)),
        ("process_start_time_seconds 1\n", value(0.0)),
    ] {
        let mut scenario = Scenario::new();
        let signal = scenario.register("sum(tgi_queue_size)");
        let target = scenario.target_of("tgi", "a:1", &[]);
        for _ in 0..3 {
            scenario.take(target, &format!("tgi_queue_size 20\n{lines}"));
        }
        for _ in 0..2 {
            scenario.now_ms += 100;
            scenario.fail_now(target);
        }
        scenario.take(target, &format!("tgi_queue_size 0\n{lines}"));
        assert_eq!(scenario.reported(signal), expected, "{lines:?}");
        scenario.now_ms += 61_000;
        scenario.take(target, &format!("tgi_queue_size 0\n{lines}"));
        scenario.take(target, &format!("tgi_queue_size 0\n{lines}"));
        assert_eq!(scenario.reported(signal), value(0.0), "{lines:?}");
    }
}

/// Each time-out of one scrape made 0 no number for a minute to whoever asked, and an outage of errors did.
#[test]
fn who_misses_a_scrape_or_answers_with_errors_was_not_away() {
    let when_read = Policy {
        when_read: true,
        ..Policy::default()
    };
    let texts = [
        "sum(tgi_queue_size)",
        "ceil(sum(tgi_queue_size) / 5)",
        "avg(tgi_queue_size)",
    ];
    // Scrapes that have no answer, those that are answered with an error, and those without an answer after them.
    for (silent, answered, silent_after, is_away) in [
        (1, 0, 0, false),
        (0, 30, 0, false),
        (1, 30, 1, false),
        (2, 0, 0, true),
        (3, 1, 0, true),
        (0, 5, 3, true),
    ] {
        let mut scenario = Scenario::new();
        let signals: Vec<_> = texts
            .iter()
            .flat_map(|text| {
                let read = scenario.register_with(text, when_read.clone());
                [(scenario.register(text), false), (read, true)]
            })
            .collect();
        let targets = ["a:1", "b:1"].map(|name| scenario.target_of("tgi", name, &[]));
        let page = |scenario: &mut Scenario, target: usize, waiting: i64| {
            scenario.take_now(target, &format!("tgi_queue_size {waiting}\n"));
        };
        for _ in 0..3 {
            scenario.now_ms += INTERVAL_MS;
            targets
                .iter()
                .for_each(|target| page(&mut scenario, *target, 0));
        }
        for (signal, _) in &signals {
            assert_eq!(scenario.reported(*signal), value(0.0));
        }
        for at in 0..silent + answered + silent_after {
            scenario.now_ms += INTERVAL_MS;
            page(&mut scenario, targets[0], 0);
            match at >= silent && at < silent + answered {
                true => scenario.fail_answered(targets[1]),
                false => scenario.fail_now(targets[1]),
            }
        }
        scenario.now_ms += INTERVAL_MS + 3; // scrapes are late
        let case = format!("{silent} {answered} {silent_after}");
        targets
            .iter()
            .for_each(|target| page(&mut scenario, *target, 0));
        for (signal, read) in &signals {
            let expected = if is_away { held(0.0) } else { value(0.0) };
            assert_eq!(scenario.reported(*signal), expected, "{case} {read}");
        }
    }
}

/// Nobody had asked within the grace before a target was away: what its page shows may be less than others hold.
#[test]
fn who_was_away_unseen_tells_no_zero_to_whoever_asks_then() {
    let mut scenario = Scenario::new();
    let policy = Policy {
        when_read: true,
        ..Policy::default()
    };
    let signal = scenario.register_with("sum(tgi_queue_size)", policy);
    let target = scenario.target_of("tgi", "a:1", &[]);
    for _ in 0..3 {
        scenario.take(target, "tgi_queue_size 20\n");
    }
    for _ in 0..3 {
        scenario.now_ms += INTERVAL_MS;
        scenario.fail_now(target);
    }
    for _ in 0..2 {
        scenario.take(target, "tgi_queue_size 0\n");
    }
    unknown(&scenario.reported(signal), &["a:1", "could not be reached"]);
    scenario.take(target, "tgi_queue_size 4\n");
    assert_eq!(scenario.reported(signal), held(4.0));
    scenario.now_ms += 61_000;
    scenario.take(target, "tgi_queue_size 0\n");
    scenario.take(target, "tgi_queue_size 0\n");
    assert_eq!(scenario.reported(signal), value(0.0));
}
