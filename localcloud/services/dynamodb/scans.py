"""Scan: every item of a table or an index, in the order of the partitions' hashes, whole or by segments.

Source: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Scan.html
"""

from __future__ import annotations

from typing import Any, Final

from localcloud.services.dynamodb.errors import validation
from localcloud.services.dynamodb.members import Members
from localcloud.services.dynamodb.model import Database
from localcloud.services.dynamodb.reading import View, find_index, parse_reading, read_page
from localcloud.services.dynamodb.start_keys import parse_start_key
from localcloud.services.dynamodb.table import DIGEST_BITS, partition_digest
from localcloud.services.dynamodb.writes import open_bindings

__all__ = ["scan"]

MAX_SEGMENTS: Final = 1_000_000  # API_Scan.html, TotalSegments
_MEMBERS: Final = (
    "TableName",
    "IndexName",
    "FilterExpression",
    "ProjectionExpression",
    "ExpressionAttributeNames",
    "ExpressionAttributeValues",
    "ExclusiveStartKey",
    "Segment",
    "TotalSegments",
    "Select",
    "Limit",
    "ConsistentRead",
    "ReturnConsumedCapacity",
)


def scan(database: Database, request: Members) -> dict[str, Any]:
    """Scan: a page of every item. Raises DynamoError."""
    request.only(*_MEMBERS)
    name = request.table()
    segment, total = _parse_segments(request)
    bindings = open_bindings(request, ("FilterExpression", "ProjectionExpression"))
    reading = parse_reading(request, bindings)
    bindings.settle()
    table = database.table(name)
    index = find_index(table, request, reading, now=database.clock.time())
    start = parse_start_key(table, index, request, is_query=False)
    first, last = ((number << DIGEST_BITS) // total for number in (segment, segment + 1))
    if start is not None and not first <= partition_digest(start.hash_data) < last:
        raise validation(
            "The provided starting key is invalid: Invalid ExclusiveStartKey. Please use ExclusiveStartKey with "
            f"correct Segment. TotalSegments: {total} Segment: {segment}"
        )
    after = None if start is None else (start.hash_data, start.entry)
    walk = table.order(index).scan(first=first, last=last, after=after)
    return read_page(View(table, index, reading), (key for _, (_, key) in walk))


def _parse_segments(request: Members) -> tuple[int, int]:
    segment = request.count("Segment", low=0, high=MAX_SEGMENTS - 1)
    total = request.count("TotalSegments", low=1, high=MAX_SEGMENTS)
    if total is None:
        if segment is not None:
            raise validation(
                "The TotalSegments parameter is required but was not present in the request when Segment parameter "
                "is present"
            )
        return 0, 1
    if segment is None:
        raise validation(
            "The Segment parameter is required but was not present in the request when parameter TotalSegments is "
            "present"
        )
    if segment >= total:
        raise validation(
            "The Segment parameter is zero-based and must be less than parameter TotalSegments: "
            f"Segment: {segment} is not less than TotalSegments: {total}"
        )
    return segment, total
