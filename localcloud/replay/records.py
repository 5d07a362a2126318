"""`sluiceway replay --from`: records of a stream, a queue of dead letters or an archive, sent once more.

Owns the course of a run: what is opened, when it is written down how far it is, what is printed, the exit code. Exit
codes: 0 all taken, 1 some refused or the run broke off, 2 called wrongly, 130 stopped. Progress and what is refused go
to standard error, the outcome to standard output.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shlex
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, redirect_stdout
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from localcloud.replay.archives import ArchiveReplay, Watched
from localcloud.replay.engine import Pace, Report, Run
from localcloud.replay.letters import Reading
from localcloud.replay.meter import Meter, Tally
from localcloud.replay.opening import Opening, name_run
from localcloud.replay.ports import Outlook
from localcloud.replay.queue_api import Letter
from localcloud.replay.reach import find_reach
from localcloud.replay.resume import Bookmark, read_bookmark, write_bookmark
from localcloud.replay.sources.queues import list_letters
from localcloud.replay.words import (
    SOURCES,
    TARGETS,
    Named,
    make_parser,
    read_editor,
    read_moment,
    read_named,
    refuse_misused,
)
from localcloud.state import NotRunning
from sluiceway.aws.wire import Wire
from sluiceway.errors import Misconfigured, Retryable, ServiceError, SluicewayError
from sluiceway.ports import SystemChance, SystemClock

__all__ = ["main"]

STOPPED: Final = 130  # as a shell says of a command that SIGINT ended


def main(arguments: Sequence[str], *, program: str = "replay") -> int:
    """Replay; the exit code."""
    options = make_parser(program).parse_args(arguments)
    session = Session(options, [*program.split(), *arguments])
    try:
        with asyncio.Runner() as runner, redirect_stdout(sys.stderr):
            code = runner.run(session.run())
    except (KeyboardInterrupt, asyncio.CancelledError):
        code = STOPPED
    except NotRunning as error:
        sys.stderr.write(f"replay: {error}\n")
        return 1
    except SluicewayError as error:
        session.break_off(error)
        code = 1 if session.began or isinstance(error, Retryable) else 2
    session.leave_hint()
    sys.stdout.write(session.said)
    return code


class Session:
    """One call of the command. `said`: what goes to standard output; `began`: whether anything was sent."""

    def __init__(self, options: argparse.Namespace, command: Sequence[str]) -> None:
        self.said = ""
        self.began = False
        self._options = options
        self._command = list(command)
        self._bookmark: Bookmark | None = None
        self._meter: Meter | None = None
        self._run: Run | None = None
        self._place = ""

    # ------------------------------------------------------------------ the course

    async def run(self) -> int:
        """All of it. Raises SluicewayError, NotRunning."""
        options = self._options
        source = read_named(options.source, allowed=SOURCES, word="--from")
        target = read_named(options.target, allowed=TARGETS, word="--target") if options.target else None
        refuse_misused(options, source, target)
        reach = find_reach(options)
        self._place = reach.place
        self._meter = Meter(sys.stderr.write, clock=asyncio.get_running_loop().time, is_terminal=sys.stderr.isatty())
        with _Signals(self):
            async with Wire.open(reach.environ) as wire, AsyncExitStack() as stack:
                opening = Opening(options, reach, wire, stack, SystemClock(), SystemChance())
                if source.kind == "archive":
                    return await self._replay_archive(opening, source)
                if options.list:
                    return await self._list(opening, source)
                return await self._replay(opening, source, target)

    async def _replay(self, opening: Opening, source: Named, target: Named | None) -> int:
        options = self._options
        editor = read_editor(options)  # before anything is made
        fresh = Bookmark(options.source, options.target, opening.reach.place, {})
        earlier = read_bookmark(options.resume) if options.resume else None
        if earlier is not None and not earlier.is_of(fresh):
            said = f"{options.resume} is of another replay: {earlier.source} to {earlier.target}, {earlier.place}"
            raise Misconfigured(said, what="--resume")
        if earlier is not None and earlier.done:
            return self._finish(Report(Tally(taken=earlier.taken, refused=earlier.refused)))
        start = earlier or fresh
        reading, plan = await opening.open_source(source, plan=earlier and earlier.plan, done=start.cursor)
        taking = await opening.open_target(target, source=source, mark=earlier and earlier.mark)
        if source.kind != "queue" and not options.dry_run:
            self._bookmark = replace(start, plan=plan, mark=taking.mark())
            if options.resume:  # before the first batch: what is killed in it goes on as well
                write_bookmark(options.resume, self._bookmark)
        pace = Pace(options.batch, options.rate)
        self._run = Run(reading, taking, pace=pace, meter=self._need_meter(), note=self._note)
        self._run.report.tally.taken, self._run.report.tally.refused = start.taken, start.refused
        report = await self._run.run(editor)
        if not report.interrupted:
            self._note_end()
        return self._finish(report)

    def stop(self) -> bool:
        """End the run cleanly; False where there is none that could be."""
        if self._run is None or self._run.report.interrupted or self._run.is_stopped:
            return False
        self.meter_line("stopping: the batch that is under way is ended first")
        self._run.stop()
        return True

    def break_off(self, error: SluicewayError) -> None:
        """Say why, and what was done until then."""
        place = f" (asked: {self._place})" if self._place and isinstance(error, ServiceError) else ""
        self.meter_line(f"replay: {error}{place}")
        if self._run is not None and self.began:
            self._finish(self._run.report, error=str(error))

    # ------------------------------------------------------------------ how far it is

    def _note(self, cursor: Mapping[str, Any], mark: Mapping[str, Any], tally: Tally) -> None:
        self.began = True
        if self._bookmark is None:
            return
        self._bookmark = self._bookmark.at(cursor, mark, taken=tally.taken, refused=tally.refused)
        if self._options.resume:
            write_bookmark(self._options.resume, self._bookmark)

    def _note_end(self) -> None:
        if self._bookmark is not None and self._options.resume:
            write_bookmark(self._options.resume, replace(self._bookmark, done=True))
        self._bookmark = None

    def leave_hint(self) -> None:
        """How to go on, where there is something to go on with."""
        if self._meter is not None:
            self._meter.clear()
        if self._run is not None and self._bookmark is None and self._run.report.interrupted:
            sys.stderr.write("what was not taken is where it was; start again to go on\n")
        if self._bookmark is None or not self.began:
            return
        command = self._command
        if not self._options.resume:
            stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
            path = Path(self._options.state) / f"replay-{stamp}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_bookmark(path, self._bookmark)
            command = _with_resume(command, path)
        sys.stderr.write(f"go on with: {shlex.join(command)}\n")

    # ------------------------------------------------------------------ what is said

    def meter_line(self, line: str) -> None:
        """A line on standard error."""
        if self._meter is None:
            sys.stderr.write(f"{line}\n")
        else:
            self._meter.say(line)

    def _need_meter(self) -> Meter:
        if self._meter is None:
            raise RuntimeError("there is a meter from the beginning on")
        return self._meter

    def _finish(self, report: Report, *, error: str = "") -> int:
        tally, options = report.tally, self._options
        seconds = self._need_meter().elapsed_s
        told: dict[str, Any] = {
            "from": options.source,
            "target": options.target,
            "dry_run": options.dry_run,
            "taken": tally.taken,
            "refused": tally.refused,
            "bytes": tally.size_bytes,
            "seconds": round(seconds, 3),
            "interrupted": report.interrupted,
            "reasons": dict(report.reasons),
            "error": error,
        }
        word = "counted" if options.dry_run else "taken"
        lines = [f"{tally.taken} {word}, {tally.refused} refused, {tally.size_bytes} bytes in {seconds:.1f} s"]
        lines += [f"  {count} {reason}" for reason, count in report.reasons.most_common()]
        self.said = json.dumps(told) + "\n" if options.as_json else "\n".join([*lines, ""])
        if report.interrupted:
            return STOPPED
        return 1 if tally.refused else 0

    # ------------------------------------------------------------------ letters, archives

    async def _list(self, opening: Opening, source: Named) -> int:
        letters = await opening.open_letters(await opening.find_queue(source.name), keeps=True)
        found: list[dict[str, Any]] = []
        async with aclosing(list_letters(letters)) as listed:
            async for letter, reading in listed:
                found.append(_describe(letter, reading))
        if self._options.as_json:
            self.said = json.dumps(found, indent=1) + "\n"
        else:
            self.said = "".join(map(_line, found)) or "there are no letters\n"
        return 0

    async def _replay_archive(self, opening: Opening, source: Named) -> int:
        options, now_ms = self._options, opening.clock.now_ms()
        replays = ArchiveReplay(opening.wire, opening.reach.resolve(source.name), chance=opening.chance)
        if options.dry_run:
            archive = await replays.describe()
            told: dict[str, Any] = {"archive": archive.arn, "events": archive.events, "bytes": archive.size_bytes}
            line = f"{archive.events} events, {archive.size_bytes} bytes in {archive.arn}"
            self.said = f"{json.dumps(told) if options.as_json else line}\n"
            return 0
        if options.at in {None, "TRIM_HORIZON"}:
            raise Misconfigured("a replay of an archive needs --at and a date", what="--at")
        span = (
            read_moment(options.at, now_ms=now_ms, word="--at"),
            read_moment(options.until or "now", now_ms=now_ms, word="--until"),
        )
        name = name_run(opening.chance)

        def show(watched: Watched) -> None:
            tally = Tally(first_ms=span[0], last_ms=watched.last_ms)
            self._need_meter().show(tally, Outlook(end_ms=span[1]))

        self.meter_line(f"EventBridge replays as {name}")
        ended = await replays.run(name, span_ms=span, rule_arns=options.rule, show=show)
        told = {"replay": name, "state": ended.state, "reason": ended.reason}
        line = f"{name}: {ended.state}{': ' if ended.reason else ''}{ended.reason}"
        self.said = f"{json.dumps(told) if options.as_json else line}\n"
        return 0 if ended.state == "COMPLETED" else 1


class _Signals:
    """SIGINT and SIGTERM end a run after its batch; a second one at once."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()

    def __enter__(self) -> None:
        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                self._loop.add_signal_handler(number, self._end)
        except (RuntimeError, ValueError):  # no main thread: nobody sends it signals
            return

    def __exit__(self, *_: object) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._loop.remove_signal_handler(number)

    def _end(self) -> None:
        if not self._session.stop() and self._task is not None:
            self._task.cancel()


def _with_resume(command: Sequence[str], path: Path) -> list[str]:
    """The words with `--resume`, before those that are sam's."""
    end = command.index("--") if "--" in command else len(command)
    return [*command[:end], "--resume", str(path), *command[end:]]


def _describe(letter: Letter, reading: Reading) -> dict[str, Any]:
    extent = reading.extent
    place = {"shard": extent.shard_id, "first": extent.first, "last": extent.last} if extent is not None else {}
    return {
        "message_id": letter.message_id,
        "reason": reading.reason,
        "detail": reading.detail,
        "from": reading.origin,
        "sent_ms": int(letter.system.get("SentTimestamp") or 0),
        "bytes": len(letter.body.encode("utf-8", "surrogatepass")),
        **place,
    }


def _line(told: Mapping[str, Any]) -> str:
    """One line, whatever is in a letter."""
    place = f"{told['shard']}/{told['first']}-{told['last']}" if "shard" in told else ""
    words = [told["reason"] or "no-reason", told["from"], place, told["detail"]]
    shown = [word if word.isprintable() else json.dumps(word) for word in words if word]
    return f"{told['message_id']}  {'  '.join(shown)}\n"
