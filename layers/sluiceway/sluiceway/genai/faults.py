"""What can go wrong at a model, the same words for every provider.

They say "later" (`Retryable`), "never" (`Rejected`) or "not in this deployment" (`Denied`); nothing else of a
provider's error gets inward. `Rejected.reason` is the stable code that a job's problem and a dead letter carry.
"""

from __future__ import annotations

from sluiceway.errors import Misconfigured, Rejected, Retryable

__all__ = ["ContentFiltered", "ContextTooLong", "Denied", "Invalid", "Overloaded", "Throttled", "Timeout"]


class Throttled(Retryable):
    """The quota is spent for now; `after_s` says for how long, where the provider said it."""


class Overloaded(Retryable):
    """The model or its service fails for now."""


class Timeout(Retryable):
    """The model did not answer in time."""


class Invalid(Rejected):
    """The model cannot take this request, nor would it later."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason="model-invalid-request")


class Denied(Misconfigured):
    """This deployment may not use the model, or not that much of it, or there is no such model; no request could."""

    def __init__(self, message: str) -> None:
        super().__init__(message, what="model")


class ContextTooLong(Rejected):
    """Prompt and answer together do not fit the model's context."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason="context-too-long", field="prompt")


class ContentFiltered(Rejected):
    """A guardrail or the model's own filter withheld the answer."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason="content-filtered")
