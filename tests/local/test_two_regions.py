"""Two Regions side by side: paid once, handed over by a command, settled by a person; one is lost, and comes back."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

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
    """A cloud for each Region, what they share, and a person at a terminal."""

    def __init__(self, cloud: RunningCloud) -> None:
        self.cloud = cloud
        endpoints: dict[str, str] = cloud.status["endpoints"]
        self.apis = {region: endpoints[f"serverlessrestapi-{region}"] for region in (EAST, WEST)}
        self._endpoint = endpoints["aws"]

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

    def region(self, *words: str) -> Any:
        """The JSON that `sluiceway regions` prints of this cloud."""
        return json.loads(self.cloud.sluiceway("regions", *words, "--json").stdout)

    def wait_to_pay(self, region: str, key: str) -> ApiReply:
        """The first answer that is no 503."""
        return self.wait_to(region, key, lambda reply: reply.status != 503)

    def wait_to(self, region: str, key: str, wanted: Callable[[ApiReply], bool]) -> ApiReply:
        """The first answer that is as wanted; fails after PATIENCE_S."""
        ends = time.monotonic() + PATIENCE_S
        while not wanted(reply := self.pay(region, key)):
            assert time.monotonic() < ends, reply
            time.sleep(0.1)
        return reply


def ask_briefly(api: str) -> None:
    """A request that waits for a second. Raises TimeoutError."""
    parts = urlsplit(api)
    connection = http.client.HTTPConnection(parts.netloc, timeout=1)
    try:
        connection.request("POST", f"{parts.path}/pay", headers={"idempotency-key": "k9"})
        connection.getresponse()
    finally:
        connection.close()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    template = ("--template", str(FOLDER / "template.yaml"))
    cloud = start_cloud(tmp_path_factory.mktemp("two") / "state", *template, "--regions", f"{EAST},{WEST}")
    try:
        pair = Pair(cloud)
        pair.run(str(FOLDER / "tables.py"))
        yield pair
    finally:
        cloud.sluiceway("down")


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


def test_a_region_that_is_lost_is_silent_and_goes_on_where_it_stopped(pair: Pair) -> None:
    """Nobody gets an answer of it; keys that it may have begun are parked elsewhere, and free once it can be asked."""
    assert [(each["region"], each["dark"]) for each in pair.region("kill", WEST)["regions"]] == [
        (EAST, False),
        (WEST, True),
    ]
    with pytest.raises(TimeoutError):
        ask_briefly(pair.apis[WEST])
    pair.ask("regions", "raise", "--to", EAST, "--approval", "incident 4712")
    parked = pair.wait_to(EAST, "k10", lambda reply: problem_of(reply) == (503, "/problems/parked"))
    assert parked.headers["retry-after"]
    assert {doubt["why"] for doubt in pair.ask("doubts", region=EAST)} == {"parked"}
    assert pair.region("recover", WEST)["regions"][1] == {**pair.region("status")["regions"][1], "dark": False}
    paid = pair.wait_to_pay(EAST, "k10")
    assert paid.body.startswith(b"paid in us-east-1 by ")
    assert problem_of(pair.pay(WEST, "k11")) == (503, "/problems/not-home")


def test_regions_that_cannot_talk_go_on_apart(pair: Pair) -> None:
    """A key that the other Region may have begun is parked while it cannot be asked, and paid once it can."""
    assert sorted(pair.region("cut", EAST, WEST)["cuts"]) == [[EAST, WEST], [WEST, EAST]]
    assert problem_of(pair.pay(EAST, "k20")) == (503, "/problems/parked")
    assert pair.region("heal", EAST, WEST)["cuts"] == []
    paid = pair.wait_to_pay(EAST, "k20")
    assert paid.body.startswith(b"paid in us-east-1 by ")
    assert pair.wait_to_pay(WEST, "k20").body == paid.body


def test_what_cannot_be_done_to_regions_is_said(pair: Pair, cloud: RunningCloud) -> None:
    """A Region that is up cannot recover; a cloud of one Region has none to lose; nothing else is served there."""
    refused = pair.cloud.sluiceway("regions", "recover", EAST, check=False)
    assert (refused.returncode, refused.stderr) == (1, f"sluiceway: {EAST} is not dark\n")
    alone = cloud.sluiceway("regions", "kill", EAST, check=False)
    assert alone.returncode == 2
    assert "`sluiceway up --regions A,B`" in alone.stderr
    asked = call_api(pair.cloud.status["endpoints"]["aws"], "POST", f"_sluiceway/regions/{EAST}/explode")
    assert (asked.status, asked.json()) == (404, {"error": f"there is no POST /_sluiceway/regions/{EAST}/explode"})
