"""One request to a user pool: its members, and what operations work with.

Knows no operation.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from localcloud.services.cognito.errors import refused
from localcloud.services.cognito.model import Client, Pool, User, UserPools
from localcloud.services.cognito.tokens import Tokens
from localcloud.services.cognito.triggers import Triggers

__all__ = ["Call", "Members", "attributes_of", "check_secret", "deliver", "tell_attributes"]

Members: TypeAlias = dict[str, Any]
Send: TypeAlias = Callable[[Pool, User, str], None]


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `send` brings a user what Cognito mails on AWS."""

    pools: UserPools
    tokens: Tokens
    triggers: Triggers
    send: Send
    body: Mapping[str, Any]
    region: str

    @property
    def now(self) -> float:
        """The date, in epoch seconds."""
        return self.pools.clock.time()

    def text(self, name: str) -> str:
        """A text of the request, "" where it is missing."""
        return str(self.body.get(name) or "")

    def map(self, name: str) -> Mapping[str, Any]:
        """A map of the request, {} where it is missing."""
        return cast("dict[str, Any]", self.body.get(name) or {})

    def pool(self) -> Pool:
        """The pool that the request names. Raises CognitoError."""
        return self.pools.pool(self.text("UserPoolId"))

    def user(self) -> tuple[Pool, User]:
        """The user that an administrator names, and the pool. Raises CognitoError."""
        pool = self.pool()
        return pool, pool.user(self.text("Username"))

    def client(self) -> tuple[Pool, Client]:
        """The client that the request names, and its pool. Raises CognitoError."""
        return self.pools.of_client(self.text("ClientId"))


def attributes_of(value: object) -> dict[str, str]:
    """`[{Name, Value}]` as a map."""
    listed = cast("list[dict[str, Any]]", value or [])
    return {str(each["Name"]): str(each.get("Value") or "") for each in listed}


def tell_attributes(user: User) -> list[dict[str, str]]:
    """A user's attributes as the API lists them."""
    return [{"Name": name, "Value": value} for name, value in user.attributes.items()]


def check_secret(client: Client, username: str, given: str) -> None:
    """Hold a SECRET_HASH against a client that has a secret. Raises CognitoError: NotAuthorizedException.

    Source: https://docs.aws.amazon.com/cognito/latest/developerguide/signing-up-users-in-your-app.html
    """
    if not client.secret:
        return
    digest = hmac.new(client.secret.encode(), (username + client.id).encode(), hashlib.sha256).digest()
    if not given:
        raise refused(f"Client {client.id} is configured with secret but SECRET_HASH was not received")
    if not hmac.compare_digest(base64.b64encode(digest), given.encode()):
        raise refused(f"Unable to verify secret hash for client {client.id}")


def deliver(call: Call, pool: Pool, user: User, *, purpose: str) -> Members:
    """Send a code for a purpose, and tell where to, as CodeDeliveryDetails does."""
    by_phone = "email" not in user.attributes and "phone_number" in user.attributes
    attribute = "phone_number" if by_phone else "email"
    target = user.attributes.get(attribute, "")
    code = call.pools.send_code(user, purpose)
    call.send(pool, user, f"{purpose} code {code} to {target or user.username}")
    name, _, host = target.partition("@")
    hidden = f"+*******{target[-4:]}" if by_phone else f"{name[:1]}***@{host[:1]}***"
    return {"Destination": hidden, "DeliveryMedium": "SMS" if by_phone else "EMAIL", "AttributeName": attribute}
