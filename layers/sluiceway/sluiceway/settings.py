"""Settings: the only reader of the process environment.

Read them inside the lifespan, so that a wrong deployment fails at init and names the setting. A value never appears in
a message, since any of them may be a secret. Must not know AWS clients, flows or what a setting is for.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from typing import Final, TypeVar, cast

from sluiceway.errors import Misconfigured

__all__ = [
    "TRACE",
    "choice",
    "environ",
    "in_lambda",
    "initialization_type",
    "integer",
    "json_array",
    "json_object",
    "text",
    "trace_header",
    "url",
]

T = TypeVar("T")
C = TypeVar("C", bound=str)

TRACE: Final[ContextVar[str]] = ContextVar("sluiceway_trace")
"""The X-Ray header of the invocation that this task serves. The App sets it: many may be served at once."""

_RUNTIME_API: Final = "AWS_LAMBDA_RUNTIME_API"
_INITIALIZATION_TYPE: Final = "AWS_LAMBDA_INITIALIZATION_TYPE"
_TRACE_HEADER: Final = "_X_AMZN_TRACE_ID"
_MAX_PORT: Final = 65_535


def environ() -> Mapping[str, str]:
    """A copy of the whole environment, for clients that read the variables of the AWS SDKs."""
    return dict(os.environ)  # noqa: TID251 - this module is the reader that the rule names


def _raw(name: str) -> str | None:
    """The value of `name`; an empty one counts as missing, since a template cannot say "no value"."""
    return os.environ.get(name) or None  # noqa: TID251 - this module is the reader that the rule names


def _given(name: str, default: T | None) -> T:
    if default is None:
        raise Misconfigured(f"{name} is not set", what=name)
    return default


def text(name: str, *, default: str | None = None) -> str:
    """The text of setting `name`, stripped of surrounding white space; `default` where it is unset or empty.

    Raises: Misconfigured where it is unset or blank and there is no default.
    """
    return (_raw(name) or "").strip() or _given(name, default)


def integer(name: str, *, minimum: int, maximum: int, default: int | None = None) -> int:
    """The whole number of setting `name`, from `minimum` to `maximum` (both included).

    Raises: Misconfigured where it is unset without a default, not a decimal number, or out of range.
    """
    value = (_raw(name) or "").strip()
    if not value:
        return _given(name, default)
    digits = value.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 18):
        raise Misconfigured(f"{name} is not a whole number", what=name)
    if not minimum <= int(value) <= maximum:
        raise Misconfigured(f"{name} is not between {minimum} and {maximum}", what=name)
    return int(value)


def choice(name: str, allowed: Sequence[C], *, default: C | None = None) -> C:
    """The text of setting `name`, which is one of `allowed`.

    Raises: Misconfigured where it is unset without a default, or none of them.
    """
    value = (_raw(name) or "").strip()
    if not value:
        return _given(name, default)
    for each in allowed:
        if each == value:
            return each
    raise Misconfigured(f"{name} is none of {', '.join(allowed)}", what=name)


def url(name: str, *, default: str | None = None) -> str:
    """The http or https address of setting `name`, with a host.

    Raises: Misconfigured where it is unset without a default, or no such address.
    """
    value = text(name, default=default)
    if not _is_web_address(value) or any(letter.isspace() for letter in value):
        raise Misconfigured(f"{name} is not an http or https address", what=name)
    return value


def _is_web_address(value: str) -> bool:
    """By hand: `urllib.parse` costs 3 % of a cold start, for one address."""
    scheme, _, rest = value.partition("://")
    authority = rest.replace("?", "/").replace("#", "/").partition("/")[0]
    user, _, place = authority.rpartition("@")
    host, colon, port = place.rpartition(":")
    if not colon or place.endswith("]"):
        host, port = place, ""
    digits = port.lstrip("0")
    valid_port = not port or (digits.isdigit() and len(digits) <= 5 and int(digits) <= _MAX_PORT)
    valid_user = "[" not in user and "]" not in user
    return scheme.lower() in {"http", "https"} and authority.isascii() and valid_port and valid_user and _is_host(host)


def _is_host(host: str) -> bool:
    if not host.startswith("["):
        return bool(host) and not any(letter in host for letter in ":[]")
    import socket  # noqa: PLC0415 - an address of IP version 6, which few settings are

    try:
        socket.inet_pton(socket.AF_INET6, host[1:].removesuffix("]"))
    except OSError:
        return False
    return host.endswith("]")


def json_object(name: str) -> Mapping[str, object]:
    """The JSON object of setting `name`.

    Raises: Misconfigured where it is unset, not JSON, or JSON of another kind.
    """
    parsed = _parse(name, text(name))
    if not isinstance(parsed, dict):
        raise Misconfigured(f"{name} is not a JSON object", what=name)
    return cast("Mapping[str, object]", parsed)


def json_array(name: str, *, default: Sequence[object] | None = None) -> Sequence[object]:
    """The JSON array of setting `name`.

    Raises: Misconfigured where it is unset without a default, not JSON, or JSON of another kind.
    """
    value = (_raw(name) or "").strip()
    if not value:
        return _given(name, default)
    parsed = _parse(name, value)
    if not isinstance(parsed, list):
        raise Misconfigured(f"{name} is not a JSON array", what=name)
    return cast("Sequence[object]", parsed)


def _parse(name: str, value: str) -> object:
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        # The decoder's error carries the whole text, which may be a secret: it is not kept as the cause.
        raise Misconfigured(f"{name} is not JSON", what=name) from None


def in_lambda() -> bool:
    """True where a Runtime API waits for this process, which is where an error at import is an init error.

    Source: https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
    """
    return _raw(_RUNTIME_API) is not None


def initialization_type() -> str:
    """`on-demand`, `provisioned-concurrency`, `snap-start`, `lambda-managed-instances`, or "" outside Lambda.

    Source: https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
    """
    return _raw(_INITIALIZATION_TYPE) or ""


def trace_header() -> str:
    """The X-Ray header of the current invocation, "" where there is none: the App's, else the managed runtime's.

    Source: https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
    """
    return TRACE.get(None) or _raw(_TRACE_HEADER) or ""
