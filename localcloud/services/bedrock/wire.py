"""The Bedrock runtime on the wire (REST-JSON): Converse and ConverseStream. The other actions are refused by name.

Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from contextlib import aclosing
from typing import Final
from urllib.parse import unquote

from localcloud.json_text import MalformedJson, read_json
from localcloud.models.engine import Delta, Engine, Finished, ModelFailure, Prompt
from localcloud.services.bedrock.errors import BedrockError, describe_usage, from_failure, invalid
from localcloud.services.bedrock.model import read_converse
from localcloud.services.bedrock.stream import EVENT_STREAM, begin_answer
from localcloud.services.contract import ACCOUNT_ID, Permission, WireRequest, WireResponse

__all__ = ["BedrockService"]

MODEL_TIMEOUT_S: Final = 900.0  # no generation here takes longer; AWS answers ModelTimeoutException as well
_LOG: Final = logging.getLogger(__name__)
_MODEL: Final = re.compile(r"/model/([^/]+)/([a-z-]+)")
_ID: Final = re.compile(r"[a-zA-Z0-9-:._/]{1,2048}")
_SERVED: Final = ("converse", "converse-stream")
_STREAMING: Final = ("converse-stream", "invoke-with-response-stream", "invoke-with-bidirectional-stream")
# What the console proposes as a guardrail's message for blocked answers; with one, `output` holds this alone:
# https://docs.aws.amazon.com/bedrock/latest/userguide/guardrails-use-converse-api.html
_BLOCKED: Final = "Sorry, the model cannot answer this question."
_GEOGRAPHY: Final = re.compile(r"(us|us-gov|eu|apac|au|ca|jp|global)\.")  # of cross-Region inference profiles


class BedrockService:
    """The Bedrock runtime API over one engine, whatever model a request names."""

    name = "bedrock"

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def handle(self, request: WireRequest) -> WireResponse:
        """Answer `request`. A caller who goes away stops the generation."""
        try:
            action = _check_action(request)
            prompt = read_converse(_read_json(request))
            if action == "converse-stream":
                answering = await begin_answer(self._engine, prompt, within_s=MODEL_TIMEOUT_S)
                return WireResponse(200, answering, {"content-type": EVENT_STREAM})
            async with asyncio.timeout(MODEL_TIMEOUT_S):
                answer = await self._converse(prompt)
        except BedrockError as error:
            return _refuse(error)
        except ModelFailure as failure:
            _LOG.warning("bedrock.model_failed kind=%s message=%s", failure.kind, failure.message)
            return _refuse(from_failure(failure))
        except TimeoutError:
            return _refuse(from_failure(ModelFailure("timeout", "")))
        body = json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode()
        return WireResponse(200, body, {"content-type": "application/json"})

    def permissions(self, request: WireRequest) -> tuple[Permission, ...]:
        """bedrock:InvokeModel, or the streaming one, on the model.

        Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonbedrock.html
        """
        found = _MODEL.fullmatch(request.path)
        if not found:
            return ()
        model, action = unquote(found[1]), found[2]
        streams = "WithResponseStream" if action in _STREAMING else ""
        needed = [Permission(f"bedrock:InvokeModel{streams}", _arn(model, request.region))]
        geography = _GEOGRAPHY.match(model)
        if geography:  # a profile needs the permission on the models behind it as well
            needed.append(Permission(needed[0].action, _arn(model[geography.end() :], request.region)))
        return tuple(needed)

    async def _converse(self, prompt: Prompt) -> dict[str, object]:
        loop = asyncio.get_running_loop()
        started = loop.time()
        texts: list[str] = []
        finished: Finished | None = None
        async with aclosing(self._engine.generate(prompt)) as chunks:
            async for chunk in chunks:
                if isinstance(chunk, Delta):
                    texts.append(chunk.text)
                else:
                    finished = chunk
        if finished is None:
            raise ModelFailure("failed", "The model's answer broke off.")
        text = _BLOCKED if finished.reason == "guardrail_intervened" else "".join(texts)
        return {
            "output": {"message": {"role": "assistant", "content": [{"text": text}]}},
            "stopReason": finished.reason,
            "usage": describe_usage(finished.usage),
            "metrics": {"latencyMs": round((loop.time() - started) * 1000)},
        }


def _check_action(request: WireRequest) -> str:
    """The action, if it is served. Raises BedrockError."""
    found = _MODEL.fullmatch(request.path)
    if not found:
        raise invalid(f"{request.method} {request.path} of Bedrock is not served by this local cloud.")
    if not _ID.fullmatch(unquote(found[1])):
        raise invalid("The provided model identifier is invalid.")
    if found[2] not in _SERVED or request.method != "POST":
        raise invalid(f"{found[2]} of Bedrock is not served by this local cloud; {' and '.join(_SERVED)} are.")
    return found[2]


def _read_json(request: WireRequest) -> object:
    try:
        return read_json(request.body or b"{}")
    except MalformedJson as error:
        raise invalid(f"Malformed input request: the body is not JSON: {error}.") from error


def _arn(model: str, region: str) -> str:
    if model.startswith("arn:"):
        return model
    if _GEOGRAPHY.match(model):
        return f"arn:aws:bedrock:{region}:{ACCOUNT_ID}:inference-profile/{model}"
    return f"arn:aws:bedrock:{region}::foundation-model/{model}"


def _refuse(error: BedrockError) -> WireResponse:
    body = json.dumps({"message": error.message}).encode()
    return WireResponse(error.status, body, {"content-type": "application/json", "x-amzn-errortype": error.code})
