"""Handlers are made in groups, when a type of the group is first asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from localcloud.parts.handler_groups import Handlers
from localcloud.template.handler import RefusedHandler, ResourceHandler


class Loads:
    """Loads of groups, and how often each was made."""

    def __init__(self) -> None:
        self.made: list[str] = []

    def of(self, *types: str) -> Callable[[], Iterable[ResourceHandler]]:
        """A group of these types, told by the first."""

        def load() -> Iterable[ResourceHandler]:
            self.made.append(types[0])
            return [RefusedHandler(each, "not here") for each in types]

        return load


def _handlers(loads: Loads) -> Handlers:
    handlers = Handlers()
    handlers.add("AWS::SNS::", loads.of("AWS::SNS::Topic", "AWS::SNS::Subscription"))
    handlers.add("AWS::Lambda::", loads.of("AWS::Lambda::Function"))
    handlers.add("AWS::Lambda::Url", loads.of("AWS::Lambda::Url"))
    return handlers


def test_only_the_group_that_is_asked_for_is_made_and_once() -> None:
    """Two types of one group make it once; the others are not made."""
    loads = Loads()
    handlers = _handlers(loads)
    assert handlers["AWS::SNS::Topic"].type == "AWS::SNS::Topic"
    assert handlers["AWS::SNS::Subscription"].type == "AWS::SNS::Subscription"
    assert loads.made == ["AWS::SNS::Topic"]


def test_the_longest_beginning_counts() -> None:
    """A type with a group of its own does not make the one of its service."""
    loads = Loads()
    assert _handlers(loads)["AWS::Lambda::Url"].type == "AWS::Lambda::Url"
    assert loads.made == ["AWS::Lambda::Url"]


def test_a_type_that_nobody_serves_is_none() -> None:
    """Also one of a service that is served."""
    handlers = _handlers(Loads())
    assert [handlers.get(each) for each in ("AWS::SNS::Other", "AWS::EC2::Instance", "")] == [None, None, None]


def test_all_are_told_once_each() -> None:
    """What a group makes of another one's types is not taken."""
    loads = Loads()
    handlers = _handlers(loads)
    handlers.add("AWS::SQS::", loads.of("AWS::SQS::Queue", "AWS::SNS::Topic"))
    assert sorted(handlers) == [
        "AWS::Lambda::Function",
        "AWS::Lambda::Url",
        "AWS::SNS::Subscription",
        "AWS::SNS::Topic",
        "AWS::SQS::Queue",
    ]
    assert len(handlers) == 5


def test_what_is_included_is_not_made_again() -> None:
    """Nested stacks have the handlers of the outer one: the same objects."""
    loads = Loads()
    outer, inner = _handlers(loads), Handlers()
    inner.include(outer)
    assert inner["AWS::SNS::Topic"] is outer["AWS::SNS::Topic"]
    assert loads.made == ["AWS::SNS::Topic"]
