"""Drives KEDA's external scaler with grpcio, every message encoded by hand from the public field numbers.

Called by the Rust test of the same name, which moves the queue and ends the server when this says so on stdout.
"""

import struct
import sys

import grpc

SERVICE = "/externalscaler.ExternalScaler/"
PATIENCE_S = 60


def varint(number):
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def field(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def reference(metadata, name="llama", namespace="serving"):
    out = field(1, name.encode()) + field(2, namespace.encode())
    for key, value in metadata.items():
        out += field(3, field(1, key.encode()) + field(2, value.encode()))
    return out


def fields(data):
    """Every field as (number, value): ints of varints, floats of 64 bits, bytes of the rest."""
    at, found = 0, []

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        key = number()
        if key & 7 == 0:
            value = number()
        elif key & 7 == 1:
            value = struct.unpack("<d", data[at : at + 8])[0]
            at += 8
        elif key & 7 == 2:
            length = number()
            value = data[at : at + length]
            at += length
        else:
            raise ValueError(f"wire type {key & 7}")
        found.append((key >> 3, value))
    return found


def one(data, number, default):
    return dict(fields(data)).get(number, default)


def say(word):
    print(word, flush=True)


def expect(found, wanted, what):
    if found != wanted:
        sys.exit(f"{what}: {found!r}, not {wanted!r}")


def main():
    channel = grpc.insecure_channel(sys.argv[1])
    unary = lambda method: channel.unary_unary(SERVICE + method)
    stream = lambda method: channel.unary_stream(SERVICE + method)
    trigger = {"scalerAddress": sys.argv[1], "signal": "igw_queue_depth", "threshold": "2.5", "latch": "0"}
    good = reference(trigger)

    spec = one(unary("GetMetricSpec")(good, timeout=PATIENCE_S), 1, b"")
    expect(one(spec, 1, b""), b"igw_queue_depth", "metric name")
    expect(one(spec, 2, 0), 3, "whole target")
    expect(one(spec, 3, 0.0), 2.5, "target")
    expect(one(unary("IsActive")(good, timeout=PATIENCE_S), 1, 0), 0, "idle")
    asked = field(1, good) + field(2, b"igw_queue_depth")
    value = one(unary("GetMetrics")(asked, timeout=PATIENCE_S), 1, b"")
    expect(one(value, 1, b""), b"igw_queue_depth", "the name asked for")
    expect((one(value, 2, 0), one(value, 3, 0.0)), (0, 0.0), "an idle queue")

    specs = stream("StreamMetricSpec")(good)
    expect(one(one(next(specs), 1, b""), 3, 0.0), 2.5, "streamed target")
    active = stream("StreamIsActive")(good)
    expect(one(next(active), 1, 0), 0, "the state at once")
    say("queue")
    expect(one(next(active), 1, 0), 1, "the edge")
    expect(one(unary("IsActive")(good, timeout=PATIENCE_S), 1, 0), 1, "awake")
    value = one(unary("GetMetrics")(asked, timeout=PATIENCE_S), 1, b"")
    expect((one(value, 2, 0), one(value, 3, 0.0)), (7, 7.0), "the queue")

    # GetMetricSpec looks at the metadata alone (keda#8168): what a name or query comes to, the other methods say.
    for metadata, methods, says in [
        ({"signal": "nope", "threshold": "1"}, ["IsActive"], "signal: there is no signal"),
        ({"query": "sum(", "threshold": "1"}, ["IsActive"], "query:"),
        ({"signal": "igw_queue_depth"}, ["IsActive", "GetMetricSpec"], "threshold:"),
        ({"signal": "igw_queue_depth", "threshold": "x"}, ["IsActive", "GetMetricSpec"], "threshold:"),
    ]:
        for method in methods:
            try:
                unary(method)(reference(metadata), timeout=PATIENCE_S)
                sys.exit(f"{metadata} was taken")
            except grpc.RpcError as error:
                expect(error.code(), grpc.StatusCode.INVALID_ARGUMENT, str(metadata))
                if says not in error.details():
                    sys.exit(f"{metadata}: {error.details()!r} does not say {says!r}")

    say("end")
    for _ in active:
        pass
    for _ in specs:
        pass
    expect(active.code(), grpc.StatusCode.OK, "the end of the stream")
    expect(specs.code(), grpc.StatusCode.OK, "the end of the stream of targets")
    say("done")


if __name__ == "__main__":
    main()
