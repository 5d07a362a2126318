"""Two Regions under names: a Region that is lost, seen by a health check, and answers that change by what they hang on.

The template is tests/local/named_regions: `api.example.test` follows an alarm's metric in the standby's Region, and
`open.example.test` the health of the Region itself. boto3 speaks to a Region's front.
"""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ReadTimeoutError

from tests.local.conftest import RunningCloud, start_cloud
from tests.unit.route53_setup import read_reply, write_query

pytestmark = pytest.mark.local

FOLDER = Path(__file__).parent / "named_regions"
EAST, WEST = "us-east-1", "us-west-2"
ZONE = "Z0123456789"
HOME, OPEN = "api.example.test", "open.example.test"
PATIENCE_S = 60
OPTIONS: dict[str, Any] = {
    "region_name": WEST,
    "aws_access_key_id": "me",
    "aws_secret_access_key": "x",
    "config": Config(retries={"max_attempts": 0}, read_timeout=5),
}


class Named:
    """A pair of Regions under names, and a person who asks."""

    def __init__(self, cloud: RunningCloud) -> None:
        self.cloud = cloud
        self.addresses: dict[str, str] = cloud.status["endpoints"]
        self.route53: Any = boto3.client("route53", endpoint_url=self.addresses[f"aws-{WEST}"], **OPTIONS)

    def where(self, name: str, *, timeout_s: float = 5) -> str:
        """The Region that answers under a name, on a connection of its own."""
        connection = http.client.HTTPConnection(urlsplit(self.addresses[name]).netloc, timeout=timeout_s)
        try:
            return ask(connection)
        finally:
            connection.close()

    def port_of(self, name: str) -> int:
        """The port that DNS tells of a name now."""
        packet = write_query(f"_http._tcp.{name}.", "SRV")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.settimeout(5)
            asking.sendto(packet, ("127.0.0.1", urlsplit(self.addresses["dns"]).port or 0))
            ((_, _, ttl, data),) = read_reply(asking.recv(4096)).answers
        assert ttl == 60
        return int(data[2])

    def gateway(self, region: str) -> int:
        return urlsplit(self.addresses[f"api-{region}"]).port or 0

    def check_of(self, region: str) -> str:
        """The id of the check that looks at a Region."""
        name = f"{region}.example.test"
        checks = self.route53.list_health_checks()["HealthChecks"]
        found = [each["Id"] for each in checks if each["HealthCheckConfig"].get("FullyQualifiedDomainName") == name]
        return found[0]

    def said_of(self, region: str) -> str:
        told = self.route53.get_health_check_status(HealthCheckId=self.check_of(region))
        return told["HealthCheckObservations"][0]["StatusReport"]["Status"]


def ask(connection: http.client.HTTPConnection) -> str:
    connection.request("GET", "/where")
    return json.loads(connection.getresponse().read())["region"]


def until(holds: Callable[[], bool]) -> None:
    """Wait until something is so; fails after PATIENCE_S."""
    ends = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.1)


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Named]:
    words = ("--template", str(FOLDER / "template.yaml"), "--regions", f"{EAST},{WEST}")
    cloud = start_cloud(tmp_path_factory.mktemp("named") / "state", *words)
    try:
        yield Named(cloud)
    finally:
        cloud.sluiceway("down")


def test_each_name_has_an_address_that_leads_to_its_region(named: Named) -> None:
    """The names are in the state; the Host header is the name, which is what the gateway goes by."""
    assert {name: named.where(name) for name in (HOME, OPEN, f"{EAST}.example.test", f"{WEST}.example.test")} == {
        HOME: EAST,
        OPEN: EAST,
        f"{EAST}.example.test": EAST,
        f"{WEST}.example.test": WEST,
    }
    assert {named.port_of(HOME), named.port_of(OPEN)} == {named.gateway(EAST)}


def test_the_zone_is_one_for_both_regions(named: Named) -> None:
    """Records that either stack made, read and changed through the front of one; the zone nobody made exists."""
    records = named.route53.list_resource_record_sets(HostedZoneId=ZONE)["ResourceRecordSets"]
    roles = [(each["Name"], each["Failover"]) for each in records if "Failover" in each]
    assert roles == [(f"{name}.", role) for name in (HOME, OPEN) for role in ("PRIMARY", "SECONDARY")]
    text = {"Name": "note.example.test", "Type": "TXT", "TTL": 5, "ResourceRecords": [{"Value": '"x"'}]}
    for action in ("CREATE", "DELETE"):
        batch = {"Changes": [{"Action": action, "ResourceRecordSet": text}]}
        named.route53.change_resource_record_sets(HostedZoneId=ZONE, ChangeBatch=batch)
    with pytest.raises(ClientError, match="InvalidChangeBatch"):
        named.route53.change_resource_record_sets(HostedZoneId=ZONE, ChangeBatch=batch)


def test_the_metrics_of_health_checks_are_in_us_east_1_alone(named: Named) -> None:
    """HealthCheckStatus of each check, which only that Region's CloudWatch has."""
    until(lambda: named.said_of(EAST).startswith("Success: HTTP Status Code 200"))
    found: dict[str, set[str]] = {}
    for region in (EAST, WEST):
        options = {**OPTIONS, "region_name": region}
        cloudwatch: Any = boto3.client("cloudwatch", endpoint_url=named.addresses[f"aws-{region}"], **options)
        metrics = cloudwatch.list_metrics(Namespace="AWS/Route53", MetricName="HealthCheckStatus")["Metrics"]
        found[region] = {metric["Dimensions"][0]["Value"] for metric in metrics}
    assert named.check_of(EAST) in found[EAST]
    assert found[WEST] == set()


def test_a_lost_region_is_seen_and_only_what_hangs_on_it_moves(named: Named) -> None:
    """The check fails after its interval and threshold (10 s, 2); the answer that hangs on it changes, the other not.

    Fronts keep what they were told for the TTL, so that until then the lost Region is silent under both names; a
    connection that was open before stays where it is, for good.
    """
    before = http.client.HTTPConnection(urlsplit(named.addresses[f"{WEST}.example.test"]).netloc, timeout=5)
    assert ask(before) == WEST
    named.where(OPEN)
    named.cloud.sluiceway("regions", "kill", EAST)
    began = time.monotonic()
    try:
        until(lambda: named.port_of(OPEN) == named.gateway(WEST))
        assert 10 < time.monotonic() - began < 20 + 2 + 5  # the second look is 10 to 20 s away, and waits for 2 s
        assert named.port_of(HOME) == named.gateway(EAST)
        for name in (OPEN, HOME):
            with pytest.raises(TimeoutError):
                named.where(name, timeout_s=1)
        assert ask(before) == WEST
        with pytest.raises(ReadTimeoutError):  # the control plane is in the Region that is lost
            named.route53.list_hosted_zones()
    finally:
        named.cloud.sluiceway("regions", "recover", EAST)
        before.close()
    until(lambda: named.port_of(OPEN) == named.gateway(EAST))
    assert named.said_of(EAST).startswith("Success")
    assert named.where(HOME) == EAST


def test_traffic_follows_the_metric_of_the_standby(named: Named) -> None:
    """One whole minute with a value over the threshold; no data leaves it where it is, and a 0 brings it back."""
    options = {**OPTIONS, "region_name": WEST}
    cloudwatch: Any = boto3.client("cloudwatch", endpoint_url=named.addresses[f"aws-{WEST}"], **options)

    def put(value: float) -> None:
        last = time.time() // 60 * 60 - 30  # within the last whole minute
        data = [{"MetricName": "IsHome", "Value": value, "Timestamp": last}]
        cloudwatch.put_metric_data(Namespace="Test", MetricData=data)

    def moves(value: float, region: str) -> None:
        def has_moved() -> bool:
            put(value)
            return named.port_of(HOME) == named.gateway(region)

        until(has_moved)

    moves(1.0, WEST)
    assert named.port_of(OPEN) == named.gateway(EAST)


def test_one_cloud_has_names_and_checks_of_its_own(tmp_path: Path) -> None:
    """The same in one process: an address for each name, a check over plain HTTP, a ledger that tells of the zone."""
    cloud = start_cloud(tmp_path / "state", "--template", str(FOLDER / "template.yaml"), "--config-env", "secondary")
    try:
        addresses = cloud.status["endpoints"]
        with closing(http.client.HTTPConnection(urlsplit(addresses[HOME]).netloc, timeout=5)) as connection:
            assert ask(connection) == EAST
        route53: Any = boto3.client("route53", endpoint_url=addresses["aws"], **OPTIONS)
        (check,) = route53.list_health_checks()["HealthChecks"]

        def is_seen() -> bool:
            told = route53.get_health_check_status(HealthCheckId=check["Id"])["HealthCheckObservations"]
            return bool(told) and told[0]["StatusReport"]["Status"].startswith("Success: HTTP Status Code 200")

        until(is_seen)
        (zone,) = route53.list_hosted_zones_by_name(DNSName="example.test")["HostedZones"]
        assert zone["Id"] == f"/hostedzone/{ZONE}"
        partly = {
            line["resource"]: line["reason"] for line in cloud.status["ledger"] if line["property"] == "HostedZoneId"
        }
        assert partly.keys() == {"FollowsHome", "FollowsHealth"}
        assert all("counts as one that exists" in reason for reason in partly.values())
    finally:
        cloud.sluiceway("down")


def test_a_check_of_an_alarm_that_is_not_there_ends_the_start(tmp_path: Path) -> None:
    """The standby is deployed first: without it, the primary says which alarm it misses, and nothing runs."""
    cloud = RunningCloud(tmp_path / "state")
    words = ("--template", str(FOLDER / "template.yaml"), "--config-env", "primary", "--port", "0")
    failed = cloud.sluiceway("up", "--detach", *words, check=False)
    assert failed.returncode == 1
    assert "TrafficCheck" in failed.stderr
    assert "us-west-2 has no metric alarm secondary-is-home" in failed.stderr
