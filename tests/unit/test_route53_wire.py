"""Route 53's API as botocore writes and reads it: zones, record sets, checks, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import botocore.session
import pytest
from botocore import parsers, serialize
from botocore.awsrequest import HeadersDict

from localcloud.clock import run_virtual
from localcloud.services.contract import Permission, WireRequest
from localcloud.services.route53.health import Outcome
from localcloud.services.route53.model import Route53
from localcloud.services.route53.wire import Route53Service, read_needs
from tests.unit.route53_setup import EAST, HOME_ALARM, REGIONAL_ZONE, World, open_route53

_ANY: Any = botocore.session
_MODEL: Any = _ANY.get_session().get_service_model("route53")
_SERIALIZER: Any = serialize.create_serializer("rest-xml", include_validation=False)
_PARSER: Any = parsers.create_parser("rest-xml")
PLAIN = {"Name": "a.example.com", "Type": "A", "TTL": 60, "ResourceRecords": [{"Value": "192.0.2.1"}]}


def make_request(operation: str, parameters: dict[str, Any]) -> WireRequest:
    """What botocore would send."""
    written = _SERIALIZER.serialize_to_request(parameters, _MODEL.operation_model(operation))
    query = "&".join(f"{name}={value}" for name, value in written["query_string"].items())
    body = written["body"] if isinstance(written["body"], bytes) else str(written["body"] or "").encode()
    path = written["url_path"]
    return WireRequest("route53", "us-east-1", written["method"], path, query, {}, body, "key", "request")


class Caller:
    """A client of a service of its own."""

    def __init__(self) -> None:
        self.world = World()
        self.route53: Route53 = open_route53(self.world)
        self.service = Route53Service(self.route53)

    async def call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        response = await self.service.handle(make_request(operation, parameters))
        told = {"status_code": response.status, "headers": HeadersDict(response.headers), "body": response.body}
        parsed = _PARSER.parse(told, _MODEL.operation_model(operation).output_shape)
        parsed["status"] = parsed.pop("ResponseMetadata")["HTTPStatusCode"]
        return parsed

    async def error(self, operation: str, **parameters: Any) -> tuple[int, str, str]:
        parsed = await self.call(operation, **parameters)
        return parsed["status"], parsed["Error"]["Code"], parsed["Error"]["Message"]

    async def zone(self, name: str = "example.com") -> str:
        made = await self.call("CreateHostedZone", Name=name, CallerReference=name)
        return made["HostedZone"]["Id"].removeprefix("/hostedzone/")  # as boto3 sends it on

    async def change(self, zone: str, *changes: tuple[str, dict[str, Any]]) -> dict[str, Any]:
        batch = {"Changes": [{"Action": action, "ResourceRecordSet": record} for action, record in changes]}
        return await self.call("ChangeResourceRecordSets", HostedZoneId=zone, ChangeBatch=batch)


def run(main: Callable[[Caller], Coroutine[Any, Any, Any]]) -> Any:
    async def begin() -> Any:
        return await main(Caller())

    return run_virtual(begin)


def test_a_zone_is_made_and_found() -> None:
    """201 with its Location; two record sets of its own; by name in the order of labels; gone when deleted."""

    async def main(caller: Caller) -> None:
        made = await caller.call("CreateHostedZone", Name="Example.com", CallerReference="1")
        zone = made["HostedZone"]["Id"].removeprefix("/hostedzone/")
        assert (made["status"], made["HostedZone"]["Name"]) == (201, "example.com.")
        assert made["Location"].endswith(f"/hostedzone/{zone}")
        assert made["ChangeInfo"]["Status"] == "INSYNC"
        assert len(made["DelegationSet"]["NameServers"]) == 4
        again = await caller.error("CreateHostedZone", Name="other.org", CallerReference="1")
        assert again[:2] == (409, "HostedZoneAlreadyExists")
        other = await caller.zone("a.example.com")
        listed = await caller.call("ListHostedZonesByName")
        assert [each["Name"] for each in listed["HostedZones"]] == ["example.com.", "a.example.com."]
        first = await caller.call("ListHostedZones", MaxItems="1")
        assert (first["IsTruncated"], len(first["HostedZones"])) == (True, 1)
        second = await caller.call("ListHostedZones", MaxItems="1", Marker=first["NextMarker"])
        ids = {each["HostedZones"][0]["Id"] for each in (first, second)}
        assert ids == {f"/hostedzone/{each}" for each in (zone, other)}
        records = (await caller.call("ListResourceRecordSets", HostedZoneId=zone))["ResourceRecordSets"]
        assert [(each["Type"], each["TTL"]) for each in records] == [("NS", 172_800), ("SOA", 900)]
        change = made["ChangeInfo"]["Id"].removeprefix("/change/")
        assert (await caller.call("GetChange", Id=change))["ChangeInfo"]["Status"] == "INSYNC"
        await caller.change(zone, ("CREATE", PLAIN))
        assert (await caller.error("DeleteHostedZone", Id=zone))[:2] == (400, "HostedZoneNotEmpty")
        await caller.change(zone, ("DELETE", PLAIN))
        assert (await caller.call("DeleteHostedZone", Id=zone))["status"] == 200
        assert (await caller.error("GetHostedZone", Id=zone))[:2] == (404, "NoSuchHostedZone")
        assert (await caller.error("GetChange", Id="C0"))[:2] == (404, "NoSuchChange")

    run(main)


def test_a_batch_is_made_whole_or_not_at_all() -> None:
    """A fault in the last change undoes the first, and each fault is told."""

    async def main(caller: Caller) -> None:
        zone = await caller.zone()
        other = {**PLAIN, "Name": "b.example.com"}
        bad = {**PLAIN, "Name": "c.example.com", "ResourceRecords": [{"Value": "x"}]}
        failed = await caller.change(zone, ("CREATE", PLAIN), ("DELETE", other), ("CREATE", bad))
        assert failed["Error"]["Code"] == "InvalidChangeBatch"
        assert failed["Error"]["Message"] == (
            "[Tried to delete resource record set [name='b.example.com.', type='A'] but it was not found, "
            "Invalid Resource Record: 'FATAL problem: ARRDATAIllegalIPv4Address (Value is not a valid IPv4 address) "
            "encountered with 'x'']"
        )
        listed = await caller.call("ListResourceRecordSets", HostedZoneId=zone)
        assert len(listed["ResourceRecordSets"]) == 2
        changed = {**PLAIN, "TTL": 5}
        made = await caller.change(zone, ("CREATE", PLAIN), ("UPSERT", changed), ("UPSERT", other))
        assert made["ChangeInfo"]["Status"] == "INSYNC"
        moved = await caller.change(zone, ("DELETE", changed), ("CREATE", {**changed, "Type": "CNAME", **_to("b.org")}))
        assert moved["status"] == 200

    run(main)


def _to(value: str) -> dict[str, Any]:
    return {"ResourceRecords": [{"Value": value}]}


_CNAME = {**PLAIN, "Type": "CNAME", **_to("example.org")}
_FIRST = {**PLAIN, "SetIdentifier": "1", "Failover": "PRIMARY"}


@pytest.mark.parametrize(
    ("before", "change", "code", "said"),
    [
        ([PLAIN], ("CREATE", PLAIN), "InvalidChangeBatch", "Tried to create resource record set"),
        ([PLAIN], ("DELETE", {**PLAIN, "TTL": 1}), "InvalidChangeBatch", "do not match the current values"),
        (
            [],
            ("CREATE", {**PLAIN, "Name": "example.org"}),
            "InvalidChangeBatch",
            "is not permitted in zone example.com.",
        ),
        ([], ("CREATE", {**_CNAME, "Name": "example.com"}), "InvalidChangeBatch", "is not permitted at apex"),
        ([PLAIN], ("CREATE", _CNAME), "InvalidChangeBatch", "conflicts with other records"),
        ([_CNAME], ("CREATE", PLAIN), "InvalidChangeBatch", "conflicts with other records"),
        ([PLAIN], ("CREATE", _FIRST), "InvalidChangeBatch", "other RRSets exist"),
        ([_FIRST], ("CREATE", {**_FIRST, "SetIdentifier": "2"}), "InvalidChangeBatch", "Failover PRIMARY"),
        ([], ("CREATE", {**_FIRST, "SetIdentifier": ""}), "InvalidInput", "Missing field 'SetIdentifier'"),
        ([], ("CREATE", {**PLAIN, "SetIdentifier": "1"}), "InvalidInput", "none found"),
        ([], ("CREATE", {**_FIRST, "Weight": 1}), "InvalidInput", "more than one found"),
        ([], ("CREATE", {"Name": "a.example.com", "Type": "A"}), "InvalidInput", "but none found in Change with"),
        ([], ("CREATE", {**PLAIN, "Type": "X"}), "InvalidInput", "Type must be one of"),
        ([], ("CREATE", {**PLAIN, "Type": "MX"}), "NotImplemented", "MX"),
        ([], ("CREATE", {**PLAIN, "SetIdentifier": "1", "Region": "us-east-1"}), "NotImplemented", "latency"),
        ([], ("CREATE", {**PLAIN, "HealthCheckId": "none"}), "NoSuchHealthCheck", "none"),
        ([], ("CREATE", {**PLAIN, "Name": "a..b"}), "InvalidDomainName", "a..b"),
        ([], ("CREATE", {**PLAIN, "Type": "TXT", **_to("bare")}), "InvalidChangeBatch", "quotation marks"),
        ([], ("CREATE", {**_CNAME, **_to("a b")}), "InvalidChangeBatch", "unsupported characters"),
        ([], ("CREATE", {**PLAIN, "Type": "AAAA"}), "InvalidChangeBatch", "not a valid IPv6 address"),
        ([], ("PATCH", PLAIN), "InvalidInput", "Action"),
        ([], ("DELETE", {"Name": "example.com", "Type": "NS", "TTL": 1, **_to("x.y.")}), "NotImplemented", "NS"),
    ],
)
def test_changes_that_are_refused(
    before: list[dict[str, Any]], change: tuple[str, dict[str, Any]], code: str, said: str
) -> None:
    """With AWS's code, a message that names the fault, and no change."""

    async def main(caller: Caller) -> tuple[str, bool, int]:
        zone = await caller.zone()
        for record in before:
            await caller.change(zone, ("CREATE", record))
        failed = (await caller.change(zone, change))["Error"]
        listed = (await caller.call("ListResourceRecordSets", HostedZoneId=zone))["ResourceRecordSets"]
        return failed["Code"], said in failed["Message"], len(listed)

    assert run(main) == (code, True, 2 + len(before))


def test_aliases_and_tests_of_answers() -> None:
    """An alias has no TTL of its own; TestDNSAnswer says what DNS would; other AWS names are refused by name."""

    async def main(caller: Caller) -> None:
        zone = await caller.zone()
        target = {"HostedZoneId": REGIONAL_ZONE, "DNSName": EAST, "EvaluateTargetHealth": False}
        alias = {"Name": "api.example.com", "Type": "A", "AliasTarget": target}
        await caller.change(zone, ("CREATE", alias))
        told = (await caller.call("ListResourceRecordSets", HostedZoneId=zone))["ResourceRecordSets"][-1]
        assert told == {**alias, "Name": "api.example.com.", "AliasTarget": {**target, "DNSName": f"{EAST}."}}
        asked = {"HostedZoneId": zone, "RecordName": "api.example.com", "RecordType": "A"}
        answer = await caller.call("TestDNSAnswer", **asked)
        assert (answer["RecordData"], answer["ResponseCode"]) == (["127.0.0.1"], "NOERROR")
        missing = await caller.call("TestDNSAnswer", **{**asked, "RecordName": "no.example.com"})
        assert (missing["RecordData"], missing["ResponseCode"]) == ([], "NXDOMAIN")
        balancer = {**alias, "AliasTarget": {**target, "DNSName": "x.elb.amazonaws.com"}}
        assert (await caller.change(zone, ("CREATE", balancer)))["Error"]["Code"] == "NotImplemented"
        both = {**alias, "TTL": 5}
        assert (await caller.change(zone, ("UPSERT", both)))["Error"]["Code"] == "InvalidInput"

    run(main)


def test_pages_of_record_sets() -> None:
    """By the labels of names, last one first, then type and identifier; each page says where the next begins."""

    async def main(caller: Caller) -> list[str]:
        zone = await caller.zone()
        for name in ("b.a.example.com", "z.example.com", "a.example.com"):
            for number in ("1", "2"):
                weighted = {**PLAIN, "Name": name, "SetIdentifier": number, "Weight": 1}
                await caller.change(zone, ("CREATE", weighted))
        found: list[str] = []
        start: dict[str, Any] = {}
        while True:
            page = await caller.call("ListResourceRecordSets", HostedZoneId=zone, MaxItems="3", **start)
            found += [f"{each['Name']} {each.get('SetIdentifier', '')}" for each in page["ResourceRecordSets"]]
            if not page["IsTruncated"]:
                return found
            start = {"StartRecordName": page["NextRecordName"], "StartRecordType": page["NextRecordType"]}
            if "NextRecordIdentifier" in page:
                start["StartRecordIdentifier"] = page["NextRecordIdentifier"]

    names = ("a.example.com.", "b.a.example.com.", "z.example.com.")
    expected = [f"{name} {number}" for name in names for number in "12"]
    assert run(main) == ["example.com. ", "example.com. ", *expected]


def test_a_check_is_made_changed_and_seen() -> None:
    """Defaults as the API's; versions count; the last look, and the last that failed, are told."""

    async def main(caller: Caller) -> None:
        config = {"Type": "HTTPS", "FullyQualifiedDomainName": "api.example.com", "ResourcePath": "/health"}
        made = await caller.call("CreateHealthCheck", CallerReference="1", HealthCheckConfig=config)
        check = made["HealthCheck"]
        assert made["status"] == 201
        assert check["HealthCheckVersion"] == 1
        defaults = {"Port": 443, "RequestInterval": 30, "FailureThreshold": 3, "MeasureLatency": False}
        flags = {"EnableSNI": True, "Inverted": False, "Disabled": False}
        assert check["HealthCheckConfig"] == config | defaults | flags
        same = await caller.call("CreateHealthCheck", CallerReference="1", HealthCheckConfig=config)
        assert same["HealthCheck"]["Id"] == check["Id"]
        other = {**config, "Port": 80}
        assert (await caller.error("CreateHealthCheck", CallerReference="1", HealthCheckConfig=other))[0] == 409
        named = {"HealthCheckId": check["Id"]}
        assert (await caller.call("GetHealthCheckStatus", **named))["HealthCheckObservations"] == []
        changed = await caller.call("UpdateHealthCheck", **named, FailureThreshold=1, HealthCheckVersion=1)
        assert changed["HealthCheck"]["HealthCheckVersion"] == 2
        stale = await caller.error("UpdateHealthCheck", **named, FailureThreshold=2, HealthCheckVersion=1)
        assert stale[:2] == (409, "HealthCheckVersionMismatch")
        reset = await caller.call("UpdateHealthCheck", **named, ResetElements=["ResourcePath"])
        assert "ResourcePath" not in reset["HealthCheck"]["HealthCheckConfig"]
        for ok, said in ((False, "Failure: x"), (True, "Success: y")):
            caller.route53.checks.see(caller.route53.checks.get(check["Id"]), Outcome(ok, said))
        (last,) = (await caller.call("GetHealthCheckStatus", **named))["HealthCheckObservations"]
        (failure,) = (await caller.call("GetHealthCheckLastFailureReason", **named))["HealthCheckObservations"]
        assert last["StatusReport"]["Status"] == "Success: y"
        assert failure["StatusReport"]["Status"] == "Failure: x"
        listed = await caller.call("ListHealthChecks")
        assert [each["Id"] for each in listed["HealthChecks"]] == [check["Id"]]
        assert (await caller.call("DeleteHealthCheck", **named))["status"] == 200
        assert (await caller.error("GetHealthCheck", **named))[:2] == (404, "NoSuchHealthCheck")

    run(main)


def test_an_alarms_settings_are_told_with_its_check() -> None:
    """Those of when it was made; what cannot be looked at has no health checkers to ask."""

    async def main(caller: Caller) -> None:
        caller.world.definitions["home"] = HOME_ALARM
        config = {"Type": "CLOUDWATCH_METRIC", "AlarmIdentifier": {"Region": "us-west-2", "Name": "home"}}
        made = await caller.call("CreateHealthCheck", CallerReference="1", HealthCheckConfig=config)
        alarm = made["HealthCheck"]["CloudWatchAlarmConfiguration"]
        assert (alarm["MetricName"], alarm["Period"], alarm["Threshold"]) == ("IsHome", 60, 1.0)
        told = made["HealthCheck"]["HealthCheckConfig"]
        assert told == {
            **config,
            "Inverted": False,
            "Disabled": False,
            "InsufficientDataHealthStatus": "LastKnownStatus",
        }
        asked = await caller.error("GetHealthCheckStatus", HealthCheckId=made["HealthCheck"]["Id"])
        assert asked[:2] == (400, "InvalidInput")
        basic = {"Type": "TCP", "IPAddress": "127.0.0.1", "Port": 80, "AlarmIdentifier": config["AlarmIdentifier"]}
        failed = await caller.error("CreateHealthCheck", CallerReference="2", HealthCheckConfig=basic)
        assert failed[2] == "Invalid parameter : Basic health checks must not have an metric region specified."
        del basic["AlarmIdentifier"]
        basic["InsufficientDataHealthStatus"] = "Healthy"
        failed = await caller.error("CreateHealthCheck", CallerReference="2", HealthCheckConfig=basic)
        assert (
            failed[2] == "Invalid parameter : Basic health checks must not have an insufficient data state specified."
        )

    run(main)


def _check(reference: str) -> bytes:
    config = "<HealthCheckConfig><Type>CALCULATED</Type></HealthCheckConfig>"
    inner = f"<CallerReference>{reference}</CallerReference>{config}"
    return f"<CreateHealthCheckRequest>{inner}</CreateHealthCheckRequest>".encode()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<a",
        b"<Other/>",
        b'<!DOCTYPE x [<!ENTITY y "z">]>' + _check("&y;"),
        b"<CreateHealthCheckRequest><Strange/></CreateHealthCheckRequest>",
        b"<CreateHealthCheckRequest><CallerReference>1</CallerReference><CallerReference/></CreateHealthCheckRequest>",
        b"<CreateHealthCheckRequest>" + b"<a>" * 50 + b"</a>" * 50 + b"</CreateHealthCheckRequest>",
        b"<CreateHealthCheckRequest><HealthCheckConfig>x</HealthCheckConfig></CreateHealthCheckRequest>",
        b"\xff\xfe",
        f'<!DOCTYPE x [<!ENTITY y "z">]>{_check("&y;").decode()}'.encode("utf-16"),
    ],
)
def test_bodies_that_are_no_request(body: bytes) -> None:
    """InvalidInput, never an error of ours."""

    async def main(caller: Caller) -> tuple[int, bool]:
        request = WireRequest("route53", "us-east-1", "POST", "/2013-04-01/healthcheck", "", {}, body, "key", "r")
        answer = await caller.service.handle(request)
        return answer.status, b"<Code>InvalidInput</Code>" in bytes(answer.body)  # type: ignore[arg-type]

    assert run(main) == (400, True)


def test_what_is_not_served_is_refused_by_name() -> None:
    """501, and IAM is asked nothing."""

    async def main(caller: Caller) -> list[tuple[int, str]]:
        found: list[tuple[int, str]] = []
        for operation in ("GetHealthCheckCount", "ListGeoLocations", "GetHostedZoneCount"):
            found.append((await caller.error(operation))[:2])
            assert read_needs(make_request(operation, {})) == ()
        private = {"Name": "a.b", "CallerReference": "1", "VPC": {"VPCRegion": "us-east-1", "VPCId": "v"}}
        found.append((await caller.error("CreateHostedZone", **private))[:2])
        return found

    assert run(main) == [(501, "NotImplemented")] * 4


@pytest.mark.parametrize(
    ("operation", "parameters", "resource"),
    [
        ("GetHostedZone", {"Id": "Z1"}, "arn:aws:route53:::hostedzone/Z1"),
        ("ChangeResourceRecordSets", {"HostedZoneId": "Z1"}, "arn:aws:route53:::hostedzone/Z1"),
        ("GetHealthCheck", {"HealthCheckId": "h"}, "arn:aws:route53:::healthcheck/h"),
        ("GetChange", {"Id": "C1"}, "arn:aws:route53:::change/C1"),
        ("ListHealthChecks", {}, "*"),
        ("TestDNSAnswer", {"HostedZoneId": "Z1", "RecordName": "a", "RecordType": "A"}, "*"),
    ],
)
def test_iam_is_asked_about_the_resource(operation: str, parameters: dict[str, Any], resource: str) -> None:
    """Source: list_amazonroute53.html."""
    assert read_needs(make_request(operation, parameters)) == (Permission(f"route53:{operation}", resource),)


def test_an_account_has_its_quotas() -> None:
    """500 zones, 200 checks, 1,000 changes of a request; an UPSERT counts twice."""

    async def main(caller: Caller) -> None:
        zone = await caller.zone("first.org")
        for number in range(499):
            caller.route53.create_zone(f"n{number}.org.", f"{number}")
        assert (await caller.error("CreateHostedZone", Name="a.b", CallerReference="x"))[1] == "TooManyHostedZones"
        config = {"Type": "CALCULATED"}
        for number in range(200):
            await caller.call("CreateHealthCheck", CallerReference=f"{number}", HealthCheckConfig=config)
        many = await caller.error("CreateHealthCheck", CallerReference="x", HealthCheckConfig=config)
        assert many[1] == "TooManyHealthChecks"
        changes = [("UPSERT", {**PLAIN, "Name": f"a{number}.first.org"}) for number in range(501)]
        assert "limit of 1000" in (await caller.change(zone, *changes))["Error"]["Message"]
        assert (await caller.change(zone, *changes[:500]))["status"] == 200

    run(main)
