"""Pattern 3 over HTTP: answers as server-sent events, through a Function URL and a REST API that streams."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from sluiceway import settings
from sluiceway.app import App
from sluiceway.aws.answers import DynamoDbAnswerStore
from sluiceway.aws.connections import ApiConnections
from sluiceway.aws.dynamodb import Table
from sluiceway.aws.wire import Wire
from sluiceway.codec import web
from sluiceway.flows.authorize.opening import open_gate
from sluiceway.flows.stream.answer import AnswerDesk, AnswerRules
from sluiceway.flows.stream.asking import make_ask_keys
from sluiceway.flows.stream.generation import Model
from sluiceway.flows.stream.http import HttpDesk, stream_answer_over_http
from sluiceway.genai.bedrock import BedrockProvider
from sluiceway.ports import SystemChance, SystemClock
from sluiceway.ports.keys import KeySource
from sluiceway.region.records import open_records
from sluiceway.rules.answers import MAX_HISTORY
from sluiceway.rules.jobs import MAX_TOKENS
from sluiceway.steps.log_context import log_context
from sluiceway.steps.metrics import metrics
from sluiceway.steps.trace import trace

__all__ = ["handler"]


@asynccontextmanager
async def lifespan() -> AsyncGenerator[HttpDesk]:
    """Settings and connections. Raises `Misconfigured` that names the setting."""
    conversations, url = settings.text("CONVERSATIONS_TABLE"), settings.url("CONNECTIONS_URL")
    model_id, origin = settings.text("MODEL_ID"), settings.url("CONSOLE_ORIGIN")
    max_output_tokens = settings.integer("MAX_OUTPUT_TOKENS", minimum=1, maximum=MAX_TOKENS)
    continues = settings.choice("MODEL_CONTINUES", ("true", "false")) == "true"
    history = settings.integer("HISTORY_CHARACTERS", minimum=0, maximum=MAX_HISTORY)
    clock, chance = SystemClock(), SystemChance()
    environ = settings.environ()
    async with (
        open_gate(open_source=_open_source, clock=clock, chance=chance) as gate,
        Wire.open(environ) as wire,
        open_records(environ, wire) as records,
    ):
        desk = AnswerDesk(
            answers=DynamoDbAnswerStore(Table(wire, conversations), clock),
            connections=ApiConnections(wire, url),
            model=Model(BedrockProvider(wire, model_id), max_output_tokens, continues=continues, history=history),
            clock=clock,
            chance=chance,
            rules=AnswerRules(),
        )
        yield HttpDesk(
            desk, gate, frozenset({model_id}), origin, make_ask_keys(records.store, clock=clock, chance=chance)
        )


def _open_source(url: str) -> AbstractAsyncContextManager[KeySource]:
    """For the Function URL, which has no authorizer in front of it."""
    from sluiceway.aws.keys import HttpKeySource  # noqa: PLC0415 - only who reads keys pays for it

    return HttpKeySource.open(url, ca_bundle=settings.text("AWS_CA_BUNDLE", default=""))


handler = App(stream_answer_over_http, source=web, steps=[log_context, metrics, trace], lifespan=lifespan)
