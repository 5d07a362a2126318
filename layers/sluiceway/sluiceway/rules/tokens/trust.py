"""Whom a deployment trusts: the issuers of `TOKEN_ISSUERS` and the one of the short form, read and checked.

Every Region is given the same list. Must not know the environment: values come as arguments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, cast

from sluiceway.errors import Misconfigured
from sluiceway.rules.tokens.claims import Claims, IssuerRules
from sluiceway.rules.tokens.keys import KeySet, read_keys
from sluiceway.rules.tokens.refusals import InvalidKeys

__all__ = ["TrustedIssuer", "is_keys_url", "read_trust"]

MAX_ISSUERS: Final = 16  # each has connections and keys of its own
MAX_AUDIENCES: Final = 32
MAX_NAME: Final = 2_048  # characters of an issuer or audience
_MEMBERS: Final = frozenset({"issuer", "audiences", "keysUrl", "keys", "groupsClaim", "tenantClaim"})
_LOOPBACK: Final = ("127.0.0.1", "[::1]", "localhost")


class TrustedIssuer(NamedTuple):
    """One issuer: what its tokens must say, where its keys are ("" for nowhere), and the keys of the deployment."""

    rules: IssuerRules
    keys_url: str = ""
    bundle: KeySet | None = None


def is_keys_url(url: str) -> bool:
    """Whether keys may be read from `url`: https, or http from this machine, without user, query mark or fragment."""
    scheme, _, rest = url.partition("://")
    authority = rest.partition("/")[0]
    if not authority or not url.isascii() or not url.isprintable() or set(" @#\\") & set(url):
        return False
    name = authority if authority.endswith("]") else authority.rpartition(":")[0] or authority
    return scheme == "https" or (scheme == "http" and name in _LOOPBACK)


def read_trust(entries: Sequence[object], what: str) -> tuple[TrustedIssuer, ...]:
    """The issuers of a list as `TOKEN_ISSUERS` has it; `what` names it. Raises: Misconfigured, with the place."""
    if not 0 < len(entries) <= MAX_ISSUERS:
        raise Misconfigured(f"{what} has not 1 to {MAX_ISSUERS} issuers", what=what)
    found = tuple(_read_issuer(entry, f"{what}[{index}]", what=what) for index, entry in enumerate(entries))
    names = [each.rules.issuer for each in found]
    if len(set(names)) < len(names):
        raise Misconfigured(f"{what} has an issuer twice", what=what)
    return found


def _read_issuer(entry: object, place: str, *, what: str) -> TrustedIssuer:
    if not isinstance(entry, dict):
        raise Misconfigured(f"{place} is no object", what=what)
    fields = cast("Mapping[str, object]", entry)
    if unknown := sorted(set(fields) - _MEMBERS):
        raise Misconfigured(f"{place} has {unknown[0]}, which is not known", what=what)
    audiences = fields.get("audiences")
    if not isinstance(audiences, list) or not 0 < len(cast("list[object]", audiences)) <= MAX_AUDIENCES:
        raise Misconfigured(f"{place}.audiences has not 1 to {MAX_AUDIENCES} audiences", what=what)
    names = frozenset(_name(each, f"{place}.audiences", what) for each in cast("list[object]", audiences))
    url, keys = fields.get("keysUrl", ""), fields.get("keys")
    if not isinstance(url, str) or (url and not is_keys_url(url)):
        raise Misconfigured(f"{place}.keysUrl is neither https nor http on this machine", what=what)
    if not url and keys is None:
        raise Misconfigured(f"{place} has neither keysUrl nor keys", what=what)
    usual = Claims()
    claims = Claims(
        _name(fields.get("groupsClaim", usual.groups), f"{place}.groupsClaim", what),
        _name(fields.get("tenantClaim", usual.tenant), f"{place}.tenantClaim", what),
    )
    rules = IssuerRules(_name(fields.get("issuer"), f"{place}.issuer", what), names, claims)
    return TrustedIssuer(rules, url, None if keys is None else _bundle(keys, f"{place}.keys", what))


def _name(value: object, place: str, what: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= MAX_NAME or not value.isprintable():
        raise Misconfigured(f"{place} is no text of 1 to {MAX_NAME:,} characters", what=what)
    return value


def _bundle(value: object, place: str, what: str) -> KeySet:
    if not isinstance(value, dict):
        raise Misconfigured(f"{place} is no usable key set: it is no object", what=what)
    try:
        return read_keys(cast("Mapping[str, object]", value))
    except InvalidKeys as cause:
        raise Misconfigured(f"{place} is no usable key set: {cause}", what=what) from cause
