"""Route 53 against moto: what boto3 would send to both, seeded, and the same answers where moto is right.

botocore writes the requests and reads the answers. docs/fidelity/route53.md explains each name of `MOTO`; a difference
without one fails, and so does a name that explains nothing.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from pathlib import Path
from typing import Any

from botocore import parsers
from botocore.awsrequest import HeadersDict

from localcloud.delegate import Delegate, DelegatedService
from localcloud.services.contract import Service, WireRequest
from localcloud.services.route53.wire import Route53Service
from tests.unit.route53_setup import open_route53
from tests.unit.test_route53_wire import _MODEL, make_request

PAGE = Path(__file__).parents[2] / "docs" / "fidelity" / "route53.md"
SEEDS, COUNT = (1, 2, 3), 150
_ANY: Any = parsers
_PARSER: Any = _ANY.create_parser("rest-xml")
_UNLIKE = (  # dates, and what the page of differences has for every answer
    *("CallerReference", "Location", "SubmittedAt", "DelegationSet", "ResponseMetadata", "MaxItems", "VPCs"),
    "HealthCheckVersion",
)
_ALONE = ("HostedZoneAlreadyExists", "HealthCheckAlreadyExists", "InvalidInput")  # moto would make another
MOTO = {  # what is otherwise there: name: (operation, our code, moto's code)
    "moto-reference-again": ("CreateHostedZone", "HostedZoneAlreadyExists", ""),
    "moto-check-again": ("CreateHealthCheck", "HealthCheckAlreadyExists", ""),
    "moto-create-again": ("ChangeResourceRecordSets", "InvalidChangeBatch", ""),
    "moto-remembers": ("ChangeResourceRecordSets", "", "InvalidChangeBatch"),
    "moto-delete-missing": ("ChangeResourceRecordSets", "InvalidChangeBatch", "InvalidInput"),
    "moto-half-a-record": ("ChangeResourceRecordSets", "InvalidInput", ""),
    "moto-no-such-check": ("DeleteHealthCheck", "NoSuchHealthCheck", ""),
}


class Side:
    """One of the two, and the ids that it gave, by what both call them."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.ids: dict[str, str] = {}

    async def ask(self, operation: str, parameters: dict[str, Any]) -> tuple[str, Any]:
        """The error code ("" for none) and the answer, with the ids as both call them."""
        request = make_request(operation, self._fill(parameters))
        signed = "AWS4-HMAC-SHA256 Credential=AK/20260101/us-east-1/route53/aws4_request, Signature=x"
        headers = {"authorization": signed, "host": "route53.amazonaws.com", "content-length": str(len(request.body))}
        made = WireRequest(
            "route53", "us-east-1", request.method, request.path, request.query, headers, request.body, "AK", "r"
        )
        answer = await self.service.handle(made)
        told = {"status_code": answer.status, "headers": HeadersDict(dict(answer.headers)), "body": answer.body}
        parsed = _PARSER.parse(told, _MODEL.operation_model(operation).output_shape)
        return parsed.get("Error", {}).get("Code", ""), parsed

    def normal(self, value: Any) -> Any:
        """Without what differs between any two: ids under their common names, no dates."""
        if isinstance(value, dict):
            return {name: self.normal(item) for name, item in value.items() if name not in _UNLIKE}
        if isinstance(value, list):
            kept = [item for item in value if not (isinstance(item, dict) and item.get("Type") in {"NS", "SOA"})]
            return [self.normal(item) for item in kept]
        for name, found in self.ids.items():
            if isinstance(value, str) and value.removeprefix("/hostedzone/") == found:
                return name
        return re.sub(r"^/change/.*", "change", value) if isinstance(value, str) else value

    def _fill(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self._fill(item) for name, item in value.items()}
        if isinstance(value, list):
            return [self._fill(item) for item in value]
        return self.ids.get(value, value) if isinstance(value, str) else value


def draw(rng: random.Random, zones: int, checks: int) -> tuple[str, dict[str, Any]]:
    """A request that both should answer alike."""
    zone = "zone0" if rng.random() < 0.7 else f"zone{rng.randrange(zones + 1)}"
    check = {"HealthCheckId": f"check{rng.randrange(checks + 1)}"}
    kind = rng.randrange(10)
    if kind < 5:
        return "ChangeResourceRecordSets", {"HostedZoneId": zone, "ChangeBatch": {"Changes": [draw_change(rng)]}}
    if kind < 6:
        return "ListResourceRecordSets", {"HostedZoneId": zone}
    if kind < 7:
        return rng.choice([("GetHostedZone", {"Id": zone}), ("GetHealthCheck", check), ("DeleteHealthCheck", check)])
    if kind < 8:
        return "UpdateHealthCheck", {**check, "FailureThreshold": rng.randint(1, 10), "Inverted": rng.random() < 0.5}
    if kind < 9:
        name = f"n{rng.randrange(30)}.org"
        return "CreateHostedZone", {"Name": name, "CallerReference": f"{rng.randrange(20)}"}
    config = {"Type": "HTTP", "FullyQualifiedDomainName": "a.example.com", "ResourcePath": "/h", "Port": 80}
    config |= {"RequestInterval": rng.choice((10, 30)), "FailureThreshold": rng.randint(1, 10), "EnableSNI": False}
    return "CreateHealthCheck", {"CallerReference": f"{rng.randrange(30)}", "HealthCheckConfig": config}


def draw_change(rng: random.Random) -> dict[str, Any]:
    """A change in the first zone, of few names, so that they meet."""
    kind, value = rng.choice((("A", "192.0.2.1"), ("AAAA", "2001:db8::1"), ("TXT", '"x"')))
    record: dict[str, Any] = {"Name": f"r{rng.randrange(4)}.n0.org.", "Type": kind, "TTL": 60}
    record["ResourceRecords"] = [{"Value": value}]
    if rng.random() < 0.1:
        del record["ResourceRecords"], record["TTL"]
    return {"Action": rng.choice(("CREATE", "UPSERT", "UPSERT", "DELETE")), "ResourceRecordSet": record}


async def run(seed: int, named: Counter[str]) -> Counter[str]:
    """As many requests as COUNT says to both; gives how often each operation was answered alike."""
    rng = random.Random(seed)
    delegate = Delegate({})
    ours = Side(Route53Service(open_route53()))
    theirs = Side(DelegatedService("route53", delegate, needs=lambda _: ()))
    alike: Counter[str] = Counter()
    zones = checks = 0
    first = ("CreateHostedZone", {"Name": "n0.org", "CallerReference": f"first{seed}"})
    for number in range(COUNT):
        operation, parameters = draw(rng, zones, checks) if number else first
        code, told = await ours.ask(operation, parameters)
        excused = [name for name, (of, our, _) in MOTO.items() if (of, our) == (operation, code)]
        if code in _ALONE or "already exists" in told.get("Error", {}).get("Message", ""):
            named[excused[0]] += 1
            continue
        their_code, their_told = await theirs.ask(operation, parameters)
        if code != their_code:
            found = [name for name in excused if MOTO[name][2] == their_code]
            assert found, (operation, parameters, code, their_code)
            named[found[0]] += 1
            if found == ["moto-remembers"]:  # ours made it: undone, so that both go on alike
                (change,) = parameters["ChangeBatch"]["Changes"]
                change["Action"] = "DELETE"
                assert (await ours.ask(operation, parameters))[0] == ""
            continue
        if not code and operation == "CreateHostedZone":
            ours.ids[f"zone{zones}"] = told["HostedZone"]["Id"].removeprefix("/hostedzone/")
            theirs.ids[f"zone{zones}"] = their_told["HostedZone"]["Id"].removeprefix("/hostedzone/")
            zones += 1
        if not code and operation == "CreateHealthCheck":
            if told["HealthCheck"]["Id"] in ours.ids.values():
                continue
            ours.ids[f"check{checks}"], theirs.ids[f"check{checks}"] = [
                each["HealthCheck"]["Id"] for each in (told, their_told)
            ]
            checks += 1
        if not code:
            assert ours.normal(told) == theirs.normal(their_told), (operation, parameters)
        alike[f"{operation} {code}".strip()] += 1
    delegate.close()
    return alike


def test_route_53_answers_as_moto_where_moto_is_right() -> None:
    """Codes, and answers without ids and dates; each difference has a name that the page explains."""
    named: Counter[str] = Counter()
    alike: Counter[str] = Counter()
    for seed in SEEDS:
        with asyncio.Runner() as runner:
            alike += runner.run(run(seed, named))
    print(alike, named)
    assert set(MOTO) == set(named)
    page = PAGE.read_text()
    assert [name for name in MOTO if f"`{name}`" not in page] == []
