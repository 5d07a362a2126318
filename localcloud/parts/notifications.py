"""S3's notifications put together: from buckets to queues, topics, functions and the default bus.

Imported with the first bucket that is to tell of its objects.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from localcloud.compute.functions import Functions
from localcloud.parts.services import Services
from localcloud.services.events.envelope import Entry
from localcloud.services.lambda_.errors import LambdaError
from localcloud.services.s3.destinations import Destinations, DestinationServices
from localcloud.services.s3.notification_events import OWNER_ID
from localcloud.services.s3.notifications import Notifications

if TYPE_CHECKING:
    from localcloud.parts.messaging import Messaging

__all__ = ["open_notifications"]


def open_notifications(
    services: Services, functions: Functions, messaging: Messaging, *, group: asyncio.TaskGroup
) -> Notifications:
    """What the buckets of S3 tell; topics and buses are opened with the first that they tell."""

    async def publish(arn: str, message: str, subject: str, trace: str) -> None:  # noqa: PLR0917 - the port's
        from localcloud.services.sns.message import Publication  # noqa: PLC0415 - few buckets tell a topic

        topics = messaging.topics
        topics.publish(topics.get(arn, arn.split(":")[3]), Publication(message, subject), trace_header=trace)

    async def invoke(arn: str, payload: bytes, trace: str) -> None:
        await functions.invoke(arn, payload, invocation_type="Event", trace_header=trace)

    def has_function(arn: str) -> bool:
        try:
            functions.get(arn)
        except LambdaError:
            return False
        return True

    def emit(region: str, entry: Entry) -> str:
        return messaging.buses.emit(region, entry)

    def principal_id(access_key: str) -> str:
        principal = services.iam.principal_of(access_key)
        role = services.iam.roles.get(principal.role_arn)
        return OWNER_ID if role is None else f"AWS:{role.unique_id}:{principal.session}"

    port = Destinations(
        DestinationServices(
            find_queue=services.queues.find,
            has_topic=lambda arn: messaging.topics.find(arn) is not None,
            has_function=has_function,
            publish=publish,
            invoke=invoke,
            emit=emit,
            policy_of=services.policy_of,
        )
    )
    return Notifications(port, principal_id=principal_id, group=group, clock=services.clock, rng=services.rng)
