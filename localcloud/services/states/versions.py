"""Versions and aliases of a state machine: which revision an execution begins with.

A version is a revision that never changes; an alias sends executions to one or two versions by weight.
Source: https://docs.aws.amazon.com/step-functions/latest/dg/concepts-cd-aliasing-versioning.html
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from localcloud.services.states.errors import StatesError, no_resource, validation
from localcloud.services.states.flow import Revision

__all__ = ["Alias", "Chosen", "Version", "Versions"]

MAX_VERSIONS: Final = 1_000  # of a machine
MAX_ALIASES: Final = 100  # of a machine
_NAME: Final = re.compile(r"(?=.*[a-zA-Z_\-.])[a-zA-Z0-9_\-.]{1,80}")


@dataclass(frozen=True, slots=True)
class Version:
    """A revision under a number."""

    number: int
    revision: Revision
    created_s: float
    description: str

    @property
    def arn(self) -> str:
        """Its ARN."""
        return f"{self.revision.arn}:{self.number}"


@dataclass(slots=True)
class Alias:
    """A name for one or two versions: each version's number with its weight, 100 together."""

    arn: str
    name: str
    routes: tuple[tuple[int, int], ...]
    description: str
    created_s: float
    updated_s: float


@dataclass(frozen=True, slots=True)
class Chosen:
    """What an execution begins with; the ARNs are "" where it was not asked for by them."""

    revision: Revision
    version_arn: str = ""
    alias_arn: str = ""


@dataclass(slots=True)
class Versions:
    """Those of one machine."""

    arn: str
    by_number: dict[int, Version] = field(default_factory=dict[int, Version])
    aliases: dict[str, Alias] = field(default_factory=dict[str, Alias])
    count: int = 0

    def publish(self, revision: Revision, description: str, now_s: float) -> Version:
        """A version of a revision; the latest one again where it is of the same. Raises StatesError."""
        latest = self.by_number.get(self.count)
        if latest is not None and latest.revision is revision:
            return latest
        if len(self.by_number) >= MAX_VERSIONS:
            raise StatesError("ServiceQuotaExceededException", f"A state machine has at most {MAX_VERSIONS} versions")
        self.count += 1
        made = self.by_number[self.count] = Version(self.count, revision, now_s, description)
        return made

    def remove(self, number: int) -> None:
        """Forget a version. Raises StatesError ConflictException where an alias leads to it."""
        used = [alias.name for alias in self.aliases.values() if number in dict(alias.routes)]
        if used:
            message = f"Version to be deleted must not be referenced by an alias. Current list of aliases: {used}"
            raise StatesError("ConflictException", message)
        self.by_number.pop(number, None)

    def put_alias(self, name: str, routing: Sequence[Mapping[str, Any]], description: str, *, now_s: float) -> Alias:
        """A new alias; the same again is the one that is there. Raises StatesError."""
        if not _NAME.fullmatch(name):
            raise StatesError("InvalidName", f"Invalid Name: '{name}'")
        routes = self.read_routes(routing)
        known = self.aliases.get(name)
        if known is not None:
            if (known.routes, known.description) == (routes, description):
                return known
            raise StatesError("ConflictException", f"Alias already exists: '{known.arn}'")
        if len(self.aliases) >= MAX_ALIASES:
            raise StatesError("ServiceQuotaExceededException", f"A state machine has at most {MAX_ALIASES} aliases")
        made = self.aliases[name] = Alias(f"{self.arn}:{name}", name, routes, description, now_s, now_s)
        return made

    def read_routes(self, routing: Sequence[Mapping[str, Any]]) -> tuple[tuple[int, int], ...]:
        """A routing configuration. Raises StatesError."""
        routes: list[tuple[int, int]] = []
        for each in routing:
            machine, _, number = str(each["stateMachineVersionArn"]).rpartition(":")
            if machine != self.arn or not number.isdigit() or int(number) not in self.by_number:
                raise no_resource(each["stateMachineVersionArn"])
            routes.append((int(number), each["weight"]))
        if len(dict(routes)) != len(routes) or sum(weight for _, weight in routes) != 100:
            raise validation("The routing configuration must have different versions, and weights of 100 together")
        return tuple(routes)

    def find_alias(self, name: str) -> Alias:
        """The alias of a name. Raises StatesError."""
        if name not in self.aliases:
            raise no_resource(f"{self.arn}:{name}")
        return self.aliases[name]

    def choose(self, qualifier: str, rng: random.Random) -> Chosen | None:
        """What a version's number or an alias's name leads to, by weight; None where there is none."""
        if qualifier.isdigit():
            version = self.by_number.get(int(qualifier))
            return None if version is None else Chosen(version.revision, version.arn)
        alias = self.aliases.get(qualifier)
        if alias is None:
            return None
        numbers, weights = zip(*alias.routes, strict=True)
        version = self.by_number[rng.choices(numbers, weights)[0]]
        return Chosen(version.revision, version.arn, alias.arn)
