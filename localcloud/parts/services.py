"""Every service's state, opened in order, and what is asked across them: who may do what, whose policy says so.

Knows no listener, no template and no resource handler.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial

from localcloud.chaos.skew import ShiftedClock
from localcloud.clock import Clock
from localcloud.compute.policies import FunctionPolicies
from localcloud.delegate import Delegate, Keeper
from localcloud.models.engine import Engine
from localcloud.options import CloudOptions
from localcloud.parts.delegated import Delegated, Setting, open_delegated
from localcloud.parts.tables import OwnTables, SharedTables, open_tables
from localcloud.services.cloudwatch.alarms import Alarms
from localcloud.services.cloudwatch.counting import Counters
from localcloud.services.cloudwatch.embedded import EmbeddedMetrics
from localcloud.services.cloudwatch.model import Metrics
from localcloud.services.iam.calls import Authoriser, CallRecord
from localcloud.services.iam.model import Iam, Principal
from localcloud.services.iam.policy import Document, read_resource_policy
from localcloud.services.iam.tags import TagsOf, group_context, resource_tags
from localcloud.services.kinesis.access import tags_of
from localcloud.services.kinesis.model import Streams
from localcloud.services.logs.files import LogFiles
from localcloud.services.logs.model import Logs
from localcloud.services.s3.keeping import S3Keeper
from localcloud.services.s3.store import Store as ObjectStore
from localcloud.services.s3.wire import S3Service, open_s3
from localcloud.services.sqs.metering import QueueMeters
from localcloud.services.sqs.model import Queues
from localcloud.services.sqs.store import Store as QueueStore
from localcloud.services.sqs.wire import SqsService
from localcloud.traces.queues import QueueSpans
from localcloud.traces.recorder import Recorder

__all__ = ["Services", "open_services"]


@dataclass(frozen=True, slots=True)
class Services:
    """Every service's state, made without I/O."""

    logs: Logs
    iam: Iam
    record: CallRecord
    queues: Queues
    streams: Streams
    tables: OwnTables | SharedTables
    delegate: Delegate
    delegated: Delegated
    s3: S3Service
    engine: Engine
    alarms: Alarms
    metrics: Metrics
    counters: Counters
    policies: FunctionPolicies
    recorder: Recorder
    queue_spans: QueueSpans
    clock: ShiftedClock
    rng: random.Random
    resource_policies: dict[str, Callable[[str], Document | None]] = field(
        default_factory=dict[str, Callable[[str], Document | None]]
    )
    resource_tags: dict[str, TagsOf] = field(default_factory=dict[str, TagsOf])

    def may_do(self, role_arn: str, action: str, resource: str) -> bool:
        """Whether a role may do an action on a resource, which each service of `resource_tags` tells the tags of."""
        principal = Principal(arn=role_arn, account=role_arn.split(":")[4], role_arn=role_arn)
        find = self.resource_tags.get(resource.split(":")[2]) if resource.count(":") >= 5 else None
        tags = find(action, resource) if find is not None else None
        return self.iam.decide(principal, action, resource, context=group_context(resource_tags(tags or {}))).allowed

    def policy_of(self, arn: str) -> Document | None:
        """The resource policy of an ARN, None where it has none; each service of `resource_policies` tells its own."""
        find = self.resource_policies.get(arn.split(":")[2]) if arn.count(":") >= 5 else None
        return find(arn) if find is not None else None

    def authoriser(self) -> Authoriser:
        """IAM's check of calls, with their record."""
        return Authoriser(self.iam, self.record, policy_of=self.policy_of)


async def open_services(
    options: CloudOptions, *, clock: Clock, rng: random.Random, cleanup: AsyncExitStack, engine: Engine
) -> Services:
    """Open every service; `cleanup` closes them, not `engine`. Raises KeptStateUnusable, OSError."""
    true_clock, clock = clock, ShiftedClock(clock)
    recorder = Recorder(clock=true_clock, rng=random.Random(rng.getrandbits(64)))  # noqa: S311 - ids, not secrets
    metrics = Metrics(clock, region=options.region)
    counters = Counters(metrics, clock)
    queue_spans = QueueSpans(recorder)
    meters = QueueMeters(counters, clock, before=queue_spans)
    queues = Queues(clock=clock, rng=rng, keeper=_open_queue_store(options, clock, cleanup), watch=meters)
    meters.queues, queue_spans.is_dead_letters = queues.all, queues.takes_dead_letters
    delegate = _open_delegate(options, cleanup)
    tables = await open_tables(options, clock=clock, rng=rng, cleanup=cleanup)
    logs = _open_logs(options, clock, cleanup)
    iam = Iam(rng)
    delegated = open_delegated(delegate, Setting(options.region, clock, rng, iam, logs))
    cleanup.callback(logs.listen(EmbeddedMetrics(metrics).hear))
    streams = Streams(clock=clock, rng=rng, metrics=metrics)
    policies = FunctionPolicies()
    return Services(
        logs=logs,
        iam=iam,
        record=_open_record(options),
        queues=queues,
        streams=streams,
        tables=tables,
        delegate=delegate,
        delegated=delegated,
        s3=open_s3(delegate, may_list=_lister(iam)),
        engine=engine,
        alarms=Alarms(clock=clock),
        metrics=metrics,
        counters=counters,
        policies=policies,
        recorder=recorder,
        queue_spans=queue_spans,
        clock=clock,
        rng=rng,
        resource_policies={
            "dynamodb": tables.policy_of,
            "iam": iam.trust_of,
            "kinesis": lambda arn: read_resource_policy(streams.policy_text(arn)),
            "lambda": policies.policy_of,
            "secretsmanager": delegated.secret_policy,
            "sqs": lambda arn: read_resource_policy(_policy_of_queue(queues, arn)),
        },
        resource_tags=_tags(tables, streams, queues=queues),
    )


def _tags(tables: OwnTables | SharedTables, streams: Streams, *, queues: Queues) -> dict[str, TagsOf]:
    return {"dynamodb": tables.tags_of, "kinesis": partial(tags_of, streams), "sqs": SqsService(queues).tags_of}


def _lister(iam: Iam) -> Callable[[str, str], bool]:
    """Whether the owner of an access key may list a bucket, by its ARN."""
    return lambda key, bucket_arn: iam.decide(iam.principal_of(key), "s3:ListBucket", bucket_arn).allowed


def _open_logs(options: CloudOptions, clock: Clock, cleanup: AsyncExitStack) -> Logs:
    logs = Logs(clock=clock)
    files = LogFiles(options.state / "logs")
    cleanup.callback(files.close)
    cleanup.callback(logs.listen(files.write))
    return logs


def _policy_of_queue(queues: Queues, arn: str) -> str:
    queue = queues.find(arn)
    return queue.attributes.get("Policy", "") if queue is not None else ""


def _open_record(options: CloudOptions) -> CallRecord:
    calls = options.state / "calls.jsonl"
    calls.unlink(missing_ok=True)
    return CallRecord(calls)


def _open_queue_store(options: CloudOptions, clock: Clock, cleanup: AsyncExitStack) -> QueueStore | None:
    if options.persist is None:
        return None
    store = QueueStore(options.persist, clock)
    cleanup.callback(store.close)
    return store


def _open_delegate(options: CloudOptions, cleanup: AsyncExitStack) -> Delegate:
    keepers: dict[str, Keeper] = {}
    if options.persist is not None:
        store = ObjectStore(options.persist)
        cleanup.callback(store.close)
        keepers["s3"] = S3Keeper(store)
    delegate = Delegate(keepers)
    cleanup.callback(delegate.close)
    return delegate
