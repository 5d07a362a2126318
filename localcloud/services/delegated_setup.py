"""How a resource of a delegated service is made: checked now, in the template's terms; done by moto when it is loaded.

Knows no service.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import string
from collections.abc import Mapping
from typing import Any, Final, cast

from localcloud.delegate import Then
from localcloud.json_delegate import JsonDelegate
from localcloud.service_shapes import Malformed, open_shapes
from localcloud.template.handler import Resource
from localcloud.template.properties import Properties

__all__ = ["hash_of", "letters_of", "make", "unmake"]

_MEMBER: Final = re.compile(r" at '(\w+)")


async def make(
    service: JsonDelegate, operation: str, body: Mapping[str, Any], *, read: Properties, then: Then | None = None
) -> None:
    """Do an operation for a resource. Raises TemplateError for what the service would refuse, where that is known now.

    Members whose value is None are left out. `read` are the resource's properties, named as the members are.
    """
    given = {name: value for name, value in body.items() if value is not None and name != "Region"}
    try:
        shapes = await asyncio.to_thread(open_shapes, service.name)
        wrong = shapes.violations(operation, given)
    except Malformed as error:
        raise read.error("", str(error)) from error
    if wrong:
        found = _MEMBER.search(wrong)
        named = f"{found[1][:1].upper()}{found[1][1:]}" if found else ""
        raise read.error(named if named in read else "", wrong)
    fault = service.find_fault(operation, given)
    if fault is not None:
        raise read.error("", fault.message)
    answer = await service.set_up(operation, given, region=str(body["Region"]), then=then)
    if answer is not None and answer.status >= 300:
        told = json.loads(cast("bytes", answer.body) or b"{}")
        raise read.error("", str(told.get("message", told.get("Message", f"{service.name} answered {answer.status}"))))


async def unmake(service: JsonDelegate, operation: str, body: Mapping[str, Any], *, region: str) -> None:
    """Undo it at `down`; what is not there any more is no error."""
    await service.set_up(operation, body, region=region)


def hash_of(resource: Resource) -> str:
    """64 hexadecimal digits, always the same for a Region, stack and logical id: physical ids are made of them."""
    context = resource.context
    return hashlib.sha256(f"{context.region}/{context.stack_name}/{resource.logical_id}".encode()).hexdigest()


def letters_of(resource: Resource, count: int) -> str:
    """Letters and digits, as CloudFormation ends the names that it makes."""
    number, alphabet = int(hash_of(resource), 16), string.ascii_letters + string.digits
    found: list[str] = []
    for _ in range(count):
        number, index = divmod(number, len(alphabet))
        found.append(alphabet[index])
    return "".join(found)
