"""Subscription filters put to work: their way to functions and Kinesis streams, and who lets them."""

from __future__ import annotations

import base64
from collections.abc import Awaitable

from localcloud.compute.cloud import Compute
from localcloud.parts.services import Services
from localcloud.services.kinesis.errors import stream_missing
from localcloud.services.kinesis.shard import Content
from localcloud.services.logs.filter_resources import PRINCIPAL, filter_handlers
from localcloud.services.logs.metric_resources import MetricFilterHandler
from localcloud.services.logs.subscriptions import Subscriptions
from localcloud.template.handler import ResourceHandler
from localcloud.uuids import new_uuid

__all__ = ["log_handlers"]


class _Outlets:
    """A `SubscriptionPort`."""

    def __init__(self, services: Services, compute: Compute) -> None:
        self._services = services
        self._compute = compute

    async def invoke_event(self, arn: str, payload: bytes) -> None:
        await self._compute.functions.invoke(arn, payload, invocation_type="Event")

    async def put_record(self, arn: str, data: bytes, key: str) -> None:
        stream = self._services.streams.find(arn)
        if stream is None:
            raise stream_missing(arn.rpartition("/")[2])
        stream.put(Content(base64.b64encode(data).decode(), key, len(data) + len(key.encode())))

    def may_invoke(self, arn: str, group_arn: str) -> bool:
        regional = f"logs.{group_arn.split(':')[3]}.amazonaws.com"
        allows = self._services.policies.allows
        return any(allows(arn, service=service, source_arn=group_arn) for service in (PRINCIPAL, regional))

    def may_put(self, role_arn: str, stream_arn: str) -> bool:
        regional = f"logs.{stream_arn.split(':')[3]}.amazonaws.com"
        iam = self._services.iam
        assumed = any(iam.may_assume(role_arn, service) for service in (PRINCIPAL, regional))
        return assumed and self._services.may_do(role_arn, "kinesis:PutRecord", stream_arn)

    def random_key(self) -> str:
        return new_uuid(self._services.rng)


def log_handlers(services: Services, compute: Compute) -> list[ResourceHandler]:
    """The handlers of log streams and filters; batches are sent by tasks of Lambda's group."""

    def start(sending: Awaitable[None]) -> None:
        compute.group.create_task(_run(sending))

    subscriptions = Subscriptions(services.logs, start=start)
    metric_filters = MetricFilterHandler(services.logs, services.metrics.put)
    return [metric_filters, *filter_handlers(services.logs, subscriptions, _Outlets(services, compute))]


async def _run(sending: Awaitable[None]) -> None:
    await sending
