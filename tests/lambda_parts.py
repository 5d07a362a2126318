"""Lambda's API over functions of a test: everything allowed, archives from a dict instead of S3."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from localcloud.clock import Clock
from localcloud.compute.code import CodeStore
from localcloud.compute.functions import Functions
from localcloud.compute.layers import Layers
from localcloud.compute.policies import FunctionPolicies
from localcloud.compute.publishing import Publisher
from localcloud.compute.resource_parts import FunctionParts
from localcloud.services.contract import WireRequest, WireResponse
from localcloud.services.lambda_.api import ApiParts
from localcloud.services.lambda_.errors import refused
from localcloud.services.lambda_.wire import LambdaService

REGION = "us-east-1"


@dataclass
class Archives:
    """Objects by bucket and key."""

    objects: dict[tuple[str, str], bytes] = field(default_factory=dict)

    async def __call__(self, bucket: str, key: str, *, version: str, request: WireRequest) -> bytes:
        if (bucket, key) not in self.objects:
            raise refused("Error occurred while GetObject. S3 Error Code: NoSuchKey. S3 Error Message: No.")
        return self.objects[(bucket, key)]


def make_parts(functions: Functions, base: Path, *, clock: Clock, **changes: Any) -> ApiParts:
    """Parts of an API; `changes` are fields of ApiParts, and `may_do`."""
    own = FunctionParts(
        functions=functions,
        publisher=Publisher(CodeStore(base / "cache"), clock=clock, rng=random.Random(5)),
        may_do=changes.pop("may_do", lambda *_: True),
        clock=clock,
    )
    settings: dict[str, Any] = {
        "policies": FunctionPolicies(),
        "layers": Layers(),
        "urls": lambda: (),
        "read_object": Archives(),
        "may_assume": lambda _: True,
    }
    return ApiParts(own=own, **(settings | changes))


def make_service(parts: ApiParts) -> LambdaService:
    """The API of one Region."""
    return LambdaService(
        lambda asked: parts.functions if asked == REGION else None,
        parts=lambda asked: parts if asked == REGION else None,
    )


def make_request(
    method: str, path: str, body: Any = None, *, query: Mapping[str, Any] | None = None, **headers: str
) -> WireRequest:
    """A request as the wire has it. `path` is under the date's prefix, its parts not yet quoted."""
    text = urlencode(query or {}, doseq=True)
    content = b"" if body is None else json.dumps(body).encode()
    return WireRequest("lambda", REGION, method, quote(path), text, headers, content, "AK", "r")


async def ask(service: LambdaService, request: WireRequest) -> tuple[int, Any]:
    """Status, and the answer's JSON."""
    answer: WireResponse = await service.handle(request)
    assert isinstance(answer.body, bytes)
    return answer.status, json.loads(answer.body) if answer.body else None
