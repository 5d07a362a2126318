"""Verification: the parts of a token, a key set and the issuer's rules put together, in one order for everybody.

Form, header, issuer, key, signature, claims: what costs least comes first, and no claim is believed before the
signature. Must not know where keys come from.
"""

from __future__ import annotations

from sluiceway.rules.tokens.claims import Claims, Identity, IssuerRules, check_claims
from sluiceway.rules.tokens.compact import Unverified, read_token
from sluiceway.rules.tokens.keys import Key, KeySet
from sluiceway.rules.tokens.refusals import InvalidToken
from sluiceway.rules.tokens.signatures import is_signed_with

__all__ = ["Verifier", "verify_with"]

_CLAIMS = Claims()


def verify_with(keys: KeySet, token: Unverified, rules: IssuerRules, *, now_s: float) -> Identity:
    """Whom `token` speaks for at `now_s` (epoch seconds), within 30 s of leeway. Raises: InvalidToken."""
    key = _choose_key(keys, token)
    if not is_signed_with(key.public, token.algorithm, signed=token.signed, signature=token.signature):
        raise InvalidToken("signature")
    return check_claims(token.claims, rules, now_s=now_s)


def _choose_key(keys: KeySet, token: Unverified) -> Key:
    """The one that `kid` names; none is tried on the off chance. RFC 8725 section 3.1."""
    if token.key_id in keys.unusable:
        raise InvalidToken(keys.unusable[token.key_id])
    key = keys.keys.get(token.key_id)
    if key is None:
        raise InvalidToken("unknown-key")
    if token.algorithm not in key.algorithms:
        raise InvalidToken("key-mismatch")
    return key


class Verifier:
    """Verifies tokens of `issuer` for `audience` with keys that are here for good. `claims` names what is read."""

    def __init__(self, keys: KeySet, *, issuer: str, audience: str, claims: Claims = _CLAIMS) -> None:
        self._keys = keys
        self._rules = IssuerRules(issuer, frozenset({audience}), claims)

    def verify(self, token: str, *, now_s: float) -> Identity:
        """Whom `token` speaks for at `now_s` (epoch seconds), within 30 s of leeway. Raises: InvalidToken."""
        read = read_token(token)
        if read.issuer != self._rules.issuer:
            raise InvalidToken("issuer" if "iss" in read.claims else "missing-claim")
        return verify_with(self._keys, read, self._rules, now_s=now_s)
