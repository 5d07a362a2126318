"""Where credentials come from, and when they are fetched anew.

The environment first, then the container endpoint (SnapStart functions, containers). Long-lived callers hold one
`CredentialSource`: it fetches ahead of expiry, one fetch at a time. It knows nothing of sockets; it is given a fetch.

Source: https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol, cast

from sluiceway.aws.endpoints import parse_url
from sluiceway.aws.reply import Reply
from sluiceway.aws.sigv4 import Credentials
from sluiceway.errors import Misconfigured, ServiceUnavailable

__all__ = ["Anonymous", "CredentialProvider", "CredentialSource", "Fetch", "names_web_identity"]

# Ahead of expiry: from the first on one caller fetches and the others go on; from the second on all wait (botocore)
ADVISORY_S: Final = 15 * 60
MANDATORY_S: Final = 10 * 60
AGAIN_S: Final = 30.0  # after a failed fetch that nobody had to wait for
ATTEMPTS: Final = 3  # botocore: ContainerMetadataFetcher
PAUSE_S: Final = 1.0

RELATIVE_HOST: Final = "http://169.254.170.2"
# Where a token may be sent without TLS: the ECS and EKS agents, and this machine
PLAIN_HOSTS: Final = frozenset({"169.254.170.2", "169.254.170.23", "fd00:ec2::23", "localhost", "::1"})

Fetch = Callable[[str, Mapping[str, str]], Awaitable[Reply]]


class CredentialProvider(Protocol):
    """What signs a Wire's calls, for as long as the Wire is open."""

    def check(self) -> None:
        """Raise Misconfigured where there can be no credentials, without asking for any."""
        ...

    def at_hand(self) -> Credentials | None:
        """The credentials in use, while they need no renewal."""
        ...

    async def get(self) -> Credentials:
        """Valid credentials. Raises Misconfigured, Retryable."""
        ...

    def forget(self, refused: Credentials) -> None:
        """A service calls these expired."""
        ...


class Anonymous:
    """Calls that are not signed: the few operations that need no credentials."""

    def check(self) -> None:
        """There is nothing to miss."""

    def at_hand(self) -> Credentials:
        """None: an empty access key, for which no request is signed."""
        return Credentials("", "")

    async def get(self) -> Credentials:
        """As `at_hand`."""
        return self.at_hand()

    def forget(self, refused: Credentials) -> None:
        """There is nothing to forget."""


class CredentialSource:
    """Credentials for as long as the execution environment lives.

    `fetch` gets a URL with headers (it raises OSError or TimeoutError when there is no answer); `now` is epoch seconds.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        *,
        fetch: Fetch,
        now: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._environ = environ
        self._fetch = fetch
        self._now = now
        self._sleep = sleep
        self._kept: Credentials | None = None
        self._refresh_at = 0.0
        self._lock = asyncio.Lock()

    def check(self) -> None:
        """Raise Misconfigured when the environment names no credentials, without asking for any."""
        if _read_environment(self._environ) is None:
            _container_request(self._environ)

    def at_hand(self) -> Credentials | None:
        """The credentials in use, while they need no refresh."""
        kept = self._kept
        return kept if kept is not None and (kept.expires_s is None or self._now() < self._refresh_at) else None

    async def get(self) -> Credentials:
        """Valid credentials. Raises Misconfigured (none are set), ServiceUnavailable (the endpoint gives none)."""
        kept = self.at_hand()
        if kept is not None:
            return kept
        if self._kept is not None and self._lock.locked() and not self._is_pressing(self._kept):
            return self._kept
        async with self._lock:
            return self.at_hand() or await self._renew()

    def forget(self, refused: Credentials) -> None:
        """The service calls these expired: read or fetch them again, unless somebody has already."""
        if self._kept is refused:
            self._kept = None

    def _is_pressing(self, credentials: Credentials) -> bool:
        return credentials.expires_s is not None and self._now() >= credentials.expires_s - MANDATORY_S

    async def _renew(self) -> Credentials:
        before = self._kept
        try:
            renewed = _read_environment(self._environ) or await self._ask_container()
        except ServiceUnavailable:
            if before is None or self._is_pressing(before):
                raise
            self._refresh_at = self._now() + AGAIN_S
            return before
        self._kept = renewed
        if renewed.expires_s is not None:
            self._refresh_at = max(renewed.expires_s - ADVISORY_S, self._now() + AGAIN_S)
        return renewed

    async def _ask_container(self) -> Credentials:
        url, headers = _container_request(self._environ)
        problem = ""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                reply = await self._fetch(url, headers)
                if reply.status == 200:
                    return _read_container(reply.body)
                problem = f"status {reply.status}"
            except (OSError, TimeoutError, ValueError) as error:
                problem = str(error) or type(error).__name__
            if attempt < ATTEMPTS:
                await self._sleep(PAUSE_S)
        raise ServiceUnavailable(
            f"the container credentials endpoint gave none: {problem}",
            service="credentials",
            operation="GetCredentials",
            code="CredentialsUnavailable",
        )


def names_web_identity(environ: Mapping[str, str]) -> bool:
    """Whether a token is to be exchanged for a role: after keys and before the container endpoint, as in the SDKs."""
    return not environ.get("AWS_ACCESS_KEY_ID") and bool(environ.get("AWS_WEB_IDENTITY_TOKEN_FILE"))


def _read_environment(environ: Mapping[str, str]) -> Credentials | None:
    access_key = environ.get("AWS_ACCESS_KEY_ID", "")
    if not access_key:
        return None
    secret_key = environ.get("AWS_SECRET_ACCESS_KEY", "")
    if not secret_key:
        raise Misconfigured("AWS_ACCESS_KEY_ID is set without AWS_SECRET_ACCESS_KEY", what="AWS_SECRET_ACCESS_KEY")
    return Credentials(access_key, secret_key, environ.get("AWS_SESSION_TOKEN", ""))


def _container_request(environ: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """The address to ask and the headers to send. Raises Misconfigured."""
    relative = environ.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "")
    full = environ.get("AWS_CONTAINER_CREDENTIALS_FULL_URI", "")
    if relative:
        url = RELATIVE_HOST + relative
        parse_url(url, what="AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
    elif full:
        url = full
        origin = parse_url(url, what="AWS_CONTAINER_CREDENTIALS_FULL_URI").origin
        if not origin.tls and origin.host not in PLAIN_HOSTS and not _is_loopback(origin.host):
            raise Misconfigured(
                f"credentials are not fetched from {origin.host} without TLS",
                what="AWS_CONTAINER_CREDENTIALS_FULL_URI",
            )
    else:
        raise Misconfigured(
            "no credentials: neither AWS_ACCESS_KEY_ID nor AWS_CONTAINER_CREDENTIALS_FULL_URI is set",
            what="AWS_ACCESS_KEY_ID",
        )
    headers = {"accept": "application/json"}
    token = _read_token(environ)
    if token:
        headers["authorization"] = token
    return url, headers


def _is_loopback(host: str) -> bool:
    parts = host.split(".")
    return len(parts) == 4 and parts[0] == "127" and all(part.isdigit() for part in parts)


def _read_token(environ: Mapping[str, str]) -> str:
    """The file is read at each fetch, since its token is rotated."""
    path = environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "")
    if not path:
        what, token = "AWS_CONTAINER_AUTHORIZATION_TOKEN", environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN", "")
    else:
        what = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"
        from pathlib import Path  # noqa: PLC0415 - not on the cold path of environment credentials

        try:
            token = Path(path).read_text(encoding="utf-8").rstrip("\r\n")
        except OSError as error:
            raise Misconfigured(f"{what} cannot be read: {error.strerror}", what=what) from error
    if "\r" in token or "\n" in token:
        raise Misconfigured(f"{what} holds a line break", what=what)
    return token


def _read_container(body: bytes) -> Credentials:
    """Raises ValueError when a member is missing."""
    from datetime import datetime  # noqa: PLC0415 - not on the cold path of environment credentials

    document = cast("object", json.loads(body))
    fields = cast("dict[str, object]", document) if isinstance(document, dict) else {}
    values = [fields.get(name) for name in ("AccessKeyId", "SecretAccessKey", "Token", "Expiration")]
    access_key, secret_key, token, expiration = (value if isinstance(value, str) else "" for value in values)
    if not (access_key and secret_key):
        raise ValueError("the answer holds no AccessKeyId and SecretAccessKey")
    expires_s = datetime.fromisoformat(expiration).timestamp() if expiration else None
    return Credentials(access_key, secret_key, token, expires_s)
