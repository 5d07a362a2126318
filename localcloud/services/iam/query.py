"""The Query protocol of IAM and STS: forms in, XML out. Pure.

Source: https://smithy.io/2.0/aws/protocols/aws-query-protocol.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, cast

from localcloud.services.contract import WireRequest, WireResponse
from localcloud.services.iam.errors import IamError
from localcloud.services.query_form import FormTree, MalformedForm, read_tree
from localcloud.services.query_xml import write_element

__all__ = ["Form", "QueryFault", "read_form", "respond"]

_MAX_FIELDS: Final = 1_000  # SimulatePrincipalPolicy names at most some hundred actions and resources
_MAX_DEPTH: Final = 8
_INDEX: Final = re.compile(r"[1-9]\d{0,4}")


class QueryFault(IamError):
    """A refusal of the API's: `code` is the error's name, `status` the HTTP one."""

    def __init__(self, code: str, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


class Form:
    """The parameters of a request, read with the errors that IAM has for them."""

    def __init__(self, tree: FormTree) -> None:
        self._tree = tree

    def text(self, name: str) -> str:
        """A text, "" where it is missing."""
        value = self._tree.get(name, "")
        if not isinstance(value, str):
            raise QueryFault("MalformedInput", f"{name} must be a text.")
        return value

    def need(self, name: str, *, low: int = 1, high: int = 2_048, pattern: str = "") -> str:
        """A text that must be there, of `low` to `high` characters, that matches `pattern`."""
        value = self.text(name)
        lowered = f"{name[:1].lower()}{name[1:]}"
        if name not in self._tree:
            raise _violation("Value null", lowered, "Member must not be null")
        shown = f"Value '{value[:256]}'"
        if len(value) < low:
            raise _violation(shown, lowered, f"Member must have length greater than or equal to {low}")
        if len(value) > high:
            raise _violation(shown, lowered, f"Member must have length less than or equal to {high}")
        if pattern and not re.fullmatch(pattern, value):
            raise _violation(shown, lowered, f"Member must satisfy regular expression pattern: {pattern}")
        return value

    def integer(self, name: str, default: int, *, low: int, high: int) -> int:
        """A whole number from `low` to `high`."""
        value = self.text(name) or str(default)
        if not re.fullmatch(r"-?\d{1,10}", value):
            raise QueryFault("MalformedInput", f"{name} must be a whole number.")
        lowered = f"{name[:1].lower()}{name[1:]}"
        if int(value) < low:
            raise _violation(f"Value '{value}'", lowered, f"Member must have value greater than or equal to {low}")
        if int(value) > high:
            raise _violation(f"Value '{value}'", lowered, f"Member must have value less than or equal to {high}")
        return int(value)

    def texts(self, name: str) -> list[str]:
        """A list of texts, [] where it is missing."""
        found = self._members(name)
        if not all(isinstance(each, str) for each in found):
            raise QueryFault("MalformedInput", f"{name} must be a list of texts.")
        return cast("list[str]", found)

    def structures(self, name: str) -> list[Form]:
        """A list of structures, [] where it is missing."""
        found = self._members(name)
        if not all(isinstance(each, dict) for each in found):
            raise QueryFault("MalformedInput", f"{name} must be a list of structures.")
        return [Form(each) for each in cast("list[FormTree]", found)]

    def refuse(self, *names: str) -> None:
        """Refuse by name what is not served of an operation."""
        for name in names:
            if self._tree.get(name):
                raise QueryFault("InvalidParameterValue", f"The local cloud does not serve the parameter {name}.")

    def _members(self, name: str) -> list[FormTree | str]:
        branch = self._tree.get(name)
        if branch is None or branch == "":
            return []
        members = branch.get("member") if isinstance(branch, dict) else None
        if not isinstance(members, dict) or not all(map(_INDEX.fullmatch, members)):
            raise QueryFault("MalformedInput", f"{name} must be a list.")
        return [members[index] for index in sorted(members, key=int)]


def read_form(request: WireRequest) -> Form:
    """The parameters of a request; `Action` and `Version` are among them. Raises QueryFault."""
    try:
        text = request.body.decode() if request.method == "POST" else request.query
        return Form(read_tree(text, max_fields=_MAX_FIELDS, max_depth=_MAX_DEPTH))
    except UnicodeDecodeError as error:
        raise QueryFault("MalformedQueryString", "The request is not UTF-8.") from error
    except MalformedForm as error:
        raise QueryFault(error.code, str(error)) from error


def respond(action: str, result: Mapping[str, object] | None, request_id: str, *, xmlns: str) -> WireResponse:
    """The answer of an operation; `result` None where it has none."""
    inner = "" if result is None else write_element(f"{action}Result", result)
    metadata = write_element("ResponseMetadata", {"RequestId": request_id})
    body = f'<{action}Response xmlns="{xmlns}">{inner}{metadata}</{action}Response>'
    return WireResponse(200, body.encode(), {"content-type": "text/xml"})


def _violation(value: str, member: str, constraint: str) -> QueryFault:
    message = f"1 validation error detected: {value} at '{member}' failed to satisfy constraint: {constraint}"
    return QueryFault("ValidationError", message)
