"""What Route 53 answers: routing by health, aliases, wildcards, and names that are not there."""

from __future__ import annotations

import pytest

from localcloud.clock import run_virtual
from localcloud.services.route53.answers import Answer
from localcloud.services.route53.check_config import CheckConfig
from localcloud.services.route53.health import Outcome
from localcloud.services.route53.model import Route53
from tests.unit.route53_setup import EAST, WEST, World, alias, open_route53, pair, record

API = "api.example.com."


async def checked(route53: Route53, *, healthy: bool) -> str:
    """A check that is, or is not, healthy."""
    name = f"{'up' if healthy else 'down'}{len(route53.checks.all())}"
    check = await route53.create_check(CheckConfig(type="HTTP", name=name, threshold=1), name)
    route53.checks.see(check, Outcome(healthy, "said"))
    return check.id


def data_of(answer: Answer) -> list[str]:
    return [each.data for each in answer.records]


@pytest.mark.parametrize(
    ("primary", "secondary", "chosen"),
    [
        (True, True, "primary"),
        (True, False, "primary"),
        (False, True, "secondary"),
        (False, None, "secondary"),
        (None, False, "primary"),
        (None, None, "primary"),
        (False, False, "primary"),
    ],
)
def test_failover_answers_by_the_health_of_both(primary: bool | None, secondary: bool | None, chosen: str) -> None:
    """Primary while it is healthy, then the secondary while that is; the primary where neither is. None: no check."""

    async def main() -> Answer:
        route53 = open_route53()
        ids = ["" if each is None else await checked(route53, healthy=each) for each in (primary, secondary)]
        pair(route53, primary=ids[0], secondary=ids[1])
        return route53.resolver.ask(API, "A")

    answer = run_virtual(main)
    assert (answer.chosen, answer.target) == (chosen, EAST if chosen == "primary" else WEST)
    assert data_of(answer) == ["127.0.0.1"]
    assert answer.records[0].ttl == 60


def test_a_primary_is_one_by_its_role() -> None:
    """Whatever the set identifiers are."""

    async def main() -> list[str]:
        route53 = open_route53()
        zone, _ = route53.create_zone("example.com.", "x")
        for name, first, second in (("a", "1", "2"), ("b", "2", "1")):
            one = alias(f"{name}.example.com", EAST, SetIdentifier=first, Failover="PRIMARY")
            other = alias(f"{name}.example.com", WEST, SetIdentifier=second, Failover="SECONDARY")
            route53.change(zone.id, [one, other])
        return [route53.resolver.ask(f"{name}.example.com.", "A").target for name in "ab"]

    assert run_virtual(main) == [EAST, EAST]


def test_a_secondary_alone_answers_whatever_its_health() -> None:
    """The standby is deployed first: until the primary's record is there, all that there is is said."""

    async def main() -> Answer:
        route53 = open_route53()
        check = await checked(route53, healthy=False)
        zone, _ = route53.create_zone("example.com.", "x")
        second = alias(API, WEST, SetIdentifier="secondary", Failover="SECONDARY", HealthCheckId=check)
        route53.change(zone.id, [second])
        return route53.resolver.ask(API, "A")

    assert run_virtual(main).chosen == "secondary"


def test_a_port_is_told_by_srv() -> None:
    """All Regions are at one address on a laptop: the SRV record of `_http._tcp.` tells them apart, and follows."""

    async def main() -> list[Answer]:
        world = World()
        route53 = open_route53(world)
        check = await route53.create_check(CheckConfig(type="HTTP", name="x", threshold=1), "x")
        pair(route53, primary=check.id)
        before = route53.resolver.ask(f"_http._tcp.{API}", "SRV")
        route53.checks.see(check, Outcome(False, "said"))
        after = route53.resolver.ask(f"_http._tcp.{API}", "SRV")
        world.places.clear()
        return [before, after, route53.resolver.ask(f"_http._tcp.{API}", "SRV")]

    before, after, nowhere = run_virtual(main)
    assert (data_of(before), before.records[0].ttl) == ([f"0 0 4611 {API}"], 60)
    assert data_of(after) == [f"0 0 4621 {API}"]
    assert (nowhere.rcode, nowhere.records) == ("NOERROR", ())


def test_names_that_are_not_there() -> None:
    """NXDOMAIN and NODATA come with the zone's SOA, for 900 s; a name of no zone here is refused."""

    async def main() -> list[Answer]:
        route53 = open_route53()
        zone, _ = route53.create_zone("example.com.", "x")
        route53.change(zone.id, [record("a.b.example.com", values=["192.0.2.1"])])
        ask = route53.resolver.ask
        return [
            ask("no.example.com.", "A"),
            ask("a.b.example.com.", "AAAA"),
            ask("b.example.com.", "A"),
            ask("example.org.", "A"),
            ask("a.b.example.com.", ""),
        ]

    missing, no_data, between, strange, unknown = run_virtual(main)
    assert (missing.rcode, missing.soa and (missing.soa.name, missing.soa.ttl)) == ("NXDOMAIN", ("example.com.", 900))
    for each in (no_data, between, unknown):
        assert (each.rcode, each.records, each.soa is not None) == ("NOERROR", (), True)
    assert (strange.rcode, strange.soa) == ("REFUSED", None)


def test_a_cname_is_followed_as_far_as_zones_here_go() -> None:
    """Each step is in the answer, each with its own TTL; a circle ends."""

    async def main() -> list[Answer]:
        route53 = open_route53()
        zone, _ = route53.create_zone("example.com.", "x")
        changes = [
            record("www.example.com", "CNAME", values=["a.example.com"], TTL="5"),
            record("a.example.com", values=["192.0.2.1"], TTL="7"),
            record("out.example.com", "CNAME", values=["example.net"]),
            record("one.example.com", "CNAME", values=["two.example.com"]),
            record("two.example.com", "CNAME", values=["one.example.com"]),
        ]
        route53.change(zone.id, changes)
        names = ("www", "out", "one")
        return [route53.resolver.ask(f"{name}.example.com.", "A") for name in names]

    inside, outside, circle = run_virtual(main)
    assert [(each.type, each.ttl, each.data) for each in inside.records] == [
        ("CNAME", 5, "a.example.com"),
        ("A", 7, "192.0.2.1"),
    ]
    assert data_of(outside) == ["example.net"]
    assert len(circle.records) == 8


def test_a_wildcard_answers_for_names_that_are_not_there() -> None:
    """Under the name that was asked for; a name that has records, or others below it, is none of its."""

    async def main() -> list[Answer]:
        route53 = open_route53()
        zone, _ = route53.create_zone("example.com.", "x")
        changes = [record("*.example.com", values=["192.0.2.9"]), record("a.b.example.com", "TXT", values=['"x"'])]
        route53.change(zone.id, changes)
        names = ("x.example.com.", "x.y.example.com.", "b.example.com.", "a.b.example.com.")
        return [route53.resolver.ask(name, "A") for name in names]

    one, deep, between, other = run_virtual(main)
    assert [(each.name, each.data) for each in one.records] == [("x.example.com.", "192.0.2.9")]
    assert data_of(deep) == ["192.0.2.9"]
    assert (between.rcode, between.records) == ("NOERROR", ())
    assert (other.rcode, other.records) == ("NOERROR", ())


def test_an_alias_of_the_zone_has_the_health_of_what_it_leads_to() -> None:
    """With EvaluateTargetHealth a primary falls with its target; without, it does not."""

    async def main() -> list[str]:
        route53 = open_route53()
        down = await checked(route53, healthy=False)
        zone, _ = route53.create_zone("example.com.", "x")
        target = record("t.example.com", values=["192.0.2.1"], SetIdentifier="t", Weight="1", HealthCheckId=down)
        spare = record("spare.example.com", values=["192.0.2.2"])
        changes = [target, spare]
        for name, evaluates in (("a", "true"), ("b", "false")):
            where = {"SetIdentifier": "1", "Failover": "PRIMARY", "evaluates": evaluates}
            changes.append(alias(f"{name}.example.com", "t.example.com", **where))
            changes.append(alias(f"{name}.example.com", "spare.example.com", SetIdentifier="2", Failover="SECONDARY"))
        route53.change(zone.id, changes)
        return [
            *data_of(route53.resolver.ask("a.example.com.", "A")),
            *data_of(route53.resolver.ask("b.example.com.", "A")),
        ]

    assert run_virtual(main) == ["192.0.2.2", "192.0.2.1"]


def test_weights_are_drawn_among_the_healthy() -> None:
    """In proportion; what has no weight answers only where nothing else is healthy."""

    async def main() -> list[set[str]]:
        route53 = open_route53()
        up, down = await checked(route53, healthy=True), await checked(route53, healthy=False)
        zone, _ = route53.create_zone("example.com.", "x")
        changes = [
            record("a.example.com", values=["192.0.2.1"], SetIdentifier="1", Weight="3", HealthCheckId=up),
            record("a.example.com", values=["192.0.2.2"], SetIdentifier="2", Weight="1"),
            record("a.example.com", values=["192.0.2.3"], SetIdentifier="3", Weight="0"),
            record("b.example.com", values=["192.0.2.1"], SetIdentifier="1", Weight="1", HealthCheckId=down),
            record("b.example.com", values=["192.0.2.2"], SetIdentifier="2", Weight="0"),
        ]
        route53.change(zone.id, changes)
        draws = [data_of(route53.resolver.ask("a.example.com.", "A"))[0] for _ in range(400)]
        assert 240 < draws.count("192.0.2.1") < 360
        return [set(draws), {data_of(route53.resolver.ask("b.example.com.", "A"))[0] for _ in range(20)}]

    assert run_virtual(main) == [{"192.0.2.1", "192.0.2.2"}, {"192.0.2.2"}]


def test_the_longest_zone_speaks_for_a_name() -> None:
    """A zone below another has its names; a zone that is known by its id alone is named by what it holds."""

    async def main() -> tuple[list[str], list[str]]:
        route53 = open_route53()
        upper, _ = route53.create_zone("example.com.", "x")
        route53.change(upper.id, [record("api.example.com", values=["192.0.2.1"])])
        names: list[str] = []
        for name in ("us-west-2.api.example.com", "api.example.com"):
            route53.change("ZHERE", [record(name, values=["192.0.2.2"])], adopts=True)
            names.append(route53.zone("ZHERE").name)
        return names, data_of(route53.resolver.ask(API, "A"))

    assert run_virtual(main) == (["us-west-2.api.example.com.", API], ["192.0.2.2"])
