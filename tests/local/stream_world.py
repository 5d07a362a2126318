"""A local cloud for streamed answers: a scripted model that takes its time, what it will have said, what was done.

What was done is read from the cloud's console: the spans of function invocations, generations and calls.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from localcloud.models.engine import Prompt, Turn
from localcloud.models.scripted import ScriptedEngine, read_script
from tests.local.conftest import RunningCloud, start_cloud

SETTLE_S = 10.0  # for a span's end to be recorded


@dataclass(frozen=True)
class StreamWorld:
    """One cloud, its script and a caller's token."""

    cloud: RunningCloud
    script: Path
    token: str

    def url(self, way: str) -> str:
        """The address of a way to an answer, by the stack's output: `Socket`, `Stream` (Function URL) or `Api`."""
        return self.cloud.status["outputs"][f"{way}Url"]

    def whole(self, prompt: str) -> str:
        """What the model says to `prompt`."""
        return ScriptedEngine(read_script(self.script))._text(Prompt((Turn("user", prompt),)))

    async def spans(self, since_ms: float, kind: str, name: str = "") -> list[dict[str, Any]]:
        """The spans of that kind that began since then, in order, once all of them have ended."""
        ends = time.monotonic() + SETTLE_S
        while True:
            found = await self._spans(since_ms, kind, name)
            if all(span["end_ms"] for span in found) or time.monotonic() >= ends:
                return found
            await asyncio.sleep(0.1)

    async def _spans(self, since_ms: float, kind: str, name: str) -> list[dict[str, Any]]:
        console = self.cloud.status["endpoints"]["console"]
        found: dict[str, dict[str, Any]] = {}
        async with aiohttp.ClientSession() as session:
            for trace in (await _get(session, f"{console}/api/traces?n=500"))["traces"]:
                if trace["start_ms"] >= since_ms:
                    told = await _get(session, f"{console}/api/traces/{trace['trace']}")
                    found |= {span["id"]: span for span in told["spans"]}
        matching = [span for span in found.values() if span["kind"] == kind and span["name"].endswith(name)]
        return sorted(matching, key=lambda span: span["start_ms"])


async def _get(session: aiohttp.ClientSession, url: str) -> Any:
    async with session.get(url) as response:
        assert response.status == 200, await response.text()
        return await response.json()


def start_stream_world(folder: Path, script: dict[str, Any], **parameters: str) -> StreamWorld:
    """A cloud on template.yaml with that script and those parameters; `down` is the caller's."""
    path = folder / "script.json"
    path.write_text(json.dumps(script))
    overrides = [f"{name}={value}" for name, value in parameters.items()]
    cloud = start_cloud(
        folder / "state", "--model", f"scripted:{path}", *(["--parameter-overrides", *overrides] if overrides else [])
    )
    return StreamWorld(cloud, path, cloud.token())
