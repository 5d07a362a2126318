"""The local cloud as a user starts it: the command, in a process of its own, on free ports, with its own state."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from localcloud.clock import SystemClock
from localcloud.issuer import LocalIssuer
from localcloud.template.source import read_template

ROOT = Path(__file__).resolve().parents[2]
PAIR_ONLY = frozenset(  # functions of a pair of Regions, which a stack that is `alone` leaves out
    entry["Properties"]["CodeUri"].removeprefix("functions/")
    for entry in read_template(ROOT / "template.yaml").body["Resources"].values()
    if entry["Type"] == "AWS::Serverless::Function" and "Condition" in entry
)
NOT_HERE = "is not in this stack"  # as a replay says it
FOREIGN = ("AWS_", "API_", "OTHER_TOKEN", "SOCKET_", "STREAM_", "TOKEN")  # variables that name another stack


@dataclass(frozen=True)
class RunningCloud:
    """One cloud that runs; `sluiceway(...)` runs the command against it."""

    state: Path

    def sluiceway(
        self, *arguments: str, check: bool = True, text: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "localcloud", "--state", str(self.state), *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            input=text,
            check=check,
            env=clean_environment(),
        )

    @property
    def status(self) -> dict[str, Any]:
        return json.loads((self.state / "state.json").read_text())

    @property
    def api(self) -> str:
        return self.status["endpoints"]["api"]

    def token(self, subject: str = "developer") -> str:
        """As `sluiceway token` gives it (tests/local/test_filtering.py runs that), without a process for each."""
        issuer, audience = LocalIssuer.open(Path(self.status["issuer"])), self.status["audience"]
        return issuer.token(subject=subject, audience=audience, minutes=60, clock=SystemClock())

    def calls(self) -> list[dict[str, Any]]:
        """Every AWS call that was made, as the cloud recorded it."""
        return [json.loads(line) for line in (self.state / "calls.jsonl").read_text().splitlines()]

    def processes(self, function: str) -> list[int]:
        """The processes whose environment says that they are `function` of this cloud, and of no other."""
        endpoint = self.status["endpoints"]["aws"]
        wanted = {f"AWS_LAMBDA_FUNCTION_NAME={function}".encode(), f"AWS_ENDPOINT_URL={endpoint}".encode()}
        found: list[int] = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    variables = (entry / "environ").read_bytes().split(b"\0")
                except OSError:
                    continue
                if wanted.issubset(variables):
                    found.append(int(entry.name))
        return found


def clean_environment() -> dict[str, str]:
    """No AWS settings of the developer's own, and no state of another test."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    return kept | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'layers' / 'sluiceway'}"}


def start_cloud(state: Path, *options: str) -> RunningCloud:
    """`sluiceway up --detach` with `options`; fails with what the command said."""
    cloud = RunningCloud(state)
    started = cloud.sluiceway("up", "--detach", "--port", "0", *options, check=False)
    assert started.returncode == 0, started.stdout + started.stderr
    return cloud


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    """One cloud for the session, on template.yaml, with the scripted model."""
    running = start_cloud(tmp_path_factory.mktemp("cloud") / "state", "--model", "scripted")
    yield running
    running.sluiceway("down")


@dataclass(frozen=True)
class ApiReply:
    """One reply of the HTTP API."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def call_api(api: str, method: str, path: str, *, token: str = "", body: Any = None, **headers: str) -> ApiReply:
    """One request; `body` as JSON, `headers` in snake case."""
    parts = urlsplit(api)
    connection = http.client.HTTPConnection(parts.netloc, timeout=60)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if token:
        sent["authorization"] = f"Bearer {token}"
    if body is not None:
        sent["content-type"] = "application/json"
    try:
        connection.request(method, f"{parts.path}/{path}", None if body is None else json.dumps(body).encode(), sent)
        reply = connection.getresponse()
        return ApiReply(reply.status, {k.lower(): v for k, v in reply.getheaders()}, reply.read())
    finally:
        connection.close()
