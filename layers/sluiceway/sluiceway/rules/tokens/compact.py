"""A token's text: three parts in base64url, of which the first two are JSON objects.

What two readers could read in two ways is refused: another spelling of the same bytes, a member that is there twice,
numbers that JSON does not have. A header can name addresses and keys (`jku`, `x5u`, `jwk`, `x5c`): they are passed
over. Extensions are not understood, so a header that demands one is refused (CVE-2026-32597, CVE-2025-59420).
Must not know keys. Sources: https://www.rfc-editor.org/rfc/rfc7515 and https://www.rfc-editor.org/rfc/rfc7797
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple, NoReturn, cast

from sluiceway.rules.tokens.refusals import InvalidToken
from sluiceway.rules.tokens.signatures import ALGORITHMS

__all__ = ["MAX_TOKEN", "Unverified", "parse_object", "read_token"]

MAX_TOKEN: Final = 8192  # characters; API Gateway takes 10,240 bytes of headers in all
# Source: https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html
MAX_KEY_ID: Final = 256  # characters of a kid; providers use 8 to 64
MAX_DEPTH: Final = 32  # of arrays and objects in one another; claims have three or four
JWE_PARTS: Final = 5  # RFC 7516 section 7.1
_TYPES: Final = frozenset({"", "jwt", "at+jwt", "application/at+jwt"})  # RFC 7519 section 5.1, RFC 9068 section 2.1
_OPENING: Final = "[{"
HEADERS: Final = 64  # remembered; an issuer's tokens have one header for each key


class Unverified(NamedTuple):
    """What a token says, of which nothing is to be believed yet. `issuer`: its `iss` claim, "" where it is no text."""

    algorithm: str
    key_id: str
    issuer: str
    claims: Mapping[str, object]
    signed: bytes
    signature: bytes


class _Twice(ValueError):
    """A member is there twice."""


def read_token(token: str) -> Unverified:
    """The parts of a token of at most 8,192 characters. Raises: InvalidToken."""
    if not token:
        raise InvalidToken("missing")
    if len(token) > MAX_TOKEN:
        raise InvalidToken("too-large")
    parts = token.split(".")
    if len(parts) != 3:
        raise InvalidToken("encrypted" if len(parts) == JWE_PARTS else "malformed")
    header, payload, signature = parts
    algorithm, key_id = _read_header(header)
    claims = parse_object(_decode(payload))
    issuer = claims.get("iss")
    return Unverified(
        algorithm,
        key_id,
        issuer if isinstance(issuer, str) else "",
        claims,
        f"{header}.{payload}".encode("ascii"),
        _decode(signature),
    )


@lru_cache(HEADERS)
def _read_header(part: str) -> tuple[str, str]:
    """Algorithm and key id. RFC 7515 section 4.1."""
    header = parse_object(_decode(part))
    algorithm, kind, key_id = header.get("alg"), header.get("typ", ""), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise InvalidToken("algorithm")
    if "crit" in header or "b64" in header:
        raise InvalidToken("critical-header")
    if "zip" in header:
        raise InvalidToken("compressed")
    if "cty" in header:
        raise InvalidToken("nested")  # RFC 7519 section 5.2: it is there for a token in a token alone
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise InvalidToken("type")
    if not isinstance(key_id, str) or not 0 < len(key_id) <= MAX_KEY_ID or not key_id.isprintable():
        raise InvalidToken("key-id")
    return algorithm, key_id


def _decode(part: str) -> bytes:
    """Base64url without padding, in the one spelling that its bytes have. RFC 7515 section 2."""
    try:
        raw = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError:
        raise InvalidToken("malformed") from None
    if base64.urlsafe_b64encode(raw).rstrip(b"=") != part.encode():
        raise InvalidToken("not-canonical")
    return raw


def parse_object(raw: bytes) -> Mapping[str, object]:
    """One JSON object in UTF-8, each member of it and of what is in it once. Raises: InvalidToken."""
    try:
        text = raw.decode()
        _check_depth(text)
        parsed = _DECODER.decode(text)
    except _Twice:
        raise InvalidToken("duplicate-member") from None
    except (ValueError, RecursionError):
        raise InvalidToken("malformed") from None
    if not isinstance(parsed, dict):
        raise InvalidToken("malformed")
    return cast("Mapping[str, object]", parsed)


def _check_depth(text: str) -> None:
    """Before anything is parsed: some parsers answer deep nesting with the end of the process."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    depth, quoted, escaped = 0, False, False
    for letter in text:
        if quoted:
            escaped, quoted = letter == "\\" and not escaped, letter != '"' or escaped
        elif letter == '"':
            quoted = True
        elif letter in _OPENING:
            depth += 1
        elif letter in "]}":
            depth -= 1
        if depth > MAX_DEPTH:
            raise InvalidToken("too-deep")


def _make_object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise _Twice
    return made


def _refuse_constant(_name: str) -> NoReturn:
    raise ValueError  # NaN and the infinities are no JSON


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_make_object, parse_constant=_refuse_constant)
