"""IAM on the wire, over the local cloud's own model: roles and policies are read and written, and simulated.

There are no users, groups and instance profiles; what is not served is refused by name.
Source: https://docs.aws.amazon.com/IAM/latest/APIReference/API_Operations.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from localcloud.refusals import refuse
from localcloud.services.contract import ACCOUNT_ID, Permission, WireRequest, WireResponse
from localcloud.services.iam.errors import IamError
from localcloud.services.iam.operations import OPERATIONS, IamApi
from localcloud.services.iam.query import Form, QueryFault, read_form, respond

__all__ = ["IamService"]

XMLNS: Final = "https://iam.amazonaws.com/doc/2010-05-08/"
_STATUSES: Final = {"NoSuchEntity": 404, "EntityAlreadyExists": 409, "DeleteConflict": 409, "AccessDenied": 403}
_LISTS: Final = ("ListPolicies", "ListRoles", "SimulateCustomPolicy")


class IamService:
    """The IAM API, which all Regions share."""

    name = "iam"

    def __init__(self, api: IamApi) -> None:
        self._api = api

    async def handle(self, request: WireRequest) -> WireResponse:
        """Answer one request; API errors are answers."""
        try:
            form = read_form(request)
            action = form.text("Action")
            result = _find(action)(self._api, form)
        except QueryFault as fault:
            return _refuse(request, fault.code, str(fault), status=fault.status)
        except IamError as error:
            return _refuse(request, error.code, str(error))
        return respond(action, result, request.request_id, xmlns=XMLNS)

    def permissions(self, request: WireRequest) -> tuple[Permission, ...]:
        """The operation on its role or policy.

        Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsidentityandaccessmanagementiam.html
        """
        try:
            form = read_form(request)
            action = form.text("Action")
            if action not in OPERATIONS:
                return ()
            return (Permission(f"iam:{action}", "*" if action in _LISTS else self._resource(form), _context(form)),)
        except IamError:
            return ()

    def _resource(self, form: Form) -> str:
        if source := form.text("PolicySourceArn"):
            return source
        if name := form.text("RoleName"):
            return self._api.role_arn(name, form.text("Path") or "/")
        if name := form.text("PolicyName"):
            return f"arn:aws:iam::{ACCOUNT_ID}:policy{form.text('Path') or '/'}{name}"
        return form.text("PolicyArn") or "*"


def _context(form: Form) -> tuple[tuple[str, str], ...]:
    arn = form.text("PolicyArn")
    boundary = form.text("PermissionsBoundary")
    own = (("iam:PolicyARN", arn),) if arn and form.text("RoleName") else ()
    return own + ((("iam:PermissionsBoundary", boundary),) if boundary else ())


def _find(action: str) -> Callable[[IamApi, Form], Mapping[str, object] | None]:
    if action not in OPERATIONS:
        named = action[:128] or "(none named)"
        raise QueryFault("InvalidAction", f"The local cloud does not serve the operation {named} of iam.")
    return OPERATIONS[action]


def _refuse(request: WireRequest, code: str, message: str, *, status: int = 400) -> WireResponse:
    return refuse(request, _STATUSES.get(code, status), code=code, message=message)
