"""The streaming mesh's filter: records of a stream to the destinations of its topic's rules, by row and column."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from sluiceway import settings
from sluiceway.app import App
from sluiceway.aws.destinations import AwsDestinations
from sluiceway.aws.filter_rules import DynamoDbFilterRuleStore
from sluiceway.aws.jobs import SqsDeadLetters
from sluiceway.aws.sqs import Queue
from sluiceway.aws.wire import Wire
from sluiceway.codec import kinesis
from sluiceway.flows.filter import RULES_TOLD, FilterDesk, filter_records
from sluiceway.flows.filter_rules import RuleWatch
from sluiceway.ports import SystemChance, SystemClock
from sluiceway.rules.masking import parse_mask_key
from sluiceway.rules.topics import read_topics
from sluiceway.steps.log_context import log_context
from sluiceway.steps.metrics import metrics
from sluiceway.steps.trace import trace

__all__ = ["handler"]


@asynccontextmanager
async def lifespan() -> AsyncGenerator[FilterDesk]:
    """Settings and connections. Raises `Misconfigured` that names the setting."""
    table, dead_letters_url = settings.text("RULES_TABLE"), settings.url("DEAD_LETTERS_URL")
    topics = read_topics(settings.json_object("TOPICS"), "TOPICS")
    secret = settings.text("MASK_KEY", default="")  # without one, rules that need it are passed over
    key = parse_mask_key(secret, "MASK_KEY") if secret else None
    rules_told = settings.integer("RULE_METRICS", minimum=0, maximum=1_000, default=RULES_TOLD)
    clock = SystemClock()
    async with Wire.open(settings.environ()) as wire:
        yield FilterDesk(
            watch=RuleWatch(DynamoDbFilterRuleStore(wire, table, clock), clock, key=key),
            destinations=AwsDestinations(wire, SystemChance()),
            dead_letters=SqsDeadLetters(Queue(wire, dead_letters_url)),
            topics=topics,
            rules_told=rules_told,
        )


handler = App(filter_records, source=kinesis, steps=[log_context, metrics, trace], lifespan=lifespan)
