"""Which IAM actions a DynamoDB request needs, and on which ARNs.

Reads the request leniently: a malformed one needs nothing here and fails in the operation.
Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazondynamodb.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from localcloud.services.contract import Permission
from localcloud.services.iam.tags import read_keys, read_tag_list, request_tags, tag_keys

__all__ = ["needed_permissions"]

_TAGGING: Final = frozenset({"CreateTable", "TagResource"})
_OF_ACCOUNT: Final = frozenset({"DescribeEndpoints", "DescribeLimits", "ListTables"})
_OF_RESOURCE: Final = frozenset(
    {
        "DeleteResourcePolicy",
        "GetResourcePolicy",
        "ListTagsOfResource",
        "PutResourcePolicy",
        "TagResource",
        "UntagResource",
    }
)
_STREAM_OPERATIONS: Final = frozenset({"DescribeStream", "GetRecords", "GetShardIterator"})

# globaltables-security.html, "IAM permissions": what creating and deleting replicas needs in their Regions
_REPLICA_ACTIONS: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "ReplicaUpdates": {
        "Create": (
            "CreateTable",
            "CreateTableReplica",
            "Query",
            "Scan",
            "UpdateItem",
            "PutItem",
            "GetItem",
            "DeleteItem",
            "BatchWriteItem",
        ),
        "Update": ("UpdateTable",),
        "Delete": ("DeleteTable", "DeleteTableReplica"),
    },
    "GlobalTableWitnessUpdates": {
        "Create": ("CreateGlobalTableWitness",),
        "Delete": ("DeleteGlobalTableWitness",),
    },
}

_TRANSACTION_ACTIONS: Final = {
    "Put": "PutItem",
    "Update": "UpdateItem",
    "Delete": "DeleteItem",
    "ConditionCheck": "ConditionCheckItem",
    "Get": "GetItem",
}


def needed_permissions(operation: str, request: Mapping[str, Any], prefix: str) -> tuple[Permission, ...]:
    """The permissions of `operation`; `prefix` is `arn:aws:dynamodb:<region>:<account>:`. Without repeats, in order."""
    context = request_tags(read_tag_list(request.get("Tags"))) if operation in _TAGGING else ()
    if operation == "UntagResource":
        context = tag_keys(read_keys(request.get("TagKeys")))
    found = (Permission(f"dynamodb:{action}", place, context) for action, place in _walk(operation, request, prefix))
    return tuple(dict.fromkeys(found))


def _walk(operation: str, request: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    if operation in {"BatchGetItem", "BatchWriteItem"}:
        for name in _mapping(request.get("RequestItems")):
            yield operation, _arn(prefix, name)
    elif operation in {"TransactWriteItems", "TransactGetItems"}:
        yield from _walk_transaction(request.get("TransactItems"), prefix)
    elif operation in _OF_ACCOUNT:
        yield operation, "*"
    elif operation == "ListStreams":
        table = request.get("TableName")
        yield operation, "*" if table is None else f"{_arn(prefix, table)}/stream/*"
    elif operation in _STREAM_OPERATIONS:
        yield operation, str(request.get("StreamArn") or request.get("ShardIterator", "*")).partition("|")[0]
    elif operation in _OF_RESOURCE:
        yield operation, str(request.get("ResourceArn", "*"))
    else:
        arn = _arn(prefix, request.get("TableName"))
        index = request.get("IndexName")
        yield operation, arn if index is None else f"{arn}/index/{index}"
        yield from _walk_replicas(operation, request, arn)


def _walk_replicas(operation: str, request: Mapping[str, Any], arn: str) -> Iterator[tuple[str, str]]:
    """What UpdateTable's replicas and witnesses need, each in its own Region."""
    for member, needs in _REPLICA_ACTIONS.items() if operation == "UpdateTable" else ():
        entries = request.get(member)
        for entry in cast("list[Any]", entries) if isinstance(entries, list) else ():
            for kind, inner in _mapping(entry).items():
                parts = arn.split(":")
                parts[3:4] = [str(_mapping(inner).get("RegionName"))]
                for action in needs.get(kind, ()):
                    yield action, ":".join(parts)


def _walk_transaction(entries: object, prefix: str) -> Iterator[tuple[str, str]]:
    for entry in cast("list[Any]", entries) if isinstance(entries, list) else ():
        for kind, inner in _mapping(entry).items():
            if kind in _TRANSACTION_ACTIONS:
                yield _TRANSACTION_ACTIONS[kind], _arn(prefix, _mapping(inner).get("TableName"))


def _mapping(raw: object) -> Mapping[str, Any]:
    return cast("dict[str, Any]", raw) if isinstance(raw, dict) else {}


def _arn(prefix: str, table: object) -> str:
    name = str(table)
    return name if name.startswith("arn:") else f"{prefix}table/{name}"
