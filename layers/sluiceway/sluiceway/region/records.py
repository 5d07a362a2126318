"""A function's records, opened as its settings say: which tier, in which tables, with which other Regions.

Owns the settings and what they must say of one another. `IDEMPOTENCY_TABLE` names the table of the records,
`IDEMPOTENCY_TIER` what its Regions are to one another: `single` (one Region, the default), `home`, `strong`, `sink`.
The tier `home` has `REGION_GROUP` (the group's name), `REGIONS` (all of its Regions, with commas between them),
`REGIONS_TABLE` (its doubts, in each Region), `TERMS_TABLE` and `TERMS_REGION` (its term: in a strongly consistent table
of this Region, or in a table of a Region outside the group). Another Region's tables are reached with the settings of
this one and that Region's name; no connection is opened before the first call. Loads what a tier needs, and no other.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from sluiceway.aws.endpoints import ServiceSpec, read_region
from sluiceway.aws.idempotency import DynamoDbIdempotencyStore
from sluiceway.aws.wire import Caller, Reply, Wire
from sluiceway.errors import Misconfigured
from sluiceway.ports import Clock, IdempotencyStore, SystemClock

if TYPE_CHECKING:
    from sluiceway.aws.dynamodb import Table
    from sluiceway.ports.regions import DoubtStore, RecordShelf, TermStore
    from sluiceway.region.home import HomeStore
    from sluiceway.region.tenure import Tenure

__all__ = ["GroupTerms", "Records", "Tier", "open_doubts", "open_records", "open_terms"]

Tier = Literal["single", "home", "strong", "sink"]

TIERS: Final[tuple[Tier, ...]] = ("single", "home", "strong", "sink")
MAX_GROUP_CHARACTERS: Final = 64
MAX_REGIONS: Final = 40
_GROUP: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")


class HomeParts(NamedTuple):
    """What the tier `home` has besides its store: for handing over, listing and draining."""

    home: HomeStore
    terms: TermStore
    doubts: DoubtStore


class Records:
    """One function's records, as long as `open_records` lasts. `store` is what guards take.

    `region` is this Region, `regions` all that share the keys (only this one where the tier does not say). `tenure` is
    what an effect is checked with, None unless the tier is `home`.
    """

    __slots__ = ("_callers", "_parts", "_table", "group", "region", "store", "tenure", "tier")

    def __init__(  # noqa: PLR0913 - what the settings said, keyword-only
        self,
        store: IdempotencyStore,
        *,
        tier: Tier,
        table: str,
        callers: Mapping[str, Caller],
        region: str,
        group: str = "",
        tenure: Tenure | None = None,
        parts: HomeParts | None = None,
    ) -> None:
        self.store = store
        self.tier = tier
        self.region = region
        self.group = group
        self.tenure = tenure
        self._table = table
        self._callers = callers
        self._parts = parts

    @property
    def regions(self) -> tuple[str, ...]:
        """All Regions that share the keys, this one first."""
        return tuple(self._callers)

    @property
    def home(self) -> HomeStore:
        """The store as a drain takes it. Raises Misconfigured unless the tier is `home`."""
        return self._of_home().home

    @property
    def terms(self) -> TermStore:
        """The group's term. Raises Misconfigured unless the tier is `home`."""
        return self._of_home().terms

    @property
    def doubts(self) -> DoubtStore:
        """The group's doubts. Raises Misconfigured unless the tier is `home`."""
        return self._of_home().doubts

    def shelf(self, region: str = "") -> RecordShelf:
        """A look along the records of this Region, or of another of the group. Raises Misconfigured for any other."""
        from sluiceway.aws.idempotency_shelf import DynamoDbRecordShelf  # noqa: PLC0415 - for drains and sweeps only

        caller = self._callers.get(region or self.region)
        if caller is None:
            raise Misconfigured(f"{region} is none of the Regions that share keys", what="REGIONS")
        return DynamoDbRecordShelf(caller, self._table)

    def tables(self) -> Mapping[str, Table]:
        """The records' table in each Region, for what is kept beside them."""
        from sluiceway.aws.dynamodb import Table  # noqa: PLC0415 - as above

        return {region: Table(caller, self._table) for region, caller in self._callers.items()}

    def _of_home(self) -> HomeParts:
        if self._parts is None:
            raise Misconfigured(f"the tier {self.tier} has neither terms nor doubts", what="IDEMPOTENCY_TIER")
        return self._parts


@asynccontextmanager
async def open_records(
    environ: Mapping[str, str], wire: Caller, *, clock: Clock | None = None
) -> AsyncGenerator[Records]:
    """The records that the settings in `environ` (`sluiceway.settings.environ()`) name, for a lifespan.

    `wire` is this Region's and stays the caller's; the other Regions' are closed here. Asks nothing of any service.
    Raises Misconfigured for a setting that is missing or contradicts another, and names it.
    """
    table, tier, region = _text(environ, "IDEMPOTENCY_TABLE"), _read_tier(environ), read_region(environ)
    local = DynamoDbIdempotencyStore(wire, table)
    if tier == "home":
        async with AsyncExitStack() as stack:
            yield _open_home(environ, _Way(wire, stack, environ, region), table=table, clock=clock or SystemClock())
        return
    if tier == "single":
        _refuse_others(environ, region)
    yield Records(_lay_over(local, tier, region), tier=tier, table=table, callers={region: wire}, region=region)


def open_doubts(environ: Mapping[str, str], wire: Caller) -> DoubtStore:
    """The doubts of the group alone, for who lists and settles them: `REGION_GROUP` and `REGIONS_TABLE`.

    Raises Misconfigured.
    """
    from sluiceway.aws.dynamodb import Table  # noqa: PLC0415 - of the tier `home` only
    from sluiceway.aws.regions import DynamoDbDoubtStore  # noqa: PLC0415

    return DynamoDbDoubtStore(Table(wire, _text(environ, "REGIONS_TABLE")), _read_group(environ))


class GroupTerms(NamedTuple):
    """A group's name, its Regions (none where `REGIONS` is not set), and where its term is."""

    name: str
    regions: tuple[str, ...]
    terms: TermStore

    def check(self, region: str) -> None:
        """Raises Misconfigured unless `region` is one of the group, and so may be its home."""
        if not self.regions:
            raise Misconfigured("REGIONS is not set", what="REGIONS")
        if region not in self.regions:
            raise Misconfigured(f"{region} is none of the Regions {', '.join(self.regions)}", what="REGIONS")


@asynccontextmanager
async def open_terms(environ: Mapping[str, str]) -> AsyncGenerator[GroupTerms]:
    """The group's term alone, for who founds the group or hands over, from a machine in any Region.

    Reads `REGION_GROUP`, `TERMS_TABLE`, `TERMS_REGION`, and `REGIONS` where it is set. Asks nothing of any service.
    Raises Misconfigured.
    """
    from sluiceway.aws.dynamodb import Table  # noqa: PLC0415 - of the tier `home` only
    from sluiceway.aws.regions import DynamoDbTermStore  # noqa: PLC0415

    group, table, where = _read_group(environ), _text(environ, "TERMS_TABLE"), _text(environ, "TERMS_REGION")
    _check_region(where, "TERMS_REGION")
    regions = _read_all(environ) if (environ.get("REGIONS") or "").strip() else []
    async with Wire.open({**environ, "AWS_REGION": where}) as wire:
        yield GroupTerms(group, tuple(regions), DynamoDbTermStore(Table(wire, table)))


class _Way(NamedTuple):
    """How this Region is reached, and with what the others are."""

    wire: Caller
    stack: AsyncExitStack
    environ: Mapping[str, str]
    region: str

    def to(self, region: str) -> Caller:
        return self.wire if region == self.region else _Distant({**self.environ, "AWS_REGION": region}, self.stack)


class _Distant:
    """A Caller of another Region, whose Wire is opened with the first call."""

    def __init__(self, environ: Mapping[str, str], stack: AsyncExitStack) -> None:
        self._environ = environ
        self._stack = stack
        self._wire: Wire | None = None

    async def call(  # noqa: PLR0913 - see Caller
        self,
        service: ServiceSpec,
        operation: str,
        body: Mapping[str, object] | bytes = b"",
        *,
        path: str = "/",
        method: str = "POST",
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        deadline: float | None = None,
    ) -> Reply:
        """As `Caller.call`."""
        if self._wire is None:  # opening one waits for nothing, so no other call comes in between
            self._wire = await self._stack.enter_async_context(Wire.open(self._environ))
        return await self._wire.call(
            service, operation, body, path=path, method=method, query=query, headers=headers, deadline=deadline
        )


def _open_home(environ: Mapping[str, str], way: _Way, *, table: str, clock: Clock) -> Records:
    from sluiceway.aws.dynamodb import Table  # noqa: PLC0415 - these are of the tier `home` only
    from sluiceway.aws.regions import DynamoDbTermStore  # noqa: PLC0415
    from sluiceway.region.home import HomeStore, RegionDesk  # noqa: PLC0415
    from sluiceway.region.tenure import Tenure  # noqa: PLC0415

    region, group = way.region, _read_group(environ)
    others = [each for each in _read_regions(environ, region) if each != region]
    callers = {region: way.wire, **{each: way.to(each) for each in others}}
    terms_table, terms_region = _read_terms(environ, region, others)
    terms = DynamoDbTermStore(Table(way.to(terms_region), terms_table))
    doubts = open_doubts(environ, way.wire)
    tenure = Tenure(terms, group=group, region=region, clock=clock)
    stores = {each: DynamoDbIdempotencyStore(caller, table) for each, caller in callers.items()}
    home = HomeStore(RegionDesk(tenure, stores.pop(region), stores, doubts, clock))
    return Records(
        home,
        tier="home",
        table=table,
        callers=callers,
        region=region,
        group=group,
        tenure=tenure,
        parts=HomeParts(home, terms, doubts),
    )


def _lay_over(local: IdempotencyStore, tier: Tier, region: str) -> IdempotencyStore:
    if tier == "strong":
        from sluiceway.region.strong import StrongStore  # noqa: PLC0415 - of this tier only

        return StrongStore(local, region)
    if tier == "sink":
        from sluiceway.region.sink import SinkStore  # noqa: PLC0415 - of this tier only

        return SinkStore(local)
    return local


# ------------------------------------------------------------ settings


def _text(environ: Mapping[str, str], name: str) -> str:
    """As `settings.text`, of these settings: an empty one counts as missing."""
    value = (environ.get(name) or "").strip()
    if not value:
        raise Misconfigured(f"{name} is not set", what=name)
    return value


def _read_tier(environ: Mapping[str, str]) -> Tier:
    name = (environ.get("IDEMPOTENCY_TIER") or "").strip() or "single"
    if name not in TIERS:
        raise Misconfigured(f"IDEMPOTENCY_TIER is none of {', '.join(TIERS)}", what="IDEMPOTENCY_TIER")
    return name


def _read_group(environ: Mapping[str, str]) -> str:
    group = _text(environ, "REGION_GROUP")
    if len(group) > MAX_GROUP_CHARACTERS or not _GROUP.issuperset(group):
        raise Misconfigured(
            f"REGION_GROUP has 1 to {MAX_GROUP_CHARACTERS} letters, digits and -_.", what="REGION_GROUP"
        )
    return group


def _split(text: str) -> list[str]:
    return [each.strip() for each in text.split(",") if each.strip()]


def _read_all(environ: Mapping[str, str]) -> list[str]:
    regions = _split(_text(environ, "REGIONS"))
    for each in regions:
        _check_region(each, "REGIONS")
    if len(set(regions)) != len(regions) or not 2 <= len(regions) <= MAX_REGIONS:
        raise Misconfigured(f"REGIONS names 2 to {MAX_REGIONS} Regions, each once", what="REGIONS")
    return regions


def _read_regions(environ: Mapping[str, str], region: str) -> list[str]:
    regions = _read_all(environ)
    if region not in regions:
        raise Misconfigured(f"REGIONS does not name {region}, which is this one", what="REGIONS")
    return regions


def _read_terms(environ: Mapping[str, str], region: str, others: list[str]) -> tuple[str, str]:
    """The table and the Region of the term."""
    table, where = _text(environ, "TERMS_TABLE"), _text(environ, "TERMS_REGION")
    _check_region(where, "TERMS_REGION")
    if where in others:
        raise Misconfigured(
            f"TERMS_REGION is {where}, another Region of the group: without it the home could not be moved; name a "
            "Region outside the group, or this one where the table is strongly consistent",
            what="TERMS_REGION",
        )
    doubts_table = _text(environ, "REGIONS_TABLE")
    if where == region and table == doubts_table:
        raise Misconfigured(
            "TERMS_TABLE is REGIONS_TABLE: a term needs a strongly consistent table, and doubts one that expires",
            what="TERMS_TABLE",
        )
    return table, where


def _check_region(name: str, setting: str) -> None:
    try:
        read_region({"AWS_REGION": name})
    except Misconfigured as error:
        raise Misconfigured(f"{setting} names {name!r}, which is no Region", what=setting) from error


def _refuse_others(environ: Mapping[str, str], region: str) -> None:
    """One Region's conditional writes decide nothing for another's."""
    others = [each for each in _split(environ.get("REGIONS") or "") if each != region]
    if others:
        raise Misconfigured(
            f"REGIONS names {', '.join(others)} besides this Region, and IDEMPOTENCY_TIER is single: "
            "choose home, strong or sink",
            what="IDEMPOTENCY_TIER",
        )
