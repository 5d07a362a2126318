"""Compressed payloads of REST APIs: requests are unpacked always, answers packed where the API and the client say so.

Sources: https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-make-request-with-compressed-payload.html
and https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-receive-response-with-compressed-payload.html
"""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import Final

from localcloud.gateway.errors import GatewayError
from localcloud.gateway.message import HttpRequest, HttpResponse

__all__ = ["pack_answer", "unpack_request"]

_WINDOWS: Final = {"gzip": 31, "deflate": 15}  # zlib's wbits: gzip (RFC 1952) and zlib (RFC 1950) frames
_HEADER: Final = "content-encoding"


def unpack_request(request: HttpRequest, *, limit_bytes: int) -> HttpRequest:
    """The request with its body unpacked, and no Content-Encoding left.

    Raises GatewayError: 415 for another coding or a body that is not of it, 413 over `limit_bytes` of unpacked body.
    """
    coding = (request.header(_HEADER) or "identity").strip().lower()
    if coding == "identity" or not request.body:
        return request
    if coding not in _WINDOWS:
        raise GatewayError("UNSUPPORTED_MEDIA_TYPE", reason=f"the content coding {coding[:100]!r}")
    body = _unpack(request.body, _WINDOWS[coding], limit_bytes)
    kept = tuple((name, value) for name, value in request.headers if name.lower() != _HEADER)
    return replace(request, body=body, headers=kept)


def _unpack(body: bytes, window: int, limit_bytes: int) -> bytes:
    unpacker = zlib.decompressobj(wbits=window)
    try:
        unpacked = unpacker.decompress(body, limit_bytes + 1)
    except zlib.error as error:
        raise GatewayError("UNSUPPORTED_MEDIA_TYPE", reason="the body is not of its content coding") from error
    if len(unpacked) > limit_bytes:
        raise GatewayError("REQUEST_TOO_LARGE", reason="the unpacked body")
    if not unpacker.eof or unpacker.unused_data:
        raise GatewayError("UNSUPPORTED_MEDIA_TYPE", reason="the body ends too early, or goes on after its end")
    return unpacked


def pack_answer(request: HttpRequest, answer: HttpResponse, *, from_bytes: int | None) -> HttpResponse:
    """The answer, packed where it has `from_bytes` (None: never) and the coding that the client likes best is known."""
    if from_bytes is None or answer.stream is not None or answer.header(_HEADER) is not None:
        return answer
    coding = _favourite(request.header("accept-encoding") or "")
    if coding not in _WINDOWS or len(answer.body) < from_bytes:
        return answer
    packer = zlib.compressobj(wbits=_WINDOWS[coding])
    body = packer.compress(answer.body) + packer.flush()
    return replace(answer, body=body, headers=(*answer.headers, ("Content-Encoding", coding)))


def _favourite(accepted: str) -> str:
    """The coding with the highest weight, the first of equal ones; "" for none."""
    best, weight = "", 0.0
    for each in accepted.split(","):
        coding, _, parameter = each.partition(";")
        name, _, value = parameter.strip().partition("=")
        try:
            given = float(value) if name.strip().lower() == "q" else 1.0
        except ValueError:
            given = 0.0
        if coding.strip() and given > weight:
            best, weight = coding.strip().lower(), given
    return best
