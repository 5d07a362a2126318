"""The sides of a comparison: the same function on Sluiceway and on its peers, each as Lambda would hold it.

A side is a task root (`bench/handlers/<name>`) with a folder of packages, over a runtime folder with the official
runtime client and the SDK that the managed runtime carries. Every folder is byte-compiled in the same way and holds
nothing else; folders are kept in `.sluiceway/bench` by the hash of what is in them. Workers run without the machine's
own site-packages.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from runtime_api import FUNCTION_ARN, RuntimeApi
from stand_in import Server

from localcloud.compute.interpreters import InterpreterChoice, find_interpreter

ROOT = Path(__file__).parents[1]
CACHE = ROOT / ".sluiceway" / "bench"
LAYER = ROOT / "layers" / "sluiceway"
RUNTIME = "python3.13"
SDK = ("boto3", "botocore", "jmespath", "python-dateutil", "s3transfer", "six", "urllib3")
CLIENT = ("awslambdaric", "simplejson", "snapshot-restore-py")
POWERTOOLS = ("aws-lambda-powertools", "typing-extensions", "jmespath")
AIO = ("aioboto3", "aiobotocore", "aiofiles", "aiohappyeyeballs", "aiohttp", "aioitertools", "aiosignal", "attrs")
AIO_NEEDS = ("frozenlist", "idna", "multidict", "propcache", "wrapt", "yarl")
PACKAGES: Mapping[str, tuple[str, ...]] = {
    "runtime": (*CLIENT, *SDK),
    "boto3": POWERTOOLS,
    "aioboto3": (*POWERTOOLS, *AIO, *AIO_NEEDS, *(name for name in SDK if name != "jmespath")),
}


@dataclass(frozen=True, slots=True)
class Side:
    """One side: its label, its task root under `bench/handlers`, and the packages it adds to the runtime's.

    `client`: `official`, or `sluiceway` for the layer's, started as an exec wrapper; `variables` are added to Lambda's.
    """

    label: str
    handler: str
    packages: tuple[str, ...] = ()
    client: str = "official"
    variables: tuple[tuple[str, str], ...] = ()


SLUICEWAY = Side("sluiceway", "sluiceway", ("sluiceway",))
AIOBOTO3 = Side("aioboto3", "aioboto3", ("aioboto3",))
AIOBOTO3_RUN = Side("aioboto3, asyncio.run", "aioboto3_run", ("aioboto3",))
BOTO3 = Side("boto3", "boto3", ("boto3",))
OWN_CLIENT = Side("sluiceway, own client", "sluiceway", ("sluiceway",), client="sluiceway")
NOTHING = Side("no work", "nothing")


@dataclass(frozen=True, slots=True)
class Usage:
    """What a whole process cost: CPU seconds with its children, and its largest resident size in KiB."""

    cpu_s: float
    rss_kib: int


class Bench:
    """Builds the folders, starts the workers."""

    def __init__(self, folder: Path, *, server: Server, runtime_api: RuntimeApi) -> None:
        self._folder = folder
        self._server = server
        self._api = runtime_api
        self._kept: dict[str, Path] = {}  # one run measures one state of the sources
        self.choice: InterpreterChoice = find_interpreter(RUNTIME, environ=os.environ)
        self._python = str(self.choice.interpreter.executable)

    def describe(self) -> str:
        """Which interpreter the workers run on, and how it differs from the runtime's."""
        version = ".".join(map(str, self.choice.interpreter.version))
        return f"Python {version} on {os.cpu_count()} cores. {self.choice.difference}".strip()

    def start(self, side: Side, *, tls: bool = False, options: tuple[str, ...] = ()) -> Worker:
        """A worker for `side` with its Runtime API; it starts at once."""
        port = self._api.open()
        path = [self._task(side), *map(self._packages, [*side.packages, "runtime"])]
        environ = _environ(self._server, tls=tls) | {
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{port}",
            "LAMBDA_TASK_ROOT": str(path[0]),
            "PYTHONPATH": ":".join(map(str, path)),
        }
        environ |= dict(side.variables)
        command = [self._python, "-S", "-s", "-P", *options, "-m", "awslambdaric", "app.handler"]
        if side.client == "sluiceway":
            wrapper = self._packages("sluiceway").parent / "bootstrap"
            command = [str(wrapper), *command[:-3], "bootstrap.py", environ["PYTHONPATH"]]
        return Worker(command, environ, folder=self._folder, api=self._api, port=port)

    def _task(self, side: Side) -> Path:
        task = self._folder / side.handler
        if not task.exists():
            shutil.copytree(ROOT / "bench" / "handlers" / side.handler, task)
            shutil.copy(ROOT / "bench" / "handlers" / "messages.py", task)
            self._compile(task)
        return task

    def _packages(self, name: str) -> Path:
        if name not in self._kept:
            self._kept[name] = self._layer() if name == "sluiceway" else self._install(name)
        return self._kept[name]

    def _install(self, name: str) -> Path:
        wanted = _pins(PACKAGES[name])
        folder = CACHE / f"{name}-{self._key(wanted.encode())}"
        if not folder.exists():
            print(f"Installing {folder.name} (once)...", flush=True)
            part = _fresh(folder)
            requirements = self._folder / f"{name}.txt"
            requirements.write_text(wanted)
            pip = [self._python, "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
            pip += ["--no-deps", "--require-hashes", "--only-binary=:all:", "--no-compile"]
            subprocess.run([*pip, "--requirement", str(requirements), "--target", str(part)], check=True)
            self._compile(part)
            part.rename(folder)
        return folder

    def _layer(self) -> Path:
        """What the layer's own recipe makes."""
        sources = [*sorted(LAYER.rglob("*.py")), LAYER / "bootstrap", LAYER / "Makefile", LAYER / "requirements.txt"]
        folder = CACHE / f"sluiceway-{self._key(b''.join(source.read_bytes() for source in sources))}"
        if not folder.exists():
            print(f"Building {folder.name} (once)...", flush=True)
            part = _fresh(folder)
            command = ["make", "--silent", "build-SluicewayLayer", f"ARTIFACTS_DIR={part}", f"PYTHON={self._python}"]
            subprocess.run(command, cwd=LAYER, check=True, env={**os.environ, "PIP_QUIET": "2"})
            part.rename(folder)
        return folder / "python"

    def _key(self, content: bytes) -> str:
        return hashlib.sha256(content + str(self.choice.interpreter).encode()).hexdigest()[:16]

    def _compile(self, folder: Path) -> None:
        command = [self._python, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", str(folder)]
        subprocess.run(command, check=True)


class Worker:
    """One execution environment: a process under a runtime client."""

    def __init__(
        self, command: list[str], environ: dict[str, str], *, folder: Path, api: RuntimeApi, port: int
    ) -> None:
        self._api = api
        self._port = port
        self._said = Path(tempfile.mkstemp(dir=folder)[1])
        with self._said.open("w") as said:
            self._process = subprocess.Popen(
                command, env=environ, cwd=environ["LAMBDA_TASK_ROOT"], stdout=subprocess.DEVNULL, stderr=said
            )

    def run(self, events: int) -> float:
        """Serve `events` one after the other; the seconds it took."""
        return self._api.run(self._port, events)

    def cpu_s(self) -> float:
        """CPU seconds of the process so far, all threads: the clock that clock_getcpuclockid(3) names."""
        return time.clock_gettime((~self._process.pid << 3) | 2)

    def end(self) -> Usage:
        """Kill it where it waits for its next event, and read what it cost.

        Not ru_maxrss: a new process inherits it from the one that forked.
        """
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        peak = re.search(r"^VmHWM:\s+(\d+) kB", status, flags=re.MULTILINE)
        self._process.kill()
        _pid, state, usage = os.wait4(self._process.pid, 0)
        self._process.returncode = os.waitstatus_to_exitcode(state)
        return Usage(usage.ru_utime + usage.ru_stime, int(peak[1]) if peak else 0)

    def said(self) -> str:
        """What it wrote to stderr."""
        return self._said.read_text()


def _environ(server: Server, *, tls: bool) -> dict[str, str]:
    """As Lambda sets it, with every AWS endpoint on the stand-in; nothing of the machine's own."""
    url, sqs_url = (server.tls_url, server.other_tls_url) if tls else (server.url, server.other_url)
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "_HANDLER": "app.handler",
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{RUNTIME}",
        "AWS_LAMBDA_FUNCTION_NAME": FUNCTION_ARN.rpartition(":")[2],
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_REGION": "eu-central-1",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        "AWS_SESSION_TOKEN": "IQoJb3JpZ2luX2VjE" * 40,
        "AWS_ENDPOINT_URL": url,
        "AWS_ENDPOINT_URL_SQS": sqs_url,
        "AWS_CA_BUNDLE": str(server.ca),
        "JOBS_TABLE": "jobs",
        "QUEUE_URL": f"{sqs_url}/123456789012/answers",
    }


def _pins(names: tuple[str, ...]) -> str:
    """The lines of requirements/test.txt, hashes included, that pin `names`."""
    blocks = re.split(r"\n(?=[a-z])", (ROOT / "requirements" / "test.txt").read_text())
    pinned = {re.split("==", block)[0]: block for block in blocks}
    return "\n".join(pinned[name] for name in sorted(set(names))) + "\n"


def _fresh(folder: Path) -> Path:
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    return part
