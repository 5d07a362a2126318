"""Functions that call themselves without end: how often each was in a chain of requests, and when the chain ends.

The count travels in the trace header's `Lineage`, which an SDK inside of a function sends with every call, and SQS,
SNS, S3 and Lambda hand on with what comes of it. Pure.
Sources: https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html,
https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader (the header)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from hashlib import sha256
from typing import Final

from localcloud.services.lambda_.errors import LambdaError
from localcloud.traces.header import without_lineage

__all__ = ["ALLOW", "CONDITION", "DROPPED", "MAX_TIMES", "MODES", "TERMINATE", "enter", "stopped"]

ALLOW: Final = "Allow"
TERMINATE: Final = "Terminate"
MODES: Final = (ALLOW, TERMINATE)  # PutFunctionRecursionConfig
MAX_TIMES: Final = 16  # invocation-recursion: "approximately 16 times"; the next invocation is stopped
MAX_FUNCTIONS: Final = 16  # ours: of a chain; who was in it least is forgotten
DROPPED: Final = "RecursiveInvocationsDropped"  # the metric
CONDITION: Final = "RecursiveInvocationDetected"  # ours: AWS's record of such an event is nowhere written down
_LINEAGE: Final = re.compile(r"(?:^|;)\s*Lineage=([^;]*)")
_TIMES: Final = re.compile(r"([0-9a-f]{8}):(\d{1,5})")
_NAME: Final = "Lineage="
_BAR: Final = "%7C"  # botocore quotes the header that it is given
_MAX_COUNT: Final = 32_767


def enter(header: str, others: Iterable[str], function_arn: str) -> tuple[str, int]:
    """The header for what a function does, and how often it was in the chain before.

    `others`: the headers of further messages in the same batch: the longest chain counts.
    """
    times = _merge([header, *others])
    key = _key(function_arn)
    before = times.get(key, 0)
    times[key] = min(before + 1, _MAX_COUNT)
    kept = [key]
    if len(times) > 1:
        kept = sorted(times, key=lambda name: (name == key, times[name]), reverse=True)[:MAX_FUNCTIONS]
    lineage = "|".join(f"{name}:{times[name]}" for name in kept)
    return f"{without_lineage(header)};{_NAME}{lineage}".removeprefix(";"), before


def stopped(function_arn: str) -> LambdaError:
    """What Lambda answers instead of the next invocation."""
    message = f"Lambda has detected that {function_arn} is invoked in a recursive loop and stopped the invocation."
    return LambdaError("RecursiveInvocationException", message, 400, message_key="Message")


@lru_cache(maxsize=1024)
def _key(function_arn: str) -> str:
    return sha256(function_arn.encode()).hexdigest()[:8]


def _merge(headers: Iterable[str]) -> dict[str, int]:
    times: dict[str, int] = {}
    for header in headers:
        for name, count in _read(header).items():
            times[name] = max(times.get(name, 0), count)
    return times


def _read(header: str) -> Mapping[str, int]:
    found = _LINEAGE.search(header) if _NAME in header else None
    text = found[1].replace(_BAR, "|") if found else ""
    return {name: int(count) for name, count in _TIMES.findall(text)}
