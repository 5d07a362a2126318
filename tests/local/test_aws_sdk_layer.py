"""The layer `aws_sdk`: built by its recipe as the local cloud and `sam build` do, and used by a function process."""

from __future__ import annotations

import _imp
import json
import os
import re
from pathlib import Path

import pytest

from localcloud.compute.dependencies import Builder
from localcloud.compute.interpreters import Interpreter, find_interpreter
from tests.local.compute_world import CACHE, ROOT, open_world
from tests.local.conftest import RunningCloud

pytestmark = pytest.mark.local

SOURCE = ROOT / "layers" / "aws_sdk"
MAX_BYTES = 40_000_000  # of the 250 MB that a function may have with all its layers
UNCHECKED_HASH = 1  # PEP 552
CODE = """
import asyncio, json
import aioboto3

async def list_queues():
    async with aioboto3.Session().client("sqs") as sqs:
        made = await sqs.create_queue(QueueName="by-the-sdk")
        return [aioboto3.__file__, made["QueueUrl"], (await sqs.list_queues())["QueueUrls"]]

def handler(event, context):
    return asyncio.run(list_queues())
"""


@pytest.fixture(scope="module")
def interpreter() -> Interpreter:
    return find_interpreter("python3.13", environ=os.environ).interpreter


@pytest.fixture(scope="module")
def layer(interpreter: Interpreter) -> Path:
    """The layer's root; built once for all test runs, again where its sources change."""
    builder = Builder(cache_dir=CACHE, base=ROOT, environ=dict(os.environ), progress=lambda _: None)
    return builder.build_layer("AwsSdkLayer", str(SOURCE.relative_to(ROOT)), interpreter, method="makefile")


def test_botocore_describes_the_named_services_alone(layer: Path) -> None:
    """services.txt is the list; what is no service's folder (partitions, retry rules) stays."""
    named = (SOURCE / "services.txt").read_text(encoding="utf-8").split()
    data = layer / "python" / "botocore" / "data"
    assert named == sorted(set(named))
    assert sorted(path.name for path in data.iterdir() if path.is_dir()) == named
    assert {"endpoints.json", "partitions.json", "_retry.json"} <= {path.name for path in data.iterdir()}


def test_the_packages_are_those_of_the_lock(layer: Path) -> None:
    """Nothing beside what requirements.txt pins with hashes."""
    lock = (SOURCE / "requirements.txt").read_text(encoding="utf-8")
    pinned = {re.sub(r"[-_.]+", "-", name).lower() for name in re.findall(r"(?m)^([\w.-]+)==[^;\n]*\\$", lock)}
    found = {path.name.rsplit("-", 2)[0] for path in (layer / "python").glob("*.dist-info")}
    assert {re.sub(r"[-_.]+", "-", name).lower() for name in found} <= pinned
    assert "aioboto3" in found


def test_it_is_compiled_and_small(layer: Path, interpreter: Interpreter) -> None:
    """Each module's .pyc is unchecked and its source's own; no scripts; at most 40 MB."""
    tag = f"cpython-3{interpreter.version[1]}"
    module = layer / "python" / "botocore" / "client.py"
    head = (module.parent / "__pycache__" / f"client.{tag}.pyc").read_bytes()[:16]
    assert int.from_bytes(head[4:8], "little") == UNCHECKED_HASH
    assert head[8:] == _imp.source_hash(int.from_bytes(head[:4], "little"), module.read_bytes())
    assert not (layer / "python" / "bin").exists()
    assert sum(path.stat().st_size for path in layer.rglob("*") if path.is_file()) <= MAX_BYTES


async def test_a_function_calls_the_local_cloud_with_aioboto3(layer: Path, cloud: RunningCloud, tmp_path: Path) -> None:
    """A function process with the layer at /opt imports aioboto3 from it, and a client of a kept service works."""
    async with open_world(tmp_path, endpoint=cloud.status["endpoints"]["aws"]) as world:
        world.add(CODE, layer_dirs=(layer,), runtime="python3.13", timeout_s=60)
        file, made, urls = await world.answer()
    assert file == str(layer / "python" / "aioboto3" / "__init__.py")
    assert made in urls
    assert json.loads(cloud.sluiceway("status", "--json").stdout)["ready"]
