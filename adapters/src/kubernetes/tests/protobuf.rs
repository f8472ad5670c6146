//! Answers in protobuf, read without their types.

use super::*;

/// One field of a protobuf message: its number, and a varint or bytes.
#[derive(Debug, PartialEq)]
enum Field {
    Number(u64, u64),
    Bytes(u64, Vec<u8>),
}

/// Reads a message without knowing its type, as far as these tests need it.
fn fields(mut message: &[u8]) -> Vec<Field> {
    fn varint(message: &mut &[u8]) -> u64 {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = message[0];
            *message = &message[1..];
            value |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return value;
            }
        }
    }
    let mut found = Vec::new();
    while !message.is_empty() {
        let key = varint(&mut message);
        let value = varint(&mut message);
        found.push(match key & 7 {
            0 => Field::Number(key >> 3, value),
            2 => {
                let (bytes, rest) = message.split_at(value as usize);
                message = rest;
                Field::Bytes(key >> 3, bytes.to_vec())
            }
            other => panic!("wire type {other}"),
        });
    }
    found
}

pub(super) fn bytes(message: &[u8], number: u64) -> Vec<Vec<u8>> {
    let fields = fields(message).into_iter();
    fields
        .filter_map(|field| match field {
            Field::Bytes(found, bytes) if found == number => Some(bytes),
            _ => None,
        })
        .collect()
}

pub(super) fn one(message: &[u8], number: u64) -> Vec<u8> {
    let mut found = bytes(message, number);
    assert_eq!(found.len(), 1, "field {number}");
    found.remove(0)
}

#[tokio::test]
async fn protobuf_is_the_envelope_and_the_message_that_kubernetes_reads() {
    let accept = [("accept", "application/vnd.kubernetes.protobuf, */*")];
    let path = format!("{BASE}/namespaces/default/igw_queue_depth");
    let (status, headers, body) = ask_bytes(Method::GET, &path, &accept).await;
    assert_eq!(
        (status, &headers["content-type"]),
        (StatusCode::OK, &HeaderValue::from_static(accept::PROTOBUF))
    );
    let unknown = body.strip_prefix(b"k8s\0").expect("the magic");
    let kind = one(unknown, 1);
    assert_eq!(one(&kind, 1), b"external.metrics.k8s.io/v1beta1");
    assert_eq!(one(&kind, 2), b"ExternalMetricValueList");
    let list = one(unknown, 2);
    assert_eq!(one(&list, 1), b"", "metadata");
    let items = bytes(&list, 2);
    assert_eq!(items.len(), 2);
    assert_eq!(one(&items[0], 1), b"igw_queue_depth");
    let label = one(&items[0], 2);
    assert_eq!(
        (one(&label, 1), one(&label, 2)),
        (b"inference_pool".to_vec(), b"p".to_vec())
    );
    assert_eq!(
        fields(&one(&items[0], 3)),
        [Field::Number(1, 1_795_460_400)]
    );
    assert_eq!(one(&one(&items[0], 5), 1), b"250");
    assert_eq!(one(&one(&items[1], 5), 1), b"1500m");

    let pool = "inferencepools.inference.networking.k8s.io";
    let path =
        format!("/apis/custom.metrics.k8s.io/v1beta2/namespaces/default/{pool}/p/igw_queue_depth");
    let (_, _, body) = ask_bytes(Method::GET, &path, &accept).await;
    let list = one(body.strip_prefix(b"k8s\0").expect("the magic"), 2);
    let item = one(&list, 2);
    let object = one(&item, 1);
    let texts: Vec<Vec<u8>> = [1, 2, 3, 5].map(|number| one(&object, number)).to_vec();
    assert_eq!(
        texts,
        [
            b"InferencePool".as_slice(),
            b"default",
            b"p",
            b"inference.networking.k8s.io/v1"
        ]
    );
    assert_eq!(one(&one(&item, 2), 1), b"igw_queue_depth");
    assert_eq!(one(&one(&item, 5), 1), b"250");

    // An error is a Status in JSON, which says so.
    let path = format!("{BASE}/namespaces/default/absent");
    let (status, headers, _) = ask(Method::GET, &path, &accept).await;
    assert_eq!(
        (status.as_u16(), headers["content-type"].as_bytes()),
        (404, b"application/json".as_slice())
    );
}
