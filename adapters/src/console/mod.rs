//! The console: one page at `/`, embedded in the binary.
//!
//! The page is HTML, a style sheet and a script without a framework; it reads the JSON that every other client reads
//! (`/signals`, `/api/v1/*`), and shows every text as text. Plots are SVG, drawn here by the crate plotters and shown as
//! images: the browser needs no chart code, and nothing in a label can become markup. Nothing is asked of another host,
//! which the Content-Security-Policy enforces.
//!
//! Cost: an open page asks for `/signals` and `/api/v1/targets` every two seconds, and for the plots that are in sight
//! every ten; a plot is a range query of at most `plot::STEPS` steps, with the places, time and memory of queries.

mod plot;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use axum::routing::get;

use crate::host::Host;
use crate::reply::{reply, reply_encoded};

/// Scripts, styles, images and data from here, and nothing else; nobody may frame the page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";

/// The routes. `/graph` is where Prometheus has its page: its links lead here.
pub fn router(host: Arc<dyn Host>) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/graph", get(graph))
        .merge(pages())
        .route("/console/app.js", get(script))
        .route("/console/style.css", get(style))
        .route("/console/icon.svg", get(icon))
        .route(
            "/console/plot.svg",
            get(move |request: Request<Body>| async move { plot(&*host, request).await }),
        )
}

/// Pages of Prometheus that runbooks and alerts link to, and the views of the console that tell the same.
const PAGES: [(&str, &str); 15] = [
    ("/query", "query"),
    ("/targets", "gateways"),
    ("/service-discovery", "gateways"),
    ("/alerts", "rules"),
    ("/rules", "rules"),
    ("/alertmanager-discovery", "status"),
    ("/config", "status"),
    ("/flags", "status"),
    ("/status", "status"),
    ("/tsdb-status", "status"),
    ("/agent", "status"),
    ("/console", "signals"),
    ("/consoles", "signals"),
    ("/features", "status"),
    ("/starting", "status"),
];

fn pages() -> Router {
    let add = |router: Router, (path, view): (&'static str, &'static str)| match view {
        "query" => router.route(path, get(graph)),
        _ => router.route(
            path,
            get(move || async move { redirect(&format!("./#/{view}")) }),
        ),
    };
    PAGES.into_iter().fold(Router::new(), add)
}

fn redirect(to: &str) -> Response<Body> {
    let mut response = reply(StatusCode::FOUND, HTML, String::new());
    if let Ok(to) = HeaderValue::from_str(to) {
        response.headers_mut().insert(header::LOCATION, to);
    }
    response
}

async fn page(headers: HeaderMap) -> Response<Body> {
    let page = include_str!("assets/index.html");
    asset(HTML, page, &headers)
}

async fn script(headers: HeaderMap) -> Response<Body> {
    let script = include_str!("assets/app.js");
    asset("text/javascript; charset=utf-8", script, &headers)
}

async fn style(headers: HeaderMap) -> Response<Body> {
    let style = include_str!("assets/style.css");
    asset("text/css; charset=utf-8", style, &headers)
}

async fn icon(headers: HeaderMap) -> Response<Body> {
    let icon = include_str!("assets/icon.svg");
    asset("image/svg+xml", icon, &headers)
}

/// `/graph?g0.expr=...` of Prometheus: the same query in the console.
async fn graph(request: Request<Body>) -> Response<Body> {
    let query = request.uri().query().unwrap_or("");
    let expr = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("g0.expr="));
    let to = match expr {
        // As it was encoded: it goes from one query string into another.
        Some(expr) => format!("./#/query?expr={expr}"),
        None => "./#/query".to_owned(),
    };
    redirect(&to)
}

async fn plot(host: &dyn Host, request: Request<Body>) -> Response<Body> {
    let mut response = match plot::answer(host, request.uri().query().unwrap_or("")).await {
        Ok(svg) => reply_encoded(StatusCode::OK, "image/svg+xml", svg, request.headers()),
        Err((status, why)) => reply(status, "text/plain; charset=utf-8", why),
    };
    secure(&mut response);
    response
}

fn asset(content_type: &'static str, text: &str, request: &HeaderMap) -> Response<Body> {
    let mut response = reply_encoded(StatusCode::OK, content_type, text.to_owned(), request);
    secure(&mut response);
    response
}

fn secure(response: &mut Response<Body>) {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"), // another version may run at this address tomorrow
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a newcomer downloads, before compression.
    const BYTES_MAX: usize = 200_000;

    #[test]
    fn the_page_is_small_and_asks_nobody_else() {
        let assets = [
            include_str!("assets/index.html"),
            include_str!("assets/app.js"),
            include_str!("assets/style.css"),
        ];
        assert!(assets.iter().map(|text| text.len()).sum::<usize>() < BYTES_MAX);
        for text in assets {
            for foreign in [
                "https://",
                "http://",
                "//cdn",
                "innerHTML",
                "insertAdjacentHTML",
                "eval(",
                " onclick",
            ] {
                let found = text.match_indices(foreign).any(|(at, _)| {
                    // The name of the SVG vocabulary is no address.
                    !text[at..].starts_with("http://www.w3.org/2000/svg")
                });
                assert!(!found, "{foreign}");
            }
        }
    }

    #[tokio::test]
    async fn links_of_prometheus_lead_to_the_same_query() {
        let link = "/graph?g0.expr=sum%28up%29&g0.tab=0";
        let request = Request::get(link).body(Body::empty()).expect("valid");
        let response = graph(request).await;
        assert_eq!(
            response.headers()[header::LOCATION],
            "./#/query?expr=sum%28up%29"
        );
    }
}
