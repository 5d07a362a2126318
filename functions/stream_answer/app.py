"""Pattern 3: makes a streamed answer and posts it to whoever reads it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from sluiceway import settings
from sluiceway.app import App
from sluiceway.aws.answers import DynamoDbAnswerStore
from sluiceway.aws.connections import ApiConnections
from sluiceway.aws.dynamodb import Table
from sluiceway.aws.wire import Wire
from sluiceway.codec import order
from sluiceway.flows.stream.answer import AnswerDesk, AnswerRules, run_answer
from sluiceway.flows.stream.generation import Model
from sluiceway.genai.bedrock import BedrockProvider
from sluiceway.ports import SystemChance, SystemClock
from sluiceway.rules.answers import MAX_HISTORY
from sluiceway.rules.jobs import MAX_TOKENS
from sluiceway.steps.log_context import log_context
from sluiceway.steps.metrics import metrics
from sluiceway.steps.trace import trace

__all__ = ["handler"]


@asynccontextmanager
async def lifespan() -> AsyncGenerator[AnswerDesk]:
    """Settings and connections. Raises `Misconfigured` that names the setting."""
    conversations, url = settings.text("CONVERSATIONS_TABLE"), settings.url("CONNECTIONS_URL")
    model_id = settings.text("MODEL_ID")
    max_output_tokens = settings.integer("MAX_OUTPUT_TOKENS", minimum=1, maximum=MAX_TOKENS)
    continues = settings.choice("MODEL_CONTINUES", ("true", "false")) == "true"
    history = settings.integer("HISTORY_CHARACTERS", minimum=0, maximum=MAX_HISTORY)
    rules = AnswerRules(
        grace_s=settings.integer("GRACE_S", minimum=0, maximum=600),
        on_disconnect=settings.choice("ON_DISCONNECT", ("cancel", "drain")),
    )
    clock = SystemClock()
    async with Wire.open(settings.environ()) as wire:
        yield AnswerDesk(
            answers=DynamoDbAnswerStore(Table(wire, conversations), clock),
            connections=ApiConnections(wire, url),
            model=Model(BedrockProvider(wire, model_id), max_output_tokens, continues=continues, history=history),
            clock=clock,
            chance=SystemChance(),
            rules=rules,
        )


handler = App(run_answer, source=order, steps=[log_context, metrics, trace], lifespan=lifespan)
