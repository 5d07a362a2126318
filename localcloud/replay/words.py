"""The words of `sluiceway replay --from`: which there are, which go together, what they mean. Knows no service."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from localcloud.replay.edits import Editor, edit_by_command, edit_by_paths, read_edit
from localcloud.state import STATE_FOLDER
from sluiceway.errors import Misconfigured
from sluiceway.rules.consuming.spans import Span

__all__ = ["Named", "make_parser", "read_editor", "read_moment", "read_named", "read_span", "refuse_misused"]

SOURCES: Final = ("stream", "queue", "s3", "archive")
TARGETS: Final = ("same", "source", "lambda", "sam", "stream", "queue", "file", "http", "https")
# What goes with which sources alone
_ONLY: Final[Mapping[str, tuple[str, ...]]] = {
    "at": ("stream", "s3", "archive"),
    "until": ("stream", "s3", "archive"),
    "after": ("stream",),
    "share": ("stream",),
    "fan_out": ("stream",),
    "list": ("queue",),
    "origin": ("s3",),
    "resume": ("stream", "s3"),
    "rule": ("archive",),
    "rate": ("stream", "queue", "s3"),
    "edit": ("stream", "queue", "s3"),
    "edit_with": ("stream", "queue", "s3"),
}


class Named(NamedTuple):
    """`kind:name`, as in `stream:orders`."""

    kind: str
    name: str


def make_parser(program: str) -> argparse.ArgumentParser:
    """The parser. Words are taken whole."""
    parser = argparse.ArgumentParser(
        prog=program, description="Send what a stream, a queue or an archive has once more.", allow_abbrev=False
    )
    add = parser.add_argument
    add("--from", dest="source", required=True, metavar="stream:NAME|queue:NAME|s3://BUCKET/PREFIX|archive:NAME")
    add("--target", default="", metavar="same|source|lambda:NAME|sam:ID|stream:NAME|queue:NAME|file:PATH|URL")
    _add_part(parser)
    _add_manner(parser)
    add("--edit", action="append", default=[], metavar="PATH=VALUE", help="set a member of the content's JSON")
    add("--edit-with", metavar="COMMAND", help="the content goes through COMMAND")
    add("--list", action="store_true", help="show the letters of a queue with their reasons, and leave them there")
    add("--dry-run", action="store_true", help="read and count, send nothing")
    add("--resume", type=Path, metavar="FILE", help="note there how far it is; go on from there where there is one")
    add("--json", action="store_true", dest="as_json", help="for scripts")
    add("--endpoint-url", metavar="URL", help="the AWS APIs; default: AWS_ENDPOINT_URL, then the local cloud")
    add("--aws", action="store_true", help="AWS itself, with the credentials of the environment")
    add("--region", metavar="NAME", help="default: the local cloud's, or AWS_REGION")
    add("--state", type=Path, default=STATE_FOLDER, metavar="DIR", help=f"the local cloud's; default: {STATE_FOLDER}")
    add("--template", type=Path, default=Path("template.yaml"), metavar="FILE", help="for sam:ID")
    add("sam_arguments", nargs="*", help="after --: given to `sam local invoke` unchanged")
    return parser


def _add_part(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--at", metavar="TRIM_HORIZON|TIME", help="from there on; TIME as 2026-11-28T00:00:00Z; default: all there is")
    add("--after", action="append", default=[], metavar="SHARD:NUMBER", help="from behind this record on")
    add("--until", metavar="TIME|now", help="what came later is left out; default: now")
    add("--origin", metavar="ARN", help="the stream that raw records of s3 are from, for --target same and source")
    add("--rule", action="append", default=[], metavar="ARN", help="of an archive's bus, only these rules")


def _add_manner(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--rate", type=float, metavar="N", help="records a second at most")
    add("--share", type=float, metavar="PART", help="of a shard's 5 reads a second; default: 0.2")
    add("--fan-out", action="store_true", help="read by a consumer of its own, which is removed afterwards")
    add("--batch", type=int, default=100, metavar="N", help="records that are sent together; default: 100")
    add("--at-once", type=int, default=8, metavar="N", help="requests to a URL at a time; default: 8")
    add("--tries", type=int, default=3, metavar="N", help="invocations until a failed batch is refused; default: 3")


def read_named(text: str, *, allowed: Sequence[str], word: str) -> Named:
    """`kind:name`, or the kind alone where it needs no name. Raises Misconfigured."""
    kind, _, name = text.partition(":")
    if kind in {"http", "https"}:
        name = text
    alone = kind in {"same", "source"}
    if kind not in allowed or bool(name) is alone:
        shown = ", ".join(allowed)
        raise Misconfigured(f"{word} is one of {shown}, with a name behind a colon, not {text or 'nothing'}", what=word)
    return Named(kind, name)


def refuse_misused(options: argparse.Namespace, source: Named, target: Named | None) -> None:
    """Raise Misconfigured for words that do not go together."""
    for word, kinds in _ONLY.items():
        if getattr(options, word) and source.kind not in kinds:
            raise Misconfigured(f"--{word.replace('_', '-')} does not go with {source.kind}:", what=word)
    if options.edit and options.edit_with:
        raise Misconfigured("--edit and --edit-with are two ways", what="edit")
    if options.share and options.fan_out:
        raise Misconfigured("--share is of reads that --fan-out does not make", what="share")
    if target is None and not (options.list or options.dry_run):
        raise Misconfigured("name a --target, or say --dry-run", what="target")
    if source.kind == "archive" and not options.dry_run and target != Named("source", ""):
        raise Misconfigured("EventBridge replays an archive to its own bus: --target source", what="target")
    if (source.kind, target) == ("stream", Named("source", "")):
        raise Misconfigured("--target source is for letters: a stream's records are there already", what="target")
    _refuse_numbers(options)


def _refuse_numbers(options: argparse.Namespace) -> None:
    for word, most in (("batch", 10_000), ("at_once", 64), ("tries", 100)):
        if not 1 <= getattr(options, word) <= most:
            raise Misconfigured(f"--{word.replace('_', '-')} is 1 to {most}", what=word)
    if options.rate is not None and not 0 < options.rate <= 1e6:
        raise Misconfigured("--rate is more than 0 and at most 1000000", what="rate")
    if options.share is not None and not 0 < options.share <= 1:
        raise Misconfigured("--share is more than 0 and at most 1", what="share")


def read_moment(text: str, *, now_ms: int, word: str) -> int:
    """Epoch milliseconds of `now` or an ISO 8601 date; one without a zone is UTC. Raises Misconfigured."""
    if text == "now":
        return now_ms
    try:
        moment = datetime.fromisoformat(text)
        at_ms = round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    except (OverflowError, ValueError) as error:
        raise Misconfigured(f"{word} is a date such as 2026-11-28T00:00:00Z, not {text}", what=word) from error
    if at_ms <= 0:
        raise Misconfigured(f"{word} is a date after 1970, not {text}", what=word)
    return at_ms


def read_span(options: argparse.Namespace, *, now_ms: int) -> Span:
    """The part of a stream that is meant; its end is now where none is named. Raises Misconfigured."""
    until_ms = read_moment(options.until or "now", now_ms=now_ms, word="--until")
    after = dict(map(_read_after, options.after))
    if after and options.at:
        raise Misconfigured("--at and --after are two beginnings", what="at")
    if after:
        return Span("AFTER_SEQUENCE_NUMBER", after=after, until_ms=until_ms)
    if options.at in {None, "TRIM_HORIZON"}:
        return Span(until_ms=until_ms)
    at_ms = read_moment(options.at, now_ms=now_ms, word="--at")
    if at_ms > until_ms:
        raise Misconfigured("--at lies behind --until", what="at")
    return Span("AT_TIMESTAMP", at_ms=at_ms, until_ms=until_ms)


def _read_after(text: str) -> tuple[str, str]:
    shard_id, _, number = text.rpartition(":")
    if not shard_id or not (number.isascii() and number.isdigit()):
        raise Misconfigured(f"--after is a shard and a sequence number, SHARD:NUMBER, not {text}", what="after")
    return shard_id, number


def read_editor(options: argparse.Namespace) -> Editor | None:
    """How content is changed, None where it is not. Raises Misconfigured."""
    if options.edit_with:
        return edit_by_command(options.edit_with)
    return edit_by_paths([read_edit(text) for text in options.edit]) if options.edit else None
