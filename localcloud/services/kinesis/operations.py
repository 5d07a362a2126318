"""Every operation of Kinesis Data Streams by name: those that are served, and those that are refused by name.

Source: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_Operations.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from localcloud.services.kinesis.calls import Call, Result
from localcloud.services.kinesis.control import CONTROL
from localcloud.services.kinesis.fan_out import FAN_OUT
from localcloud.services.kinesis.records import RECORDS
from localcloud.services.kinesis.resharding import RESHARDING
from localcloud.services.kinesis.resource_operations import RESOURCES

__all__ = ["NOT_SERVED", "OPERATIONS", "SUBSCRIBE"]

SUBSCRIBE: Final = "SubscribeToShard"  # the one whose answer is an event stream
OPERATIONS: Final[Mapping[str, Callable[[Call], Result]]] = {
    **CONTROL,
    **FAN_OUT,
    **RECORDS,
    **RESHARDING,
    **RESOURCES,
}
NOT_SERVED: Final = (
    "CreateChannel",
    "DeleteChannel",
    "DescribeChannel",
    "ListChannels",
    "UpdateChannel",
    "UpdateStreamWarmThroughput",
)
