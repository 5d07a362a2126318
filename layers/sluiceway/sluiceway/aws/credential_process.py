"""Credentials that another program prints: `credential_process` of the AWS SDKs, as IAM Roles Anywhere's tool has it.

Owns how the program is run and what its answer must be. When it is run again: `session_credentials`. Nothing that it
prints to its output ever stands in an error; its error output is this process's.
Source: https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html
"""

from __future__ import annotations

import asyncio
import json
import shutil
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final, cast

from sluiceway.aws.session_credentials import SessionCredentials
from sluiceway.aws.sigv4 import Credentials
from sluiceway.aws.wire import Outside
from sluiceway.errors import Misconfigured, ServiceUnavailable

__all__ = ["process_credentials"]

MAX_OUTPUT_BYTES: Final = 32 * 1024
VERSION: Final = 1
DRAIN_S: Final = 1.0  # for what a killed program had printed


def process_credentials(command: Sequence[str], *, outside: Outside | None = None) -> SessionCredentials:
    """Credentials that `command` (a program and its arguments; no shell reads it) prints, for `Outside`.

    It is run again ahead of their expiry, and must answer within 30 s. Calls raise Misconfigured where it cannot be
    started, and Retryable where it fails, is late or prints something else and no credentials are left. Opening a Wire
    raises Misconfigured where there is no such program.
    """

    def check() -> None:
        if not command or shutil.which(command[0]) is None:
            raise Misconfigured("there is no such program to print credentials", what=command[0] if command else "")

    async def obtain(deadline: float) -> Credentials:
        check()
        return _read(await _run(command, deadline))

    return SessionCredentials(obtain, outside=outside or Outside(), check=check)


async def _run(command: Sequence[str], deadline: float) -> bytes:
    try:
        process = await asyncio.create_subprocess_exec(*command, stdin=DEVNULL, stdout=PIPE)
    except OSError as error:
        raise Misconfigured(f"the program cannot be started: {error.strerror}", what=command[0]) from error
    try:
        async with asyncio.timeout_at(deadline):
            output = await _read_output(process)
            status = await process.wait() if len(output) <= MAX_OUTPUT_BYTES else 0
    except TimeoutError:
        raise _failed("TimedOut", "did not end in time") from None
    finally:
        if process.returncode is None:
            await _kill(process)
    if status != 0:
        raise _failed("ProcessFailed", f"ended with status {status}")
    return output


async def _read_output(process: Process) -> bytes:
    """All that it prints, or a byte more than it may."""
    if process.stdout is None:
        return b""
    try:
        return await process.stdout.readexactly(MAX_OUTPUT_BYTES + 1)
    except asyncio.IncompleteReadError as error:
        return error.partial


async def _kill(process: Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()
    with suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_S):
            if process.stdout is not None:
                await process.stdout.read()
            await process.wait()


def _read(output: bytes) -> Credentials:
    try:
        document = cast("object", json.loads(output)) if len(output) <= MAX_OUTPUT_BYTES else None
    except (ValueError, RecursionError):
        document = None
    fields = cast("dict[str, object]", document) if isinstance(document, dict) else {}
    access_key, secret_key, token, expiration = (
        _text(fields, name) for name in ("AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration")
    )
    if fields.get("Version") != VERSION or not (access_key and secret_key):
        raise _failed("MalformedOutput", "printed no credentials of version 1")
    return Credentials(access_key, secret_key, token, _read_date(expiration) if expiration else None)


def _text(fields: dict[str, object], name: str) -> str:
    value = fields.get(name)
    if value is None:
        return ""
    if not (isinstance(value, str) and value.isascii() and value.isprintable() and " " not in value):
        raise _failed("MalformedOutput", f"printed no sound {name}")
    return value


def _read_date(text: str) -> float:
    try:
        date = datetime.fromisoformat(text)
    except ValueError:
        date = None
    if date is None or date.tzinfo is None:
        raise _failed("MalformedOutput", "printed no date of expiry")
    return date.timestamp()


def _failed(code: str, problem: str) -> ServiceUnavailable:
    return ServiceUnavailable(
        f"the program that prints credentials {problem}", service="credentials", operation="Process", code=code
    )
