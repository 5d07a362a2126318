"""Why a token is refused: a closed list, so that a metric's dimension has as many values and no more.

A reason goes to logs and metrics and is never told to the caller. docs/authorizer.md has the list in words.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

from sluiceway.errors import Rejected

__all__ = ["REASONS", "InvalidKeys", "InvalidToken", "Reason"]

Reason = Literal[
    "missing", "too-large", "malformed", "not-canonical", "encrypted", "duplicate-member", "too-deep",
    "algorithm", "critical-header", "compressed", "nested", "type", "key-id",
    "issuer", "unknown-key", "key-mismatch", "weak-key", "invalid-key", "signature",
    "missing-claim", "audience", "date", "subject", "groups", "tenant", "context", "expired", "not-yet-valid",
]  # fmt: skip
REASONS: Final[frozenset[str]] = frozenset(get_args(Reason))


class InvalidToken(Rejected):
    """The token does not let its bearer in. `reason`: one of REASONS, for logs and metrics, never for the caller."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(f"the token is refused: {reason}", reason=reason)


class InvalidKeys(Rejected):
    """The key set cannot be used; the message says what is wrong, without key material."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason="invalid-keys")
