"""CloudWatch Logs on the wire: AWS JSON 1.1 over the log groups of the local cloud.

Groups are those of one Region; another has none of its own but what is created there. Queries (Insights), live tails,
subscriptions over the API, exports and the rest are refused by name.
Source: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/Welcome.html
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

from localcloud.clock import Clock
from localcloud.json_delegate import CONTENT_TYPE, read_object
from localcloud.json_text import MalformedJson
from localcloud.refusals import refuse
from localcloud.service_shapes import Malformed, open_shapes
from localcloud.services.contract import ACCOUNT_ID, Permission, WireRequest, WireResponse
from localcloud.services.iam.tags import read_tag_map, request_tags
from localcloud.services.logs.errors import LogsError
from localcloud.services.logs.model import Logs
from localcloud.services.logs.operations import OPERATIONS, Call, group_of

__all__ = ["LogsService"]

TARGET: Final = "Logs_20140328."
MAX_REGIONS: Final = 50
_ON_GROUP: Final = (
    "ListTagsForResource", "ListTagsLogGroup", "TagLogGroup", "TagResource", "UntagLogGroup", "UntagResource",
)  # fmt: skip


class LogsService:
    """The Logs API. `logs` are the groups of `region`."""

    name = "logs"

    def __init__(self, logs: Logs, *, region: str, clock: Clock) -> None:
        self._regions = {region: logs}
        self._clock = clock

    async def handle(self, request: WireRequest) -> WireResponse:
        """Answer one request; API errors are answers."""
        operation = _operation(request)
        if operation not in OPERATIONS:
            message = f"The local cloud does not serve the operation {operation[:128] or '(none named)'} of logs."
            return refuse(request, 400, code="UnknownOperationException", message=message)
        try:
            body = read_object(request.body)
            wrong = (await asyncio.to_thread(open_shapes, "logs")).violations(operation, body)
            if wrong:
                return refuse(request, 400, code="InvalidParameterException", message=wrong)
            answer = OPERATIONS[operation](Call(self._of(request.region), body, request.region, self._clock))
        except (MalformedJson, Malformed) as error:
            return refuse(request, 400, code="SerializationException", message=str(error))
        except LogsError as error:
            return refuse(request, error.status, code=error.code, message=error.message)
        told = b"" if answer is None else json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode()
        return WireResponse(200, told, {"content-type": CONTENT_TYPE})

    def permissions(self, request: WireRequest) -> tuple[Permission, ...]:
        """The operation on its group, or on the stream it names, as AWS's own refusals write them.

        Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoncloudwatchlogs.html
        """
        operation = _operation(request)
        if operation not in OPERATIONS:
            return ()
        try:
            body = read_object(request.body)
        except MalformedJson:
            return ()
        tags = request_tags(read_tag_map(body.get("tags")))
        return (Permission(f"logs:{operation}", _resource(operation, body, request.region), tags),)

    def _of(self, region: str) -> Logs:
        if region not in self._regions:
            if len(self._regions) >= MAX_REGIONS:
                raise LogsError("LimitExceededException", f"The local cloud has {MAX_REGIONS} Regions at most.")
            self._regions[region] = Logs(clock=self._clock)
        return self._regions[region]


def _operation(request: WireRequest) -> str:
    return request.target.removeprefix(TARGET) if request.target.startswith(TARGET) else ""


def _resource(operation: str, body: dict[str, Any], region: str) -> str:
    group = f"arn:aws:logs:{region}:{ACCOUNT_ID}:log-group:{group_of(body)}"
    if operation in _ON_GROUP:
        return group
    named = body.get("logStreamName") if operation in {"DeleteLogStream", "GetLogEvents", "PutLogEvents"} else ""
    return f"{group}:log-stream:{named or ''}"
