"""Lambda of the local cloud in the test's own process, with real function processes, for the tests beside this file."""

from __future__ import annotations

import json
import os
import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcloud.clock import SystemClock
from localcloud.compute.cloud import Compute, ComputeSettings, open_compute
from localcloud.compute.function import FunctionSpec, LogFormat
from localcloud.compute.functions import Functions, InvokeResult
from localcloud.services.logs.model import Logs

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".sluiceway" / "cache"  # runtimes take seconds to install: once for all test runs


@dataclass(frozen=True)
class Keys:
    access_key: str = "ASIATEST"
    secret_key: str = "secret"
    session_token: str = "token"


@dataclass(frozen=True)
class World:
    compute: Compute
    logs: Logs
    code: Path

    @property
    def functions(self) -> Functions:
        return self.compute.functions

    def add(self, source: str, *, name: str = "f", file: str = "app.py", **changes: Any) -> FunctionSpec:
        """A function whose code is `source`."""
        folder = self.code / name
        folder.mkdir(exist_ok=True)
        (folder / file).write_text(source, encoding="utf-8")
        settings: dict[str, Any] = {
            "name": name,
            "arn": f"arn:aws:lambda:us-east-1:123456789012:function:{name}",
            "handler": "app.handler",
            "code_dir": folder,
            "timeout_s": 20,
            "runtime": "python3.11",
        }
        spec = FunctionSpec(**(settings | changes))
        self.functions.add(spec)
        return spec

    async def invoke(self, event: Any = None, *, name: str = "f", **options: Any) -> InvokeResult:
        return await self.functions.invoke(name, json.dumps(event).encode(), **options)

    async def answer(self, event: Any = None, *, name: str = "f") -> Any:
        """What the function returned; fails where it did not."""
        result = await self.invoke(event, name=name)
        assert result.function_error == "", result.payload
        return json.loads(result.payload)

    def lines(self, name: str = "f") -> list[str]:
        return [event.message for event in self.logs.events(f"/aws/lambda/{name}")]


def issue_keys(role_arn: str, *, function_name: str) -> Keys:
    return Keys(access_key=f"ASIA{function_name}")


@asynccontextmanager
async def open_world(code: Path, *, endpoint: str = "http://127.0.0.1:9") -> AsyncGenerator[World]:
    clock = SystemClock()
    logs = Logs(clock=clock)
    settings = ComputeSettings(cache_dir=CACHE, environ=dict(os.environ), endpoint_url=lambda: endpoint)
    async with open_compute(settings, clock=clock, logs=logs, credentials=issue_keys, rng=random.Random(1)) as compute:
        yield World(compute, logs, code)


__all__ = ["CACHE", "ROOT", "LogFormat", "World", "open_world"]
