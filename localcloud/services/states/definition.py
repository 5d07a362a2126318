"""A definition that holds, as what an execution walks: machines, states, retriers and catchers. Pure.

What a state says of its data stays JSON, for its readers are paths and templates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from localcloud.services.states.errors import invalid_definition
from localcloud.services.states.map_fields import is_distributed
from localcloud.services.states.validation import check_definition, describe, is_jsonata

__all__ = ["Catcher", "Machine", "Retrier", "State", "read_definition"]

DEFAULT_ATTEMPTS: Final = 3
DEFAULT_BACKOFF: Final = 2.0


@dataclass(frozen=True, slots=True)
class Retrier:
    """One entry of Retry. Seconds before the first retry, each wait `backoff` times the last, at most `longest_s`."""

    errors: tuple[str, ...]
    interval_s: int
    attempts: int
    backoff: float
    longest_s: int | None
    jitters: bool


@dataclass(frozen=True, slots=True)
class Catcher:
    """One entry of Catch. `reference`: where the error's output goes, None for nowhere; in JSONata `fields` say it."""

    errors: tuple[str, ...]
    next: str
    reference: str | None
    assign: Mapping[str, Any]
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class State:
    """One state. `next` "" where it ends its machine. `inner`: branches of a Parallel, the processor of a Map."""

    name: str
    kind: str
    fields: Mapping[str, Any]
    next: str
    retriers: tuple[Retrier, ...]
    catchers: tuple[Catcher, ...]
    inner: tuple[Machine, ...]
    distributed: bool
    jsonata: bool

    def path(self, field: str, default: str = "$") -> str | None:
        """A field that is a path or null."""
        return self.fields.get(field, default)


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine, or one inside a state. `timeout_s` None where the definition has none."""

    start: str
    states: Mapping[str, State]
    timeout_s: int | None
    source: Mapping[str, Any]


def read_definition(text: str, kind: str) -> Machine:
    """The machine of a definition for a type (`STANDARD`, `EXPRESS`). Raises StatesError InvalidDefinition."""
    source, found = check_definition(text, kind)
    if found:
        raise invalid_definition(describe(found))
    return _machine(source, jsonata=is_jsonata(source, outer=False))


def _machine(source: Mapping[str, Any], *, jsonata: bool) -> Machine:
    states = {name: _state(name, fields, jsonata=jsonata) for name, fields in source["States"].items()}
    return Machine(source["StartAt"], states, source.get("TimeoutSeconds"), source)


def _state(name: str, fields: Mapping[str, Any], *, jsonata: bool) -> State:
    """A state of a machine in JSONata or not; those inside of it are in the language of the whole machine."""
    inner = [*fields.get("Branches", ()), *(fields[each] for each in ("Iterator", "ItemProcessor") if each in fields)]
    return State(
        name=name,
        kind=fields["Type"],
        fields=fields,
        next="" if fields.get("End") else fields.get("Next", ""),
        retriers=tuple(_retrier(each) for each in fields.get("Retry", ())),
        catchers=tuple(_catcher(each) for each in fields.get("Catch", ())),
        inner=tuple(_machine(each, jsonata=jsonata) for each in inner),
        distributed=is_distributed(fields),
        jsonata=is_jsonata(fields, outer=jsonata),
    )


def _retrier(source: Mapping[str, Any]) -> Retrier:
    return Retrier(
        errors=tuple(source["ErrorEquals"]),
        interval_s=source.get("IntervalSeconds", 1),
        attempts=source.get("MaxAttempts", DEFAULT_ATTEMPTS),
        backoff=source.get("BackoffRate", DEFAULT_BACKOFF),
        longest_s=source.get("MaxDelaySeconds"),
        jitters=source.get("JitterStrategy") == "FULL",
    )


def _catcher(source: Mapping[str, Any]) -> Catcher:
    return Catcher(
        tuple(source["ErrorEquals"]), source["Next"], source.get("ResultPath", "$"), source.get("Assign", {}), source
    )
