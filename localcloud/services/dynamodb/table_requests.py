"""CreateTable's request as a table definition, with AWS's checks of schema and indexes.

Knows the request's members, no stored state.
Source: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CreateTable.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from localcloud.services.dynamodb.errors import DynamoError, invalid_parameter, member_violation, validation
from localcloud.services.dynamodb.members import Members
from localcloud.services.dynamodb.schema import Index, KeySchema, TableDefinition
from localcloud.services.dynamodb.stream_records import VIEW_TYPES
from localcloud.services.dynamodb.tagging import parse_tags

__all__ = [
    "BILLING_MODES",
    "CREATE_MEMBERS",
    "MAX_GLOBAL_INDEXES",
    "check_included",
    "parse_definition",
    "parse_index",
    "parse_stream",
    "parse_types",
    "parse_units",
]

BILLING_MODES: Final = ("PROVISIONED", "PAY_PER_REQUEST")

MAX_LOCAL_INDEXES: Final = 5  # Constraints.html, "Secondary indexes per table"
MAX_GLOBAL_INDEXES: Final = 20  # Constraints.html, "Secondary indexes per table"
MAX_INCLUDED: Final = 20  # API_Projection.html, NonKeyAttributes
MAX_INCLUDED_TOGETHER: Final = 100  # Constraints.html, "Projected Secondary Index attributes per table"
_INDEX_NAME: Final = re.compile(r"[a-zA-Z0-9_.-]+\Z")
CREATE_MEMBERS: Final = (
    "TableName",
    "AttributeDefinitions",
    "KeySchema",
    "LocalSecondaryIndexes",
    "GlobalSecondaryIndexes",
    "BillingMode",
    "ProvisionedThroughput",
    "SSESpecification",
    "StreamSpecification",
    "Tags",
    "TableClass",
    "DeletionProtectionEnabled",
)


def parse_definition(request: Members) -> TableDefinition:
    """The table that a CreateTable request asks for. Raises DynamoError in AWS's words."""
    request.only(*CREATE_MEMBERS)
    name = request.table()
    types = parse_types(request)
    keys = _parse_keys(request, types, is_table=True)
    billing = request.choice("BillingMode", BILLING_MODES, "PROVISIONED")
    indexes = [
        *_parse_indexes(request, types, is_global=False, billing=billing),
        *_parse_indexes(request, types, is_global=True, billing=billing),
    ]
    _check_indexes(keys, indexes)
    used = {*keys.names, *(name for index in indexes for name in index.keys.names)}
    if used != set(types):
        raise _unused_definitions(keys, indexes, types)
    return TableDefinition(
        name=name,
        keys=keys,
        types=types,
        indexes={index.name: index for index in indexes},
        billing_mode=billing,
        throughput=_parse_throughput(request, billing),
        is_protected=request.flag("DeletionProtectionEnabled"),
        tags=parse_tags(request) if "Tags" in request else (),
        stream_view=_parse_new_stream(request),
    )


def parse_stream(request: Members) -> tuple[bool, str | None] | None:
    """StreamSpecification as (StreamEnabled, StreamViewType), None where it is missing. Raises DynamoError."""
    stream = request.structure("StreamSpecification")
    if stream is None:
        return None
    stream.only("StreamEnabled", "StreamViewType").required("StreamEnabled")
    return stream.flag("StreamEnabled"), stream.choice("StreamViewType", VIEW_TYPES, "") or None


def parse_units(throughput: Members) -> tuple[int, int]:
    """ProvisionedThroughput as (read units, write units). Raises DynamoError."""
    units = [throughput.count(name, low=1) for name in ("ReadCapacityUnits", "WriteCapacityUnits")]
    throughput.required("ReadCapacityUnits")
    throughput.required("WriteCapacityUnits")
    return (units[0] or 1, units[1] or 1)


def _parse_new_stream(request: Members) -> str | None:
    is_enabled, view_type = parse_stream(request) or (False, None)
    if is_enabled and view_type is None:
        raise invalid_parameter("Table is being created with a stream enabled, UpdateViewType is required")
    if not is_enabled and view_type is not None:
        raise invalid_parameter("Table is being created with a stream disabled, UpdateViewType should not be specified")
    return view_type


def parse_types(request: Members) -> dict[str, str]:
    """AttributeDefinitions: types by attribute. Raises DynamoError."""
    types: dict[str, str] = {}
    for definition in request.structures("AttributeDefinitions"):
        definition.only("AttributeName", "AttributeType")
        definition.required("AttributeType")
        name = str(definition.required("AttributeName"))
        if name in types:
            raise invalid_parameter(f"Cannot have two attributes with the same name: {name}")
        types[name] = definition.choice("AttributeType", ("B", "N", "S"), "")
    return types


def _parse_keys(owner: Members, types: Mapping[str, str], *, is_table: bool = False) -> KeySchema:
    elements = [
        (str(element.required("AttributeName")), element.choice("KeyType", ("HASH", "RANGE"), ""))
        for element in owner.structures("KeySchema")
    ]
    if not 1 <= len(elements) <= 2:
        raise validation("Invalid KeySchema: a key schema has one or two elements")
    names = [name for name, _ in elements]
    if len(set(names)) != len(names):
        raise validation("Both the Hash Key and the Range Key element in the KeySchema have the same name")
    if elements[0][1] != "HASH":
        raise validation("Invalid KeySchema: The first KeySchemaElement is not a HASH key type")
    if elements[-1][1] != "RANGE" and len(elements) == 2:
        raise validation("Invalid KeySchema: The second KeySchemaElement is not a RANGE key type")
    if any(name not in types for name in names):
        if is_table and len(names) == 2:
            raise validation("Invalid KeySchema: Some index key attribute have no definition")
        raise invalid_parameter(
            "Some index key attributes are not defined in AttributeDefinitions. "
            f"Keys: [{', '.join(names)}], AttributeDefinitions: [{', '.join(types)}]"
        )
    return KeySchema(names[0], names[1] if len(names) == 2 else None)


def _parse_indexes(request: Members, types: Mapping[str, str], *, is_global: bool, billing: str) -> list[Index]:
    member = "GlobalSecondaryIndexes" if is_global else "LocalSecondaryIndexes"
    if member not in request:
        return []
    found = [parse_index(raw, types, is_global=is_global, billing=billing) for raw in request.structures(member)]
    if not found:
        raise invalid_parameter(f"List of {member} is empty")
    return found


def parse_index(raw: Members, types: Mapping[str, str], *, is_global: bool, billing: str) -> Index:
    """An index in a request; `billing` is the table's mode. Raises DynamoError in AWS's words."""
    raw.only("IndexName", "KeySchema", "Projection", *(["ProvisionedThroughput"] if is_global else []))
    name = _parse_index_name(raw)
    keys = _parse_keys(raw, types)
    raw.required("Projection")
    projection = raw.structure("Projection") or Members({})
    kind = projection.choice("ProjectionType", ("ALL", "INCLUDE", "KEYS_ONLY"), "")
    if not kind:
        raise invalid_parameter("Unknown ProjectionType: null")
    included = projection.elements("NonKeyAttributes") if "NonKeyAttributes" in projection else []
    if included and kind != "INCLUDE":
        raise invalid_parameter(f"ProjectionType is {kind}, but NonKeyAttributes is specified")
    if kind == "INCLUDE" and not included:
        raise invalid_parameter("ProjectionType is INCLUDE, but NonKeyAttributes is not specified")
    if len(included) > MAX_INCLUDED:
        place = f"{'global' if is_global else 'local'}SecondaryIndexes.1.member.projection.nonKeyAttributes"
        raise member_violation(included, place, f"Member must have length less than or equal to {MAX_INCLUDED}")
    throughput = _parse_index_units(raw, name, billing) if is_global else (0, 0)
    return Index(name, keys, kind, tuple(map(str, included)), is_global, throughput)


def check_included(indexes: Sequence[Index]) -> None:
    """Check how many attributes the indexes of one table project by name. Raises DynamoError."""
    count = sum(len(index.included) for index in indexes)
    if count > MAX_INCLUDED_TOGETHER:
        raise invalid_parameter(
            f"Number of projected attributes across all indexes exceeds the limit of {MAX_INCLUDED_TOGETHER}"
        )


def _parse_index_name(raw: Members) -> str:
    raw.required("IndexName")
    name = raw.text("IndexName") or ""
    if not 3 <= len(name) <= 255:  # API_GlobalSecondaryIndex.html
        bound = "greater than or equal to 3" if len(name) < 3 else "less than or equal to 255"
        raise member_violation(name, "indexName", f"Member must have length {bound}")
    if _INDEX_NAME.match(name) is None:
        raise member_violation(name, "indexName", "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+")
    return name


def _parse_index_units(raw: Members, name: str, billing: str) -> tuple[int, int]:
    throughput = raw.structure("ProvisionedThroughput")
    if billing == "PAY_PER_REQUEST":
        if throughput is not None and (throughput.count("ReadCapacityUnits", low=0) or 0) > 0:
            raise invalid_parameter(
                f"ProvisionedThroughput should not be specified for index: {name} when BillingMode is PAY_PER_REQUEST"
            )
        return (0, 0)
    if throughput is None:
        raise invalid_parameter(f"ProvisionedThroughput must be specified for index: {name}")
    return parse_units(throughput)


def _check_indexes(keys: KeySchema, indexes: Sequence[Index]) -> None:
    seen: set[str] = set()
    for index in indexes:
        if index.name in seen:
            raise invalid_parameter(f"Duplicate index name: {index.name}")
        seen.add(index.name)
        if not index.is_global:
            _check_local(keys, index)
    check_included(indexes)
    count = sum(index.is_global for index in indexes)
    if len(indexes) - count > MAX_LOCAL_INDEXES:
        raise invalid_parameter(f"Number of LocalSecondaryIndexes exceeds per-table limit of {MAX_LOCAL_INDEXES}")
    if count > MAX_GLOBAL_INDEXES:
        raise invalid_parameter(f"GlobalSecondaryIndex count exceeds the per-table limit of {MAX_GLOBAL_INDEXES}")


def _check_local(keys: KeySchema, index: Index) -> None:
    if keys.range_name is None:
        raise invalid_parameter(
            "Table KeySchema does not have a range key, which is required when specifying a LocalSecondaryIndex"
        )
    if index.keys.range_name is None:
        raise invalid_parameter(f"Index KeySchema does not have a range key for index: {index.name}")
    if index.keys.hash_name != keys.hash_name:
        raise invalid_parameter(
            "Index KeySchema does not have the same leading hash key as table KeySchema for index: "
            f"{index.name}. index hash key: {index.keys.hash_name}, table hash key: {keys.hash_name}"
        )


def _unused_definitions(keys: KeySchema, indexes: Sequence[Index], types: Mapping[str, str]) -> DynamoError:
    if not indexes:
        return invalid_parameter(
            "Number of attributes in KeySchema does not exactly match number of attributes defined in "
            "AttributeDefinitions"
        )
    used = {*keys.names, *(name for index in indexes for name in index.keys.names)}
    return invalid_parameter(
        "Some AttributeDefinitions are not used. "
        f"AttributeDefinitions: [{', '.join(types)}], keys used: [{', '.join(sorted(used))}]"
    )


def _parse_throughput(request: Members, billing: str) -> tuple[int, int]:
    throughput = request.structure("ProvisionedThroughput")
    if billing == "PAY_PER_REQUEST":
        if throughput is not None and (throughput.count("ReadCapacityUnits", low=0) or 0) > 0:
            raise invalid_parameter(
                "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST"
            )
        return (0, 0)
    if throughput is None:
        raise invalid_parameter(
            "ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED"
        )
    return parse_units(throughput)
