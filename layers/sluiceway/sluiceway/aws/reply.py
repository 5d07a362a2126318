"""What a service answered: the reply, and how an error answer is read.

Knows the error shapes of the JSON, REST-JSON and REST-XML protocols; knows nothing of connections or retries.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, cast

from sluiceway.errors import ConditionFailed, ServiceError, ServiceMisconfigured, ServiceRefused, ServiceUnavailable

__all__ = ["SIGNATURE_CODES", "Fault", "Reply", "read_fault"]

# What the deployment is refused for, whatever the request. Sources: the common errors of DynamoDB
# (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html), SQS
# (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/CommonErrors.html), S3
# (https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html) and the API models of Bedrock and of
# ApiGatewayManagementApi.
SIGNATURE_CODES: Final = frozenset(  # the service does not take the signature: a wrong clock, or wrong credentials
    {
        "AuthFailure",
        "InvalidSignatureException",
        "RequestExpired",
        "RequestInTheFuture",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
    }
)
_IDENTITY_CODES: Final = frozenset(  # it does not know who we are
    {
        "IncompleteSignature",
        "IncompleteSignatureException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidToken",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "UnrecognizedClientException",
    }
)
_PERMISSION_CODES: Final = frozenset(  # we may not, in this account or Region
    {
        "401",  # a refusal without a document: an endpoint policy, or a proxy
        "403",
        "AccessDenied",
        "AccessDeniedException",
        "AccountProblem",
        "AllAccessDisabled",
        "AuthorizationError",
        "ForbiddenException",
        "InvalidSecurity",
        "KMSAccessDenied",
        "KMSAccessDeniedException",
        "KMSOptInRequired",
        "KmsAccessDenied",
        "KmsOptInRequired",
        "NotAuthorized",
        "NotSignedUp",
        "OptInRequired",
    }
)
_RESOURCE_CODES: Final = frozenset(  # a table, queue, bucket, model or key that is not there, or not in this Region
    {
        "AWS.SimpleQueueService.NonExistentQueue",
        "AuthorizationHeaderMalformed",
        "InvalidAddress",
        "InvalidBucketName",
        "KMS.DisabledException",
        "KMS.NotFoundException",
        "KMSDisabled",
        "KMSDisabledException",
        "KMSInvalidState",
        "KMSInvalidStateException",
        "KMSNotFound",
        "KMSNotFoundException",
        "KmsDisabled",
        "KmsInvalidKeyUsage",
        "KmsInvalidState",
        "KmsNotFound",
        "NoSuchBucket",
        "NotFound",  # SNS's, of a topic
        "PermanentRedirect",
        "QueueDoesNotExist",
        "ResourceNotFoundException",
        "TableNotFoundException",
    }
)
_DEPLOYMENT_CODES: Final = SIGNATURE_CODES | _IDENTITY_CODES | _PERMISSION_CODES | _RESOURCE_CODES

# compiled where they are first needed, in an error: each costs a cold start 0.4 ms
_XML_FIELD: Final = rb"<(Code|Message|RequestId)>([^<]*)</\1>"
_XML_ENTITY: Final = r"&(lt|gt|amp|quot|apos);"
_ENTITIES: Final = {"lt": "<", "gt": ">", "amp": "&", "quot": '"', "apos": "'"}
_REQUEST_IDS: Final = ("x-amzn-requestid", "x-amz-request-id", "x-amzn-request-id")
MAX_TEXT: Final = 1000  # of a message that is no error document


class Reply(NamedTuple):
    """An answer: `headers` by lower-case name, repeated ones joined with ", ". Callers see successes (2xx) only."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        """The body decoded; an empty body is an empty object. Raises ValueError when it is no JSON object."""
        if not self.body:
            return {}
        try:
            decoded = json.loads(self.body.decode("utf-8", "surrogatepass"))  # as `loads` does once it has guessed
        except RecursionError:
            raise ValueError("the reply's body is nested too deeply") from None
        if not isinstance(decoded, dict):
            raise ValueError("the reply's body is not a JSON object")  # noqa: TRY004 - it is the data that is wrong
        return cast("dict[str, Any]", decoded)


class Fault(NamedTuple):
    """What an error answer says. `code` is without namespace; `item` is DynamoDB's, of a failed condition."""

    status: int
    code: str
    message: str
    request_id: str
    item: Mapping[str, object] | None = None

    def refusal(self, service: str, operation: str) -> ServiceRefused | ServiceMisconfigured:
        """The error for a caller whom a retry would not help: the request is wrong, or the deployment is."""
        refused = ServiceRefused
        if self.code == "ConditionalCheckFailedException":
            refused = ConditionFailed
        elif self.code in _DEPLOYMENT_CODES:
            refused = ServiceMisconfigured
        error = refused(
            self._describe(service, operation),
            service=service,
            operation=operation,
            code=self.code,
            status=self.status,
            request_id=self.request_id,
        )
        if isinstance(error, ConditionFailed) and self.item is not None:
            error.item = dict(self.item)
        return error

    def outage(self, service: str, operation: str, *, after_s: float | None) -> ServiceError:
        """The error for a caller who may try again, after `after_s` seconds at least."""
        return ServiceUnavailable(
            self._describe(service, operation),
            service=service,
            operation=operation,
            code=self.code,
            status=self.status,
            request_id=self.request_id,
            after_s=after_s,
        )

    def _describe(self, service: str, operation: str) -> str:
        quotes = self.code in SIGNATURE_CODES  # these repeat what was signed, the session token included
        said = f": {self.message}" if self.message and not quotes else ""
        request = f" (request {self.request_id})" if self.request_id else ""
        return f"{service} {operation}: {self.code}{said}{request}"


def read_fault(reply: Reply) -> Fault:
    """Read an error answer, whatever its protocol; a body that is no error document becomes the message."""
    document = _read_json(reply.body)
    fields = _read_xml(reply.body) if document is None else {}
    if document is not None:
        code = reply.headers.get("x-amzn-errortype") or _text(document, "__type", "code", "Code")
        message = _text(document, "message", "Message", "errorMessage")
    else:
        code = reply.headers.get("x-amzn-errortype") or fields.get("Code", "")
        message = fields.get("Message") or reply.body[:MAX_TEXT].decode(errors="replace")
    item = document.get("Item") if document else None
    return Fault(
        status=reply.status,
        code=_bare(code) or str(reply.status),
        message=message,
        request_id=_request_id(reply.headers) or fields.get("RequestId", ""),
        item=cast("dict[str, object]", item) if isinstance(item, dict) else None,
    )


def _bare(code: str) -> str:
    """`aws.protocoltests#FooError:http://amazon.com/` is FooError (Smithy: operation error serialization)."""
    return code.partition(":")[0].rpartition("#")[2].strip()


def _read_json(body: bytes) -> dict[str, object] | None:
    if not body.lstrip().startswith(b"{"):
        return None if body else {}
    try:
        return cast("dict[str, object]", json.loads(body))
    except (ValueError, RecursionError):
        return None


def _read_xml(body: bytes) -> dict[str, str]:
    fields: dict[str, str] = {}
    for name, value in re.findall(_XML_FIELD, body):
        text = re.sub(_XML_ENTITY, lambda entity: _ENTITIES[entity[1]], value.decode(errors="replace"))
        fields.setdefault(name.decode(), text)
    return fields


def _text(document: Mapping[str, object], *names: str) -> str:
    for name in names:
        value = document.get(name)
        if isinstance(value, str) and value:
            return value
    return ""


def _request_id(headers: Mapping[str, str]) -> str:
    for name in _REQUEST_IDS:
        if headers.get(name):
            return headers[name]
    return ""
