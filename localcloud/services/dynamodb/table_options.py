"""What a template may ask of the local cloud for one table, in the resource's `Metadata.Sluiceway`.

`Throttle: true` refuses requests beyond the capacity, as AWS does; `IndexDelay: SECONDS` lets the table's global
indexes see writes that much later, as they may on AWS. Both are off otherwise. They stand beside the table, not on the
command line, because one table's capacity is what a test is about, and because the template goes where the stack goes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from localcloud.services.dynamodb.control import table_arn
from localcloud.services.dynamodb.index_lag import IndexLag
from localcloud.services.dynamodb.model import Database
from localcloud.services.dynamodb.table import Table
from localcloud.services.dynamodb.throttling import Throttle
from localcloud.template.handler import Resource
from localcloud.template.properties import Properties

__all__ = ["TableOptions", "read_options", "refuse_options", "set_options"]

MAX_INDEX_DELAY_S: Final = 300.0
_METADATA: Final = "Sluiceway"
_OPTIONS: Final = frozenset({"IndexDelay", "Throttle"})


@dataclass(frozen=True, slots=True)
class TableOptions:
    """`throttles`: whether capacity is enforced. `index_delay_s`: from a write to its appearance in global indexes."""

    throttles: bool = False
    index_delay_s: float = 0.0


def read_options(resource: Resource) -> TableOptions:
    """The options of a table. Raises TemplateError for one that is unknown or makes no sense."""
    outer = Properties(resource.metadata, where=f"{resource.logical_id}.Metadata")
    if _METADATA not in outer:
        return TableOptions()
    read = outer.nested(_METADATA)
    for name in read.values:
        if name not in _OPTIONS:
            raise read.error(name, f"is no option of a table; those are {' and '.join(sorted(_OPTIONS))}")
    return TableOptions(
        throttles=read.flag("Throttle", default=False),
        index_delay_s=float(read.number("IndexDelay", 0, low=0, high=MAX_INDEX_DELAY_S)),
    )


def refuse_options(resource: Resource) -> None:
    """Raises TemplateError where a global table asks for any: its replicas have none."""
    if read_options(resource) != TableOptions():
        outer = Properties(resource.metadata, where=f"{resource.logical_id}.Metadata")
        raise outer.error(_METADATA, "a global table is neither throttled nor are its indexes delayed here")


def set_options(database: Database, table: Table, options: TableOptions) -> None:
    """Let `table` be as `options` say from now on."""
    arn = table_arn(database, table.definition.name)
    table.throttle = Throttle(table.definition, database.clock, arn=arn) if options.throttles else None
    delay_s = options.index_delay_s
    table.delay_indexes(IndexLag(delay_s, database.clock, table.records) if delay_s else None)
