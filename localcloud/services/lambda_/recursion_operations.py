"""What becomes of a function in a loop that has no end: stopped, or let on.

Source: https://docs.aws.amazon.com/lambda/latest/api/API_PutFunctionRecursionConfig.html
"""

from __future__ import annotations

from typing import Final

from localcloud.compute.recursion import MODES
from localcloud.compute.versions import FunctionRecord
from localcloud.services.contract import WireResponse
from localcloud.services.lambda_.api import ApiParts, answer, find_record
from localcloud.services.lambda_.errors import bad_constraint
from localcloud.services.lambda_.members import Members
from localcloud.services.lambda_.routes import Call

__all__ = ["get_recursion", "put_recursion"]

_NAME: Final = (
    r"(arn:(aws[a-zA-Z-]*)?:lambda:)?([a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?"
    r"([a-zA-Z0-9-_]+)"
)


async def get_recursion(api: ApiParts, call: Call) -> WireResponse:
    """Whether loops of a function are ended."""
    return answer({"RecursiveLoop": _find(api, call).recursive_loop})


async def put_recursion(api: ApiParts, call: Call) -> WireResponse:
    """End loops of a function, or let them be."""
    members = Members.read(call.request.body)
    members.required("RecursiveLoop")
    mode = members.choice("RecursiveLoop", MODES, "")
    _find(api, call).recursive_loop = mode
    return answer({"RecursiveLoop": mode})


def _find(api: ApiParts, call: Call) -> FunctionRecord:
    record, qualifier = find_record(api.functions, call)
    if qualifier:
        raise bad_constraint("functionName", call.function, f"Member must satisfy regular expression pattern: {_NAME}")
    return record
