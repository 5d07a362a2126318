"""The template of two Regions over real processes: paid once, handed over by a command, and settled by a person."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.local.conftest import ROOT, ApiReply, RunningCloud, call_api, clean_environment, start_cloud

pytestmark = pytest.mark.local

FOLDER = Path(__file__).parent / "two_regions"
EAST, WEST = "us-east-1", "us-west-2"
PATIENCE_S = 60
SETTINGS = {
    "AWS_ACCESS_KEY_ID": "me",
    "AWS_SECRET_ACCESS_KEY": "x",
    "IDEMPOTENCY_TABLE": "keys",
    "REGION_GROUP": "shop",
    "REGIONS": f"{EAST},{WEST}",
    "REGIONS_TABLE": "doubts",
    "TERMS_TABLE": "terms",
    "TERMS_REGION": "us-east-2",
}


class Pair:
    """A cloud for each Region, on the DynamoDB of the eastern one, and a person at a terminal."""

    def __init__(self, east: RunningCloud, west: RunningCloud) -> None:
        self.apis = {
            EAST: east.status["endpoints"]["serverlessrestapi"],
            WEST: west.status["endpoints"]["serverlessrestapi"],
        }
        self._endpoint = east.status["endpoints"]["aws"]

    def pay(self, region: str, key: str, **headers: str) -> ApiReply:
        return call_api(self.apis[region], "POST", "pay", idempotency_key=key, **headers)

    def run(self, *words: str, region: str = EAST, code: int = 0) -> str:
        """What a command prints, with the settings of docs/regions.md."""
        settings = SETTINGS | {"AWS_ENDPOINT_URL": self._endpoint, "AWS_REGION": region}
        done = subprocess.run(
            [sys.executable, *words],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            env=clean_environment() | settings,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def ask(self, *words: str, region: str = EAST) -> Any:
        """The JSON that `sluiceway` prints."""
        return json.loads(self.run("-m", "localcloud", *words, "--json", region=region))

    def wait_to_pay(self, region: str, key: str) -> ApiReply:
        """The first answer that is no 503; fails after PATIENCE_S."""
        ends = time.monotonic() + PATIENCE_S
        while (reply := self.pay(region, key)).status == 503:
            assert time.monotonic() < ends, reply
            time.sleep(0.1)
        return reply


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("two")
    template = ("--template", str(FOLDER / "template.yaml"))
    east = start_cloud(folder / "east", *template)
    try:
        address = east.status["endpoints"]["aws"]
        west = start_cloud(folder / "west", *template, "--region", WEST, "--parameter-overrides", f"DynamoDb={address}")
        try:
            pair = Pair(east, west)
            pair.run(str(FOLDER / "tables.py"))
            yield pair
        finally:
            west.sluiceway("down")
    finally:
        east.sluiceway("down")


def problem_of(reply: ApiReply) -> tuple[int, str]:
    return reply.status, reply.json()["type"]


def test_a_key_is_paid_once_whoever_is_home(pair: Pair) -> None:
    """Told in both Regions; refused away from home; after a hand-over new keys go on, and what was begun is settled."""
    assert pair.pay(EAST, "k0").status == 502  # nobody has founded the group
    pair.ask("regions", "found", "--home", EAST, "--lease-s", "5", "--skew-s", "1")
    paid = pair.pay(EAST, "k1")
    assert (paid.status, paid.body.startswith(b"paid in us-east-1 by ")) == (201, True)
    assert pair.wait_to_pay(WEST, "k1").body == paid.body  # once it has arrived there
    assert problem_of(pair.pay(WEST, "k2")) == (503, "/problems/not-home")
    assert pair.pay(EAST, "k3", slow="yes").status == 502

    term = pair.ask("regions", "raise", "--to", WEST, "--approval", "incident 4711", "--ends", "1")
    assert (term["epoch"], term["region"]) == (2, WEST)
    moved = pair.wait_to_pay(WEST, "k2")
    assert (moved.status, moved.body.startswith(b"paid in us-west-2 by ")) == (201, True)
    assert time.time() * 1000 >= term["begins_ms"]
    assert problem_of(pair.pay(EAST, "k4")) == (503, "/problems/not-home")
    assert pair.pay(WEST, "k1").body == paid.body

    assert problem_of(pair.pay(WEST, "k3")) == (409, "/problems/idempotency-in-doubt")
    (doubt,) = pair.ask("doubts", region=WEST)
    assert (doubt["why"], doubt["home"], doubt["epoch"]) == ("fenced", EAST, 1)
    pair.ask("doubts", "settle", doubt["key"], "--not-done", region=WEST)
    assert pair.pay(WEST, "k3").body.startswith(b"paid in us-west-2 by ")
