"""A gate of the settings `TOKEN_*`: the issuers that a deployment trusts, each with its key ring."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from sluiceway import settings
from sluiceway.errors import Misconfigured
from sluiceway.flows.authorize.gate import Entrance, Gate
from sluiceway.flows.authorize.key_ring import KeyRing
from sluiceway.ports import Chance, Clock
from sluiceway.ports.keys import KeySource
from sluiceway.rules.tokens.caching import LONGEST_STALE_S, STALE_S, KeyCache
from sluiceway.rules.tokens.claims import Claims, IssuerRules
from sluiceway.rules.tokens.keys import KeySet, read_keys
from sluiceway.rules.tokens.refusals import InvalidKeys
from sluiceway.rules.tokens.trust import TrustedIssuer, is_keys_url, read_trust

__all__ = ["open_gate", "read_issuers"]

OpenSource = Callable[[str], AbstractAsyncContextManager[KeySource]]


def read_issuers() -> tuple[TrustedIssuer, ...]:
    """Those of `TOKEN_ISSUERS` and the one of `TOKEN_ISSUER`; at least one. Raises: Misconfigured, with the setting."""
    listed = settings.json_array("TOKEN_ISSUERS", default=())
    further = read_trust(listed, "TOKEN_ISSUERS") if listed else ()
    if listed and not settings.text("TOKEN_ISSUER", default=""):
        return further
    own = _read_own()
    if any(each.rules.issuer == own.rules.issuer for each in further):
        raise Misconfigured("TOKEN_ISSUERS has the issuer of TOKEN_ISSUER as well", what="TOKEN_ISSUERS")
    return (own, *further)


def _read_own() -> TrustedIssuer:
    """The short form of one issuer."""
    usual = Claims()
    claims = Claims(
        settings.text("GROUPS_CLAIM", default=usual.groups), settings.text("TENANT_CLAIM", default=usual.tenant)
    )
    rules = IssuerRules(settings.text("TOKEN_ISSUER"), frozenset({settings.text("TOKEN_AUDIENCE")}), claims)
    url = settings.text("TOKEN_KEYS_URL", default="")
    if url and not is_keys_url(url):
        raise Misconfigured("TOKEN_KEYS_URL is neither https nor http on this machine", what="TOKEN_KEYS_URL")
    given = not url or settings.text("TOKEN_KEYS", default="")
    return TrustedIssuer(rules, url, _read_bundle(settings.json_object("TOKEN_KEYS")) if given else None)


def _read_bundle(key_set: Mapping[str, object]) -> KeySet:
    try:
        return read_keys(key_set)
    except InvalidKeys as cause:
        raise Misconfigured(f"TOKEN_KEYS is no usable key set: {cause}", what="TOKEN_KEYS") from cause


@asynccontextmanager
async def open_gate(*, open_source: OpenSource, clock: Clock, chance: Chance) -> AsyncGenerator[Gate]:
    """The gate of the settings; `open_source` opens the place that a URL names. Raises: Misconfigured."""
    stale_s = settings.integer("KEYS_STALE_S", minimum=0, maximum=int(LONGEST_STALE_S), default=int(STALE_S))
    async with AsyncExitStack() as stack:
        entrances: list[Entrance] = []
        for trusted in read_issuers():
            source = await stack.enter_async_context(open_source(trusted.keys_url)) if trusted.keys_url else None
            cache = KeyCache(trusted.bundle, stale_s=stale_s)
            ring = KeyRing(trusted.rules.issuer, cache, source=source, clock=clock, chance=chance)
            stack.callback(ring.close)
            entrances.append(Entrance(trusted.rules, ring))
        yield Gate(entrances, clock=clock)
