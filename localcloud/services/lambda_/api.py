"""What the operations of the Lambda API work on, and what they share: finding what a request names, and answering.

The operations themselves are in the modules `*_operations`.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from localcloud.compute.function import parse_reference
from localcloud.compute.functions import Functions
from localcloud.compute.layers import Layers
from localcloud.compute.policies import FunctionPolicies
from localcloud.compute.resource_parts import FunctionParts
from localcloud.compute.versions import FunctionRecord
from localcloud.gateway.function_url import FunctionUrl
from localcloud.services.contract import ACCOUNT_ID, WireRequest, WireResponse
from localcloud.services.lambda_.errors import LambdaError, no_such_function, refused
from localcloud.services.lambda_.routes import Call

__all__ = ["ApiParts", "Operation", "ReadObject", "answer", "find_record", "function_arn", "no_content", "split_name"]


class ReadObject(Protocol):
    """Reads objects of S3."""

    async def __call__(self, bucket: str, key: str, *, version: str, request: WireRequest) -> bytes:
        """What an object holds, read as the caller of `request` would. Raises LambdaError."""
        ...


@dataclass(slots=True, kw_only=True)
class ApiParts:
    """One Region's Lambda, as its API has it.

    `urls`: the Function URLs there are. `may_assume`: whether Lambda may assume a role.
    """

    own: FunctionParts
    policies: FunctionPolicies
    layers: Layers
    urls: Callable[[], Iterable[FunctionUrl]]
    read_object: ReadObject
    may_assume: Callable[[str], bool]

    @property
    def functions(self) -> Functions:
        """The functions of the Region."""
        return self.own.functions

    @property
    def records(self) -> Mapping[str, FunctionRecord]:
        """The same with what is kept of each."""
        return self.own.functions.records


Operation = Callable[[ApiParts, Call], Awaitable[WireResponse]]


def function_arn(name: str, region: str, *, qualifier: str = "") -> str:
    """The ARN that a FunctionName stands for, with the qualifier in it or beside it; a text that is none as it is."""
    reference = parse_reference(name)
    if reference is None:
        return name
    wanted = qualifier or reference.qualifier
    home, account = reference.region or region, reference.account or ACCOUNT_ID
    return f"arn:aws:lambda:{home}:{account}:function:{reference.name}" + (f":{wanted}" if wanted else "")


def split_name(name: str, qualifier: str) -> tuple[str, str]:
    """The name, and the qualifier that is in it or beside it. Raises LambdaError where they are two."""
    reference = parse_reference(name)
    within = reference.qualifier if reference is not None else ""
    if within and qualifier and within != qualifier:
        raise refused("The derived qualifier from the function name does not match the specified qualifier.")
    return name, qualifier or within


def find_record(functions: Functions, call: Call) -> tuple[FunctionRecord, str]:
    """The function that a call names, and the qualifier, "" for none: it may name nothing. Raises LambdaError."""
    name, qualifier = split_name(call.function, call.qualifier)
    try:
        return functions.find(name, qualifier=qualifier)[0], qualifier
    except LambdaError:
        raise no_such_function(function_arn(name, call.request.region, qualifier=qualifier)) from None


def answer(body: Mapping[str, Any], status: int = 200) -> WireResponse:
    """A JSON answer."""
    text = json.dumps(body, separators=(",", ":")).encode()
    return WireResponse(status, text, {"content-type": "application/json"})


def no_content() -> WireResponse:
    """Done."""
    return WireResponse(204)
