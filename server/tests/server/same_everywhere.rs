//! What a signal says is said alike by every API: the external metrics that an HPA reads, `/guarded`, KEDA's external
//! scaler, and `/signals`. Each scenario is one that once told a 0 that nobody had measured, or hid a number.

use std::collections::BTreeMap;

use crate::common::{TestTarget, eventually, get, http, server_of, settings};
use serde_json::Value;
use stillwell::serve::{ApiOptions, KedaOptions, Running};
use stillwell_adapters::keda::{GetMetricsRequest, ScaledObjectRef};
use stillwell_keda_client::connect;

enum Told {
    Number(f64),
    /// An error whose text holds this.
    Unknown(&'static str),
}

use Told::{Number, Unknown};

struct Scenario {
    what: &'static str,
    /// The gateway's pages, one after the other; the last one stays.
    pages: Vec<String>,
    /// More of the job's configuration.
    job: &'static str,
    query: &'static str,
    told: Told,
}

/// When a gateway started that nobody could have seen restart.
const LONG_AGO_S: f64 = 1_000_000_000.0;

/// A page of GIE 1.2, whose queue has neither pool nor model.
fn gie_1_2(pool: &str, queued: u32) -> String {
    format!(
        "inference_extension_info{{build_ref=\"v1.2.0\",commit=\"c\"}} 1\ninference_pool_ready_pods{{name=\"{pool}\"}} 2\n\
         inference_extension_flow_control_queue_size{{fairness_id=\"f\",priority=\"0\"}} {queued}\n\
         process_start_time_seconds {LONG_AGO_S}\n"
    )
}

/// A page of a router, whose process started at `start_s`.
fn router(pool: &str, queued: u32, start_s: f64) -> String {
    format!(
        "llm_d_epp_info{{build_ref=\"v0.10.0\",commit=\"c\"}} 1\nllm_d_epp_ready_endpoints{{name=\"{pool}\"}} 1\n\
         llm_d_epp_flow_control_pool_saturation{{inference_pool=\"{pool}\"}} 0.5\n\
         inference_objective_running_requests{{model_name=\"m\"}} 9\n\
         llm_d_epp_flow_control_queue_size{{fairness_id=\"f\",inference_pool=\"{pool}\",model_name=\"m\",priority=\"0\"}} {queued}\n\
         process_start_time_seconds {start_s}\n"
    )
}

#[rustfmt::skip]
fn scenarios() -> Vec<Scenario> {
    let now_s = 4_000_000_000.0; // later than any test: a process that started just now
    vec![
        Scenario {
            what: "the pool of a queue without it is the one that the page names",
            pages: vec![gie_1_2("p", 106)], job: "", told: Number(106.0),
            query: "sum(inference_extension_flow_control_queue_size{inference_pool=\"p\"})",
        },
        Scenario {
            what: "another pool's queue is not on that page",
            pages: vec![gie_1_2("p", 106)], job: "", told: Unknown("no target is in scope"),
            query: "sum(inference_extension_flow_control_queue_size{inference_pool=\"q\"})",
        },
        Scenario {
            what: "a label that the family does not have proves nothing",
            pages: vec![router("p", 3, LONG_AGO_S)], job: "", told: Unknown("fairness_id"),
            query: "sum(inference_objective_running_requests{fairness_id=\"f\"})",
        },
        Scenario {
            what: "requests in flight are unknown without their producer",
            pages: vec![router("p", 3, LONG_AGO_S)], job: "", told: Unknown("inflight"),
            query: "sum(llm_d_epp_inflight_tokens) / 15928",
        },
        Scenario {
            what: "a gauge that is no demand is never absent",
            pages: vec![router("p", 3, LONG_AGO_S)], job: "", told: Unknown("inference_pool_ready_pods"),
            query: "sum(inference_pool_ready_pods{inference_pool=\"p\"})",
        },
        Scenario {
            what: "a gateway that serves another pool now says nothing of the one before",
            pages: vec![router("old", 0, LONG_AGO_S), router("new", 100, LONG_AGO_S + 60.0)], job: "", told: Unknown("new"),
            query: "sum(llm_d_epp_flow_control_queue_size{inference_pool=\"old\"})",
        },
        Scenario {
            what: "a queue under its other name is read",
            pages: vec![router("p", 7, LONG_AGO_S)], job: "", told: Number(7.0),
            query: "sum(inference_extension_flow_control_queue_size{inference_pool=\"p\"})",
        },
        Scenario {
            what: "the labels that series carry decide where they replace the target's",
            pages: vec!["llm_d_epp_flow_control_queue_size{job=\"batch\"} 240\n".to_owned()], job: "honor_labels: true", told: Number(240.0),
            query: "sum(llm_d_epp_flow_control_queue_size{job=\"batch\"})",
        },
        Scenario {
            what: "`up` of the target may stand in a formula",
            pages: vec![router("p", 8, LONG_AGO_S)], job: "", told: Number(8.0),
            query: "sum(llm_d_epp_flow_control_queue_size) / count(up{job=\"epp\"} == 1)",
        },
        Scenario {
            what: "a gateway that may just have restarted is not idle yet",
            pages: vec![router("p", 0, now_s)], job: "", told: Unknown("no 0 is told"),
            query: "sum(llm_d_epp_flow_control_queue_size{inference_pool=\"p\"})",
        },
        Scenario {
            what: "a restart is held at what was measured before it",
            pages: vec![router("p", 218, LONG_AGO_S), router("p", 5, LONG_AGO_S + 60.0)], job: "", told: Number(218.0),
            query: "sum(llm_d_epp_flow_control_queue_size{inference_pool=\"p\"})",
        },
        Scenario {
            what: "so is a second restart inside the grace of the first",
            pages: vec![router("p", 218, LONG_AGO_S), router("p", 5, LONG_AGO_S + 60.0), router("p", 3, LONG_AGO_S + 120.0)],
            job: "", told: Number(218.0),
            query: "sum(llm_d_epp_flow_control_queue_size{inference_pool=\"p\"})",
        },
        Scenario {
            what: "a crash loop keeps no queue from waking its pool",
            pages: (0..5).map(|start| router("p", 5, LONG_AGO_S + 60.0 * f64::from(start))).collect(),
            job: "", told: Number(5.0),
            query: "sum(llm_d_epp_flow_control_queue_size{inference_pool=\"p\"})",
        },
        Scenario {
            what: "a job that never gave a page keeps another's signal unknown for a while only",
            pages: vec![router("p", 6, LONG_AGO_S)], job: "never gives a page", told: Number(6.0),
            query: "sum(llm_d_epp_flow_control_queue_size{inference_pool=\"p\"})",
        },
        Scenario {
            what: "an idle queue is 0",
            pages: vec![router("p", 0, LONG_AGO_S)], job: "", told: Number(0.0),
            query: "sum(llm_d_epp_flow_control_queue_size{inference_pool=\"p\"})",
        },
        Scenario {
            what: "a page that is no page leaves nothing but a reason",
            pages: vec!["half a line{".to_owned()], job: "", told: Unknown("line 1"),
            query: "sum(llm_d_epp_flow_control_queue_size{inference_pool=\"p\"})",
        },
    ]
}

async fn start(scenario: &Scenario, target: &TestTarget) -> Running {
    let query = scenario.query.replace('\'', "''");
    let job = match scenario.job {
        "" => String::new(),
        "never gives a page" => {
            "  static_configs: [{targets: ['127.0.0.1:9']}]\n- job_name: other\n".to_owned()
        }
        job => format!("  {job}\n"),
    };
    let text = format!(
        "global: {{scrape_interval: 20ms}}\nscrape_configs:\n- job_name: epp\n{job}  static_configs: [{{targets: ['{}']}}]\n\
         signals:\n- name: s\n  expr: '{query}'\nexternal_metrics: {{insecure: true}}\n",
        target.address
    );
    let apis = ApiOptions {
        keda: Some(KedaOptions {
            address: "127.0.0.1:0".to_owned(),
            ..KedaOptions::default()
        }),
        ..ApiOptions::default()
    };
    server_of(&text, settings(None), apis).await
}

/// The number or the error that each API gives, by its name.
async fn told(running: &Running, query: &str) -> BTreeMap<&'static str, Result<f64, String>> {
    let address = running.addresses[0];
    let mut all = BTreeMap::new();
    let (status, _, body) = get(
        address,
        "/apis/external.metrics.k8s.io/v1beta1/namespaces/n/s",
    )
    .await;
    let json: Value = serde_json::from_str(&body).unwrap_or_default();
    let number = json["items"][0]["value"].as_str().map(quantity);
    all.insert(
        "external metrics",
        number.filter(|_| status == 200).ok_or(body),
    );

    let mut path = String::from("/guarded/api/v1/query?query=");
    for byte in query.bytes() {
        path += &format!("%{byte:02X}");
    }
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let (status, _, body) = http(address, &request).await;
    let json: Value = serde_json::from_str(&body).unwrap_or_default();
    let number = json["data"]["result"][0]["value"][1]
        .as_str()
        .map(|text| text.parse().expect("a number"));
    all.insert("/guarded", number.filter(|_| status == 200).ok_or(body));

    let request = "GET /signals/s HTTP/1.1\r\nHost: x\r\nAccept: application/json\r\nConnection: close\r\n\r\n";
    let (_, _, body) = http(address, request).await;
    let json: Value = serde_json::from_str(&body).unwrap_or_default();
    let signal = &json["signals"][0];
    let number = signal["elements"][0]["value"]
        .as_str()
        .map(|text| text.parse().expect("a number"));
    all.insert("/signals", number.ok_or(signal["reason"].to_string()));

    let mut client = connect(running.keda_address.expect("it listens"))
        .await
        .expect("loopback");
    let pairs = [("signal", "s"), ("threshold", "1"), ("latch", "0")];
    let request = GetMetricsRequest {
        scaled_object_ref: Some(ScaledObjectRef {
            name: "o".to_owned(),
            namespace: "n".to_owned(),
            scaler_metadata: pairs
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
        }),
        metric_name: "s".to_owned(),
    };
    let answer = client.get_metrics(request).await;
    all.insert(
        "KEDA",
        match answer {
            Ok(answer) => Ok(answer.metric_values[0].metric_value_float),
            Err(status) => Err(status.message().to_owned()),
        },
    );
    all
}

/// A Kubernetes quantity of the few forms that these scenarios have.
fn quantity(text: &str) -> f64 {
    let (digits, factor) = match text.strip_suffix('m') {
        Some(digits) => (digits, 0.001),
        None => (text, 1.0),
    };
    digits.parse::<f64>().expect("digits") * factor
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_api_tells_the_same_number_or_the_same_reason() {
    for scenario in scenarios() {
        let target = TestTarget::with_page(&scenario.pages[0]).await;
        let running = start(&scenario, &target).await;
        for page in &scenario.pages[1..] {
            let before = target.requests();
            eventually("a scrape of each page", || async {
                target.requests() > before + 2
            })
            .await;
            // Scalers poll: what /guarded is asked for the first time after a change has less to go by.
            told(&running, scenario.query).await;
            target.set_page(page);
        }
        let mut last = BTreeMap::new();
        for _ in 0..400 {
            last = told(&running, scenario.query).await;
            let fits = |told: &Result<f64, String>| match (told, &scenario.told) {
                (Ok(number), Number(wanted)) => number == wanted,
                (Err(why), Unknown(wanted)) => why.contains(wanted),
                _ => false,
            };
            if last.values().all(fits) {
                last.clear();
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
        assert!(last.is_empty(), "{}: {last:#?}", scenario.what);
        // A reason on the wire changes only when the state does: an HPA writes status and an event at each change.
        let unchanged = [
            told(&running, scenario.query).await,
            told(&running, scenario.query).await,
        ];
        assert_eq!(unchanged[0], unchanged[1], "{}", scenario.what);
        running.stop().await;
    }
}
