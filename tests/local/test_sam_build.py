"""What `sam build` makes runs as Lambda runs it and as `sam local invoke` does, under the official client too.

The template puts the layer's own runtime client in place of the official one; who takes the wrapper out loses streaming
and nothing else. No container: the emulator inside aws-sam-cli runs as a process.
The local cloud stands for AWS.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from localcloud.caller import LambdaEndpoint
from localcloud.clock import SystemClock
from localcloud.compute.runtimes import ManagedRuntime, Runtimes
from localcloud.issuer import LocalIssuer
from localcloud.replay.cases import Case, differences, load_cases
from localcloud.replay.replies import DELIMITER, read_payload
from localcloud.replay.targets import LambdaTarget, logical_id
from sluiceway.aws.sigv4 import Credentials
from tests.local.conftest import PAIR_ONLY, ROOT, RunningCloud, start_cloud
from tests.local.sam_tools import (
    ARCHITECTURE,
    EmulatedFunction,
    emulate,
    find_emulator,
    find_python313,
    run_sam,
)

pytestmark = [pytest.mark.local, pytest.mark.sam]

OURS, OFFICIAL = "layer", "official"
REPEATED = "idempotent-replayed"
CLIENTS = (OURS, OFFICIAL)
CASES = [case for case in load_cases(ROOT / "events") if case.function not in PAIR_ONLY]
FUNCTIONS = sorted({case.function for case in CASES})
_EXECUTABLES = {0x3E: "x86_64", 0xB7: "arm64"}  # e_machine of an ELF header


def _name(case: Case) -> str:
    return f"{case.function}/{case.name}"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what sam needs, and nothing else of the checkout, built for this machine."""
    folder = tmp_path_factory.mktemp("sam") / "app"
    folder.mkdir()
    for name in ("template.yaml", "samconfig.toml"):
        shutil.copy(ROOT / name, folder)
    for name in ("functions", "layers"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    built = run_sam("build", "--parameter-overrides", f"Architecture={ARCHITECTURE}", cwd=folder)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


@pytest.fixture(scope="module")
def build(project: Path) -> Path:
    """The folder of the build: one folder a function and layer."""
    return project / ".aws-sam" / "build"


@pytest.fixture(scope="module")
def built_cloud(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    """A local cloud of its own on the built project, as its template says: under the layer's own client."""
    state = tmp_path_factory.mktemp("sam_cloud") / "state"
    running = start_cloud(state, "--template", str(project / "template.yaml"), "--model", "scripted")
    yield running
    running.sluiceway("down")


@pytest.fixture(scope="module")
def official_cloud(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    """The same build under the official client: the template less the wrapper."""
    text = (project / "template.yaml").read_text()
    official, wrappers = re.subn(r"^ +AWS_LAMBDA_EXEC_WRAPPER: .*\n", "", text, flags=re.MULTILINE)
    assert wrappers == 3  # every function's, and what two have while experiments may harm them
    (project / "official.yaml").write_text(official)
    state = tmp_path_factory.mktemp("official_cloud") / "state"
    running = start_cloud(state, "--template", str(project / "official.yaml"), "--model", "scripted")
    yield running
    running.sluiceway("down")


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest) -> str:
    """The runtime client that a test runs functions under."""
    return request.param


@pytest.fixture
def cloud_of(client: str, built_cloud: RunningCloud, official_cloud: RunningCloud) -> RunningCloud:
    """The cloud whose functions run under that client."""
    return built_cloud if client == OURS else official_cloud


def _client(cloud: RunningCloud) -> Any:
    return boto3.client(
        "lambda",
        endpoint_url=cloud.status["endpoints"]["aws"],
        region_name="us-east-1",
        aws_access_key_id="developer",
        aws_secret_access_key="x",
    )


def _endpoint(cloud: RunningCloud) -> LambdaEndpoint:
    return LambdaEndpoint(cloud.status["endpoints"]["aws"], "us-east-1", Credentials("developer", "x"))


def _send(cloud: RunningCloud, case: Case) -> object:
    name = cloud.status["functions"][logical_id(case.function)]
    return LambdaTarget(_endpoint(cloud), {case.function: name}, _token(cloud)).send(case)


def _token(cloud: RunningCloud) -> str:
    """A bearer token of that cloud's issuer."""
    issuer = LocalIssuer.open(cloud.state)
    return issuer.token(subject="developer", audience="sluiceway", minutes=5, clock=SystemClock())


# ---------------------------------------------------------------- what sam says and makes


def test_sam_finds_the_template_valid() -> None:
    """`sam validate --lint` accepts template.yaml."""
    found = run_sam("validate", "--lint", "--template-file", str(ROOT / "template.yaml"), cwd=ROOT)
    assert found.returncode == 0, found.stdout + found.stderr


def test_the_build_holds_every_function_the_layer_and_nothing_else(build: Path) -> None:
    """.aws-sam/build has one folder for each function, one for each layer, and the template."""
    functions = {logical_id(name) for name in {*FUNCTIONS, *PAIR_ONLY}}
    expected = functions | {"SluicewayLayer", "AwsSdkLayer", "template.yaml"}
    assert {path.name for path in build.iterdir()} == expected


@pytest.mark.parametrize("function", sorted({*FUNCTIONS, *PAIR_ONLY}))
def test_a_built_function_is_its_file_and_its_own_requirements(build: Path, function: str) -> None:
    """A folder holds app.py and what its requirements.txt pins: no tests, no other function's needs, no SDK."""
    folder = build / logical_id(function)
    source = ROOT / "functions" / function
    assert (folder / "app.py").read_bytes() == (source / "app.py").read_bytes()
    lock = source / "requirements.txt"
    pinned = re.findall(r"^([\w.-]+)==", lock.read_text(encoding="utf-8"), flags=re.MULTILINE) if lock.exists() else []
    installed = [path.name.removesuffix(".dist-info").rsplit("-", 1)[0] for path in folder.glob("*-*.dist-info")]
    # a wheel for this machine may leave out what is pinned under a marker, never add to it
    assert {_normal(name) for name in installed} <= {_normal(name) for name in pinned}
    if not pinned:
        assert [path.name for path in folder.iterdir()] == ["app.py"]
    else:
        assert installed
    names = {path.name for path in folder.rglob("*")}
    assert names.isdisjoint({"tests", "test", "sluiceway", "boto3", "botocore", "aws_lambda_powertools", "pip"})


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_compiled_code_is_for_the_architecture_that_was_asked_for(build: Path) -> None:
    """Every shared library of the build is for the architecture of the parameter, and for Python 3.13."""
    libraries = sorted(build.rglob("*.so"))
    assert {_architecture(library) for library in libraries} == {ARCHITECTURE}
    assert [each for each in libraries if "cpython-3" in each.name and "cpython-313" not in each.name] == []


def test_a_build_for_the_other_architecture_takes_its_wheels(project: Path, tmp_path: Path) -> None:
    """A build on this machine for the other architecture holds that one's compiled code: nothing is compiled here."""
    other = "arm64" if ARCHITECTURE == "x86_64" else "x86_64"
    made = run_sam(
        "build",
        "AuthorizeRequest",
        "--no-cached",
        "--build-dir",
        str(tmp_path / "build"),
        "--parameter-overrides",
        f"Architecture={other}",
        cwd=project,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    libraries = list((tmp_path / "build" / "AuthorizeRequest").rglob("*.so"))
    assert {_architecture(library) for library in libraries} == {other}


def _architecture(library: Path) -> str:
    """What an ELF header names, "" for another kind of file."""
    with library.open("rb") as file:
        head = file.read(20)
    return _EXECUTABLES.get(int.from_bytes(head[18:20], "little"), "") if head.startswith(b"\x7fELF") else ""


def test_the_layer_of_the_build_is_compiled_for_the_runtime(build: Path) -> None:
    """Each module has its .pyc for Python 3.13, never checked against its source; a cold start compiles nothing."""
    modules = sorted((build / "SluicewayLayer" / "python").rglob("*.py"))
    assert len(modules) > 200
    for module in modules:
        head = (module.parent / "__pycache__" / f"{module.stem}.cpython-313.pyc").read_bytes()[4:8]
        assert int.from_bytes(head, "little") == 1, module  # PEP 552: hash-based, unchecked


# ---------------------------------------------------------------- on the Runtime API


def test_the_local_cloud_runs_what_sam_built(built_cloud: RunningCloud, build: Path) -> None:
    """Each function's code is the folder that sam built, on the runtime that the template names."""
    client = _client(built_cloud)
    for function in FUNCTIONS:
        found = client.get_function(FunctionName=built_cloud.status["functions"][logical_id(function)])
        assert found["Code"]["Location"] == (build / logical_id(function)).resolve().as_uri()
        assert found["Configuration"]["Runtime"] == "python3.13"


@pytest.mark.parametrize("case", CASES, ids=_name)
def test_a_built_function_answers_under_either_client(cloud_of: RunningCloud, case: Case) -> None:
    """Each recorded event, through the Invoke API and the Runtime API on python3.13."""
    assert differences(case.reply, _send(cloud_of, case)) == []


def test_what_streams_under_the_layers_client_is_buffered_under_the_official(
    cloud_of: RunningCloud, client: str
) -> None:
    """The response of stream_http has a prelude where it streams, and is a proxy integration's reply where not."""
    event = (ROOT / "events" / "stream_http" / "without_token.json").read_bytes()
    payload = _endpoint(cloud_of).invoke(cloud_of.status["functions"]["StreamHttp"], event).payload
    assert (DELIMITER in payload) is (client == OURS)


def test_the_official_client_is_the_pinned_one(runtime: ManagedRuntime) -> None:
    """The managed runtime is Python 3.13 with awslambdaric 4.2.2, without a difference to tell of."""
    assert runtime.interpreter.version[:2] == (3, 13)
    assert runtime.difference == ""
    assert [path.name for path in runtime.runtime_dir.glob("awslambdaric-*")] == ["awslambdaric-4.2.2.dist-info"]


# ---------------------------------------------------------------- the runtime interface emulator


@pytest.fixture(scope="module")
def runtime(built_cloud: RunningCloud) -> ManagedRuntime:
    """The runtime folder that the local cloud made: interpreter and official client."""
    assert built_cloud.status["ready"] is True
    find_python313()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sluiceway"
    runtimes = Runtimes(cache_dir=cache, environ=os.environ)
    with asyncio.Runner() as runner:
        return runner.run(runtimes.get("python3.13"))


def _variables(
    configuration: dict[str, Any], runtime: ManagedRuntime, build: Path, *, task_root: Path, home: Path
) -> dict[str, str]:
    """The environment as Lambda makes it; /opt and /var/runtime are reached over PYTHONPATH here."""
    paths = [build / "SluicewayLayer" / "python", runtime.runtime_dir]
    return {
        **configuration["Environment"]["Variables"],
        "AWS_ACCESS_KEY_ID": "developer",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_SESSION_TOKEN": "y",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
        "AWS_LAMBDA_FUNCTION_NAME": configuration["FunctionName"],
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(configuration["MemorySize"]),
        "AWS_LAMBDA_FUNCTION_TIMEOUT": str(configuration["Timeout"]),
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_FORMAT": configuration["LoggingConfig"]["LogFormat"],
        "AWS_LAMBDA_LOG_GROUP_NAME": configuration["LoggingConfig"]["LogGroup"],
        "AWS_LAMBDA_LOG_STREAM_NAME": "$LATEST",
        "_HANDLER": configuration["Handler"],
        "LAMBDA_TASK_ROOT": str(task_root),
        "LAMBDA_RUNTIME_DIR": str(runtime.runtime_dir),
        "HOME": str(home),
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "PATH": f"{runtime.python.parent}:/usr/local/bin:/usr/bin:/bin",
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
    }


@pytest.fixture(
    scope="module", params=[(function, client) for function in FUNCTIONS for client in CLIENTS], ids="-".join
)
def emulated(
    request: pytest.FixtureRequest,
    built_cloud: RunningCloud,
    official_cloud: RunningCloud,
    build: Path,
    runtime: ManagedRuntime,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Emulated]:
    """One function in the emulator, for all of its cases: the first meets a cold environment, the others a warm one."""
    function, client = request.param
    cloud = built_cloud if client == OURS else official_cloud
    find_emulator()
    home = tmp_path_factory.mktemp(function)
    configuration = _client(cloud).get_function_configuration(
        FunctionName=cloud.status["functions"][logical_id(function)]
    )
    task_root = build / logical_id(function)
    variables = _variables(configuration, runtime, build, task_root=task_root, home=home)
    variables["AWS_ENDPOINT_URL"] = cloud.status["endpoints"]["aws"]
    command = [str(runtime.python), "-B", "-m", "awslambdaric", configuration["Handler"]]
    if client == OURS:  # the wrapper's arguments are how the managed runtime would start itself
        command = [str(build / "SluicewayLayer" / "bootstrap"), *command[:2], "/var/runtime/bootstrap.py"]
    with emulate(command, task_root=task_root, variables=variables, log=home / "emulator.log") as running:
        yield Emulated(function, client, cloud, running)


@dataclass(frozen=True)
class Emulated:
    """A function in the emulator under a client; `cloud` runs the same function under the same client."""

    function: str
    client: str
    cloud: RunningCloud
    running: EmulatedFunction

    @property
    def cases(self) -> list[Case]:
        return [case for case in CASES if case.function == self.function]

    def send(self, case: Case) -> object:
        payload = self.running.send(case.as_sent(token=_token(self.cloud), caller=""))
        assert DELIMITER not in payload or self.client == OURS
        return read_payload(payload, self.function)


def test_a_built_function_answers_under_the_emulator(emulated: Emulated) -> None:
    """Each recorded event, through the emulator of aws-sam-cli: the replies are as recorded."""
    found = {case.name: differences(case.reply, emulated.send(case)) for case in emulated.cases}
    assert found == {case.name: [] for case in emulated.cases}, emulated.running.log.read_text()


def test_both_roads_give_the_same_reply(emulated: Emulated) -> None:
    """What the emulator gives is what the local cloud gives, byte for byte but for ids, dates, paths and answers."""
    for case in emulated.cases:
        assert _comparable(_send(emulated.cloud, case)) == _comparable(emulated.send(case))


def _comparable(reply: object) -> str:
    if isinstance(reply, dict) and "stackTrace" in reply:
        reply = reply | {"requestId": "", "stackTrace": []}
    if isinstance(reply, dict) and reply.get("headers", {}).get("content-type") == "text/event-stream":
        reply = reply | {"body": ""}  # where an answer is cut into events depends on when they are sent
    if isinstance(reply, dict) and "headers" in reply:  # who comes second with a key is told that it is a repeat
        reply = reply | {"headers": {name: said for name, said in reply["headers"].items() if name != REPEATED}}
    said = re.sub(r"[0-9-]{10}T[0-9:]{8}Z", "T", json.dumps(reply))  # when a kept policy ends: with its token
    return re.sub(r"[0-9]{10,}", "N", said)  # dates, sequence numbers of records


def test_a_built_functions_missing_setting_is_an_init_error_in_the_emulator(
    built_cloud: RunningCloud, build: Path, runtime: ManagedRuntime, tmp_path: Path
) -> None:
    """Without one of its variables a function ends at init with the name of the variable, before any event."""
    configuration = _client(built_cloud).get_function_configuration(
        FunctionName=built_cloud.status["functions"]["ReadJob"]
    )
    variables = _variables(configuration, runtime, build, task_root=build / "ReadJob", home=tmp_path)
    variables["AWS_ENDPOINT_URL"] = built_cloud.status["endpoints"]["aws"]
    del variables["JOBS_TABLE"]
    command = [str(runtime.python), "-B", "-m", "awslambdaric", "app.handler"]
    with emulate(command, task_root=build / "ReadJob", variables=variables, log=tmp_path / "emulator.log") as running:
        reply: Any = running.invoke({})
    assert reply["errorType"].rsplit(".", 1)[-1] == "Misconfigured"
    assert "JOBS_TABLE" in reply["errorMessage"]
