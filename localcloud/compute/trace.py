"""The X-Ray trace header of an invocation: the caller's, completed, or a new one; and Lambda's spans.

Source: https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from localcloud.clock import Clock
from localcloud.compute.environment import Outcome, Request
from localcloud.compute.function import FunctionSpec
from localcloud.services.lambda_.errors import LambdaError
from localcloud.traces.header import read_root, with_parent
from localcloud.traces.recorder import Recorder, Span

__all__ = ["LambdaSpans", "complete_trace_header"]


def complete_trace_header(given: str, *, sampled: bool, clock: Clock, rng: random.Random) -> str:
    """`Root=...;Parent=...;Sampled=0|1`: what `given` lacks is made; `sampled` where the caller did not decide."""
    fields = dict(part.strip().split("=", 1) for part in given.split(";") if "=" in part)
    if not read_root(given):
        fields.pop("Root", None)
    fields.setdefault("Root", f"1-{int(clock.time()):08x}-{rng.getrandbits(96):024x}")
    fields.setdefault("Parent", f"{rng.getrandbits(64):016x}")
    if fields.get("Sampled") not in {"0", "1"}:
        fields["Sampled"] = "1" if sampled else "0"
    order = ["Root", "Parent", "Sampled", *sorted(set(fields) - {"Root", "Parent", "Sampled", "Self"})]
    return ";".join(f"{name}={fields[name]}" for name in order)


class LambdaSpans:
    """The spans of invocations: one for each attempt, inside it one for an environment's start, before it its waiting.

    Without a recorder there are none, and requests stay as they are.
    """

    def __init__(self, recorder: Recorder | None) -> None:
        self._recorder = recorder

    def begin_waiting(self, spec: FunctionSpec, request: Request, *, attempt: int) -> tuple[Request, Span | None]:
        """An asynchronous invocation waits for its next attempt. The request to make then, and the span until then."""
        if self._recorder is None:
            return request, None
        span = self._recorder.begin(
            request.trace_header, "queue", spec.name, request_id=request.request_id, asynchronous=True, attempt=attempt
        )
        return replace(request, trace_header=with_parent(request.trace_header, span.id), asynchronous=True), span

    def end_waiting(self, span: Span | None) -> None:
        """The attempt is made, or never will be."""
        if self._recorder is not None and span is not None:
            self._recorder.end(span)

    def begin(self, spec: FunctionSpec, request: Request) -> tuple[Request, Span | None]:
        """An attempt begins: the request whose header names the span, as a segment of Lambda's does, and the span."""
        recorder = self._recorder
        if recorder is None:
            return request, None
        span = recorder.begin(
            request.trace_header,
            "function",
            spec.name,
            request_id=request.request_id,
            asynchronous=request.asynchronous or None,
            batch_size=len(request.batch) or None,
        )
        for header in request.batch:
            recorder.link(header, span)
        header = with_parent(request.trace_header, span.id)

        def begin_init() -> Callable[[bool], None]:
            init = recorder.begin(header, "init", spec.name)
            return lambda failed: recorder.end(init, failed=failed)

        return replace(request, trace_header=header, on_init=begin_init), span

    def end(self, span: Span | None, result: Outcome | Exception) -> None:
        """The attempt ended, with an outcome or with what kept it from having one."""
        if self._recorder is None or span is None:
            return
        if isinstance(result, Outcome):
            self._recorder.end(
                span,
                failed=bool(result.error_type),
                error_type=result.error_type or None,
                cold_start=result.cold_start,
            )
        else:
            error_type = result.code if isinstance(result, LambdaError) else type(result).__name__
            self._recorder.end(span, failed=True, error_type=error_type)
