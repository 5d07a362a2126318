"""The CORS configuration of an HTTP API: the answer to a preflight, and the headers of every other answer. Pure.

Where there is one, what an integration says about CORS is left out.
Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-cors.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from localcloud.gateway.message import HttpRequest, HttpResponse

__all__ = ["MAX_AGE_S", "Cors", "answer_preflight", "apply_cors", "is_preflight"]

MAX_AGE_S: Final = 86_400  # apigatewayv2's API: IntegerWithLengthBetweenMinus1And86400; -1 says nothing
_OWN: Final = "access-control-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cors:
    """The settings; an origin is exact, `*`, `https://*` or `http://*`. `max_age_s` -1 sends none."""

    allow_credentials: bool = False
    allow_headers: tuple[str, ...] = ()
    allow_methods: tuple[str, ...] = ()
    allow_origins: tuple[str, ...] = ()
    expose_headers: tuple[str, ...] = ()
    max_age_s: int = -1


def is_preflight(request: HttpRequest) -> bool:
    """Whether a browser asks if it may ask."""
    return (
        request.method == "OPTIONS"
        and request.header("origin") is not None
        and request.header("access-control-request-method") is not None
    )


def answer_preflight(cors: Cors, request: HttpRequest) -> HttpResponse:
    """The API's own answer to a preflight; an origin that is not allowed gets no CORS headers."""
    headers = _origin_headers(cors, request)
    if headers:
        for name, values in (("methods", cors.allow_methods), ("headers", cors.allow_headers)):
            if values:
                headers.append((f"access-control-allow-{name}", ",".join(values)))
        if cors.max_age_s >= 0:
            headers.append(("access-control-max-age", str(cors.max_age_s)))
    return HttpResponse(204, tuple(headers))


def apply_cors(cors: Cors, request: HttpRequest, headers: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """The answer's headers with the API's in the place of the integration's."""
    own = _origin_headers(cors, request)
    if own and cors.expose_headers:
        own.append(("access-control-expose-headers", ",".join(cors.expose_headers)))
    return (*(each for each in headers if not each[0].lower().startswith(_OWN)), *own)


def _origin_headers(cors: Cors, request: HttpRequest) -> list[tuple[str, str]]:
    origin = request.header("origin")
    if origin is None or not any(_allows(each, origin) for each in cors.allow_origins):
        return []
    headers = [("access-control-allow-origin", "*" if "*" in cors.allow_origins else origin)]
    if "*" not in cors.allow_origins:
        headers.append(("vary", "Origin"))
    if cors.allow_credentials:
        headers.append(("access-control-allow-credentials", "true"))
    return headers


def _allows(allowed: str, origin: str) -> bool:
    if allowed == "*":
        return True
    if allowed in {"https://*", "http://*"}:
        return origin.lower().startswith(allowed[:-1])
    return allowed.lower() == origin.lower()
