"""A person's word to `switch_region`: whom it goes to, what is said where nobody answers, and the answer's lines."""

from __future__ import annotations

import argparse
import json
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from localcloud.cli import switching
from localcloud.cli.term_dates import tell_begin
from localcloud.regions.switching import Switch
from sluiceway.errors import Misconfigured, Retryable
from sluiceway.rules.terms import NOT_YET_MS
from tests.unit.wire_server import MemoryNetwork, answer, environ

EAST, WEST = "us-east-1", "us-west-2"
TERM = {"group": "shop", "home": WEST, "epoch": 2, "begins_ms": 1_000, "approval": "incident 7"}


def open_switch() -> Switch:
    there = environ(AWS_ENDPOINT_URL="http://127.0.0.1:1")
    return Switch({EAST: ("switch-east", there), WEST: ("switch-west", there)}, usual=WEST)


def replies(*told: dict[str, Any]) -> list[bytes | Exception | None]:
    return [answer(body=json.dumps(each).encode()) for each in told]


def test_a_region_that_gives_no_answer_is_named() -> None:
    """After the function's own minute, and no later."""
    network = MemoryNetwork([None])
    with pytest.raises(Retryable, match=r"^us-east-1 gave no answer: "):
        network.run(lambda: open_switch().look(EAST))
    assert network.time() == pytest.approx(60, abs=1)


@pytest.mark.parametrize(("against", "asked"), [(["home-is-well"], "switch-east"), ([], "switch-west")])
def test_a_well_home_hands_over_and_of_a_lost_one_the_next_takes_over(against: list[str], asked: str) -> None:
    """The Region that is to be home says how the home looks; the order is about the epoch that was looked at."""
    looked = {**TERM, "home": EAST, "epoch": 1, "readiness": {"against": against}}
    network = MemoryNetwork(replies(looked, TERM))
    assert network.run(lambda: open_switch().approve(WEST, "incident 7")) == TERM
    first, second = (request.decode() for request in network.requests)
    assert "/functions/switch-west/" in first
    assert f"/functions/{asked}/" in second
    order = json.loads(second.partition("\r\n\r\n")[2])
    assert order == {"action": "raise", "to": WEST, "approval": "incident 7", "ends": 1, "force": False}


@pytest.mark.parametrize(("to", "times"), [("", 1), (WEST, 2)])
def test_a_look_is_asked_again_of_who_would_act_where_a_region_is_named(to: str, times: int) -> None:
    """Without a Region the usual one tells what it sees, and that is all."""
    looked: dict[str, Any] = {**TERM, "home": EAST, "readiness": {"against": []}}
    network = MemoryNetwork(replies(*[looked] * times))
    assert network.run(lambda: open_switch().look(to)) == looked
    assert len(network.requests) == times


def test_a_region_without_the_function_is_refused_with_those_that_have_it() -> None:
    """And nobody is asked."""
    network = MemoryNetwork([])
    with pytest.raises(Misconfigured, match="of eu-west-1 is known; there are us-east-1, us-west-2"):
        network.run(lambda: open_switch().look("eu-west-1"))


@pytest.mark.parametrize(
    ("begins_ms", "told"),
    [
        (10_000, "since 1970-01-01T00:00:10Z"),
        (10_001, "begins work at 1970-01-01T00:00:10Z, in 1 s"),
        (45_000, "begins work at 1970-01-01T00:00:45Z, in 35 s"),
        (NOT_YET_MS, "begins no work: the hand-over was broken off; ask for it again with `sluiceway regions raise`"),
    ],
)
def test_a_term_tells_from_when_on_its_home_begins_work(begins_ms: int, told: str) -> None:
    """Seconds that are left are rounded up: who waits so long does not come too early."""
    assert tell_begin(begins_ms, 10_000) == told


@contextmanager
def lambda_that_says(told: dict[str, Any]) -> Generator[str]:
    """The address of one that answers every invocation so."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.dumps(told).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_the_command_tells_when_the_home_begins_and_when_a_drill_ends(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As dates that a person can read."""
    with lambda_that_says({**TERM, "drill_until_ms": 600_000}) as url:
        for name, value in environ(AWS_ENDPOINT_URL=url, AWS_REGION=WEST).items():
            monkeypatch.setenv(name, value)
        words = argparse.Namespace(
            function="switch", region=WEST, regions="", action="drill", minutes=10, approval="game day", as_json=False
        )
        assert switching.run(words) == 0
    assert capsys.readouterr().out.splitlines() == [
        "group     shop",
        "home      us-west-2, epoch 2, since 1970-01-01T00:00:01Z",
        'approval  "incident 7"',
        "drill     until 1970-01-01T00:10:00Z",
    ]
