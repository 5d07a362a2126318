"""Resource policies of tables: PutResourcePolicy, GetResourcePolicy, DeleteResourcePolicy, and what a table's ARN has.

A table's policy counts for the table and its indexes, whose ARNs its statements name; IAM evaluates it.
Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/access-control-resource-based.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from localcloud.services.dynamodb.errors import DynamoError, not_served, validation
from localcloud.services.dynamodb.members import Members
from localcloud.services.dynamodb.model import Database
from localcloud.services.dynamodb.table import Table
from localcloud.services.dynamodb.tagging import table_of_resource
from localcloud.services.iam.errors import MalformedPolicy
from localcloud.services.iam.policy import Document, read_resource_policy

__all__ = ["delete_resource_policy", "find_policy", "get_resource_policy", "put_resource_policy", "set_policy"]

MAX_POLICY_BYTES: Final = 20 * 1024  # rbac-considerations.html: white space counts
NO_POLICY: Final = "NO_POLICY"  # API_PutResourcePolicy.html, ExpectedRevisionId


def put_resource_policy(database: Database, request: Members) -> dict[str, Any]:
    """PutResourcePolicy: give a table a policy, or another. Raises DynamoError."""
    request.only("ResourceArn", "Policy", "ExpectedRevisionId", "ConfirmRemoveSelfResourceAccess")
    table = table_of_resource(database, request)
    request.required("Policy")
    if request.flag("ConfirmRemoveSelfResourceAccess"):
        raise not_served("ConfirmRemoveSelfResourceAccess: nobody is kept from taking away one's own access")
    expected = request.text("ExpectedRevisionId")
    held = NO_POLICY if table.policy is None else table.policy[1]
    if expected not in {None, held}:
        raise _missing(table)
    return {"RevisionId": set_policy(database, table, request.text("Policy") or "")}


def get_resource_policy(database: Database, request: Members) -> dict[str, Any]:
    """GetResourcePolicy. Raises DynamoError."""
    text, revision = _held(table_of_resource(database, request.only("ResourceArn")))
    return {"Policy": text, "RevisionId": revision}


def delete_resource_policy(database: Database, request: Members) -> dict[str, Any]:
    """DeleteResourcePolicy: no policy is no error, unless a revision is expected. Raises DynamoError."""
    table = table_of_resource(database, request.only("ResourceArn", "ExpectedRevisionId"))
    expected = request.text("ExpectedRevisionId")
    if expected is not None and _held(table)[1] != expected:
        raise _missing(table)
    if table.policy is None:
        return {}
    revision, table.policy = table.policy[1], None
    database.keep(table)
    return {"RevisionId": revision}


def set_policy(database: Database, table: Table, text: str) -> str:
    """Give `table` the policy `text`, and return its revision id. Raises DynamoError where it is none."""
    if not database.holds_policies:
        raise not_served("resource policies of tables where several Regions share a cloud")
    if len(text.encode()) > MAX_POLICY_BYTES:
        raise DynamoError(
            "LimitExceededException", f"Resource policy size exceeds the limit of {MAX_POLICY_BYTES} bytes"
        )
    try:
        found = read_resource_policy(text)
    except MalformedPolicy as error:
        raise validation(f"Invalid policy document: {error}") from error
    if found is None:
        raise validation("Invalid policy document: it is empty")
    revision = int(database.clock.time() * 1000)
    if table.policy is not None:
        revision = max(revision, int(table.policy[1]) + 1)
    table.policy = (text, str(revision))
    database.keep(table)
    return str(revision)


def find_policy(databases: Mapping[str, Database], arn: str) -> Document | None:
    """The policy of a table's or an index's ARN, None where it has none."""
    parts = arn.split(":", 5)
    kind, _, path = parts[-1].partition("/")
    name, _, inner = path.partition("/")
    database = databases.get(parts[3]) if len(parts) == 6 else None
    if database is None or kind != "table" or inner.startswith("stream/") or name not in database.names():
        return None
    held = database.table(name).policy
    return None if held is None else read_resource_policy(held[0])


def _held(table: Table) -> tuple[str, str]:
    if table.policy is None:
        raise _missing(table)
    return table.policy


def _missing(table: Table) -> DynamoError:
    name = table.definition.name
    return DynamoError(
        "PolicyNotFoundException", f"Resource-based policy not found for the provided ResourceArn: {name}"
    )
