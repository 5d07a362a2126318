"""CloudFormation on the wire: the Query protocol, forms in and XML out.

Owns the envelope and which IAM action a call needs; what is told is `operations`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from localcloud.services.cloudformation.errors import CloudFormationError
from localcloud.services.cloudformation.model import Stacks
from localcloud.services.cloudformation.operations import ACTIONS, Call
from localcloud.services.cloudformation.unserved import UNSERVED
from localcloud.services.contract import Permission, WireRequest, WireResponse
from localcloud.services.query_form import FormTree, MalformedForm, read_tree
from localcloud.services.query_xml import write_element

__all__ = ["CloudFormationService"]

_VERSION: Final = "2010-05-15"
_XMLNS: Final = f"http://cloudformation.amazonaws.com/doc/{_VERSION}/"
_MAX_FIELDS: Final = 1000
_MAX_DEPTH: Final = 4  # StackStatusFilter.member.1
_ON_EVERYTHING: Final = ("ListExports", "ListImports", "ListStacks")


class CloudFormationService:
    """The API, which changes nothing. `show` gives an output as it is reached here."""

    name = "cloudformation"

    def __init__(self, stacks: Stacks, *, show: Callable[[str], str] = lambda value: value) -> None:
        self._stacks = stacks
        self.show = show

    async def handle(self, request: WireRequest) -> WireResponse:
        """Answer `request`."""
        headers = {"content-type": "text/xml"}
        try:
            action, parameters = _decode(request)
            told = ACTIONS[action](Call(self._stacks, parameters, self.show))
        except CloudFormationError as error:
            return WireResponse(error.status, _write_error(error, request.request_id), headers)
        return WireResponse(200, _write_result(action, told, request.request_id), headers)

    def permissions(self, request: WireRequest) -> tuple[Permission, ...]:
        """The action on the stack that is named; none where the request is malformed, for that is answered first."""
        try:
            action, parameters = _decode(request)
            name = parameters.get("StackName")
            named = isinstance(name, str) and name and action not in _ON_EVERYTHING
            resource = self._stacks.get(cast("str", name)).stack_id if named else "*"
        except CloudFormationError:
            return ()
        return (Permission(f"cloudformation:{action}", resource),)


def _decode(request: WireRequest) -> tuple[str, Mapping[str, FormTree | str]]:
    try:
        text = "&".join(part for part in (request.query, request.body.decode()) if part)
        tree = read_tree(text, max_fields=_MAX_FIELDS, max_depth=_MAX_DEPTH)
    except UnicodeDecodeError as error:
        raise CloudFormationError("MalformedQueryString", "The request's body is not UTF-8.") from error
    except MalformedForm as error:
        raise CloudFormationError(error.code, str(error)) from error
    action, version = tree.get("Action"), tree.get("Version", _VERSION)
    if not isinstance(action, str) or not action:
        raise CloudFormationError("MissingAction", "The request must contain the parameter Action.")
    if version != _VERSION:
        raise CloudFormationError("NoSuchVersion", f"The requested version ( {version} ) is not valid.")
    if action in UNSERVED:
        said = f"{action} is not served by this local cloud: change the template and start it again."
        raise CloudFormationError("UnsupportedOperation", said)
    if action not in ACTIONS:
        raise CloudFormationError("InvalidAction", f"The action {action} is not valid for this web service.")
    return action, tree


def _write_result(action: str, told: Mapping[str, Any], request_id: str) -> bytes:
    inner = write_element(f"{action}Result", told) + write_element("ResponseMetadata", {"RequestId": request_id})
    return f'<{action}Response xmlns="{_XMLNS}">{inner}</{action}Response>'.encode()


def _write_error(error: CloudFormationError, request_id: str) -> bytes:
    inner = write_element("Error", {"Type": "Sender", "Code": error.code, "Message": error.message})
    return f'<ErrorResponse xmlns="{_XMLNS}">{inner}{write_element("RequestId", request_id)}</ErrorResponse>'.encode()
