"""`sluiceway ledger`: what the local cloud serves of every resource type it knows, from the handlers' own tables.

With `--template`: what it serves of one template, without starting it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from localcloud.cli.given import Given, read_given
from localcloud.clock import SystemClock
from localcloud.cloud import open_cloud
from localcloud.options import CloudOptions, cloud_parameters
from localcloud.parts.formation import MACHINES
from localcloud.template.errors import TemplateError
from localcloud.template.handler import ResourceHandler, Support, Supported
from localcloud.template.ledger import make_ledger
from localcloud.template.source import read_template
from localcloud.template.stack import Settled, Stack, prepare_stack, stack_context

__all__ = ["read_handlers", "run"]

REFUSED: Final = 3
_ANY_TEMPLATE: Final = '{"Resources": {"Any": {"Type": "AWS::SQS::Queue"}}}'
_HEAD: Final = """# What the local cloud serves

Made by `make docs` from the handlers' own tables, which also make the ledger that `sluiceway up` prints. A property
that is not in a table is refused, and so is a type that is not here.
"""


def run(options: argparse.Namespace) -> int:
    """Print every type with its properties; with a template its own lines, and 3 where something is refused."""
    if options.template is not None:
        return _run_template(options)
    if options.as_json:
        return _fail("--json tells the ledger of a template: name it with --template FILE", 2)
    with asyncio.Runner() as runner, tempfile.TemporaryDirectory() as folder:
        handlers = runner.run(read_handlers(Path(folder)))
    lines = _markdown(handlers) if options.markdown else _plain(handlers)
    sys.stdout.writelines(f"{line}\n" for line in lines)
    return 0


def _run_template(options: argparse.Namespace) -> int:
    try:
        given = read_given(options)
    except ValueError as error:
        return _fail(str(error), 2)
    if options.markdown:
        return _fail("--markdown tells what is served of every type; it takes no template", 2)
    try:
        with tempfile.TemporaryDirectory() as folder, asyncio.Runner() as runner:
            stack = _prepare(given, options, Path(folder))
            handlers = runner.run(read_handlers(Path(folder)))
            ledger = make_ledger(stack.graph, handlers, allow=options.allow)
    except TemplateError as error:
        return _fail(str(error), 1)
    if options.as_json:
        sys.stdout.write(json.dumps(ledger.to_json(), indent=1) + "\n")
    else:
        sys.stdout.write(ledger.text() + "\n")
    return REFUSED if ledger.refused else 0


def _prepare(given: Given, options: argparse.Namespace, folder: Path) -> Stack:
    """The template's stack; an SSM parameter's name stands for its value, which has no line. Raises TemplateError."""
    source = read_template(given.template)
    settled = replace(
        _options(given.template, folder),
        config_env=options.config_env,
        overrides=given.overrides,
        settings=given.settings,
    )
    machine = MACHINES.get(platform.machine().lower(), platform.machine().lower())
    parameters = cloud_parameters(settled, source, machine, console="http://127.0.0.1", aws="http://127.0.0.1")
    base = given.template.resolve().parent
    context = stack_context(base, stack_name=given.stack_name, region=given.region)
    return prepare_stack(source, context, Settled(parameters=parameters, stored=str))


def _fail(message: str, code: int) -> int:
    sys.stderr.write(f"sluiceway: {message}\n")
    return code


async def read_handlers(folder: Path) -> Mapping[str, ResourceHandler]:
    """A handler for every type that is served, by type; `folder` takes what a start writes."""
    template = folder / "template.json"
    template.write_text(_ANY_TEMPLATE)
    options = _options(template, folder)
    async with open_cloud(options, clock=SystemClock(), rng=random.Random()) as cloud:  # noqa: S311 - no secrets
        return dict(cloud.handlers)  # made while what they make resources in is open


def _options(template: Path, folder: Path) -> CloudOptions:
    return CloudOptions(
        template=template,
        state=folder,
        cache=folder,
        environ=dict(os.environ),  # noqa: TID251 - the command's own environment
        progress=lambda _: None,
        overrides={},
    )


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
