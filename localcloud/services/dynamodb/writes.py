"""One write, read from a request and checked: what PutItem, UpdateItem, DeleteItem and transactions have in common.

Owns the rules of a single write: key, condition, new image, size. Knows nothing of answers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from localcloud.services.dynamodb.capacity import Usage, check_usage, collection_metrics, write_usage
from localcloud.services.dynamodb.errors import DynamoError, condition_failed, invalid_parameter, validation
from localcloud.services.dynamodb.expressions import (
    Bindings,
    Condition,
    Path,
    Update,
    apply_update,
    holds,
    parse_condition,
    parse_update,
    walk_paths,
)
from localcloud.services.dynamodb.members import Members
from localcloud.services.dynamodb.model import Database
from localcloud.services.dynamodb.schema import (
    PrimaryKey,
    TableDefinition,
    check_index_values,
    primary_key,
)
from localcloud.services.dynamodb.table import Change, Record, Table
from localcloud.services.dynamodb.throttling import spend_write
from localcloud.services.dynamodb.values import MAX_ITEM_BYTES, Item, check_nesting, encode_item, item_size

__all__ = ["Draft", "Write", "check_scalar_keys", "measure_collections", "open_bindings", "parse_write", "read_draft"]

_EXPRESSIONS: Final = {
    "Put": ("ConditionExpression",),
    "Update": ("UpdateExpression", "ConditionExpression"),
    "Delete": ("ConditionExpression",),
    "ConditionCheck": ("ConditionExpression",),
}


@dataclass(frozen=True, slots=True)
class Write:
    """A checked write. `kind`: Put, Update, Delete or ConditionCheck; `given` is the item of a Put, else the key."""

    kind: str
    table: Table
    key: PrimaryKey
    given: Item
    condition: Condition | None
    update: Update | None
    shows_old: bool

    @property
    def old(self) -> Record | None:
        """What is stored now."""
        return self.table.records.get(self.key)

    def check(self) -> None:
        """Check the condition against what is stored. Raises DynamoError where it does not hold."""
        if self.condition is None:
            return
        old = self.old
        if not holds(self.condition, {} if old is None else old.item):
            spend_write(check_usage(self.table, old))
            raise condition_failed(encode_item(old.item) if old is not None and self.shows_old else None)

    def image(self) -> Item | None:
        """The item after the write, None where there is none. Raises DynamoError where it may not be stored."""
        if self.kind == "Put":
            return self.given
        old = self.old
        if self.kind == "ConditionCheck":
            return None if old is None else old.item
        if self.kind == "Delete":
            return None
        before = self.given if old is None else old.item
        if self.update is None:
            return dict(before)
        after = apply_update(self.update, before)
        if item_size(after) > MAX_ITEM_BYTES:
            raise validation("Item size to update has exceeded the maximum allowed size")
        for root in {path.root for path in self.update.paths if len(path.parts) > 1} & after.keys():
            check_nesting(after[root])
        _check_updated_indexes(self.table.definition, after)
        return after

    def usage(self, image: Item | None, *, transactional: bool = False) -> Usage:
        """What the write costs, before it is done."""
        if self.kind == "ConditionCheck":
            return check_usage(self.table, self.old, transactional=transactional)
        new = None if image is None else Record(image, item_size(image))
        return write_usage(Change(self.table, self.key, self.old, new), transactional=transactional)

    def spend(self, image: Item | None, *, transactional: bool = False) -> None:
        """Pay for the write, where the table throttles. Raises DynamoError where it is throttled."""
        if self.table.throttle is not None:
            spend_write(self.usage(image, transactional=transactional))

    def apply(self, image: Item | None) -> Change:
        """Store `image`, which `image()` gave."""
        return self.table.delete(self.key) if image is None else self.table.put(image)


@dataclass(frozen=True, slots=True)
class Draft:
    """A write as its request says it, before any table is looked at."""

    kind: str
    table: str
    given: Item
    condition: Condition | None
    update: Update | None
    shows_old: bool

    def resolve(self, database: Database) -> Write:
        """The write on its table. Raises DynamoError: no such table, or what its keys do not allow."""
        table = database.table(self.table)
        definition = table.definition
        key = primary_key(definition, self.given, exact=self.kind != "Put")
        if self.kind == "Put":
            _check_put(definition, self.given)
        if self.update is not None:
            _check_update(definition, self.update)
        if self.condition is not None:
            check_scalar_keys(definition, walk_paths(self.condition))
        return Write(self.kind, table, key, self.given, self.condition, self.update, self.shows_old)


def parse_write(database: Database, kind: str, request: Members) -> Write:
    """The write of `kind` in `request`. Raises DynamoError in AWS's words; nothing is written."""
    return read_draft(kind, request).resolve(database)


def read_draft(kind: str, request: Members) -> Draft:
    """The write of `kind` in `request`, whatever tables there are. Raises DynamoError in AWS's words."""
    name = request.table()
    given = request.item("Item" if kind == "Put" else "Key")
    shows_old = request.choice("ReturnValuesOnConditionCheckFailure", ("ALL_OLD", "NONE"), "NONE") == "ALL_OLD"
    bindings = open_bindings(request, _EXPRESSIONS[kind])
    update_text, condition_text = request.text("UpdateExpression"), request.text("ConditionExpression")
    if kind == "ConditionCheck":
        request.required("ConditionExpression")
    update = None if update_text is None else parse_update(update_text, bindings)
    condition = (
        None if condition_text is None else parse_condition(condition_text, bindings, parameter="ConditionExpression")
    )
    bindings.settle()
    return Draft(kind, name, given, condition, update, shows_old)


def open_bindings(request: Members, expressions: tuple[str, ...]) -> Bindings:
    """The placeholders of a request that may carry `expressions`. Raises DynamoError where they have no use."""
    names, values = request.mapping("ExpressionAttributeNames"), request.mapping("ExpressionAttributeValues")
    if names is not None and not any(parameter in request for parameter in expressions):
        raise validation("ExpressionAttributeNames can only be specified when using expressions")
    users = [parameter for parameter in expressions if parameter != "ProjectionExpression"]
    if values is not None and not any(parameter in request for parameter in users):
        verb = "are" if len(users) > 1 else "is"
        raise validation(
            f"ExpressionAttributeValues can only be specified when using expressions: {' and '.join(users)} {verb} null"
        )
    return Bindings(names, values)


def check_scalar_keys(definition: TableDefinition, paths: Iterable[Path]) -> None:
    """Key attributes hold no documents, so no path may lead into one. Raises DynamoError."""
    index_keys = {name for index in definition.indexes.values() for name in index.keys.names}
    for path in paths:
        if len(path.parts) == 1:
            continue
        kind = "Key" if path.root in definition.keys.names else "IndexKey" if path.root in index_keys else ""
        if kind:
            raise validation(
                "Key attributes must be scalars; list random access '[]' and map lookup '.' are not allowed: "
                f"{kind}: {path.root}"
            )


def measure_collections(writes: Iterable[Write]) -> dict[str, list[dict[str, Any]]]:
    """ItemCollectionMetrics of the item collections that `writes` changed, by table; each collection once."""
    found: dict[str, dict[Any, dict[str, Any]]] = {}
    for write in writes:
        metrics = None if write.kind == "ConditionCheck" else collection_metrics(write.table, write.key)
        if metrics is not None:
            found.setdefault(write.table.definition.name, {})[write.key[0]] = metrics
    return {name: list(collections.values()) for name, collections in found.items()}


def _check_put(definition: TableDefinition, item: Item) -> None:
    check_index_values(definition, item)
    if item_size(item) > MAX_ITEM_BYTES:
        raise validation("Item size has exceeded the maximum allowed size")


def _check_update(definition: TableDefinition, update: Update) -> None:
    for path in update.paths:
        if path.root in definition.keys.names:
            raise invalid_parameter(f"Cannot update attribute {path.root}. This attribute is part of the key")
    check_scalar_keys(definition, update.paths)


def _check_updated_indexes(definition: TableDefinition, item: Item) -> None:
    if not definition.indexes:
        return
    try:
        check_index_values(definition, item)
    except DynamoError as error:
        if error.message.startswith("One or more parameter values were invalid: Type mismatch"):
            message = "The update expression attempted to update the secondary index key to unsupported type"
            raise validation(message) from error
        raise
