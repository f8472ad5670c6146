//! What KEDA's prometheus scaler sends, and what it makes of answers, against both base URLs: plain Prometheus and
//! `/guarded`. Its parser is written out here from its contract: strings, one element, no scalar and no matrix.

use std::net::SocketAddr;

use crate::common::certificates::{Authority, Files, SERVICE, status};
use crate::common::{Act, TestTarget, http, server_of, settings, state, until};
use serde_json::Value;
use stillwell::serve::web::WebOptions;
use stillwell::serve::{ApiOptions, Running};
use stillwell_adapters::host::{Health, Host as _};

const BASES: [&str; 2] = ["", "/guarded"];
const PAGE: &str =
    "# TYPE q gauge\nq{inference_pool=\"p\"} 12.5\nq{inference_pool=\"r\"} 3\nnan_q 0\n";

async fn serve(web: WebOptions) -> (TestTarget, Running) {
    let target = TestTarget::with_page(PAGE).await;
    let text = format!(
        "global: {{scrape_interval: 100ms}}\nscrape_configs:\n- job_name: epp\n  static_configs: [{{targets: ['{}']}}]\n",
        target.address
    );
    let apis = ApiOptions {
        web,
        ..ApiOptions::default()
    };
    let running = server_of(&text, settings(None), apis).await;
    // The scaler asks for the last whole second: on the plain base there has to be a sample before it.
    until(&running.app, "a good scrape before this second", |app| {
        let first = app.reader().stats().oldest_ms;
        first.is_some_and(|first_ms| first_ms <= app.now().ms() / 1000 * 1000)
    })
    .await;
    (target, running)
}

/// As `prometheus_scaler.go` asks: GET, the query escaped, `time` in whole seconds, what else there is behind it.
async fn ask(
    running: &Running,
    base: &str,
    query: &str,
    more: &str,
    headers: &str,
) -> (u16, String) {
    let now_s = running.app.now().ms() / 1000;
    let time =
        stillwell_adapters::time::rfc3339(stillwell_engine::Timestamp::from_ms(now_s * 1000));
    let mut path = format!("{base}/api/v1/query?query=");
    stillwell::http_client::encode_query(query, &mut path);
    let request = format!(
        "GET {path}&time={time}{more} HTTP/1.1\r\nHost: x\r\nUser-Agent: Go-http-client/1.1\r\n{headers}Connection: close\r\n\r\n"
    );
    let (status, _, body) = http(running.addresses[0], &request).await;
    (status, body)
}

/// What the scaler makes of an answer: a number, `None` for its "no value" (0 under `ignoreNullValues`, which is the
/// default), or an error. It would panic on a value that is no string.
fn as_keda_reads(status: u16, body: &str) -> Result<Option<f64>, String> {
    if !(200..=299).contains(&status) {
        return Err(format!(
            "prometheus query api returned error. status: {status}"
        ));
    }
    let answer: Value = serde_json::from_str(body).map_err(|error| error.to_string())?;
    let result = answer["data"]["result"].as_array().ok_or("no result")?;
    if result.iter().any(|element| !element.is_object()) {
        return Err("a scalar or a string cannot be unmarshalled".to_owned());
    }
    match result.as_slice() {
        [] => Ok(None),
        [one] if one.get("value").is_none() => Ok(None), // a matrix: 0, silently
        [one] => {
            let value = one["value"][1]
                .as_str()
                .expect("the operator panics on a value that is no string");
            let value: f64 = value.parse().map_err(|_| "not a number".to_owned())?;
            Ok(value.is_finite().then_some(value))
        }
        _ => Err("returned multiple elements".to_owned()),
    }
}

#[tokio::test]
async fn a_number_reads_as_itself_under_every_parameter_and_header() {
    let (_target, running) = serve(WebOptions::default()).await;
    for base in BASES {
        for (more, headers) in [
            ("", ""),
            ("", "Accept-Encoding: gzip\r\n"),
            ("&namespace=serving", ""),
            ("&namespace=a b&dedup=true&partial_response=false", ""),
            ("&timeout=3s&limit=10", ""),
            ("", "X-Scope-OrgID: tenant\r\nX-Custom: a,b\r\n"),
            ("", "Authorization: Bearer whatever\r\n"),
            ("", "Authorization: Basic dXNlcjpwYXNz\r\n"),
            ("", "X-API-Key: whatever\r\n"),
        ] {
            let more = more.replace(' ', "%20");
            for path in [base.to_owned(), format!("{base}/")] {
                let (status, body) = ask(
                    &running,
                    &path,
                    "sum(q{inference_pool=\"p\"})",
                    &more,
                    headers,
                )
                .await;
                assert_eq!(
                    as_keda_reads(status, &body),
                    Ok(Some(12.5)),
                    "{path} {more} {headers}: {body}"
                );
            }
        }
    }
}

#[tokio::test]
async fn what_is_no_single_number_is_what_the_base_says() {
    let (_target, running) = serve(WebOptions::default()).await;
    // The query, what KEDA makes of Prometheus' answer, and what it must make of the guarded one.
    let table = [
        ("sum(q)", Ok(Some(15.5)), Ok(Some(15.5))),
        ("vector(2)", Ok(Some(2.0)), Ok(Some(2.0))),
        ("sum(typo)", Ok(None), Err("503")),
        ("q", Err("multiple"), Err("422")),
        ("1 + 1", Err("scalar"), Ok(Some(2.0))),
        ("scalar(sum(q))", Err("scalar"), Ok(Some(15.5))),
        ("q{inference_pool=\"p\"}[5m]", Ok(None), Err("422")),
        ("0 / nan_q", Ok(None), Err("503")),
        ("sum(", Err("400"), Err("400")),
        ("-3 * sum(q)", Ok(Some(-46.5)), Ok(Some(-46.5))),
    ];
    for (query, plain, guarded) in table {
        for (base, expected) in BASES.iter().zip([plain, guarded]) {
            let (status, body) = ask(&running, base, query, "", "").await;
            let read = as_keda_reads(status, &body);
            match (&read, expected) {
                (Ok(read), Ok(expected)) => assert_eq!(*read, expected, "{base} {query}: {body}"),
                (Err(why), Err(says)) => {
                    assert!(why.contains(says), "{base} {query}: {why}: {body}")
                }
                _ => panic!("{base} {query}: {read:?}, not {expected:?}: {body}"),
            }
        }
    }
}

#[tokio::test]
async fn an_outage_is_an_error_on_the_guarded_base_and_never_a_zero() {
    let (target, running) = serve(WebOptions::default()).await;
    target.set(Act::Reset);
    until(&running.app, "the outage", |app| {
        state(app, &target).health() == Health::Down
    })
    .await;
    // Held at first; then an error; in no answer between is there a 0.
    let mut held = 0;
    loop {
        let (status, body) =
            ask(&running, "/guarded", "sum(q{inference_pool=\"p\"})", "", "").await;
        match as_keda_reads(status, &body) {
            Ok(value) => assert_eq!(value, Some(12.5), "{body}"),
            Err(why) => {
                assert!(why.contains("503"), "{why}");
                break;
            }
        }
        held += 1;
        let scraped = running.app.scraper().shared().scraped.notified();
        scraped.await;
    }
    assert!(held > 0, "it is held for a while");
    // Beside it what Prometheus says, which KEDA takes for 0.
    let (status, body) = ask(&running, "", "sum(q{inference_pool=\"p\"})", "", "").await;
    assert_eq!(as_keda_reads(status, &body), Ok(None), "{body}");
}

#[tokio::test]
async fn every_auth_mode_of_the_scaler_is_let_in_and_nobody_without() {
    let files = Files::new("authmodes");
    files.write("token", "t0ken\n");
    let hash = bcrypt::hash("pass", 4).expect("random");
    let text = format!("basic_auth_users: {{user: {hash}}}\nbearer_token_file: token\n");
    let (_target, running) = serve(WebOptions {
        config_file: Some(files.write("web.yml", &text)),
        ..WebOptions::default()
    })
    .await;
    for base in BASES {
        for (headers, status) in [
            ("Authorization: Basic dXNlcjpwYXNz\r\n", 200),
            ("Authorization: Bearer t0ken\r\n", 200),
            ("", 401),
            ("Authorization: Bearer t\r\n", 401),
        ] {
            assert_eq!(
                ask(&running, base, "sum(q)", "", headers).await.0,
                status,
                "{base} {headers}"
            );
        }
    }
}

#[tokio::test]
async fn the_tls_auth_mode_needs_its_certificate() {
    let files = Files::new("tlsmode");
    let authority = Authority::new("ca");
    files.serve(&authority.server(SERVICE));
    files.write("ca.crt", &authority.certificate.pem());
    let text = "tls_server_config: {cert_file: server.crt, key_file: server.key, client_ca_file: ca.crt, client_auth_type: RequireAndVerifyClientCert}\n";
    let (_target, running) = serve(WebOptions {
        config_file: Some(files.write("web.yml", text)),
        ..WebOptions::default()
    })
    .await;
    let address: SocketAddr = running.addresses[0];
    let keda = authority.client_with_alternative_name("keda");
    for base in BASES {
        let path = format!("{base}/api/v1/query?query=sum(q)");
        assert_eq!(
            status(address, &authority.der(), Some(&keda), &path).await,
            Ok(200)
        );
        assert!(
            status(address, &authority.der(), None, &path)
                .await
                .is_err()
        );
    }
}
