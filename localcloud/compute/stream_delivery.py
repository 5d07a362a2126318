"""A batch of a shard, from its first invocation to its end: handled, split, tried again or given up.

The rules, as Lambda has them:
1. Records at the batch's head that are older than the mapping allows, or than the stream keeps, are given up before the
   next invocation; the rest goes on.
2. What never reached the function (a throttle, an error of Lambda's own) is tried again until it is too old and costs
   no attempt; an event that is larger than Lambda takes does.
3. A partial answer is progress: what succeeded is done, the rest is a new batch with all its attempts, at once.
4. A failed batch is split in halves where the mapping says so, until it is one record; halves have all their attempts,
   the left one first. What cannot be split is tried again, with a growing wait.
5. What is given up goes to the failure destination and counts as done. A destination that does not take it is tried
   again a few times; then the loss is an error in the log, a metric and the mapping's last result.
Sources: https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html,
https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from localcloud.compute.event_source import CALL_FAILED, INTERNAL_ERROR
from localcloud.compute.functions import InvokeResult
from localcloud.compute.stream_answers import Answer, read_answer
from localcloud.compute.stream_batches import Item, build_event
from localcloud.compute.stream_checkpoints import OpenWindow, Progress
from localcloud.compute.stream_failures import Condition, Discarded, build_document
from localcloud.compute.stream_mandate import Mandate
from localcloud.compute.stream_windows import Closing, accept_state, build_frame
from localcloud.services.lambda_.errors import LambdaError
from localcloud.uuids import new_uuid

__all__ = ["Delivery"]

log = logging.getLogger(__name__)

FIRST_BACKOFF_S: Final = 0.5  # AWS names no figures; each wait is between half and all of it
MAX_BACKOFF_S: Final = 30.0
DESTINATION_ATTEMPTS: Final = 5
_THROTTLED: Final = 429
_TOO_LARGE: Final = 413


@dataclass(frozen=True, slots=True)
class _Try:
    """A batch, or the closing of a window, with what has been tried. `held` counts what did not reach the function."""

    items: tuple[Item, ...]
    closing: Closing | None = None
    retries: int = 0
    held: int = 0
    invocations: int = 0
    result: InvokeResult | None = None


class Delivery:
    """Brings batches of one shard to their end, one at a time."""

    def __init__(self, mandate: Mandate, shard_id: str, progress: Progress) -> None:
        self._mandate = mandate
        self._config = mandate.config
        self._shard_id = shard_id
        self._progress = progress

    async def deliver(self, items: Sequence[Item]) -> None:
        """Returns once every record is handled or given up, or the mapping stops and no invocation runs."""
        await self._work_off(_Try(tuple(items)))

    async def close_window(self, closing: Closing) -> None:
        """Invoke for the end of the shard's open window, or of its overgrown state, and drop what it ended.

        Where the mapping stops before that was done, the window stays as it is.
        """
        window = self._progress.checkpoint.window
        if window is None:
            return
        if not await self._work_off(_Try((), closing)):
            return
        if closing is Closing.FINAL:
            self._progress.checkpoint.window = None
        else:
            window.state, window.overgrown = b"{}", False

    async def _work_off(self, first: _Try) -> bool:
        """Whether nothing is left: False where the mapping stopped before."""
        left = [first]
        while left and not self._mandate.stopping.is_set():
            window = self._progress.checkpoint.window
            if window is not None and window.overgrown and left[-1].closing is None:
                await self.close_window(Closing.EARLY)
                continue
            left.extend(reversed(await self._advance(left.pop())))
        return not left

    async def _advance(self, current: _Try) -> list[_Try]:
        """One step on; what is left of the batch afterwards, in order."""
        expired = self._count_expired(current)
        if expired or (current.closing is not None and self._remaining_s(current) <= 0):
            await self._give_up(replace(current, items=current.items[:expired]), Condition.AGE)
            rest = current.items[expired:]
            return [replace(current, items=rest)] if rest else []
        try:
            result = await self._invoke(current)
        except LambdaError as error:
            if error.status != _TOO_LARGE:
                return await self._hold(current, error)
            return await self._fail(current)
        except Exception as error:
            log.exception("mapping.invoke_broke", extra={"shard": self._shard_id})
            return await self._hold(current, error)
        return await self._take(replace(current, invocations=current.invocations + 1, result=result), result)

    # ------------------------------------------------------------------ invoking

    async def _invoke(self, current: _Try) -> InvokeResult:
        mandate = self._mandate
        age_s = mandate.clock.time() - current.items[-1].arrived_s if current.items else None
        result = await mandate.invoke(self._event(current))
        if age_s is not None:
            mandate.put_metric("IteratorAge", max(0.0, age_s) * 1000, "Milliseconds")
        return result

    def _event(self, current: _Try) -> bytes:
        return build_event(current.items, self._frame(current))

    def _frame(self, current: _Try) -> bytes:
        window = self._progress.checkpoint.window
        if window is None:
            return b""
        arn = self._mandate.source.arn
        return build_frame(window, shard_id=self._shard_id, source_arn=arn, closing=current.closing)

    async def _take(self, current: _Try, result: InvokeResult) -> list[_Try]:
        window = self._progress.checkpoint.window
        sequences = [item.sequence for item in current.items]
        answer = read_answer(result, sequences, report=self._config.report_failures, windowed=window is not None)
        self._settle(current.items[: answer.done], window, answer)
        if answer.ok:
            self._mandate.last_result = "OK"
            return []
        if answer.done:
            self._mandate.last_result = CALL_FAILED
            return [_Try(current.items[answer.done :])]
        return await self._fail(current)

    def _settle(self, items: Sequence[Item], window: OpenWindow | None, answer: Answer) -> None:
        """Records and the state that has them in it become true together."""
        if not items:
            return
        if window is not None and answer.state is not None:
            accept_state(window, answer.state)
        self._progress.settle(items)

    # ------------------------------------------------------------------ failing

    async def _fail(self, current: _Try) -> list[_Try]:
        self._mandate.last_result = CALL_FAILED
        count = len(current.items)
        if self._config.bisect and count > 1:
            return [_Try(current.items[: count // 2]), _Try(current.items[count // 2 :])]
        if 0 <= self._config.max_retries <= current.retries:
            await self._give_up(current, Condition.RETRIES)
            return []
        await self._wait(current, current.retries)
        return [replace(current, retries=current.retries + 1)]

    async def _hold(self, current: _Try, error: Exception) -> list[_Try]:
        if not isinstance(error, LambdaError):
            self._mandate.last_result = INTERNAL_ERROR
        elif error.status != _THROTTLED:
            self._mandate.last_result = f"PROBLEM: {error}"
        log.info("mapping.batch_held", extra={"shard": self._shard_id, "error": type(error).__name__})
        await self._wait(current, current.held)
        return [replace(current, held=current.held + 1)]

    async def _wait(self, current: _Try, times: int) -> None:
        """A growing wait, but not beyond the moment at which the batch's oldest record is too old, nor after a stop."""
        try:
            async with asyncio.timeout(min(self._backoff_s(times), max(0.001, self._remaining_s(current)))):
                await self._mandate.stopping.wait()
        except TimeoutError:
            pass

    def _backoff_s(self, times: int) -> float:
        most = min(FIRST_BACKOFF_S * 2 ** min(times, 10), MAX_BACKOFF_S)
        return most * (0.5 + self._mandate.rng.random() / 2)

    # ------------------------------------------------------------------ age

    def _count_expired(self, current: _Try) -> int:
        oldest_s = self._mandate.clock.time() - self._mandate.max_age_s
        return next(
            (place for place, item in enumerate(current.items) if item.arrived_s > oldest_s),
            len(current.items),
        )

    def _remaining_s(self, current: _Try) -> float:
        """Until the oldest record is too old; the age of a window's closing is counted from the window's end."""
        window = self._progress.checkpoint.window
        born_s = current.items[0].arrived_s if current.items else float(window.end_s if window else 0)
        return born_s + self._mandate.max_age_s - self._mandate.clock.time()

    # ------------------------------------------------------------------ giving up

    async def _give_up(self, current: _Try, condition: Condition) -> None:
        mandate = self._mandate
        request_id = (current.result.request_id if current.result else "") or new_uuid(mandate.rng)
        given_up = Discarded(
            condition=condition,
            records=current.items,
            shard_id=self._shard_id,
            request_id=request_id,
            invocations=current.invocations,
            result=current.result,
            window=None if current.closing is None else _window_info(self._frame(current)),
        )
        document = build_document(
            given_up,
            kind=mandate.source.kind,
            source_arn=mandate.source.arn,
            function_arn=mandate.facts.function_arn,
            now_s=mandate.clock.time(),
        )
        log.warning("mapping.records_given_up", extra=_describe(given_up))
        await self._send(document, self._event(current), given_up)
        self._progress.settle(current.items)

    async def _send(self, document: dict[str, Any], event: bytes, given_up: Discarded) -> None:
        mandate = self._mandate
        if mandate.destination is None:
            return
        for times in range(DESTINATION_ATTEMPTS):
            try:
                await mandate.destination.send(document, event)
            except Exception as error:  # noqa: BLE001 - the edge: whatever a service raises
                detail = f"{type(error).__name__}: {error}"
                log.warning("mapping.destination_refused", extra={"shard": self._shard_id, "reason": detail})
            else:
                return
            if times < DESTINATION_ATTEMPTS - 1:
                await asyncio.sleep(self._backoff_s(times))
        mandate.put_metric("DestinationDeliveryFailures", 1, "Count")
        mandate.last_result = "PROBLEM: The failure destination could not be reached; records were lost"
        log.error("mapping.records_lost", extra={**_describe(given_up), "document": document})


def _window_info(frame: bytes) -> dict[str, Any]:
    said = json.loads(b"{%b}" % frame)
    return {name: said[name] for name in ("window", "isFinalInvokeForWindow", "isWindowTerminatedEarly")}


def _describe(given_up: Discarded) -> dict[str, object]:
    records = given_up.records
    return {
        "shard": given_up.shard_id,
        "condition": given_up.condition.value,
        "records": len(records),
        "first": records[0].sequence if records else "",
        "last": records[-1].sequence if records else "",
    }
