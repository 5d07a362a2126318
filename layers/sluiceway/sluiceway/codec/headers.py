"""Headers as API Gateway hands them on: one value a name, and all of them where it sends the multi-value form too."""

from __future__ import annotations

from collections.abc import Mapping

from sluiceway.codec.shape import optional_mapping, sequence, text, texts

__all__ = ["bearer_token", "header_values", "subprotocols"]


def bearer_token(authorization: str) -> str:
    """What follows `Bearer`, a word in any case, in the value of an Authorization header; "" for another scheme.

    Source: https://www.rfc-editor.org/rfc/rfc6750#section-2.1 and https://www.rfc-editor.org/rfc/rfc9110#section-11.1
    """
    scheme, _, token = authorization.strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def header_values(event: Mapping[str, object], name: str) -> list[str]:
    """Every value of the header `name` (lower case) in any spelling, from the multi-value form where there is one.

    Raises: Rejected (`malformed-event`).
    """
    lists = optional_mapping(event.get("multiValueHeaders"), "multiValueHeaders")
    if not lists:
        single = texts(event.get("headers"), "headers")
        return [value for key, value in single.items() if key.lower() == name]
    place = f"multiValueHeaders.{name}"
    return [
        text(value, place) for key, values in lists.items() if key.lower() == name for value in sequence(values, place)
    ]


def subprotocols(event: Mapping[str, object]) -> tuple[str, ...]:
    """What a WebSocket client offers, in its order (RFC 6455 section 11.3.4: one header or several, with commas).

    Raises: Rejected (`malformed-event`).
    """
    lists = [value.split(",") for value in header_values(event, "sec-websocket-protocol")]
    return tuple(each.strip() for offered in lists for each in offered if each.strip())
