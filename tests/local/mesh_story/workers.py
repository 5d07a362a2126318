"""The two worker processes of analytics in the mesh's story."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.local.conftest import clean_environment
from tests.local.mesh_story.world import PATIENCE_S, World


class Workers:
    """The two processes of analytics."""

    def __init__(self, world: World, folder: Path) -> None:
        self._files = [folder / "doomed.jsonl", folder / "survivor.jsonl"]
        script = str(Path(__file__).parent / "worker.py")
        settings = {"STREAM": world.analytics, "LEASES_TABLE": world.leases, "DEAD_LETTERS_URL": world.letters}
        environment = {**clean_environment(), **world.settings, **settings, "POWERTOOLS_LOG_LEVEL": "CRITICAL"}
        self.doomed, self.survivor = (
            subprocess.Popen([sys.executable, script, str(file)], env=environment) for file in self._files
        )

    def lines(self, which: Sequence[int] = (0, 1)) -> list[dict[str, Any]]:
        """What was handled, in the order of time."""
        files = [self._files[at] for at in which]
        texts = [file.read_text() if file.exists() else "" for file in files]
        return sorted((json.loads(line) for text in texts for line in text.splitlines()), key=lambda line: line["at"])

    async def kill_one(self) -> None:
        """SIGKILL, while it handles records that came later than this call."""
        before = len(self.lines([0]))
        async with asyncio.timeout(PATIENCE_S):
            while len(self.lines([0])) == before:  # noqa: ASYNC110 - another process's file
                await asyncio.sleep(0.02)
        self.doomed.kill()
        await asyncio.to_thread(self.doomed.wait)

    async def wait_for(self, ids: set[str]) -> list[dict[str, Any]]:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                found = self.lines()
                if ids <= {line["message"]["metadata"]["message_id"] for line in found}:
                    return found
                await asyncio.sleep(0.2)

    async def end(self) -> None:
        """SIGTERM; the one that is left has read both shards, hands them over and exits with 0."""
        assert len({line["shard"] for line in self.lines([1])}) == 2
        self.survivor.terminate()
        assert await asyncio.to_thread(self.survivor.wait, PATIENCE_S) == 0

    def kill(self) -> None:
        """Whatever still runs."""
        for process in (self.doomed, self.survivor):
            process.kill()
            process.wait()
