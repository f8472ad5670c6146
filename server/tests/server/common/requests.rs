//! Requests on connections of their own, and what is read of answers.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::waiting::PATIENCE;

/// Sends one request on a connection of its own and returns status, headers and body.
pub async fn http(address: SocketAddr, request: &str) -> (u16, String, String) {
    let asking = async {
        let mut stream = TcpStream::connect(address).await.expect("listening");
        stream
            .write_all(request.as_bytes())
            .await
            .expect("the server reads");
        let mut answer = Vec::new();
        stream
            .read_to_end(&mut answer)
            .await
            .expect("the server answers");
        String::from_utf8_lossy(&answer).into_owned()
    };
    let answer = tokio::time::timeout(PATIENCE, asking)
        .await
        .expect("an answer in time");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .unwrap_or(0);
    (status, head.to_ascii_lowercase(), body.to_owned())
}

/// GETs a path.
pub async fn get(address: SocketAddr, path: &str) -> (u16, String, String) {
    http(
        address,
        &format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
    )
    .await
}

/// The data of a successful answer of the Prometheus API.
pub async fn data(address: SocketAddr, path: &str) -> Value {
    let (status, _, body) = get(address, path).await;
    assert_eq!(status, 200, "{path}: {body}");
    let answer: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(answer["status"], "success");
    answer["data"].clone()
}

/// The value of an instant query with one element; `None` where it has none.
pub async fn value(address: SocketAddr, query: &str) -> Option<f64> {
    let mut path = "/api/v1/query?query=".to_owned();
    stillwell::http_client::encode_query(query, &mut path);
    let data = data(address, &path).await;
    let result = data["result"].as_array().expect("a vector").clone();
    assert!(result.len() <= 1, "{query}: {result:?}");
    result.first().map(|element| {
        element["value"][1]
            .as_str()
            .expect("a string")
            .parse()
            .expect("a number")
    })
}
