"""The pytest plugin as its users have it: the example of its page in a folder of its own, run by pytest with 2 workers.

Beside the example are tests that must fail, whose reports are read, and tests of what the page says.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.local
ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "testing-applications.md"
FILES = re.compile(r"^`([\w/.]+)`:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MORE = Path(__file__).parent / "plugin"
BESIDE = {"time_and_more.py": "tests/test_more.py", "other.yaml": "other.yaml", "refused.yaml": "refused.yaml"}


@dataclass(frozen=True)
class Ran:
    """One run: the outcome of each test, "" for passed, else the report's text; and what pytest wrote."""

    outcomes: dict[str, str]
    written: str


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The example's tests and ours, each file's in one of two workers."""
    folder = tmp_path_factory.mktemp("application")
    for name, text in FILES.findall(PAGE.read_text(encoding="utf-8")):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for name, target in BESIDE.items():
        (folder / target).write_text((MORE / name).read_text(encoding="utf-8"), encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTEST_"))}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "2", "--dist", "loadfile", "-p", "no:cacheprovider", "--junitxml=r.xml"],
        cwd=folder,
        env=environment | {"AWS_PROFILE": "nobody", "AWS_ENDPOINT_URL_SQS": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
        check=False,
    )
    written = done.stdout + done.stderr
    assert (folder / "r.xml").exists(), written
    cases = ET.parse(folder / "r.xml").getroot().iter("testcase")
    return Ran({case.attrib["name"]: _text_of(case) for case in cases}, written)


def _text_of(case: ET.Element) -> str:
    return "".join(case.itertext()) if any(each.tag in {"failure", "error"} for each in case) else ""


MUST_FAIL = {
    "test_a_report": "must fail",
    "test_no_template": "there is no template",
    "test_a_template_that_is_not_served": "AWS::EC2::Instance",
}


def test_the_example_and_what_its_page_says(ran: Ran) -> None:
    """Every test passes but those that must fail, and these for their own reasons."""
    failed = {name: text for name, text in ran.outcomes.items() if text}
    assert failed.keys() == MUST_FAIL.keys(), ran.written
    assert len(ran.outcomes) == 30, sorted(ran.outcomes)
    assert all(reason in failed[name] for name, reason in MUST_FAIL.items()), failed


def test_a_failed_test_tells_what_happened(ran: Ran) -> None:
    """The end of the timeline and of the functions' logs are in its report; what was sent is not."""
    report = ran.written.partition("test_a_report")[2].partition("test_no_template")[0]
    assert re.search(r"- sluiceway timeline -+\n  .* invocation  ShipOrder .* error .*error_type=ValueError", report)
    assert re.search(r"- sluiceway log of ShipOrder -+\n(.*\n)*  \[ERROR\] ValueError: nothing to ship\n", report)
    assert "secret-body" not in report


def test_without_the_fixture_nothing_is_imported() -> None:
    """pytest loads the plugin in every run where the package is installed: that costs nothing."""
    script = "import sys, localcloud.testing.plugin; print([m for m in sys.modules if m.startswith('localcloud')])"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['localcloud', 'localcloud.testing', 'localcloud.testing.plugin']"
