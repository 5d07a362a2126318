"""Cross-origin rules of a Function URL: the answer to a preflight, and the headers of every other answer. Pure.

Source: https://docs.aws.amazon.com/lambda/latest/dg/urls-configuration.html#urls-cors
"""

from __future__ import annotations

from dataclasses import dataclass

from localcloud.gateway.message import HttpRequest, HttpResponse

__all__ = ["Cors", "answer_preflight", "apply_cors"]

_OWN: frozenset[str] = frozenset(
    {
        "access-control-allow-credentials",
        "access-control-allow-headers",
        "access-control-allow-methods",
        "access-control-allow-origin",
        "access-control-expose-headers",
        "access-control-max-age",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cors:
    """The settings; `*` in a list allows all. `max_age_s` 0 to 86,400."""

    allow_credentials: bool = False
    allow_headers: tuple[str, ...] = ()
    allow_methods: tuple[str, ...] = ()
    allow_origins: tuple[str, ...] = ()
    expose_headers: tuple[str, ...] = ()
    max_age_s: int = 0


def answer_preflight(cors: Cors, request: HttpRequest) -> HttpResponse | None:
    """Lambda's own answer to a preflight, None for any other request; one that is not allowed has no CORS headers."""
    method = request.header("access-control-request-method")
    if request.method != "OPTIONS" or method is None or request.header("origin") is None:
        return None
    headers = _origin_headers(cors, request)
    if headers and ("*" in cors.allow_methods or method in cors.allow_methods):
        headers.append(("Access-Control-Allow-Methods", ",".join(cors.allow_methods)))
        if cors.allow_headers:
            headers.append(("Access-Control-Allow-Headers", _allowed_headers(cors, request)))
        if cors.max_age_s:
            headers.append(("Access-Control-Max-Age", str(cors.max_age_s)))
    else:
        headers = []
    return HttpResponse(200, tuple(headers))


def apply_cors(cors: Cors, request: HttpRequest, headers: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """The answer's headers: the URL's settings take the place of what the function said."""
    own = _origin_headers(cors, request)
    if own and cors.expose_headers:
        own.append(("Access-Control-Expose-Headers", ",".join(cors.expose_headers)))
    return (*(each for each in headers if each[0].lower() not in _OWN), *own)


def _allowed_headers(cors: Cors, request: HttpRequest) -> str:
    """With credentials a browser takes `*` literally, so the headers that it asks for are named."""
    asked = request.header("access-control-request-headers")
    if "*" in cors.allow_headers and asked:
        return asked
    return ",".join(cors.allow_headers)


def _origin_headers(cors: Cors, request: HttpRequest) -> list[tuple[str, str]]:
    origin = request.header("origin")
    if origin is None or not {"*", origin} & set(cors.allow_origins):
        return []
    open_to_all = "*" in cors.allow_origins and not cors.allow_credentials
    headers = [("Access-Control-Allow-Origin", "*" if open_to_all else origin)]
    if not open_to_all:
        headers.append(("Vary", "Origin"))
    if cors.allow_credentials:
        headers.append(("Access-Control-Allow-Credentials", "true"))
    return headers
