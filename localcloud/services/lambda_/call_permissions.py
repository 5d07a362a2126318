"""What IAM asks of a request to the Lambda API: the action, and what it is on.

Pure. Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_awslambda.html
"""

from __future__ import annotations

from typing import Any, Final, cast

from localcloud.json_text import MalformedJson, read_json
from localcloud.services.contract import ACCOUNT_ID, Permission
from localcloud.services.iam.tags import read_tag_map, request_tags, tag_keys
from localcloud.services.lambda_.api import function_arn
from localcloud.services.lambda_.routes import Call

__all__ = ["call_permissions"]

_ANYTHING: Final = frozenset({"GetAccountSettings", "ListFunctions", "ListLayers", "ListLayerVersions"})
_ACTIONS: Final = {
    "Invoke": "InvokeFunction",
    "InvokeWithResponseStream": "InvokeFunction",
    "GetLayerVersionByArn": "GetLayerVersion",
}
"""Where the action has another name than the operation."""
_GIVES_A_ROLE: Final = frozenset({"CreateFunction", "UpdateFunctionConfiguration"})


def call_permissions(call: Call) -> tuple[Permission, ...]:
    """The actions that the caller needs: the operation's own, and iam:PassRole where a role is given to a function."""
    own = f"lambda:{_ACTIONS.get(call.operation, call.operation)}"
    if call.operation in _ANYTHING:
        return (Permission(own, "*"),)
    body = _read_body(call) if call.operation in {*_GIVES_A_ROLE, "TagResource"} else {}
    context = request_tags(read_tag_map(body.get("Tags")))
    if call.operation == "UntagResource":
        context = tag_keys(call.query.get("tagKeys", []))
    needed = (Permission(own, _resource(call, body), context),)
    role = body.get("Role") if call.operation in _GIVES_A_ROLE else None
    if isinstance(role, str) and role:
        passed = (("iam:PassedToService", "lambda.amazonaws.com"),)
        needed = (*needed, Permission("iam:PassRole", role, passed))
    return needed


def _resource(call: Call, body: dict[str, Any]) -> str:
    region = call.request.region
    if "Resource" in call.parts:
        return call.parts["Resource"]
    if call.operation == "GetLayerVersionByArn":
        return call.text("Arn") or "*"
    if "LayerName" in call.parts:
        name = call.parts["LayerName"]
        arn = name if name.startswith("arn:") else f"arn:aws:lambda:{region}:{ACCOUNT_ID}:layer:{name}"
        return f"{arn}:{call.parts['VersionNumber']}"
    name = call.function or str(body.get("FunctionName") or "*")
    return function_arn(name, region, qualifier=call.qualifier)


def _read_body(call: Call) -> dict[str, Any]:
    try:
        body = read_json(call.request.body or b"{}")
    except MalformedJson:
        return {}
    return cast("dict[str, Any]", body) if isinstance(body, dict) else {}
