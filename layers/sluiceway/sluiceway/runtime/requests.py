"""The bytes of each request to the Runtime API. Pure; names no socket.

Source: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html; for streamed responses
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html#runtimes-custom-response-streaming
"""

from __future__ import annotations

import base64
import re
import sys
from typing import Final

from sluiceway.runtime.context import Call
from sluiceway.runtime.faults import Failure

__all__ = ["LAST_CHUNK", "Requests", "chunk", "failed_end"]

PATH: Final = "/2018-06-01/runtime"
LAST_CHUNK: Final = b"0\r\n\r\n"
_TOKEN: Final = re.compile(r"[^\x21-\x7e]")
_FIELD: Final = re.compile(r"[\x20-\x7e]*")


class Requests:
    """Requests to one Runtime API; `address` is `host:port`, as AWS_LAMBDA_RUNTIME_API has it."""

    def __init__(self, address: str) -> None:
        version = ".".join(map(str, sys.version_info[:3]))
        self._tail = f" HTTP/1.1\r\nHost: {address}\r\nUser-Agent: sluiceway-runtime python/{version}\r\n"
        self.next: Final = self._get(f"{PATH}/invocation/next")
        self.restore_next: Final = self._get(f"{PATH}/restore/next")

    def response(self, call: Call, body: bytes, content_type: str) -> bytes:
        """The answer to an invocation, whole."""
        head = f"POST {PATH}/invocation/{call.request_id}/response{self._tail}Content-Type: {content_type}\r\n"
        return f"{head}{_echo(call)}Content-Length: {len(body)}\r\n\r\n".encode() + body

    def error(self, call: Call, failure: Failure) -> bytes:
        """The function error of an invocation."""
        cause = f"Lambda-Runtime-Function-XRay-Error-Cause: {failure.cause}\r\n" if failure.cause else ""
        return self._post_error(f"invocation/{call.request_id}/error", failure, fields=f"{cause}{_echo(call)}")

    def init_error(self, failure: Failure, *, kind: str = "") -> bytes:
        """What made the environment unusable; `kind` where the header is to say something else than the body."""
        return self._post_error("init/error", failure, kind=kind)

    def restore_error(self, failure: Failure) -> bytes:
        """What failed after a restore from a snapshot."""
        return self._post_error("restore/error", failure, kind="Runtime.AfterRestoreError")

    def stream_head(self, call: Call, content_type: str) -> bytes:
        """The head of a streamed answer; chunks follow. Raises: ValueError for a content type that is no header."""
        if _FIELD.fullmatch(content_type) is None:
            raise ValueError("the content type of a stream has letters that no header may hold")
        return (
            f"POST {PATH}/invocation/{call.request_id}/response{self._tail}"
            f"Content-Type: {content_type}\r\n{_echo(call)}"
            "Lambda-Runtime-Function-Response-Mode: streaming\r\nTransfer-Encoding: chunked\r\n"
            "Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n\r\n"
        ).encode()

    def _get(self, path: str) -> bytes:
        return f"GET {path}{self._tail}\r\n".encode()

    def _post_error(self, route: str, failure: Failure, *, kind: str = "", fields: str = "") -> bytes:
        body = failure.body()
        head = f"POST {PATH}/{route}{self._tail}Content-Type: application/json\r\n"
        kind_field = f"Lambda-Runtime-Function-Error-Type: {_as_token(kind or failure.kind)}\r\n"
        return f"{head}{kind_field}{fields}Content-Length: {len(body)}\r\n\r\n".encode() + body


def chunk(data: bytes) -> bytes:
    """One chunk; never of nothing, which would be the end."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def failed_end(failure: Failure) -> bytes:
    """The end of a stream that failed: the last chunk, then trailers with the error, its JSON in base64."""
    body = base64.b64encode(failure.body()).decode()
    return (
        f"0\r\nLambda-Runtime-Function-Error-Type: {_as_token(failure.kind)}\r\n"
        f"Lambda-Runtime-Function-Error-Body: {body}\r\n\r\n"
    ).encode()


def _echo(call: Call) -> str:
    return f"Lambda-Runtime-Invocation-Id: {call.invocation_id}\r\n" if call.invocation_id else ""


def _as_token(kind: str) -> str:
    """A class may have any name; a header may not."""
    return _TOKEN.sub("?", kind) or "Unknown"
