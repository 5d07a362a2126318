"""Errors that the front itself answers, in the error form of the protocol that the caller speaks. Pure."""

from __future__ import annotations

import json
from typing import Final
from xml.sax.saxutils import escape

from localcloud.services.cloudwatch.errors import CloudWatchError
from localcloud.services.cloudwatch.protocols import write_error
from localcloud.services.contract import Denied, WireRequest, WireResponse

__all__ = ["refuse", "refuse_denied"]

_JSON_TARGETS: Final = ("sqs", "dynamodb", "kinesis", "events", "logs", "states", "secretsmanager", "ssm", "kms")
_REST_JSON: Final = ("apigateway", "lambda", "bedrock", "execute-api", "appsync", "scheduler", "pipes")
_BAD_REQUEST_DENIALS: Final = (
    "cognito-idp",
    "dynamodb",
    "events",
    "glue",
    "kinesis",
    "kms",
    "logs",
    "secretsmanager",
    "ssm",
    "states",
)  # JSON 1.x: AccessDeniedException is a 400


def refuse(request: WireRequest, status: int, *, code: str, message: str) -> WireResponse:
    """An error as the API of `request.service` would write it."""
    if request.service == "monitoring":
        return write_error(request, CloudWatchError(code, message, status=status))
    if request.service in _REST_JSON:
        body = json.dumps({"message": message}).encode()
        return WireResponse(status, body, {"content-type": "application/json", "x-amzn-errortype": code})
    if request.target or (request.service in _JSON_TARGETS and not _is_form(request)):
        body = json.dumps({"__type": code, "message": message}).encode()
        headers = {"content-type": "application/x-amz-json-1.0", "x-amzn-query-error": f"{code};Sender"}
        return WireResponse(status, body, headers)
    if request.service == "s3":
        text = (
            f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{escape(code)}</Code>'
            f"<Message>{escape(message)}</Message><RequestId>{request.request_id}</RequestId></Error>"
        )
        return WireResponse(status, text.encode(), {"content-type": "application/xml"})
    if "application/json" in request.headers.get("accept", ""):
        error = {"Code": code, "Message": message, "Type": "Sender" if status < 500 else "Receiver"}
        body = json.dumps({"Error": error, "RequestId": request.request_id}).encode()
        return WireResponse(status, body, {"content-type": "application/json"})
    text = (
        f'<?xml version="1.0"?><ErrorResponse><Error><Type>{"Sender" if status < 500 else "Receiver"}</Type>'
        f"<Code>{escape(code)}</Code><Message>{escape(message)}</Message></Error>"
        f"<RequestId>{request.request_id}</RequestId></ErrorResponse>"
    )
    return WireResponse(status, text.encode(), {"content-type": "text/xml"})


def refuse_denied(request: WireRequest, denied: Denied) -> WireResponse:
    """IAM's refusal, in AWS's words.

    Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
    """
    permission = denied.permission
    action = permission.action.replace("sns:", "SNS:")  # as SNS writes its own name
    message = f"User: {denied.principal} is not authorized to perform: {action}"
    if permission.resource != "*":
        message += f" on resource: {permission.resource}"
    message += f" because {denied.reason.replace(permission.action, action)}" if denied.reason else ""
    status = 400 if request.service in _BAD_REQUEST_DENIALS else 403
    return refuse(request, status, code=_denial_code(request), message=message)


def _denial_code(request: WireRequest) -> str:
    if request.service == "sns":
        return "AuthorizationError"
    bare = request.service in {"iam", "monitoring", "route53", "s3", "sts"} or (
        request.service == "sqs" and not request.target
    )
    return "AccessDenied" if bare else "AccessDeniedException"


def _is_form(request: WireRequest) -> bool:
    return "x-www-form-urlencoded" in request.headers.get("content-type", "") or "Action=" in request.query
