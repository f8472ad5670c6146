//! Every way in which a target can misbehave, each with a real socket.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// Answers connection `n` with `answers[n]`, verbatim, once a request has been read; an empty answer hangs. A
/// connection stays open afterwards where `close` is false.
async fn server(answers: Vec<Vec<u8>>, close: bool) -> (Url, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let url = format!("http://{}/metrics", listener.local_addr().expect("bound"));
    let task = tokio::spawn(async move {
        let (mut requests, mut open) = (Vec::new(), Vec::new());
        for answer in answers {
            let (mut stream, _) = listener.accept().await.expect("a client");
            requests.push(read_request(&mut stream).await);
            stream.write_all(&answer).await.ok();
            if !close || answer.is_empty() {
                open.push(stream);
            }
        }
        if !open.is_empty() {
            std::future::pending::<()>().await;
        }
        requests
    });
    (Url::parse(&url).expect("valid"), task)
}

async fn read_request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else {
            break;
        };
        request.push(byte);
    }
    String::from_utf8(request).expect("headers are ASCII")
}

fn options(url: Url) -> FetchOptions {
    FetchOptions {
        url,
        timeout_ms: 20_000,
        body_bytes_max: 1 << 20,
        follow_redirects: true,
        ask_compressed: false,
        accept: "text/plain".to_owned(),
        age_ms_max: 2_000,
    }
}

fn ok(body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}

async fn fetch(
    answers: Vec<Vec<u8>>,
    change: impl FnOnce(&mut FetchOptions),
) -> Result<String, String> {
    let (url, task) = server(answers, true).await;
    let mut options = options(url);
    change(&mut options);
    let result = Client::new(options, Access::default())
        .fetch(&FetchLimiter::default())
        .await;
    task.abort();
    result
        .map(|page| String::from_utf8(page.body).expect("text"))
        .map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_page_arrives_with_the_headers_that_prometheus_sends() {
    let (url, task) = server(vec![ok("up 1\n")], true).await;
    let page = Client::new(options(url), Access::default())
        .fetch(&FetchLimiter::default())
        .await
        .expect("a page");
    assert_eq!(
        (page.body.as_slice(), page.content_type.as_str()),
        (&b"up 1\n"[..], "text/plain")
    );
    let request = task.await.expect("served")[0].to_ascii_lowercase();
    assert!(
        request.starts_with("get /metrics http/1.1\r\n"),
        "{request}"
    );
    for line in [
        "accept: text/plain\r\n",
        "accept-encoding: identity\r\n",
        "user-agent: stillwell/",
        "x-prometheus-scrape-timeout-seconds: 20\r\n",
        "host: 127.0.0.1:",
    ] {
        assert!(request.contains(line), "{line} in {request}");
    }
}

#[tokio::test]
async fn a_chunked_page_is_put_together() {
    let page =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nup \r\n2\r\n1\n\r\n0\r\n\r\n"
            .to_vec();
    assert_eq!(fetch(vec![page], |_| {}).await, Ok("up 1\n".to_owned()));
}

#[tokio::test]
async fn failures_say_what_happened() {
    let redirect = |to: &str| {
        format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n").into_bytes()
    };
    let huge = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(3 << 20)).into_bytes();
    let cases: Vec<(Vec<Vec<u8>>, &str)> = vec![
        (
            vec![b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec()],
            "server returned HTTP status 404 Not Found",
        ),
        (
            vec![b"HTTP/1.1 500 Nope\r\nContent-Length: 0\r\n\r\n".to_vec()],
            "server returned HTTP status 500",
        ),
        (
            vec![b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nup 1\n".to_vec()],
            "the connection ended after 5 of 100 bytes",
        ),
        (
            vec![b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nup".to_vec()],
            "ended 2 bytes into the page, before its last chunk",
        ),
        (
            vec![b"SSH-2.0-OpenSSH\r\n".to_vec()],
            "the answer is not HTTP/1: invalid HTTP version",
        ),
        (
            vec![b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n".to_vec()],
            "body size limit exceeded",
        ),
        (vec![huge], "body size limit exceeded"),
        (vec![redirect("/loop"); 11], "stopped after 10 redirects"),
        (
            vec![redirect("ftp://a/")],
            "redirect: scheme \"ftp\" is neither",
        ),
        (
            vec![b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n".to_vec()],
            "without a Location",
        ),
    ];
    for (answers, says) in cases {
        let error = fetch(answers, |_| {}).await.expect_err(says);
        assert!(error.contains(says), "{error} should say {says}");
    }
}

#[tokio::test]
async fn redirects_are_followed_or_not_as_asked() {
    let redirect =
        b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n"
            .to_vec();
    let answers = vec![redirect.clone(), ok("up 1\n")];
    assert_eq!(fetch(answers, |_| {}).await, Ok("up 1\n".to_owned()));
    let refused = fetch(vec![redirect], |options| options.follow_redirects = false).await;
    assert_eq!(
        refused,
        Err("server returned HTTP status 307 Temporary Redirect".to_owned())
    );
}

#[tokio::test(start_paused = true)]
async fn a_hanging_target_ends_with_the_timeout() {
    // The clock is paused: it jumps to the timeout as soon as nothing else can happen.
    let error = fetch(vec![Vec::new()], |options| options.timeout_ms = 700).await;
    assert!(
        error
            .expect_err("it hangs")
            .starts_with("context deadline exceeded: no answer within 700 ms")
    );
}

#[tokio::test(start_paused = true)]
async fn a_page_that_drips_ends_with_the_timeout() {
    let half = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nup".to_vec();
    let (url, task) = server(vec![half], false).await;
    let options = FetchOptions {
        timeout_ms: 300,
        ..options(url)
    };
    let mut client = Client::new(options, Access::default());
    let result = client.fetch(&FetchLimiter::default()).await;
    assert!(
        matches!(
            result,
            Err(ScrapeError::Timeout {
                timeout_ms: 300,
                ..
            })
        ),
        "{result:?}"
    );
    task.abort();
}

/// A target that sends interim answers without end took a third of all scrapes.
#[tokio::test]
async fn interim_answers_have_a_bound() {
    let interim = "HTTP/1.1 100 Continue\r\n\r\n".repeat(10);
    let answer = [interim.clone().into_bytes(), ok("up 1\n")].concat();
    assert_eq!(fetch(vec![answer], |_| {}).await, Ok("up 1\n".to_owned()));
    let endless = interim.repeat(2).into_bytes();
    let error = fetch(vec![endless], |_| {}).await.expect_err("too many");
    assert!(error.contains("more than 16 interim answers"), "{error}");
}

#[tokio::test]
async fn a_large_page_among_too_many_is_refused_and_small_ones_are_not() {
    let limiter = FetchLimiter::new(0);
    let mut stranger = limiter.memory.lease(0);
    stranger.cover(50 << 20).expect("it is alone");
    for (bytes, refused) in [(100_000, false), (900_000, false), (3_000_000, true)] {
        let (url, _task) = server(vec![ok(&"#".repeat(bytes))], true).await;
        let options = FetchOptions {
            body_bytes_max: 64 << 20,
            ..options(url)
        };
        let page = Client::new(options, Access::default())
            .fetch(&limiter)
            .await;
        let error = page
            .map(|page| page.body.len())
            .map_err(|error| error.to_string());
        match refused {
            false => assert_eq!(error, Ok(bytes)),
            true => assert!(error.is_err_and(|why| why.contains("too many large pages"))),
        }
    }
}

#[tokio::test]
async fn nobody_listening_is_a_refused_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let url = Url::parse(&format!(
        "http://{}/",
        listener.local_addr().expect("bound")
    ))
    .expect("valid");
    drop(listener);
    let error = Client::new(options(url), Access::default())
        .fetch(&FetchLimiter::default())
        .await
        .expect_err("refused");
    assert!(error.to_string().contains("onnection refused"), "{error}");
}

#[tokio::test]
async fn a_reset_connection_fails_the_scrape() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let url = Url::parse(&format!(
        "http://{}/",
        listener.local_addr().expect("bound")
    ))
    .expect("valid");
    let task = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a client");
        stream.set_zero_linger().expect("a socket option");
        drop(stream); // with unread data or no linger this is a reset
    });
    let error = Client::new(options(url), Access::default())
        .fetch(&FetchLimiter::default())
        .await
        .expect_err("reset");
    assert!(matches!(error, ScrapeError::Http(_)), "{error}");
    task.await.expect("ran");
}

#[tokio::test]
async fn a_connection_is_kept_and_a_dead_one_is_replaced_within_the_same_scrape() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let url = Url::parse(&format!(
        "http://{}/",
        listener.local_addr().expect("bound")
    ))
    .expect("valid");
    let task = tokio::spawn(async move {
        let mut per_connection = Vec::new();
        for requests in [2, 1] {
            let (mut stream, _) = listener.accept().await.expect("a client");
            for _ in 0..requests {
                read_request(&mut stream).await;
                stream
                    .write_all(&ok("up 1\n"))
                    .await
                    .expect("the client reads");
            }
            per_connection.push(requests);
        }
        per_connection
    });
    let mut client = Client::new(options(url), Access::default());
    for _ in 0..3 {
        let page = client.fetch(&FetchLimiter::default()).await;
        assert_eq!(page.expect("a page each time").body, b"up 1\n");
    }
    assert_eq!(task.await.expect("ran"), [2, 1]);
}

/// A cache's page of ten minutes ago was told as measured now, and `3` for `30` of a server that died as it wrote.
#[tokio::test]
async fn an_old_page_and_one_that_is_cut_off_are_none() {
    let answer = |headers: &str, body: &str| {
        format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n{headers}\r\n{body}").into_bytes()
    };
    for (headers, body, expected) in [
        (
            "Age: 600\r\nContent-Length: 4\r\n",
            "x 1\n",
            Err("600 s ago"),
        ),
        ("Age: 2\r\nContent-Length: 4\r\n", "x 1\n", Ok("x 1\n")),
        ("Age: soon\r\nContent-Length: 4\r\n", "x 1\n", Ok("x 1\n")),
        ("Content-Length: 3\r\n", "x 1", Ok("x 1")),
        ("", "x 1\ny 3", Err("within a line, after 7 bytes")),
        ("", "x 1\ny 30\n", Ok("x 1\ny 30\n")),
        ("", "", Ok("")),
    ] {
        let fetched = fetch(vec![answer(headers, body)], |_| {}).await;
        match expected {
            Ok(page) => assert_eq!(fetched.as_deref(), Ok(page)),
            Err(says) => {
                let why = fetched.expect_err("no page");
                assert!(why.contains(says), "{why}");
            }
        }
    }
}
