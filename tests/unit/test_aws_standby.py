"""What rests in a standby, as it goes to Lambda and EventBridge: looked at, and changed where it has to be."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from sluiceway.aws.events import EVENTS
from sluiceway.aws.functions import LAMBDA
from sluiceway.aws.reply import Reply
from sluiceway.aws.standby import WITHIN_S, AwsWorkload
from sluiceway.aws.wire import ServiceSpec
from sluiceway.errors import ServiceUnavailable
from tests.fakes import unavailable
from tests.unit.region_setup import virtual


class Account:
    """Mappings and rules with their states; `away` names those whose calls fail. `asked` is what was changed."""

    def __init__(self, states: Mapping[str, str], *, away: tuple[str, ...] = ()) -> None:
        self.states = dict(states)
        self.away = away
        self.asked: list[tuple[str, str, Any]] = []
        self.deadlines: set[float] = set()

    async def call(
        self, service: ServiceSpec, operation: str, body: Any = b"", *, path: str = "/", deadline: float, **more: Any
    ) -> Reply:
        """As the service would, of these operations alone."""
        self.deadlines.add(deadline)
        name = str(body["Name"]) if service == EVENTS else path.removeprefix("/2015-03-31/event-source-mappings/")
        if name in self.away:
            raise unavailable(operation)
        if (service, operation, more.get("method")) in {
            (LAMBDA, "GetEventSourceMapping", "GET"),
            (EVENTS, "DescribeRule", None),
        }:
            return Reply(200, {}, json.dumps({"State": self.states[name]}).encode())
        assert operation in {"UpdateEventSourceMapping", "EnableRule", "DisableRule"}
        assert (service == LAMBDA) is (more.get("method") == "PUT")
        self.asked.append((operation, name, body if service == LAMBDA else None))
        return Reply(200, {}, b"{}")


def workload(account: Account) -> AwsWorkload:
    return AwsWorkload(account, mappings=["m1", "m2"], rules=["hourly"])


@virtual
async def test_all_of_it_starts_and_rests() -> None:
    """Each mapping by UpdateEventSourceMapping, each rule by its own operation; how many were changed is told."""
    account = Account({"m1": "Disabled", "m2": "Disabling", "hourly": "DISABLED"})
    assert await workload(account).run(is_running=True) == 3
    assert sorted(account.asked, key=str) == [
        ("EnableRule", "hourly", None),
        ("UpdateEventSourceMapping", "m1", {"Enabled": True}),
        ("UpdateEventSourceMapping", "m2", {"Enabled": True}),
    ]
    account = Account({"m1": "Enabled", "m2": "Updating", "hourly": "ENABLED"})
    assert await workload(account).run(is_running=False) == 3
    assert sorted(account.asked, key=str) == [
        ("DisableRule", "hourly", None),
        ("UpdateEventSourceMapping", "m1", {"Enabled": False}),
        ("UpdateEventSourceMapping", "m2", {"Enabled": False}),
    ]


@pytest.mark.parametrize(
    ("is_running", "mapping", "rule"),
    [
        (True, "Enabled", "ENABLED"),
        (True, "Enabling", "ENABLED"),
        (True, "Creating", "ENABLED"),
        (False, "Disabled", "DISABLED"),
        (False, "Disabling", "DISABLED"),
    ],
)
def test_what_is_so_already_is_left_alone(is_running: bool, mapping: str, rule: str) -> None:
    """A change that changes nothing would start a mapping's pollers anew, every minute."""

    @virtual
    async def go() -> None:
        account = Account({"m1": mapping, "m2": mapping, "hourly": rule})
        assert await workload(account).run(is_running=is_running) == 0
        assert account.asked == []

    go()


@virtual
async def test_a_part_that_fails_keeps_no_other_from_it() -> None:
    """The others are started all the same; what failed is raised then, and said again heals it."""
    account = Account({"m1": "Disabled", "m2": "Disabled", "hourly": "DISABLED"}, away=("m1",))
    with pytest.raises(ServiceUnavailable):
        await workload(account).run(is_running=True)
    assert sorted(name for _, name, _ in account.asked) == ["hourly", "m2"]
    account.away = ()
    account.states |= {"m2": "Enabling", "hourly": "ENABLED"}
    assert await workload(account).run(is_running=True) == 1
    assert account.deadlines == {WITHIN_S}
