"""A job that was submitted over a WebSocket tells its sender how it went, so that nobody has to poll.

Owns the frames of a job: one when a worker has it, one when it has ended. They are sent at best: a connection that is
gone, or a result too large for a message, leaves the result where `GET /jobs/{job_id}` finds it. Submitting a job again
that has ended tells its end again. Must not know AWS.
"""

from __future__ import annotations

from collections.abc import Mapping

from sluiceway import log
from sluiceway.codec.frames import encode_frame
from sluiceway.errors import Rejected, SluicewayError
from sluiceway.events.http import describe_problem
from sluiceway.events.invocation import Invocation
from sluiceway.events.socket import Frame, FrameKind
from sluiceway.events.sqs import SqsMessage
from sluiceway.flows.job import JobWorker, hash_body, run_job
from sluiceway.ports import MAX_MESSAGE_BYTES, Connections, JobRecord
from sluiceway.rules.jobs import parse_job_id

__all__ = ["run_job_and_tell"]


async def run_job_and_tell(
    message: SqsMessage, *, call: Invocation, worker: JobWorker, connections: Connections
) -> None:
    """As `run_job`; the message's connection, where it names one, hears of it."""
    connection_id = message.attributes.get("connection_id", "")
    if not connection_id:
        await run_job(message, call=call, worker=worker)
        return
    news = _News(connection_id, message.attributes.get("req", ""), connections)
    job_id = message.attributes.get("job_id", "")
    await news.tell("ping", 1, {"job_id": job_id, "status_url": f"jobs/{job_id}", "state": "running"})
    try:
        await run_job(message, call=call, worker=worker)
    except Rejected:
        await _tell_end(message, worker, news)
        raise
    await _tell_end(message, worker, news)


async def _tell_end(message: SqsMessage, worker: JobWorker, news: _News) -> None:
    """Nothing that goes wrong here may bring the message back: the job itself is done with."""
    job_id = parse_job_id(message.attributes.get("job_id", ""))
    if job_id is None or job_id.caller != message.attributes.get("caller"):
        return
    try:
        record = await worker.store.get(job_id.text)
    except SluicewayError as error:
        log.warning("job.untold", error_type=type(error).__name__)
        return
    if record is None:
        return
    if record.body_sha256 != hash_body(message.body):
        await news.tell_conflict(record)
    elif record.state in {"succeeded", "failed"}:
        await news.tell_end(record)


class _News:
    """The way to one sender, under the name that it gave its request."""

    def __init__(self, connection_id: str, req: str, connections: Connections) -> None:
        self._connection_id = connection_id
        self._req = req
        self._connections = connections

    async def tell_end(self, record: JobRecord) -> None:
        """The result, or the problem; without its text where that is too large or stored elsewhere."""
        where = _where(record)
        if record.state == "failed":
            await self.tell("error", 2, {**(record.problem or {}), **where, "resumable": False})
        elif record.result is None or not await self.tell("final", 2, {**where, "result": record.result}):
            await self.tell("final", 2, where)

    async def tell_conflict(self, record: JobRecord) -> None:
        """The first body stands, as `GET` says as well; this sender's is not answered."""
        why = describe_problem("conflict", "The req is taken by another job")
        await self.tell("error", 2, {**why, **_where(record), "resumable": False})

    async def tell(self, kind: FrameKind, seq: int, data: Mapping[str, object]) -> bool:
        """Whether the frame fits into a message; whether it arrives is not this job's concern."""
        frame = encode_frame(Frame(kind, self._req, seq, 0, 0, data))
        if len(frame) > MAX_MESSAGE_BYTES:
            return False
        try:
            await self._connections.post(self._connection_id, frame)
        except SluicewayError as error:
            log.info("job.untold", error_type=type(error).__name__)
        return True


def _where(record: JobRecord) -> Mapping[str, object]:
    return {"job_id": record.job_id, "status_url": f"jobs/{record.job_id}", "state": record.state}
