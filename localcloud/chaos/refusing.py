"""Each service's own throttling error and its own failure, as its API words them. Pure.

Sources: the service models of botocore 1.43 for names and statuses, and each API's page of common errors, such as
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html and
https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

from localcloud.refusals import refuse
from localcloud.services.contract import WireRequest, WireResponse

__all__ = ["fail_call", "throttle_call"]

_Error: TypeAlias = tuple[int, str, str]

_DYNAMODB_DATA: Final = frozenset((
    "BatchGetItem", "BatchWriteItem", "DeleteItem", "ExecuteStatement", "GetItem", "PutItem", "Query", "Scan",
    "TransactGetItems", "TransactWriteItems", "UpdateItem",
))  # fmt: skip
_KINESIS_DATA: Final = frozenset(("GetRecords", "GetShardIterator", "PutRecord", "PutRecords"))
_RATE: Final = "Rate exceeded"

_PROVISIONED: Final[_Error] = (
    400,
    "ProvisionedThroughputExceededException",
    (
        "The level of configured provisioned throughput for the table was exceeded. "
        "Consider increasing your provisioning level with the UpdateTable API."
    ),
)
_THROTTLES: Final[Mapping[str, _Error]] = {
    "appsync": (429, "ThrottlingException", _RATE),
    "bedrock": (429, "ThrottlingException", "Too many requests, please wait before trying again."),
    "dynamodb": (400, "ThrottlingException", "Rate of requests exceeds the allowed throughput."),
    "execute-api": (429, "LimitExceededException", _RATE),
    "firehose": (400, "LimitExceededException", "Rate exceeded."),
    "kinesis": (400, "LimitExceededException", "Rate exceeded."),
    "lambda": (429, "TooManyRequestsException", "Rate Exceeded."),
    "pipes": (429, "ThrottlingException", _RATE),
    "s3": (503, "SlowDown", "Please reduce your request rate."),
    "scheduler": (429, "ThrottlingException", _RATE),
    "sqs": (400, "RequestThrottled", "The request was denied due to request throttling."),
}
_THROTTLE: Final[_Error] = (400, "ThrottlingException", _RATE)
_QUERY_THROTTLE: Final[_Error] = (400, "Throttling", _RATE)
_QUERY: Final = frozenset(("iam", "monitoring", "route53", "sns", "sts"))

_INTERNAL: Final[Mapping[str, str]] = {
    "appsync": "InternalFailureException",
    "bedrock": "InternalServerException",
    "dynamodb": "InternalServerError",
    "events": "InternalException",
    "glue": "InternalServiceException",
    "kinesis": "InternalFailureException",
    "kms": "KMSInternalException",
    "lambda": "ServiceException",
    "monitoring": "InternalServiceError",
    "pipes": "InternalException",
    "s3": "InternalError",
    "scheduler": "InternalServerException",
    "secretsmanager": "InternalServiceError",
    "sns": "InternalError",
    "ssm": "InternalServerError",
}
_UNAVAILABLE: Final[Mapping[str, str]] = {
    "bedrock": "ServiceUnavailableException",
    "firehose": "ServiceUnavailableException",
    "logs": "ServiceUnavailableException",
}


def throttle_call(request: WireRequest, operation: str) -> WireResponse:
    """What the service answers when it is asked too often. `operation` as its API names it."""
    error = _THROTTLES.get(request.service, _QUERY_THROTTLE if request.service in _QUERY else _THROTTLE)
    if request.service == "dynamodb" and operation in _DYNAMODB_DATA:
        error = _PROVISIONED
    elif request.service == "kinesis" and operation in _KINESIS_DATA:
        error = (400, "ProvisionedThroughputExceededException", "Rate exceeded for shard in stream under this account.")
    status, code, message = error
    return refuse(request, status, code=code, message=message)


def fail_call(request: WireRequest, status: int) -> WireResponse:
    """What the service answers when it fails: 500 is its own failure, 503 that it is away."""
    if status == 503:
        code = _UNAVAILABLE.get(request.service, "ServiceUnavailable")
        return refuse(request, status, code=code, message="The service is unavailable. Please retry.")
    code = _INTERNAL.get(request.service, "InternalFailure")
    return refuse(request, status, code=code, message="An internal error occurred. Please retry.")
