"""CloudFormation's log groups: `AWS::Logs::LogGroup`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from localcloud.services.logs.model import Logs
from localcloud.template.handler import Physical, Resource, Support, Supported
from localcloud.template.properties import read_properties

__all__ = ["LogGroupHandler"]

# PutRetentionPolicy: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html
RETENTION_DAYS: Final = (
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
)  # fmt: skip
_NAME: Final = re.compile(r"[.\-_/#A-Za-z0-9]{1,512}")  # CreateLogGroup: logGroupName


class LogGroupHandler:
    """`AWS::Logs::LogGroup`. Ref is the name; attribute Arn."""

    type: str = "AWS::Logs::LogGroup"
    support: Supported = Supported()
    properties: Mapping[str, Supported] = {
        "DataProtectionPolicy": Supported(Support.REFUSED, "masking of log events is not served here"),
        "DeletionProtectionEnabled": Supported(Support.PARTIAL, "recorded; logs end with the local cloud"),
        "FieldIndexPolicies": Supported(Support.REFUSED, "log indexes are not served here"),
        "KmsKeyId": Supported(Support.PARTIAL, "recorded; logs are not encrypted here"),
        "LogGroupClass": Supported(reason="other classes are not served here", values=("STANDARD",)),
        "LogGroupName": Supported(),
        "ResourcePolicyDocument": Supported(Support.REFUSED, "policies of log groups are not served here"),
        "RetentionInDays": Supported(Support.PARTIAL, "recorded; memory keeps 20,000 events of a group, 32 MiB in all"),
        "Tags": Supported(),
    }

    def __init__(self, logs: Logs) -> None:
        self._logs = logs

    async def create(self, resource: Resource) -> Physical:
        """Declare the group. Raises TemplateError for a retention that CloudWatch does not have."""
        read, context = read_properties(resource), resource.context
        name = read.text("LogGroupName", f"{context.stack_name}-{resource.logical_id}")
        if not _NAME.fullmatch(name):
            raise read.error("LogGroupName", f"must be 1 to 512 letters, digits and ._-/#, is {name!r}")
        days = read.integer("RetentionInDays") if "RetentionInDays" in read else None
        if days is not None and days not in RETENTION_DAYS:
            raise read.error("RetentionInDays", f"must be one of {', '.join(map(str, RETENTION_DAYS))}, is {days}")
        self._logs.create_group(name, retention_days=days)
        arn = f"arn:{context.partition}:logs:{context.region}:{context.account_id}:log-group:{name}:*"
        return Physical(name, {"Arn": arn})

    async def delete(self, resource: Resource, physical: Physical) -> None:  # noqa: ARG002 - the handlers' contract
        """Forget the group."""
        self._logs.delete_group(physical.ref)
