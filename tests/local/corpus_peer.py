"""The applications of tests/corpus on MiniStack: packaged as `sam package` does, deployed, and asked by the same tests.

    MINISTACK_PYTHON=/venv/bin/python .venv/bin/python -m pytest -p tests.local.corpus_peer tests/local/test_corpus_*.py

The interpreter needs `ministack==1.5.33`, `aws-sam-translator` (MiniStack's own, for the SAM transform) and what the
applications' requirements.txt name. At the end stands a line for each test: `same`, or where MiniStack did otherwise
and how, or why it cannot run the application, in its own words. docs/fidelity/corpus.md tells who is right.
"""

from __future__ import annotations

import io
import json
import os
import re
import socket
import subprocess
import tempfile
import time
import zipfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast
from urllib.request import urlopen

import pytest

from localcloud.template.source import parse_template, read_template
from tests.local import corpus

PYTHON: Final = "MINISTACK_PYTHON"
READY_S: Final = 60.0
DEPLOYED_S: Final = 90.0
BUCKET: Final = "packaged"
STACK: Final = "sluiceway"
_PLACES: Final = frozenset({"CodeUri", "ContentUri", "DefinitionUri", "Location"})
_API: Final = re.compile(r"^(?:https?|wss?)://([a-z0-9]+)\.execute-api\.[^/]+/?(.*)$")
_SEEN: Final[dict[str, str]] = {}
_FUNCTION_URL: Final = re.compile(r"^https://([a-z0-9-]+)\.lambda-url\.[^/]+/?(.*)$")


class CannotRun(Exception):
    """The peer does not deploy the application; its words."""


@dataclass(frozen=True, slots=True)
class Packaging:
    """Puts what a template names by a path into a bucket, and names the place instead."""

    endpoint: str
    client: Callable[[str], Any]

    def package(self, path: Path) -> dict[str, Any]:
        """The template at `path`, to be deployed."""
        body = json.loads(json.dumps(read_template(path).body))
        methods = {
            entry["Properties"]["ContentUri"]: (name, entry.get("Metadata", {}).get("BuildMethod", ""))
            for name, entry in body["Resources"].items()
            if entry["Type"] == "AWS::Serverless::LayerVersion"
        }
        return self._walk(body, path.parent, methods)

    def _walk(self, value: Any, folder: Path, methods: dict[str, tuple[str, str]]) -> Any:
        if isinstance(value, list):
            return [self._walk(item, folder, methods) for item in cast("list[Any]", value)]
        if not isinstance(value, dict):
            return value
        return {
            name: self._place(folder, item, methods)
            if name in _PLACES and isinstance(item, str)
            else self._walk(item, folder, methods)
            for name, item in cast("dict[str, Any]", value).items()
        }

    def _place(self, folder: Path, named: str, methods: dict[str, tuple[str, str]]) -> str:
        found = (folder / named).resolve()
        if named in methods:
            return self._keep(f"{named}.zip", _zip(*_built(found, *methods[named])))
        if found.is_dir():
            return self._keep(f"{named}.zip", _zip(found, ""))
        if found.name == "template.yaml":
            key = self._keep(named, json.dumps(self.package(found)).encode())
            return f"{self.endpoint}/{key.removeprefix('s3://')}"
        content = found.read_bytes()
        is_yaml = found.suffix in (".yaml", ".yml")
        return self._keep(named, _as_json(found) if is_yaml else content)

    def _keep(self, named: str, content: bytes) -> str:
        key = re.sub(r"[^A-Za-z0-9.]+", "-", named).strip("-.")
        self.client("s3").put_object(Bucket=BUCKET, Key=key, Body=content)
        return f"s3://{BUCKET}/{key}"


def _as_json(path: Path) -> bytes:
    """A part of a template in its long forms."""
    return json.dumps(parse_template(path.read_text(), name=path.name)).encode()


def _built(source: Path, logical_id: str, method: str) -> tuple[Path, str]:
    """A layer's folder as `sam build` would leave it, and where in the layer it belongs."""
    if method != "makefile":
        return source, "python/" if method else ""
    made = Path(tempfile.mkdtemp())
    subprocess.run(
        ["make", f"build-{logical_id}"],
        cwd=source,
        check=True,
        capture_output=True,
        env=os.environ | {"ARTIFACTS_DIR": str(made)},
    )
    return made, ""


def _zip(folder: Path, prefix: str) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                file.write(path, prefix + str(path.relative_to(folder)))
    return archive.getvalue()


@contextmanager
def ministack(folder: Path) -> Generator[str]:
    """An empty MiniStack in a process of its own; gives its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    settings = {
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "LOG_LEVEL": "ERROR",
        "LAMBDA_EXECUTOR": "local",
        "HOME": str(folder),
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "PATH": os.environ["PATH"],
    }
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [os.environ[PYTHON], "-m", "ministack"], env=settings, cwd=folder, stdout=log, stderr=log
        )
    try:
        _until_ready(url, process)
        yield url
    finally:
        process.terminate()
        process.wait(READY_S)


def _until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    begun = time.monotonic()
    while True:
        try:
            urlopen(f"{url}/_ministack/health").read()
        except OSError:
            if time.monotonic() - begun > READY_S or process.poll() is not None:
                raise
            time.sleep(0.05)
        else:
            return


@contextmanager
def application(name: str, folder: Path) -> Generator[corpus.Application]:
    """Stands in for `tests.local.corpus.application`: the same application, on MiniStack."""
    with ministack(folder) as url:
        bare = corpus.Application(url, {})
        bare.client("s3").create_bucket(Bucket=BUCKET)
        template = Packaging(url, bare.client).package(corpus.CORPUS / name / "template.yaml")
        yield corpus.Application(url, {key: _reached(value, url) for key, value in _deploy(bare, template).items()})


def _deploy(bare: corpus.Application, template: dict[str, Any]) -> dict[str, str]:
    """The stack's outputs."""
    formation = bare.client("cloudformation")
    bare.client("s3").put_object(Bucket=BUCKET, Key="template.json", Body=json.dumps(template).encode())
    capabilities = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]
    try:
        formation.create_stack(
            StackName=STACK, TemplateURL=f"{bare.endpoint}/{BUCKET}/template.json", Capabilities=capabilities
        )
        begun = time.monotonic()
        while (stack := formation.describe_stacks(StackName=STACK)["Stacks"][0])["StackStatus"].endswith("PROGRESS"):
            if time.monotonic() - begun > DEPLOYED_S:
                raise CannotRun(f"still {stack['StackStatus']} after {DEPLOYED_S:.0f} s")
            time.sleep(0.05)
    except formation.exceptions.ClientError as error:
        raise CannotRun(str(error)) from error
    if stack["StackStatus"] != "CREATE_COMPLETE":
        events = formation.describe_stack_events(StackName=STACK)["StackEvents"]
        failed = [event for event in events if event["ResourceStatus"] == "CREATE_FAILED"]
        told = [f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', '')}" for event in failed]
        raise CannotRun("; ".join(reversed(told)) or stack.get("StackStatusReason", stack["StackStatus"]))
    return {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", [])}


def _reached(value: str, url: str) -> str:
    """An output's address as MiniStack serves it on its one port."""
    if found := _API.match(value):
        scheme = "ws" if value.startswith("ws") else "http"
        stage = found[2] or "$default"
        return f"{scheme}{url.removeprefix('http')}/_aws/execute-api/{found[1]}/{stage}"
    if found := _FUNCTION_URL.match(value):
        return f"{url}/_aws/lambda-url/{found[1]}/{found[2]}"
    return value


def pytest_configure() -> None:
    """Put this module's `application` in place before a test module takes the name."""
    corpus.application = application


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Keep what came of each test: its own words where MiniStack does otherwise."""
    if report.when == "call":
        crash = getattr(report.longrepr, "reprcrash", None)
        _SEEN[report.location[2]] = "" if crash is None else f"{Path(crash.path).name}:{crash.lineno} {crash.message}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A line for each application."""
    for name, said in _SEEN.items():
        terminalreporter.write_line(f"{name}: {said or 'same'}")
