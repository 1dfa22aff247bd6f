#!/usr/bin/python3
"""A client of the CRI on another gRPC stack (grpcio), with protobuf encoded by hand: no code is shared with the gate.

    client.py SOCKET SIGNED UNSIGNED LOGS

Pulls SIGNED, runs a pod and a container of it, and tries UNSIGNED, a method that does not exist, a field that does not
exist, a message of 15 MiB and a service that is not the CRI's. Prints one JSON object.
"""

import json, sys, time
from urllib.parse import quote

import grpc

RUNTIME, IMAGES = "/runtime.v1.RuntimeService/", "/runtime.v1.ImageService/"
EXITED, NODE = 2, 2


def varint(number):
    out = b""
    while number > 0x7F:
        out, number = out + bytes([number & 0x7F | 0x80]), number >> 7
    return out + bytes([number])


def message(**fields):
    """`f1="text", f2=7, f3=b"message"`: strings and bytes with their length, numbers as varints."""
    out = b""
    for name, value in fields.items():
        number = int(name[1:]) << 3
        if isinstance(value, int):
            out += varint(number) + varint(value)
        else:
            value = value.encode() if isinstance(value, str) else value
            out += varint(number | 2) + varint(len(value)) + value
    return out


def fields(data):
    """The last value of each field: bytes, or a number."""
    at, out = 0, {}

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at, value, shift = at + 1, value | (byte & 0x7F) << shift, shift + 7
            if byte < 0x80:
                return value

    while at < len(data):
        key = number()
        if key & 7 == 0:
            out[key >> 3] = number()
        else:
            length = number()
            out[key >> 3], at = data[at : at + length], at + length
    return out


def main(socket, signed, unsigned, logs):
    # grpcio 1.60 and newer name a unix socket's path as :authority, percent-encoded; so that older ones do too, it is said.
    limit = 16 << 20
    authority = quote(socket.lstrip("/"), safe="")
    options = [("grpc.default_authority", authority), ("grpc.max_send_message_length", limit),
               ("grpc.max_receive_message_length", limit)]
    channel = grpc.insecure_channel(f"unix:{socket}", options)
    said = {}

    def call(path, request=b""):
        return fields(channel.unary_unary(path)(request, timeout=60))

    def fails(name, path, request=b""):
        try:
            call(path, request)
            said[name] = ["OK", ""]
        except grpc.RpcError as error:
            said[name] = [error.code().name, error.details()]

    pull = message(f1=message(f1=signed))
    began = time.monotonic()
    image = call(IMAGES + "PullImage", pull)[1].decode()
    said["pull_ms"] = round((time.monotonic() - began) * 1e3)
    said["image"] = image
    said["with_unknown_field"] = call(IMAGES + "PullImage", pull + message(f999="not of this version"))[1].decode()

    network = message(f2=message(f1=message(f1=NODE)))
    pod = message(f1=message(f1="grpcio", f2="uid-grpcio", f3="prod-eu"), f3=logs, f8=network)
    sandbox = call(RUNTIME + "RunPodSandbox", message(f1=pod))[1]
    container = message(f1=message(f1="hello"), f2=message(f1=image, f18=signed), f11="hello.log")
    made = call(RUNTIME + "CreateContainer", message(f1=sandbox, f2=container, f3=pod))[1]
    call(RUNTIME + "StartContainer", message(f1=made))
    deadline = time.monotonic() + 60
    while True:
        status = fields(call(RUNTIME + "ContainerStatus", message(f1=made))[1])
        if status.get(3) == EXITED or time.monotonic() > deadline:
            break
        time.sleep(0.02)
    said["state"], said["exit_code"] = status.get(3), status.get(7, 0)
    with open(f"{logs}/hello.log") as log:
        said["output"] = log.read()

    fails("unsigned", IMAGES + "PullImage", message(f1=message(f1=unsigned)))
    fails("unknown_method", RUNTIME + "NoSuchMethod", b"")
    fails("native_api", "/containerd.services.images.v1.Images/List", b"")
    large = message(f1=message(f1=message(f1="x" * (15 << 20))))
    said["large_bytes"] = len(large)
    began = time.monotonic()
    fails("large", IMAGES + "ListImages", large)
    said["large_ms"] = round((time.monotonic() - began) * 1e3)
    noted = message(f1=message(f1=signed, f2=message(f1="note", f2="x" * (15 << 20))))
    fails("large_pull", IMAGES + "PullImage", noted)
    print(json.dumps(said))


main(*sys.argv[1:])
