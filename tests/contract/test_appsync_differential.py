"""AppSync's control plane against moto: the same calls of boto3 to both, the same answers and errors.

moto checks less, knows no UpdateApi and no pages, and makes an API without a configuration where AWS gives it one: what
is asked here is what both know. `UNLIKE` names the members that differ on purpose: ids, dates, and what moto leaves out
or AWS does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from moto import mock_aws

from tests.unit.appsync_wire_setup import ServiceClient, make_client

UNLIKE = ("ResponseMetadata", "created", "deletes", "expires", "id", "lastModified", "xrayEnabled")
_ID = re.compile(r"\b[A-Za-z0-9]{26}\b")
KINDS = ("API_KEY", "AWS_IAM")
CONFIG: dict[str, Any] = {
    "authProviders": [{"authType": kind} for kind in KINDS],
    "connectionAuthModes": [{"authType": "API_KEY"}],
    "defaultPublishAuthModes": [{"authType": "AWS_IAM"}],
    "defaultSubscribeAuthModes": [{"authType": kind} for kind in KINDS],
}
NAMES = st.sampled_from(["default", "a", "b-1", "-a", "a_b", "x" * 50, "x" * 51, ""])
MODES = st.sampled_from([None, [], [{"authType": "API_KEY"}], [{"authType": kind} for kind in KINDS]])
TAGS = st.sampled_from([{}, {"k": "v"}])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("create_api"), TAGS),
        st.tuples(st.just("get_api"), st.integers(0, 3)),
        st.tuples(st.just("delete_api"), st.integers(0, 3)),
        st.tuples(st.just("list_apis")),
        st.tuples(st.just("create_channel_namespace"), st.integers(0, 3), NAMES, MODES, MODES, TAGS),
        st.tuples(st.just("list_channel_namespaces"), st.integers(0, 3)),
        st.tuples(st.just("delete_channel_namespace"), st.integers(0, 3), NAMES),
        st.tuples(st.just("create_api_key"), st.integers(0, 3)),
        st.tuples(st.just("list_api_keys"), st.integers(0, 3)),
    ),
    max_size=12,
)


@dataclass
class Side:
    """One implementation, and the APIs made in it, in order."""

    client: Any
    apis: list[str] = field(default_factory=list)

    def api(self, number: int) -> str:
        """The id of an API, of none where there are fewer."""
        return self.apis[number] if number < len(self.apis) else "a" * 26

    def do(self, step: tuple[Any, ...]) -> Any:
        """What a step comes to: the answer, or the error's code."""
        name, *values = step
        try:
            answer = getattr(self, f"_{name}", self._on_api)(name, *values)
        except ClientError as error:
            return error.response["Error"]["Code"]
        return _normal(answer)

    def _create_api(self, name: str, tags: dict[str, str]) -> Any:
        made = getattr(self.client, name)(name="events", ownerContact="me", eventConfig=CONFIG, tags=tags)
        self.apis.append(made["api"]["apiId"])
        return made

    def _delete_api(self, name: str, number: int) -> Any:
        answer = getattr(self.client, name)(apiId=self.api(number))
        del self.apis[number]
        return answer

    def _list_apis(self, name: str) -> Any:
        apis = getattr(self.client, name)()["apis"]
        return sorted(apis, key=lambda api: self.apis.index(api["apiId"]))

    def _create_channel_namespace(self, name: str, number: int, own: str, *rest: Any) -> Any:
        publish, subscribe, tags = rest
        modes = {"publishAuthModes": publish, "subscribeAuthModes": subscribe}
        given = {key: value for key, value in modes.items() if value}
        return getattr(self.client, name)(apiId=self.api(number), name=own, tags=tags, **given)

    def _list_channel_namespaces(self, name: str, number: int) -> Any:
        found = getattr(self.client, name)(apiId=self.api(number))["channelNamespaces"]
        return sorted(found, key=lambda each: each["name"])

    def _delete_channel_namespace(self, name: str, number: int, own: str) -> Any:
        return getattr(self.client, name)(apiId=self.api(number), name=own)

    def _on_api(self, name: str, number: int) -> Any:
        return getattr(self.client, name)(apiId=self.api(number))


def _normal(value: Any) -> Any:
    """Without what differs on purpose, and what is empty; ids are alike."""
    if isinstance(value, dict):
        told = {name: _normal(item) for name, item in value.items() if name not in UNLIKE}
        return {name: item for name, item in told.items() if item not in ({}, [], None)}
    if isinstance(value, list):
        return [_normal(item) for item in value]
    return _ID.sub("<id>", value) if isinstance(value, str) else value


def _is_comparable(side: Side, step: tuple[Any, ...], namespaces: dict[str, set[str]]) -> bool:
    """Whether moto does what AWS does here: it breaks where it should refuse, and lets a namespace be made twice."""
    name, *values = step
    if name in {"create_api", "list_apis"}:
        return True
    known = values[0] < len(side.apis)
    there = namespaces.setdefault(side.api(values[0]), set()) if known else set[str]()
    if name in {"delete_api", "create_api_key", "list_api_keys"}:
        return known
    if name == "create_channel_namespace":
        if known and values[1] in there:
            return False
        if known and re.fullmatch(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,48}[A-Za-z0-9])?", values[1]):
            there.add(values[1])
        return bool(values[1])
    if name == "delete_channel_namespace":
        if known and values[1] in there:
            there.discard(values[1])
            return True
        return False
    return True


@pytest.fixture(scope="module")
def ours() -> Iterator[ServiceClient]:
    """A client of the local cloud's service."""
    served = ServiceClient()
    yield served
    served.close()


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=(Phase.explicit, Phase.generate),
)
@given(steps=STEPS)
def test_both_answer_alike(ours: ServiceClient, steps: list[tuple[Any, ...]]) -> None:
    """Whatever is made, asked for and removed, in whatever order."""
    ours.reset()
    with mock_aws():
        theirs = Side(make_client())
        mine = Side(ours.client)
        namespaces: dict[str, set[str]] = {}
        for step in steps:
            if not _is_comparable(mine, step, namespaces):
                continue
            assert (step, mine.do(step)) == (step, theirs.do(step))


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.get_api(apiId="a" * 26),
        lambda client: client.create_channel_namespace(apiId="a" * 26, name="a"),
        lambda client: client.list_channel_namespaces(apiId="a" * 26),
    ],
)
def test_both_say_alike_what_is_missing(ours: ServiceClient, call: Callable[[Any], Any]) -> None:
    """Code, status and words."""
    said: list[Any] = []
    with mock_aws():
        for client in (ours.client, make_client()):
            with pytest.raises(ClientError) as caught:
                call(client)
            answer = caught.value.response
            said.append((answer["Error"], answer["ResponseMetadata"]["HTTPStatusCode"]))
    assert said[0] == said[1]
