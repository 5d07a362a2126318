"""runtime.requests: every byte that the client sends, against the Runtime API's documentation."""

from __future__ import annotations

import base64
import json
import sys

import pytest

from sluiceway.runtime.context import Call
from sluiceway.runtime.faults import Failure
from sluiceway.runtime.requests import LAST_CHUNK, Requests, chunk, failed_end

REQUESTS = Requests("127.0.0.1:9001")
CALL = Call("8476a536-e9f4-11e8-9739-2dfe598c3fcd", b"{}", 1542409706888)
AGENT = f"sluiceway-runtime python/{'.'.join(map(str, sys.version_info[:3]))}"
COMMON = f"Host: 127.0.0.1:9001\r\nUser-Agent: {AGENT}\r\n"
FAILURE = Failure("Error parsing event data.", "InvalidEventDataException", CALL.request_id, ("  at f\n",), '{"a": 1}')


def test_next_is_a_get_without_a_body():
    """Path, version and address as documented."""
    assert REQUESTS.next == f"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\n{COMMON}\r\n".encode()


def test_restore_next_is_a_get_without_a_body():
    """What SnapStart waits in."""
    assert REQUESTS.restore_next == f"GET /2018-06-01/runtime/restore/next HTTP/1.1\r\n{COMMON}\r\n".encode()


def test_a_response_has_its_type_and_its_length():
    """The request id is in the path."""
    assert (
        REQUESTS.response(CALL, b'{"ok":true}', "application/json")
        == (
            f"POST /2018-06-01/runtime/invocation/{CALL.request_id}/response HTTP/1.1\r\n{COMMON}"
            "Content-Type: application/json\r\nContent-Length: 11\r\n\r\n"
            '{"ok":true}'
        ).encode()
    )


def test_an_invocation_id_is_echoed():
    """Where `next` gave one, each answer names it."""
    call = CALL._replace(invocation_id="inv-7")
    line = b"\r\nLambda-Runtime-Invocation-Id: inv-7\r\n"
    assert line in REQUESTS.response(call, b"", "x")
    assert line in REQUESTS.error(call, FAILURE)
    assert line in REQUESTS.stream_head(call, "x")
    assert b"Invocation-Id" not in REQUESTS.response(CALL, b"", "x")


def test_an_error_has_its_type_and_its_cause_in_headers():
    """The body is what the caller of the function gets."""
    body = json.dumps(
        {
            "errorMessage": "Error parsing event data.",
            "errorType": "InvalidEventDataException",
            "requestId": CALL.request_id,
            "stackTrace": ["  at f\n"],
        }
    )
    assert (
        REQUESTS.error(CALL, FAILURE)
        == (
            f"POST /2018-06-01/runtime/invocation/{CALL.request_id}/error HTTP/1.1\r\n{COMMON}"
            "Content-Type: application/json\r\n"
            "Lambda-Runtime-Function-Error-Type: InvalidEventDataException\r\n"
            'Lambda-Runtime-Function-XRay-Error-Cause: {"a": 1}\r\n'
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode()
    )


def test_an_init_error_may_say_another_type_than_its_body():
    """As before a snapshot: the header has Lambda's word, the body the exception's."""
    sent = REQUESTS.init_error(FAILURE, kind="Runtime.BeforeSnapshotError")
    assert sent.startswith(b"POST /2018-06-01/runtime/init/error HTTP/1.1\r\n")
    assert b"Lambda-Runtime-Function-Error-Type: Runtime.BeforeSnapshotError\r\n" in sent
    assert b'"errorType": "InvalidEventDataException"' in sent
    assert b"Error-Type: InvalidEventDataException\r\n" in REQUESTS.init_error(FAILURE)


def test_a_restore_error_has_its_own_type():
    """Whatever failed."""
    sent = REQUESTS.restore_error(FAILURE)
    assert sent.startswith(b"POST /2018-06-01/runtime/restore/error HTTP/1.1\r\n")
    assert b"Lambda-Runtime-Function-Error-Type: Runtime.AfterRestoreError\r\n" in sent


def test_a_stream_announces_its_mode_its_chunks_and_its_trailers():
    """Mode streaming, chunked, and the two trailers that a failure midway may need."""
    assert (
        REQUESTS.stream_head(CALL, "text/event-stream")
        == (
            f"POST /2018-06-01/runtime/invocation/{CALL.request_id}/response HTTP/1.1\r\n{COMMON}"
            "Content-Type: text/event-stream\r\n"
            "Lambda-Runtime-Function-Response-Mode: streaming\r\n"
            "Transfer-Encoding: chunked\r\n"
            "Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n\r\n"
        ).encode()
    )


@pytest.mark.parametrize("content_type", ["text/plain\r\nX-Injected: 1", "täxt", "a\0b"])
def test_a_content_type_that_is_no_header_is_refused(content_type: str):
    """Nobody writes headers through it."""
    with pytest.raises(ValueError, match="content type"):
        REQUESTS.stream_head(CALL, content_type)


def test_chunks():
    """Size in hexadecimal; the last one is empty."""
    assert chunk(b"hello, chunked world") == b"14\r\nhello, chunked world\r\n"
    assert LAST_CHUNK == b"0\r\n\r\n"


def test_a_stream_that_failed_ends_with_trailers():
    """The error's JSON is in base64, since a trailer holds no line ends."""
    body = base64.b64encode(FAILURE.body()).decode()
    assert (
        failed_end(FAILURE)
        == (
            "0\r\nLambda-Runtime-Function-Error-Type: InvalidEventDataException\r\n"
            f"Lambda-Runtime-Function-Error-Body: {body}\r\n\r\n"
        ).encode()
    )


def test_an_error_type_never_breaks_out_of_its_header():
    """A class may be named anything."""
    sent = REQUESTS.error(CALL, FAILURE._replace(kind="Ä\r\nX-Injected: 1"))
    assert b"Lambda-Runtime-Function-Error-Type: ???X-Injected:?1\r\n" in sent
    assert b"Lambda-Runtime-Function-Error-Type: Unknown\r\n" in REQUESTS.error(CALL, FAILURE._replace(kind=""))
