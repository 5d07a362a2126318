"""What a cold start may import and cost: import, init and the first invocation of every function, with its AWS calls.

Each runs in a bare, isolated interpreter of the runtime, on Lambda's import path: the function's folder, its
requirements, the built layer, the runtime with its AWS SDK. A stand-in on loopback answers the calls: tables that hold
what the recorded events go on with, and a model that says one word.
"""

from __future__ import annotations

import json
import statistics
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from localcloud.clock import SystemClock
from localcloud.issuer import ISSUER, LocalIssuer
from localcloud.replay.cases import differences, load_cases
from localcloud.template.source import read_template
from tests.shape.conftest import ROOT, ImportPath
from tests.shape.stand_in import GROUP, StandIn, stand_in

FORBIDDEN = {
    "aiobotocore", "aioboto3", "aiohttp", "aws_xray_sdk", "boto3", "botocore", "httpx", "localcloud", "moto",
    "jwt", "pydantic", "requests", "s3transfer", "urllib3", "yaml",
}  # fmt: skip
ROLLUP: str = read_template(ROOT / "template.yaml").body["Resources"]["RollUpRecords"]["Properties"]["Environment"][
    "Variables"
]["ROLLUP"]
TOKEN_PACKAGES = {"cryptography", "cffi", "_cffi_backend"}
VERIFY_TOKENS = {"authorize_request", "stream_http"}
RUNS = 5
# A new module or a heavier one is a decision: raise its number with the reason in the commit. Measured on 3.13, on a
# busy machine of two cores; the ratio is the CPU of the whole cold start to that of a bare interpreter's start and end.
BUDGETS = {
    "authorize_request": ("valid_token", 196, 18.0),
    "broadcast_records": ("one_record", 224, 24.0),
    "check_health": ("healthy", 183, 18.0),
    "filter_records": ("one_record", 240, 28.0),
    "generate_answer": ("one_prompt", 220, 24.0),
    "probe_region": ("scheduled", 178, 16.0),
    "publish_records": ("with_key", 222, 24.0),
    "read_job": ("waiting", 190, 18.0),
    "roll_up_records": ("cut", 214, 22.0),
    "serve_socket": ("ask", 212, 21.0),
    "switch_region": ("scheduled", 194, 18.0),
    "stream_answer": ("unknown", 225, 25.0),
    "verify_rollups": ("scheduled", 212, 22.0),
    "stream_http": ("ask", 268, 24.0),
}


@dataclass(frozen=True)
class ColdStart:
    """One function's: the modules it imported, the median of its CPU and of a bare interpreter's, its reply."""

    modules: frozenset[str]
    cpu_s: float
    bare_s: float
    reply: object

    @property
    def packages(self) -> set[str]:
        """The top-level names."""
        return {name.split(".")[0] for name in self.modules}


@pytest.fixture(scope="module")
def aws() -> Iterator[StandIn]:
    """AWS, for the length of these tests."""
    with stand_in() as running:
        yield running


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> LocalIssuer:
    """Who signs the token of the authorizer's event."""
    return LocalIssuer.open(tmp_path_factory.mktemp("issuer"))


@pytest.fixture(scope="module")
def variables(aws: StandIn, issuer: LocalIssuer) -> dict[str, str]:
    """Lambda's environment and the variables of every function; nothing of this machine's."""
    return {
        "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:1",
        "AWS_LAMBDA_FUNCTION_NAME": "function",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_FORMAT": "JSON",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_SESSION_TOKEN": "session",
        "AWS_ENDPOINT_URL": aws.url,
        "POWERTOOLS_METRICS_NAMESPACE": "Sluiceway",
        "POWERTOOLS_LOG_LEVEL": "INFO",
        "JOBS_TABLE": "jobs",
        "RESULTS_BUCKET": "results",
        "DEAD_LETTERS_URL": f"{aws.url}/123456789012/dead-letters",
        "JOBS_QUEUE_URL": f"{aws.url}/123456789012/jobs",
        "STREAM": "records",
        "OTHER_REGION": "us-west-2",
        "PROBE_URL": f"{aws.url}/v1/health",
        "PROBE_SECONDS": "10",
        "CONVERSATIONS_TABLE": "conversations",
        "CONNECTIONS_TABLE": "connections",
        "SUBSCRIPTIONS_TABLE": "subscriptions",
        "IDEMPOTENCY_TABLE": "keys",
        "JOB_AFTER_CRASH": "rerun",
        "ROLLUPS_TABLE": "rollups",
        "RAW_BUCKET": "raw",
        "ROLLUP": ROLLUP,
        "PUBLISHERS": '{"records": "*"}',
        "AGGREGATE": "false",
        "GIVE_UP_S": "20",
        "TOPICS": '{"records": "sluiceway-RecordsStream"}',
        "ACCESS": '{"records": "public"}',
        "RULES_TABLE": "rules",
        "CONNECTIONS_URL": f"{aws.url}/v1",
        "WORKER_FUNCTION": "stream-answer",
        "QUEUE_VISIBILITY_S": "360",
        "MODEL_ID": "amazon.nova-micro-v1:0",
        "MAX_OUTPUT_TOKENS": "512",
        "MODEL_CONTINUES": "true",
        "HISTORY_CHARACTERS": "4000",
        "GRACE_S": "30",
        "ON_DISCONNECT": "cancel",
        "MAX_RECEIVES": "4",
        "QUEUE_RETENTION_S": "345600",
        "CONSOLE_ORIGIN": "http://127.0.0.1:4603",
        "TOKEN_ISSUER": ISSUER,
        "TOKEN_AUDIENCE": "sluiceway",
        "TOKEN_KEYS": issuer.key_set(),
    }


# A pair has the tier home; what else is measured is measured as one Region has it.
HOME = {
    "IDEMPOTENCY_TIER": "home",
    "REGION_GROUP": GROUP,
    "REGIONS": "us-east-1,us-west-2",
    "REGIONS_TABLE": "regions",
    "TERMS_TABLE": "terms",
    "TERMS_REGION": "us-east-1",
}
OF_PAIR = {"probe_region", "switch_region"}


def _run(python: Path, *arguments: str, variables: dict[str, str]) -> str:
    command = [str(python), "-I", "-S", "-B", *arguments]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()[-1]


@pytest.fixture(scope="module", params=sorted(BUDGETS))
def cold_start(
    request: pytest.FixtureRequest,
    import_path: ImportPath,
    variables: dict[str, str],
    aws: StandIn,
    issuer: LocalIssuer,
) -> tuple[str, ColdStart]:
    """A function's name and its cold start, run alternately with a bare interpreter's."""
    function: str = request.param
    (case,) = load_cases(ROOT / "events", names=[f"{function}/{BUDGETS[function][0]}"])
    token = issuer.token(subject="developer", audience="sluiceway", minutes=5, clock=SystemClock())
    order = json.dumps({"path": import_path.of(function), "event": case.as_sent(token=token, caller="")})
    variables = variables | HOME if function in OF_PAIR else variables
    script = str(ROOT / "tests" / "shape" / "cold_start.py")
    reports: list[dict[str, Any]] = []
    bare: list[float] = []
    for _ in range(RUNS):
        aws.reset()
        reports.append(json.loads(_run(import_path.python, script, order, variables=variables)))
        said = _run(import_path.python, "-c", "import time; print(time.process_time())", variables=variables)
        bare.append(float(said))
    found = ColdStart(
        modules=frozenset(reports[0]["modules"]),
        cpu_s=statistics.median(report["cpu_s"] for report in reports),
        bare_s=statistics.median(bare),
        reply=reports[0]["reply"],
    )
    assert differences(case.reply, found.reply) == []
    return function, found


def test_every_function_has_a_budget() -> None:
    """A new function gets its numbers here."""
    assert sorted(BUDGETS) == sorted(path.parent.name for path in (ROOT / "functions").glob("*/app.py"))


def test_a_cold_start_imports_no_more_modules_than_its_budget(
    cold_start: tuple[str, ColdStart], record_property: Any
) -> None:
    """The ceiling counts the standard library's modules too: each costs a cold start."""
    function, found = cold_start
    record_property("modules", len(found.modules))
    assert len(found.modules) <= BUDGETS[function][1], sorted(found.modules)


def test_a_cold_start_imports_nothing_that_is_forbidden_on_the_hot_path(cold_start: tuple[str, ColdStart]) -> None:
    """No AWS SDK, no HTTP library, no pydantic, no tracer; what verifies tokens where tokens are verified."""
    function, found = cold_start
    forbidden = FORBIDDEN if function in VERIFY_TOKENS else FORBIDDEN | TOKEN_PACKAGES
    assert found.packages & forbidden == set()


def test_a_cold_start_of_an_answer_reaches_the_model(cold_start: tuple[str, ColdStart]) -> None:
    """The functions that make answers have read an event stream by then: what is measured is the whole way."""
    function, found = cold_start
    assert ("sluiceway.aws.event_stream" in found.modules) is function.startswith("stream_"), sorted(found.modules)


def test_a_cold_start_of_a_broadcast_has_matched_a_record(cold_start: tuple[str, ColdStart]) -> None:
    """Patterns are on the way of the records, and on nobody else's: a socket that subscribes nothing has none."""
    function, found = cold_start
    assert ("sluiceway.rules.index" in found.modules) is (function in {"broadcast_records", "filter_records"}), sorted(
        found.modules
    )


def test_a_cold_start_uses_cpu_within_its_budget(cold_start: tuple[str, ColdStart], record_property: Any) -> None:
    """The median of five cold starts to the median of five bare interpreters, in one run."""
    function, found = cold_start
    ratio = found.cpu_s / found.bare_s
    record_property("cpu_ratio", round(ratio, 1))
    print(f"{function}: {len(found.modules)} modules, {found.cpu_s * 1000:.0f} ms CPU, {ratio:.1f} bare interpreters")
    assert ratio <= BUDGETS[function][2]


def test_the_measurement_sees_what_is_imported(
    import_path: ImportPath, variables: dict[str, str], tmp_path: Path
) -> None:
    """A function that imports the runtime's boto3 shows it: the checks above are not blind."""
    (tmp_path / "app.py").write_text("import boto3\n\n\ndef handler(event, context):\n    return event\n")
    path = [str(tmp_path), *import_path.of("read_job")[1:]]
    script = str(ROOT / "tests" / "shape" / "cold_start.py")
    report = json.loads(_run(import_path.python, script, json.dumps({"path": path, "event": 1}), variables=variables))
    assert {"boto3", "botocore"} <= {name.split(".")[0] for name in report["modules"]}
    assert report["reply"] == 1
