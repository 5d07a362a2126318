"""What Event APIs ask of the rest of the local cloud."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from localcloud.services.contract import Denied, Permission

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

__all__ = ["Access", "Functions", "InvocationFailed", "Signer", "TokenKeys"]


class InvocationFailed(Exception):
    """A function could not be invoked, or failed; the message is for the log."""


class Functions(Protocol):
    """Lambda as AppSync sees it."""

    async def authorize(self, function_arn: str, payload: bytes, *, api_arn: str) -> bytes:
        """What an authorizer returns; its own policy must let AppSync in. Raises InvocationFailed."""
        ...

    async def handle(self, function_arn: str, payload: bytes, *, role_arn: str, is_event: bool) -> bytes:
        """What a data source returns, b"" where it is not waited for. Raises InvocationFailed."""
        ...


@dataclass(frozen=True, slots=True)
class Signer:
    """Who signed a request."""

    account: str
    arn: str
    user_id: str


class Access(Protocol):
    """IAM as AppSync sees it."""

    def refuse(self, access_key: str, permission: Permission) -> Denied | None:
        """Why the owner of the key may not; None where they may. It is recorded."""
        ...

    def signer_of(self, access_key: str) -> Signer:
        """Who owns the key."""
        ...


class TokenKeys(Protocol):
    """The issuer of bearer tokens that is known here."""

    issuer: str

    def keys(self) -> Mapping[str, RSAPublicKey]:
        """Its public keys by id."""
        ...
