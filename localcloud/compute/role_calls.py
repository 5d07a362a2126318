"""Calls that Lambda makes to other services by a function's role, through the front, as the function itself would.

Owns the request; who asks for what is for `mappings.destinations` and `invocation_destinations`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from localcloud.services.contract import Dispatch, WireRequest
from localcloud.uuids import new_uuid

__all__ = ["CallRefused", "RoleCall", "RoleCaller"]

_FAILED: Final = 300
_SHOWN_BYTES: Final = 500


class CallRefused(Exception):
    """The service refused, or failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleCall:
    """One request. `arn` is what it is about, for the error."""

    arn: str
    role_arn: str
    service: str
    region: str
    headers: Mapping[str, str]
    body: bytes
    method: str = "POST"
    path: str = "/"


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleCaller:
    """Calls services through `dispatch` with sessions of the roles that `assume` gives."""

    dispatch: Dispatch
    assume: Callable[[str], str]
    rng: random.Random

    async def make(self, call: RoleCall) -> bytes:
        """The body of the answer. Raises CallRefused, and LookupError where the role is gone."""
        request = WireRequest(
            service=call.service,
            region=call.region,
            method=call.method,
            path=call.path,
            query="",
            headers=call.headers,
            body=call.body,
            access_key=self.assume(call.role_arn),
            request_id=new_uuid(self.rng),
        )
        answer = await self.dispatch(request)
        body = answer.body if isinstance(answer.body, bytes) else b""
        if answer.status >= _FAILED:
            said = body[:_SHOWN_BYTES].decode(errors="replace")
            raise CallRefused(f"{call.arn} answered {answer.status}: {said}")
        return body
