"""A function as Lambda keeps it: $LATEST, published versions, aliases that point at them, and what is set of each.

Owns which version an invocation reaches; knows no process beyond a pool that it is given a way to make, and no wire.
Sources: https://docs.aws.amazon.com/lambda/latest/dg/configuration-versions.html, configuration-aliases.html
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from localcloud.compute.function import LATEST, FunctionSpec
from localcloud.compute.pool import Pool
from localcloud.compute.provisioned import ReadyPool
from localcloud.compute.recursion import TERMINATE
from localcloud.services.lambda_.errors import LambdaError, no_such_function

__all__ = ["Alias", "AsyncSettings", "FunctionRecord", "Provision", "Target", "Version"]

MakePool = Callable[[FunctionSpec], Pool]
MakeReady = Callable[[FunctionSpec, int], ReadyPool]
_SAME: Final = frozenset({"version", "revision_id", "modified_s", "description", "tags", "reserved_concurrency"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Alias:
    """A name for a version. `weights`: what share of invocations, 0 to 1, another version has; the rest is its own."""

    name: str
    version: str
    description: str = ""
    weights: Mapping[str, float] = field(default_factory=dict[str, float])
    revision_id: str = ""

    def draw(self, rng: random.Random) -> str:
        """The version of one invocation. Chance is asked only where there are weights."""
        if not self.weights:
            return self.version
        drawn = rng.random()
        for version, weight in self.weights.items():
            if drawn < weight:
                return version
            drawn -= weight
        return self.version


@dataclass(frozen=True, slots=True, kw_only=True)
class AsyncSettings:
    """What is set of asynchronous invocations. None: Lambda's default; destinations are ARNs, "" for none."""

    max_retries: int | None = None
    max_age_s: int | None = None
    on_success: str = ""
    on_failure: str = ""
    modified_s: float = 0.0


@dataclass(slots=True)
class Version:
    """One version, $LATEST too: its configuration and the environments that are its alone."""

    spec: FunctionSpec
    pool: Pool


@dataclass(slots=True)
class Provision:
    """Provisioned concurrency of a version or an alias: how much is asked for, and the environments of each version."""

    requested: int
    modified_s: float
    pools: dict[str, ReadyPool]

    @property
    def allocated(self) -> int:
        """How many environments have been started."""
        return sum(pool.ready for pool in self.pools.values())

    @property
    def available(self) -> int:
        """How many of them are free."""
        return sum(pool.free for pool in self.pools.values())

    @property
    def status(self) -> str:
        """IN_PROGRESS, READY or FAILED, as the API has it."""
        if self.allocated >= self.requested:
            return "READY"
        return "FAILED" if any(pool.failed for pool in self.pools.values()) else "IN_PROGRESS"

    async def close(self) -> None:
        """Stop the environments."""
        for pool in self.pools.values():
            await pool.close()


@dataclass(frozen=True, slots=True)
class Target:
    """What an invocation reaches. `arn`: as the function sees it, with the caller's qualifier where there was one."""

    record: FunctionRecord
    version: Version
    qualifier: str
    arn: str

    @property
    def ready(self) -> ReadyPool | None:
        """Where environments are provisioned for it."""
        found = self.record.provisions.get(self.qualifier) or self.record.provisions.get(self.version.spec.version)
        return found.pools.get(self.version.spec.version) if found is not None else None


class FunctionRecord:
    """One function. Whoever replaces a version's pool retires the old one.

    `following`: aliases that go to a new version when the code is edited, as `sam sync` lets SAM's AutoPublishAlias go.
    """

    def __init__(self, spec: FunctionSpec, make_pool: MakePool, make_ready: MakeReady) -> None:
        self._make_pool = make_pool
        self._make_ready = make_ready
        self._last_number = 0
        self.latest = Version(spec, make_pool(spec))
        self.published: dict[str, Version] = {}
        self.aliases: dict[str, Alias] = {}
        self.settings: dict[str, AsyncSettings] = {}
        self.provisions: dict[str, Provision] = {}
        self.following: set[str] = set()
        self.recursive_loop = TERMINATE
        self.on_demand = 0

    @property
    def spec(self) -> FunctionSpec:
        """$LATEST."""
        return self.latest.spec

    @property
    def provisioned(self) -> int:
        """All the provisioned concurrency that is asked for."""
        return sum(each.requested for each in self.provisions.values())

    def versions(self) -> tuple[FunctionSpec, ...]:
        """$LATEST and every published version, in order."""
        return (self.spec, *(version.spec for version in self.published.values()))

    def pools(self) -> Iterator[Pool]:
        """The pools of every version."""
        yield self.latest.pool
        for version in self.published.values():
            yield version.pool

    def resolve(self, qualifier: str, rng: random.Random) -> Target:
        """What an invocation with this qualifier reaches, "" for none. Raises LambdaError ResourceNotFoundException."""
        arn = f"{self.spec.arn}:{qualifier}" if qualifier else self.spec.arn
        alias = self.aliases.get(qualifier)
        found = self.find(alias.draw(rng) if alias is not None else qualifier)
        if found is None:
            raise no_such_function(arn)
        return Target(self, found, qualifier or LATEST, arn)

    def find(self, version: str) -> Version | None:
        """A version by its number, $LATEST by its name or ""; None where there is none."""
        return self.latest if version in {"", LATEST} else self.published.get(version)

    def describe(self, qualifier: str) -> FunctionSpec:
        """The configuration behind a qualifier; of an alias, of the version that it names. Raises as `resolve` does."""
        alias = self.aliases.get(qualifier)
        found = self.find(alias.version if alias is not None else qualifier)
        if found is None:
            raise no_such_function(f"{self.spec.arn}:{qualifier}")
        return found.spec

    def change(self, spec: FunctionSpec) -> Pool:
        """Put another configuration in the place of $LATEST. Gives the pool that has none any longer."""
        old = self.latest.pool
        self.latest = Version(spec, self._make_pool(spec))
        return old

    def note(self, spec: FunctionSpec) -> None:
        """Put another configuration in the place of $LATEST that its environments need not know."""
        self.latest.spec = spec

    def renew(self) -> tuple[Pool, ...]:
        """Give every version new environments, provisioned ones too. Gives the pools that have none any longer."""
        old = tuple(self.pools())
        for version in (self.latest, *self.published.values()):
            version.pool = self._make_pool(version.spec)
        for provision in self.provisions.values():
            for pool in provision.pools.values():
                pool.renew()
        return old

    def publish(self, spec: FunctionSpec) -> FunctionSpec:
        """Make a version of a configuration; its number is the next one, for ever. Gives it with the number."""
        self._last_number += 1
        numbered = replace(spec, version=str(self._last_number), reserved_concurrency=None)
        self.published[numbered.version] = Version(numbered, self._make_pool(numbered))
        return numbered

    def is_published(self, spec: FunctionSpec) -> FunctionSpec | None:
        """The newest version, where nothing but its own description sets `spec` apart from it."""
        newest = self.published.get(str(self._last_number))
        if newest is None:
            return None
        names = [name for name in FunctionSpec.__slots__ if name not in _SAME]
        same = all(getattr(newest.spec, name) == getattr(spec, name) for name in names)
        return newest.spec if same else None

    async def withdraw(self, version: str) -> None:
        """Unmake a version. Raises LambdaError where an alias points at it; nothing where there is none."""
        users = [alias.name for alias in self.aliases.values() if version == alias.version or version in alias.weights]
        if users:
            text = f"Version '{version}' is in use by the alias(es) {', '.join(users)}"
            raise LambdaError("ResourceConflictException", text, 409)
        found = self.published.pop(version, None)
        provision = self.provisions.pop(version, None)
        self.settings.pop(version, None)
        for closed in (provision, found.pool if found is not None else None):
            if closed is not None:
                await closed.close()

    async def remove_alias(self, name: str) -> None:
        """Unmake an alias, with what is set and provisioned for it; nothing where there is none."""
        self.aliases.pop(name, None)
        self.settings.pop(name, None)
        self.following.discard(name)
        await self.provision(name, 0, now_s=0.0)

    async def repoint(self, alias: Alias, *, now_s: float) -> None:
        """Put an alias in the place of the one of its name; what is provisioned for it follows it to its versions."""
        before, provision = self.aliases.get(alias.name), self.provisions.get(alias.name)
        self.aliases[alias.name] = alias
        moved = before is None or (alias.version, alias.weights) != (before.version, before.weights)
        if provision is not None and moved:
            count = 0 if alias.version == LATEST else provision.requested
            await self.provision(alias.name, count, now_s=now_s)

    async def provision(self, qualifier: str, count: int, *, now_s: float) -> Provision:
        """Keep `count` environments for a version or an alias; 0 keeps none. Those of an alias follow its weights."""
        old = self.provisions.pop(qualifier, None)
        if old is not None:
            await old.close()
        pools = {
            version: self._make_ready(self.published[version].spec, share)
            for version, share in _shares(self.aliases.get(qualifier), qualifier, count).items()
            if share and version in self.published
        }
        provision = Provision(count, now_s, pools)
        if count:
            self.provisions[qualifier] = provision
        return provision

    async def close(self) -> None:
        """Stop every environment."""
        for pool in self.pools():
            await pool.close()
        for provision in self.provisions.values():
            await provision.close()


def _shares(alias: Alias | None, qualifier: str, count: int) -> dict[str, int]:
    """How many environments each version has; what does not come out even is the alias's own version's."""
    if alias is None:
        return {qualifier: count}
    others = {version: round(weight * count) for version, weight in alias.weights.items()}
    return {alias.version: count - sum(others.values()), **others}
