"""The framework's errors, one root, branched by what to do next.

`Retryable`: the same attempt may succeed later; the work goes back. `Rejected`: no retry can help (poison); the
work goes to the dead-letter queue with its reason. `Misconfigured`: the deployment is wrong, whatever the work: fail at
init, and where it shows later only, the work goes back and waits for somebody to mend the deployment.
`ServiceError` tells what an AWS service answered, and is one of the three as well.
Fields carry the facts; `str()` is for people. Must not know which code of a service means which branch:
`sluiceway.aws` does.
"""

from __future__ import annotations

from typing import TypedDict, cast

__all__ = [
    "ConditionFailed",
    "DeadlineExceeded",
    "Gone",
    "LeftInDoubt",
    "Misconfigured",
    "NotHome",
    "NotRecorded",
    "Parked",
    "PayloadConflict",
    "Rejected",
    "Retryable",
    "ServiceError",
    "ServiceFacts",
    "ServiceMisconfigured",
    "ServiceRefused",
    "ServiceUnavailable",
    "SluicewayError",
    "StillInProgress",
    "Withheld",
    "find_cause",
]


class SluicewayError(Exception):
    """Root of every error that the framework raises on purpose."""


class Retryable(SluicewayError):
    """The same attempt may succeed later. `after_s`: seconds to wait at least, None when nobody said."""

    def __init__(self, message: str, *, after_s: float | None = None) -> None:
        super().__init__(message)
        self.after_s = after_s


class Rejected(SluicewayError):
    """No retry can help. `reason` is a stable kebab-case code, `field` names the offending input where there is one."""

    def __init__(self, message: str, *, reason: str, field: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.field = field


class Misconfigured(SluicewayError):
    """The deployment is wrong; `what` names the setting or resource to mend."""

    def __init__(self, message: str, *, what: str) -> None:
        super().__init__(message)
        self.what = what


class DeadlineExceeded(Retryable):
    """The invocation's deadline came before the work was done."""


class Withheld(Retryable):
    """Nobody may begin this work here and now, whatever is at hand: the work goes back, and is not run unprotected."""


class NotHome(Withheld):
    """Another Region begins this work. `home` is that Region, "" where it is not known now."""

    def __init__(self, message: str, *, home: str = "", after_s: float | None = None) -> None:
        super().__init__(message, after_s=after_s)
        self.home = home


class StillInProgress(Retryable):
    """Another attempt holds the key of this work. `after_s` is the rest of its lease."""


class NotRecorded(Retryable):
    """This attempt was stopped or finished without its record; a repeat goes by what is stored."""


class Parked(Retryable):
    """Another Region may have begun the work; a repeat goes on once that Region can be asked."""


class PayloadConflict(Rejected):
    """The key came with another payload (reason `idempotency-key-reused`)."""


class LeftInDoubt(Rejected):
    """An earlier attempt began and never ended, and may not be run again (reason `idempotency-in-doubt`)."""


class Gone(Rejected):
    """Whoever was addressed is no more there: a connection that has been closed."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason="gone")


class ServiceFacts(TypedDict):
    """What a ServiceError says of its answer, as the arguments of another kind of ServiceError."""

    service: str
    operation: str
    code: str
    status: int
    request_id: str


class ServiceError(SluicewayError):
    """An AWS service's error answer, or none at all.

    `service` is the endpoint prefix (`dynamodb`), `operation` its API name (`PutItem`), `code` the error code without
    any namespace, `status` the HTTP status (0: no answer came), `request_id` what AWS support asks for ("" if none).
    """

    service: str
    operation: str
    code: str
    status: int
    request_id: str

    @property
    def facts(self) -> ServiceFacts:
        """For an error of another kind about the same answer: `ServiceUnavailable(str(error), **error.facts)`."""
        return ServiceFacts(
            service=self.service,
            operation=self.operation,
            code=self.code,
            status=self.status,
            request_id=self.request_id,
        )

    def _describe(self, *, service: str, operation: str, code: str, status: int, request_id: str) -> None:
        self.service, self.operation, self.code = service, operation, code
        self.status, self.request_id = status, request_id


class ServiceUnavailable(ServiceError, Retryable):
    """Throttled, overloaded or unreachable, after the client's own retries were spent."""

    def __init__(  # noqa: PLR0913 - the facts of one answer, all keyword-only
        self,
        message: str,
        *,
        service: str,
        operation: str,
        code: str,
        status: int = 0,
        request_id: str = "",
        after_s: float | None = None,
    ) -> None:
        Retryable.__init__(self, message, after_s=after_s)
        self._describe(service=service, operation=operation, code=code, status=status, request_id=request_id)


class ServiceRefused(ServiceError, Rejected):
    """The service refuses this request and would refuse it again."""

    def __init__(  # noqa: PLR0913 - the facts of one answer, all keyword-only
        self, message: str, *, service: str, operation: str, code: str, status: int = 400, request_id: str = ""
    ) -> None:
        Rejected.__init__(self, message, reason=f"{service}-{code}")
        self._describe(service=service, operation=operation, code=code, status=status, request_id=request_id)


class ServiceMisconfigured(ServiceError, Misconfigured):
    """The service refuses this deployment, not this request: no permission, wrong credentials, no such resource.

    `what` is the operation that was refused (`dynamodb:PutItem`).
    """

    def __init__(  # noqa: PLR0913 - the facts of one answer, all keyword-only
        self, message: str, *, service: str, operation: str, code: str, status: int = 403, request_id: str = ""
    ) -> None:
        Misconfigured.__init__(self, message, what=f"{service}:{operation}")
        self._describe(service=service, operation=operation, code=code, status=status, request_id=request_id)


class ConditionFailed(ServiceRefused):
    """A conditional write did not hold; `item` is the item found, where ALL_OLD asked for it (wire form), else None."""

    item: dict[str, object] | None = None


def find_cause(error: Exception) -> Exception:
    """What a task group wrapped, where that is one error alone."""
    while isinstance(error, ExceptionGroup):
        first, *others = cast("ExceptionGroup[Exception]", error).exceptions
        if others:
            break
        error = first
    return cast("Exception", error)
