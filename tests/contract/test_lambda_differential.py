"""The Lambda API against moto: the same generated calls of boto3 to both, the same answers and errors.

Where the two differ on purpose, `EXPLAINED` says how and why; everything else must be equal. Messages are compared by
`test_lambda_operations`, for moto has words of its own.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.contract.lambda_peers import Side, archive, open_sides

# Errors that differ on purpose: (operation, our error, moto's error) -> why.
EXPLAINED = {
    ("create_alias", "ResourceConflictException", "ConflictException"): "the API's model has no ConflictException",
    ("create_alias", "ResourceNotFoundException", "ConflictException"): "the version is looked for first",
}
# Statuses that differ on purpose: (operation, ours, moto's); ours are those of the API's model.
STATUSES = {("tag_resource", 204, 200), ("get_alias", 200, 201), ("update_alias", 200, 201)}
# Members that differ on purpose: (operation, member) -> why.
MEMBERS = {
    (f"{verb}_function_event_invoke_config", member): "the documented answer has $LATEST and both destinations"
    for verb in ("get", "put")
    for member in ("FunctionArn", "DestinationConfig")
}
COMPARED = {
    "AliasArn",
    "DeadLetterConfig",
    "Description",
    "DestinationConfig",
    "Environment",
    "FunctionArn",
    "FunctionName",
    "FunctionVersion",
    "Handler",
    "MaximumEventAgeInSeconds",
    "MaximumRetryAttempts",
    "MemorySize",
    "Name",
    "ReservedConcurrentExecutions",
    "RoutingConfig",
    "Runtime",
    "Tags",
    "Timeout",
    "Version",
}
QUEUE = "arn:aws:sqs:us-east-1:123456789012:q"
ARN = "arn:aws:lambda:us-east-1:123456789012:function:f"
Call = tuple[str, dict[str, Any]]


def draw_calls(rng: random.Random) -> Iterator[Call]:
    """A call, mostly a sensible one, or a few that belong together."""
    make: Callable[[random.Random], Call | list[Call]] = rng.choice(MAKERS)
    made = make(rng)
    yield from made if isinstance(made, list) else [made]


def _name(rng: random.Random) -> str:
    return rng.choice(["f", "f", "f", "f", "f", ARN, "gone"])


def _version(rng: random.Random) -> str:
    return rng.choice(["1", "1", "2", "3", "$LATEST"])


def _update(rng: random.Random) -> Call:
    members: dict[str, Any] = {
        "Timeout": rng.randint(1, 900),
        "MemorySize": rng.choice([128, 512]),
        "Description": rng.choice(["", "other"]),
        "Environment": {"Variables": {"NO": str(rng.randint(0, 3))}},
        "Handler": rng.choice(["app.handler", "app.other"]),
    }
    given = rng.sample(sorted(members), k=rng.randint(1, 3))
    return "update_function_configuration", {"FunctionName": _name(rng)} | {name: members[name] for name in given}


def _code(rng: random.Random) -> Call:
    """Code that was never there before: what has not changed Lambda does not publish again, and moto does."""
    content = archive(f"x = {rng.random()}\n")
    return "update_function_code", {"FunctionName": _name(rng), "ZipFile": content, "Publish": rng.random() < 0.5}


def _alias(rng: random.Random) -> Call:
    members: dict[str, Any] = {"FunctionName": _name(rng), "Name": rng.choice(["live", "next"])}
    action = rng.choice(["create_alias", "create_alias", "update_alias", "get_alias"])
    if action != "get_alias":
        members |= {"FunctionVersion": _version(rng), "Description": rng.choice(["", "d"])}
    return action, members


def _settings(rng: random.Random) -> list[Call]:
    """Put comes after a delete: what is put over something moto keeps and does not show."""
    name = {"FunctionName": rng.choice(["f", "f", "gone"])}
    action = rng.choice(["put", "get", "delete"])
    if action != "put":
        return [(f"{action}_function_event_invoke_config", name)]
    members: dict[str, Any] = {
        "MaximumRetryAttempts": rng.randint(0, 2),
        "MaximumEventAgeInSeconds": rng.choice([60, 21600]),
        "DestinationConfig": {"OnFailure": {"Destination": QUEUE}},
    }
    calls = [("delete_function_event_invoke_config", name), ("put_function_event_invoke_config", name | members)]
    return [*calls, ("get_function_event_invoke_config", name)]


def _concurrency(rng: random.Random) -> Call:
    action = rng.choice(["put", "get", "delete"])
    members: dict[str, Any] = {"FunctionName": "f"}
    if action == "put":
        members["ReservedConcurrentExecutions"] = rng.choice([0, 1, 900])
    return f"{action}_function_concurrency", members


def _tags(rng: random.Random) -> Call:
    action = rng.choice(["tag_resource", "untag_resource", "list_tags"])
    members: dict[str, Any] = {"Resource": ARN}
    if action == "tag_resource":
        members["Tags"] = {rng.choice("ab"): rng.choice("12")}
    elif action == "untag_resource":
        members["TagKeys"] = [rng.choice("ab")]
    return action, members


def _look(rng: random.Random) -> Call:
    qualifier: dict[str, str] = rng.choice([{}, {}, {"Qualifier": "$LATEST"}, {"Qualifier": "1"}])
    return "get_function_configuration", {"FunctionName": _name(rng)} | qualifier


def _publish(rng: random.Random) -> list[Call]:
    name = _name(rng)
    changed = {"FunctionName": name, "Environment": {"Variables": {"NO": str(rng.random())}}}
    return [
        ("update_function_configuration", changed),
        ("publish_version", {"FunctionName": name, "Description": f"v{rng.randint(0, 9)}"}),
    ]


MAKERS = (_update, _code, _alias, _alias, _settings, _concurrency, _tags, _look, _publish)


def differences(operation: str, ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    """What is not equal and not explained."""
    if "error" in ours or "error" in theirs:
        key = (operation, ours.get("error", ""), theirs.get("error", ""))
        if key[1] == key[2] and ours["status"] == theirs["status"]:
            return []
        return [] if key in EXPLAINED else [f"{key} {ours['status']} {theirs['status']} {ours.get('said')}"]
    found = [
        f"{operation}.{name}: {ours.get(name)!r} != {theirs.get(name)!r}"
        for name in sorted(COMPARED & (ours.keys() | theirs.keys()))
        if ours.get(name) != theirs.get(name) and (operation, name) not in MEMBERS
    ]
    statuses = (operation, ours["status"], theirs["status"])
    return found + ([str(statuses)] if statuses[1] != statuses[2] and statuses not in STATUSES else [])


def create(side: Side) -> dict[str, Any]:
    return side.call(
        "create_function",
        FunctionName="f",
        Runtime="python3.13",
        Role=side.role,
        Handler="app.handler",
        Code={"ZipFile": archive("x = 0\n")},
        Tags={"a": "0"},
    )


@pytest.mark.parametrize("seed", range(6))
def test_the_same_calls_have_the_same_answers(seed: int) -> None:
    """Forty calls on one function, each to both."""
    rng = random.Random(seed)
    with open_sides() as (ours, theirs):
        assert differences("create_function", create(ours), create(theirs)) == []
        for _ in range(40):
            for operation, members in draw_calls(rng):
                told = differences(operation, ours.call(operation, **members), theirs.call(operation, **members))
                assert told == [], members
