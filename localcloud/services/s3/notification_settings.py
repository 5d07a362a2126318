"""`NotificationConfiguration` of CloudFormation's `AWS::S3::Bucket`, as PutBucketNotificationConfiguration has it.

Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-s3-bucket-notificationconfiguration.html
"""

from __future__ import annotations

from typing import Final

from localcloud.services.s3.notification_config import DESTINATIONS, BadConfiguration, Configuration, Rule, add_filter
from localcloud.services.s3.notifications import Notifications
from localcloud.template.properties import Properties

__all__ = ["read_configuration"]

_PROPERTY: Final = "NotificationConfiguration"


async def read_configuration(read: Properties, notifications: Notifications, *, name: str, region: str) -> None:
    """Let the bucket `name` tell what its properties say. Raises TemplateError for what S3 would refuse."""
    block = read.nested(_PROPERTY)
    bridge = block.nested("EventBridgeConfiguration")
    try:
        rules = [
            _read_rule(each, destination, f"{name}-{kind}-{number}")
            for kind, destination in DESTINATIONS.items()
            for number, each in enumerate(block.each(kind))
        ]
        is_on = "EventBridgeConfiguration" in block and bridge.flag("EventBridgeEnabled", default=True)
        await notifications.configure(name, Configuration(tuple(rules), is_on), region=region)
    except BadConfiguration as error:
        raise read.error(_PROPERTY, str(error)) from error


def _read_rule(read: Properties, destination: str, rule_id: str) -> Rule:
    filters: dict[str, str] = {}
    for each in read.nested("Filter").nested("S3Key").each("Rules"):
        add_filter(filters, each.text("Name"), each.text("Value"))
    prefix, suffix = filters.get("prefix", ""), filters.get("suffix", "")
    return Rule(rule_id, read.text(destination), (read.text("Event"),), prefix, suffix)
