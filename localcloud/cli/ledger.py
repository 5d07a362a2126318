"""`sluiceway ledger`: what the local cloud serves of every resource type it knows, from the handlers' own tables."""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from localcloud.clock import SystemClock
from localcloud.cloud import open_cloud
from localcloud.options import CloudOptions
from localcloud.template.handler import ResourceHandler, Support, Supported

__all__ = ["run"]

_ANY_TEMPLATE: Final = '{"Resources": {"Any": {"Type": "AWS::SQS::Queue"}}}'
_HEAD: Final = """# What the local cloud serves

Made by `make docs` from the handlers' own tables, which also make the ledger that `sluiceway up` prints. A property
that is not in a table is refused, and so is a type that is not here.
"""


def run(options: argparse.Namespace) -> int:
    """Print every type with its properties; `--markdown` gives docs/ledger.md."""
    with asyncio.Runner() as runner, tempfile.TemporaryDirectory() as folder:
        handlers = runner.run(_handlers(Path(folder)))
    lines = _markdown(handlers) if options.markdown else _plain(handlers)
    sys.stdout.writelines(f"{line}\n" for line in lines)
    return 0


async def _handlers(folder: Path) -> Mapping[str, ResourceHandler]:
    template = folder / "template.json"
    template.write_text(_ANY_TEMPLATE)
    options = CloudOptions(
        template=template,
        state=folder,
        cache=folder,
        environ=dict(os.environ),  # noqa: TID251 - the command's own environment
        progress=lambda _: None,
        overrides={},
    )
    async with open_cloud(options, clock=SystemClock(), rng=random.Random()) as cloud:  # noqa: S311 - no secrets
        return cloud.handlers


def _said(entry: Supported) -> str:
    only = f"only {', '.join(map(str, entry.values))}" if entry.values else ""
    return "; ".join(part for part in (only, entry.reason) if part)


def _plain(handlers: Mapping[str, ResourceHandler]) -> Iterator[str]:
    for name, handler in sorted(handlers.items()):
        yield f"{handler.support.support.value:<9} {name}  {_said(handler.support)}".rstrip()
        for prop, entry in sorted(handler.properties.items()):
            yield f"  {entry.support.value:<9} {prop}  {_said(entry)}".rstrip()


def _markdown(handlers: Mapping[str, ResourceHandler]) -> Iterator[str]:
    yield _HEAD
    for name, handler in sorted(handlers.items()):
        yield f"## `{name}`: {handler.support.support.value}\n"
        if handler.support.reason:
            yield f"{handler.support.reason[:1].upper()}{handler.support.reason[1:]}.\n"
        served = [f"`{prop}`" for prop, each in sorted(handler.properties.items()) if each == Supported()]
        if served:
            yield f"Served: {', '.join(served)}.\n"
        others = [(prop, each) for prop, each in sorted(handler.properties.items()) if each != Supported()]
        if others:
            yield "| Property | | |\n|---|---|---|"
            yield from (f"| `{prop}` | {_word(each)} | {_said(each)} |" for prop, each in others)
            yield ""


def _word(entry: Supported) -> str:
    return entry.support.value if entry.support is not Support.SERVED or not entry.values else "served in part"
