"""Tags of tables: TagResource, UntagResource, ListTagsOfResource, and the tags that CreateTable brings.

Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Tagging.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from localcloud.services.dynamodb.errors import invalid_parameter, member_violation, not_served, validation
from localcloud.services.dynamodb.members import Members
from localcloud.services.dynamodb.model import Database
from localcloud.services.dynamodb.table import Table

__all__ = ["list_tags_of_resource", "parse_tags", "table_of_resource", "tag_resource", "untag_resource"]

MAX_TAGS: Final = 50  # Tagging.html, "Tagging restrictions in DynamoDB"
_MAX_KEY_CHARS: Final = 128
_MAX_VALUE_CHARS: Final = 256
_RESERVED: Final = "aws:"


def tag_resource(database: Database, request: Members) -> dict[str, Any]:
    """TagResource: give a table tags, or other values. Raises DynamoError."""
    table = table_of_resource(database, request.only("ResourceArn", "Tags"))
    _set(database, table, {**dict(table.definition.tags), **dict(parse_tags(request))})
    return {}


def untag_resource(database: Database, request: Members) -> dict[str, Any]:
    """UntagResource: take tags away; keys that the table does not have are no error. Raises DynamoError."""
    table = table_of_resource(database, request.only("ResourceArn", "TagKeys"))
    keys = request.elements("TagKeys")
    _set(database, table, {key: value for key, value in table.definition.tags if key not in keys})
    return {}


def list_tags_of_resource(database: Database, request: Members) -> dict[str, Any]:
    """ListTagsOfResource: every tag of a table, in one page. Raises DynamoError."""
    table = table_of_resource(database, request.only("ResourceArn", "NextToken"))
    if request.text("NextToken") is not None:
        raise validation("NextToken is invalid")
    return {"Tags": [{"Key": key, "Value": value} for key, value in table.definition.tags]}


def parse_tags(request: Members) -> tuple[tuple[str, str], ...]:
    """The request's Tags. Raises DynamoError in AWS's words."""
    tags: dict[str, str] = {}
    for tag in request.structures("Tags"):
        tag.required("Key")
        tag.required("Value")
        key, value = tag.text("Key") or "", tag.text("Value") or ""
        if not 1 <= len(key) <= _MAX_KEY_CHARS:
            bound = f"less than or equal to {_MAX_KEY_CHARS}" if key else "greater than or equal to 1"
            raise member_violation(key, "tags.1.member.key", f"Member must have length {bound}")
        if len(value) > _MAX_VALUE_CHARS:
            bound = f"Member must have length less than or equal to {_MAX_VALUE_CHARS}"
            raise member_violation(value, "tags.1.member.value", bound)
        if key.startswith(_RESERVED):
            raise invalid_parameter(f"Tag key '{key}' has the reserved prefix '{_RESERVED}'")
        if key in tags:
            raise invalid_parameter(f"Duplicate Key detected in Tags: {key}")
        tags[key] = value
    _check_count(tags)
    return tuple(tags.items())


def table_of_resource(database: Database, request: Members) -> Table:
    """The table that ResourceArn names. Raises DynamoError where it names none."""
    request.required("ResourceArn")
    arn = request.text("ResourceArn") or ""
    kind, _, path = arn.rpartition(":")[2].partition("/")
    if not arn.startswith("arn:") or kind != "table":
        raise validation(f"Invalid TableArn: Invalid ResourceArn provided as input {arn}")
    name, _, inner = path.partition("/")
    if inner.startswith("stream/"):
        raise not_served("tags and resource policies of a stream")
    if inner or not arn.startswith(f"arn:aws:dynamodb:{database.region}:{database.account_id}:"):
        raise validation(f"Invalid TableArn: Invalid ResourceArn provided as input {arn}")
    return database.table(Members({"TableName": name}).table(), named=True)


def _check_count(tags: Iterable[object]) -> None:
    count = len(list(tags))
    if count > MAX_TAGS:
        raise validation(f"The number of tags exceeds the limit of {MAX_TAGS}: {count}")


def _set(database: Database, table: Table, tags: Mapping[str, str]) -> None:
    _check_count(tags)
    database.redefine(table, replace(table.definition, tags=tuple(tags.items())))
