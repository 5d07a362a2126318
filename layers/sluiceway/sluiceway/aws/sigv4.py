"""AWS Signature Version 4: what a request's `authorization` header must say.

A pure function of the request, the credentials and the time; no clock, no I/O. The signing key of a day is kept, taken
into HMAC's two digests already, so a signature costs four SHA-256 digests of short texts.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

__all__ = ["Credentials", "Signable", "Signer", "encode_label", "encode_query"]

ALGORITHM: Final = "AWS4-HMAC-SHA256"

BLOCK_BYTES: Final = 64  # of SHA-256
KEPT: Final = 128  # paths, segments and values of headers remembered: the same ones come again and again

# Headers that proxies may change, which the SDKs leave out of a signature (SIGNED_HEADERS_BLACKLIST of botocore.auth)
UNSIGNED: Final = frozenset({"expect", "transfer-encoding", "user-agent", "x-amzn-trace-id"})

# UriEncode of the page above: everything but the unreserved characters of RFC 3986 becomes %XX, in capitals
_UNRESERVED: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_ENCODED: Final = tuple(chr(byte) if byte in _UNRESERVED else f"%{byte:02X}" for byte in range(256))
_ENCODED_PATH: Final = tuple("/" if byte == ord("/") else _ENCODED[byte] for byte in range(256))


class Credentials(NamedTuple):
    """An access key; `token` is empty for long-term keys; `expires_s` is epoch seconds, None when they never expire."""

    access_key: str
    secret_key: str
    token: str = ""
    expires_s: float | None = None

    def __repr__(self) -> str:
        return f"Credentials({self.access_key!r})"


class Signable(NamedTuple):
    """The parts of a request that a signature covers.

    `path` and `query` as they are sent, percent-encoded; `headers` with lower-case names, repeated names in order, with
    `host` and `x-amz-date` among them; `payload` is the body's SHA-256 in hexadecimal.
    """

    method: str
    path: str
    query: str
    headers: Sequence[tuple[str, str]]
    payload: str


@lru_cache(KEPT)
def encode_label(text: str, *, greedy: bool = False) -> str:
    """`text` as one segment of a path (`:` and `/` encoded too), or as several where `greedy` keeps the slashes."""
    table = _ENCODED_PATH if greedy else _ENCODED
    return "".join([table[byte] for byte in text.encode()])


def encode_query(pairs: Iterable[tuple[str, str]]) -> str:
    """Plain names and values as a query string in canonical order, without the question mark."""
    encoded = sorted((encode_label(name), encode_label(value)) for name, value in pairs)
    return "&".join([f"{name}={value}" for name, value in encoded])


class Signer:
    """Signs for one service in one Region.

    `s3_paths`: sign the path as it is sent; every service but S3 wants it normalised and encoded a second time.
    """

    __slots__ = ("_day", "_mac", "_s3_paths", "_scope", "_where")

    def __init__(self, *, service: str, region: str, s3_paths: bool = False) -> None:
        self._where = (region, service)
        self._s3_paths = s3_paths
        self._day = ("", "")  # the secret and the date that scope and key are of
        self._scope = ""
        self._mac = _Mac(b"")

    def authorize(self, request: Signable, credentials: Credentials, amz_date: str) -> str:
        """The `authorization` header. `amz_date` is the `x-amz-date` header that is sent (`20150830T123600Z`)."""
        signed_names, canonical_headers = _canonical_headers(request.headers)
        canonical = (
            f"{request.method}\n{self._canonical_path(request.path)}\n{_canonical_query(request.query)}\n"
            f"{canonical_headers}\n{signed_names}\n{request.payload}"
        )
        if self._day != (credentials.secret_key, amz_date[:8]):
            self._begin_day(credentials.secret_key, amz_date[:8])
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        to_sign = f"{ALGORITHM}\n{amz_date}\n{self._scope}\n{digest}"
        signature = self._mac.sign(to_sign.encode()).hex()
        return (
            f"{ALGORITHM} Credential={credentials.access_key}/{self._scope}, "
            f"SignedHeaders={signed_names}, Signature={signature}"
        )

    def _canonical_path(self, path: str) -> str:
        if self._s3_paths:
            return path or "/"
        return _encode_again(path)

    def _begin_day(self, secret_key: str, date: str) -> None:
        parts = (date, *self._where, "aws4_request")
        mac = _Mac(f"AWS4{secret_key}".encode())
        for part in parts:
            mac = _Mac(mac.sign(part.encode()))
        self._day, self._scope, self._mac = (secret_key, date), "/".join(parts), mac


class _Mac:
    """HMAC-SHA256 under one key, as RFC 2104 puts it together from two digests that begin with the key.

    Copying those costs a third of what OpenSSL takes to begin an HMAC.
    """

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        block = (hashlib.sha256(key).digest() if len(key) > BLOCK_BYTES else key).ljust(BLOCK_BYTES, b"\0")
        self._inner = hashlib.sha256(bytes([byte ^ 0x36 for byte in block]))
        self._outer = hashlib.sha256(bytes([byte ^ 0x5C for byte in block]))

    def sign(self, message: bytes) -> bytes:
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(message)
        outer.update(inner.digest())
        return outer.digest()


def _canonical_headers(headers: Sequence[tuple[str, str]]) -> tuple[str, str]:
    """The names in order, joined with `;`, and the canonical lines, each ended with a newline."""
    values = dict(headers)
    if len(values) < len(headers) or not UNSIGNED.isdisjoint(values):
        values = _join_repeated(headers)
    names = sorted(values)
    return ";".join(names), "".join([f"{name}:{_trim(values[name])}\n" for name in names])


def _join_repeated(headers: Sequence[tuple[str, str]]) -> dict[str, str]:
    values: dict[str, str] = {}
    for name, value in headers:
        if name not in UNSIGNED:
            values[name] = f"{values[name]},{_trim(value)}" if name in values else _trim(value)
    return values


@lru_cache(KEPT)  # a session token is a kilobyte, and the same for hours
def _trim(value: str) -> str:
    return " ".join(value.split())


def _canonical_query(query: str) -> str:
    if "&" not in query:
        return query if "=" in query or not query else f"{query}="
    pairs = [pair.partition("=") for pair in query.split("&")]
    return "&".join([f"{name}={value}" for name, value in sorted((name, value) for name, _, value in pairs)])


@lru_cache(KEPT)
def _encode_again(path: str) -> str:
    """`path`, encoded already, as every service but S3 signs it."""
    return path if path == "/" else encode_label(_normalise(path), greedy=True)


def _normalise(path: str) -> str:
    """Without dot segments (RFC 3986, section 5.2.4) and without empty ones."""
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment not in {"", "."}:
            kept.append(segment)
    ending = "/" if kept and path.endswith("/") else ""
    return f"/{'/'.join(kept)}{ending}"
