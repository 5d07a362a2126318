"""Settings: the only reader of the process environment.

Read them inside the lifespan, so that a wrong deployment fails at init and names the setting. A value never appears in
a message, since any of them may be a secret. Must not know AWS clients, flows or what a setting is for.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Final, cast
from urllib.parse import urlsplit

from sluiceway.errors import Misconfigured

__all__ = ["environ", "in_lambda", "initialization_type", "integer", "json_object", "text", "trace_header", "url"]

_RUNTIME_API: Final = "AWS_LAMBDA_RUNTIME_API"
_INITIALIZATION_TYPE: Final = "AWS_LAMBDA_INITIALIZATION_TYPE"
_TRACE_HEADER: Final = "_X_AMZN_TRACE_ID"


def environ() -> Mapping[str, str]:
    """A copy of the whole environment, for clients that read the variables of the AWS SDKs."""
    return dict(os.environ)  # noqa: TID251 - this module is the reader that the rule names


def _raw(name: str) -> str | None:
    """The value of `name`; an empty one counts as missing, since a template cannot say "no value"."""
    return os.environ.get(name) or None  # noqa: TID251 - this module is the reader that the rule names


def _required(name: str, default: object) -> None:
    if default is None:
        raise Misconfigured(f"{name} is not set", what=name)


def text(name: str, *, default: str | None = None) -> str:
    """The text of setting `name`, stripped of surrounding white space; `default` where it is unset or empty.

    Raises: Misconfigured where it is unset or blank and there is no default.
    """
    value = (_raw(name) or "").strip()
    if value:
        return value
    _required(name, default)
    return cast("str", default)


def integer(name: str, *, minimum: int, maximum: int, default: int | None = None) -> int:
    """The whole number of setting `name`, from `minimum` to `maximum` (both included).

    Raises: Misconfigured where it is unset without a default, not a decimal number, or out of range.
    """
    value = (_raw(name) or "").strip()
    if not value:
        _required(name, default)
        return cast("int", default)
    digits = value.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 18):
        raise Misconfigured(f"{name} is not a whole number", what=name)
    if not minimum <= int(value) <= maximum:
        raise Misconfigured(f"{name} is not between {minimum} and {maximum}", what=name)
    return int(value)


def url(name: str, *, default: str | None = None) -> str:
    """The http or https address of setting `name`, with a host.

    Raises: Misconfigured where it is unset without a default, or no such address.
    """
    value = text(name, default=default)
    try:
        parts = urlsplit(value)
        whole = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        whole = False
    if not whole or any(letter.isspace() for letter in value):
        raise Misconfigured(f"{name} is not an http or https address", what=name)
    return value


def json_object(name: str) -> Mapping[str, object]:
    """The JSON object of setting `name`.

    Raises: Misconfigured where it is unset, not JSON, or JSON of another kind.
    """
    value = text(name)
    try:
        parsed: object = json.loads(value)
    except (ValueError, RecursionError):
        # The decoder's error carries the whole text, which may be a secret: it is not kept as the cause.
        raise Misconfigured(f"{name} is not JSON", what=name) from None
    if not isinstance(parsed, dict):
        raise Misconfigured(f"{name} is not a JSON object", what=name)
    return cast("Mapping[str, object]", parsed)


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
    """The X-Ray header of the current invocation as the managed runtime leaves it, "" where there is none.

    Source: https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
    """
    return _raw(_TRACE_HEADER) or ""
