"""The wheel is all that a user needs: installed outside the checkout it runs a project that lies elsewhere.

Dependencies come from the environment of the tests, so that nothing is downloaded: only the wheel itself is new.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path

import pytest

from tests.local.conftest import NOT_HERE, PAIR_ONLY, ROOT, clean_environment

pytestmark = pytest.mark.local

PACKAGES = {"sluiceway": ROOT / "layers" / "sluiceway" / "sluiceway", "localcloud": ROOT / "localcloud"}
RUN_TIMEOUT_S = 240


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built as a release is."""
    folder = tmp_path_factory.mktemp("wheel")
    _run([sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(folder), str(ROOT)], cwd=folder)
    (found,) = folder.glob("*.whl")
    return found


def _run(
    command: list[str], *, cwd: Path, check: bool = True, text: str | None = None
) -> subprocess.CompletedProcess[str]:
    environment = clean_environment()
    environment.pop("PYTHONPATH")
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environment,
        input=text,
        capture_output=True,
        text=True,
        check=False,
        timeout=RUN_TIMEOUT_S,
    )
    assert done.returncode == 0 or not check, done.stdout + done.stderr
    return done


def _install(wheel: Path, folder: Path, *, with_dependencies: bool) -> Path:
    """A new environment with the wheel in it; its `bin` folder."""
    _run([sys.executable, "-m", "venv", "--without-pip", str(folder)], cwd=folder.parent)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python)]
    _run([*pip, "install", "--quiet", "--no-deps", "--no-index", str(wheel)], cwd=folder.parent)
    if with_dependencies:
        (site,) = folder.glob("lib/python3.*/site-packages")
        # A folder named in a .pth is searched last, and its own .pth files (an editable install) are not read.
        (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return folder / "bin"


# ---------------------------------------------------------------- what it holds


def test_the_wheel_holds_both_packages_whole(wheel: Path) -> None:
    """Every module and data file of sluiceway and localcloud is in it, and the pins of the embedded model."""
    expected = {
        f"{name}/{path.relative_to(folder).as_posix()}"
        for name, folder in PACKAGES.items()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert found == expected | {"localcloud/models/requirements.txt"}
    assert {"localcloud/compute/requirements.txt", "sluiceway/py.typed"} <= found


def test_the_wheel_holds_nothing_else(wheel: Path) -> None:
    """No tests, no compiled code, no function, no template, no file outside of its two packages and its metadata."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == set(PACKAGES)
    assert [name for name in names if name.endswith(".pyc") or "/tests/" in name or "/test_" in name] == []


def test_the_metadata_names_command_licence_and_extras(wheel: Path) -> None:
    """The command is `sluiceway`, the licence is inside, `[avro]`, `[local]`, `[sdk]` and `[tracing]` are extras."""
    with zipfile.ZipFile(wheel) as archive:
        by_name = {name.split("/", 1)[1]: name for name in archive.namelist() if ".dist-info/" in name}
        metadata = message_from_bytes(archive.read(by_name["METADATA"]))
        commands = archive.read(by_name["entry_points.txt"]).decode()
        assert b"Apache License" in archive.read(by_name["licenses/LICENSE"])
    assert "sluiceway = localcloud.cli.main:main" in commands
    assert set(metadata.get_all("Provides-Extra") or []) == {"avro", "local", "sdk", "tracing"}
    assert metadata["Requires-Python"] == ">=3.11"
    always = [line for line in metadata.get_all("Requires-Dist") or [] if "extra ==" not in line]
    assert [line.split("<")[0].split(">")[0] for line in always] == ["aws-lambda-powertools", "fastjsonschema"]


# ---------------------------------------------------------------- it runs a project that lies elsewhere


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's project: template, functions, layer and recorded events, and nothing of the checkout's tools."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("template.yaml", "samconfig.toml"):
        shutil.copy(ROOT / name, folder)
    for name in ("functions", "layers", "events"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "replay.py"))
    return folder


@pytest.fixture(scope="module")
def command(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The `sluiceway` command of the environment that the wheel was installed into."""
    return str(_install(wheel, tmp_path_factory.mktemp("user") / "venv", with_dependencies=True) / "sluiceway")


@pytest.fixture(scope="module")
def running(project: Path, command: str) -> Iterator[Path]:
    """The project's local cloud, started by the installed command; its folder."""
    _run([command, "up", "--detach", "--port", "0"], cwd=project)
    yield project
    _run([command, "down"], cwd=project, check=False)


def test_the_installed_code_runs_and_not_the_checkout(command: str, project: Path) -> None:
    """Both packages come from the new environment."""
    code = "import json, localcloud, sluiceway; print(json.dumps([localcloud.__file__, sluiceway.__file__]))"
    found = json.loads(_run([str(Path(command).parent / "python"), "-c", code], cwd=project).stdout)
    assert all(Path(path).is_relative_to(Path(command).parent.parent) for path in found)


def test_up_invoke_replay_and_status(running: Path, command: str) -> None:
    """The whole of it outside the checkout: state beside the project, a function's reply, every recorded event."""
    assert json.loads((running / ".sluiceway" / "state.json").read_text(encoding="utf-8"))["ready"] is True
    invoked = _run([command, "invoke", "ReadJob", "-e", "events/read_job/unknown.json"], cwd=running)
    assert json.loads(invoked.stdout)["statusCode"] == 404
    token = _run([command, "token"], cwd=running).stdout.strip()
    replayed = _run([command, "replay", "--target", "local", "--token", token], cwd=running)
    *lines, counts = replayed.stdout.splitlines()
    left_out = [line for line in lines if NOT_HERE in line]
    assert {line.split("/")[0] for line in left_out} == PAIR_ONLY
    assert counts.endswith(f"0 differs, 0 sent, {len(left_out)} skipped")
    api = _run([command, "status", "api"], cwd=running).stdout.strip()
    over_http = _run([command, "replay", "--target", api, "--case", "read_job", "--token", token], cwd=running)
    assert "3 same" in over_http.stdout


def test_a_project_of_ones_own_runs_too(command: str, tmp_path: Path) -> None:
    """A template without a layer, with one synchronous function: any SAM project, not ours alone."""
    (tmp_path / "hello").mkdir()
    (tmp_path / "hello" / "main.py").write_text(
        "def greet(event, context):\n    return {'hello': event['name'], 'function': context.function_name}\n",
        encoding="utf-8",
    )
    (tmp_path / "template.yaml").write_text(
        """\
Transform: AWS::Serverless-2016-10-31
Resources:
  Hello:
    Type: AWS::Serverless::Function
    Properties: {Runtime: python3.13, Handler: main.greet, CodeUri: hello, FunctionName: hello-world}
""",
        encoding="utf-8",
    )
    _run([command, "up", "--detach", "--port", "0"], cwd=tmp_path)
    try:
        invoked = _run([command, "invoke", "Hello", "-e", "-"], cwd=tmp_path, text='{"name": "you"}')
        assert json.loads(invoked.stdout) == {"hello": "you", "function": "hello-world"}
    finally:
        _run([command, "down"], cwd=tmp_path)
    assert not (tmp_path / ".sluiceway" / "state.json").exists()


# ---------------------------------------------------------------- without the extra


@pytest.fixture(scope="module")
def bare_command(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The command where nothing but the wheel is installed."""
    return str(_install(wheel, tmp_path_factory.mktemp("bare") / "venv", with_dependencies=False) / "sluiceway")


def test_replay_needs_no_extra(bare_command: str, project: Path) -> None:
    """Without a single dependency `replay` sends: here to an address where nobody listens, and says so."""
    done = _run(
        [bare_command, "replay", "--target", "http://127.0.0.1:1", "--case", "read_job", "--token", _token()],
        cwd=project,
        check=False,
    )
    assert (done.returncode, done.stderr.startswith("replay: http://127.0.0.1:1 does not answer")) == (1, True)


def _token() -> str:
    """A token's shape is all that the sender looks at."""
    return "e30.eyJpc3MiOiJpIiwic3ViIjoicyJ9.e30"


def test_up_without_the_extra_says_what_to_install(bare_command: str, project: Path) -> None:
    """No traceback: the extra is named."""
    done = _run([bare_command, "up", "--detach", "--port", "0"], cwd=project, check=False)
    assert done.returncode == 1
    assert "pip install 'sluiceway[local]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_script_of_the_checkout_needs_nothing_installed(tmp_path: Path) -> None:
    """`events/replay.py` runs on a bare interpreter from the checkout alone."""
    done = _run(
        [
            sys.executable,
            "-I",
            "-S",
            str(ROOT / "events" / "replay.py"),
            "--target",
            "nowhere",
            "--events",
            str(ROOT / "events"),
        ],
        cwd=tmp_path,
        check=False,
    )
    assert (done.returncode, "not nowhere" in done.stderr) == (2, True), os.linesep + done.stderr
