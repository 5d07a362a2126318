"""The `metrics` step and `count`: CloudWatch metrics of an invocation, written once at its end in the embedded format.

Values are gathered in a context variable, so concurrent invocations do not mix, and a flow counts without knowing
whether the function lists the step. Powertools Metrics writes them; every cold start has a metric, so it is imported
when the environment opens, at init, and not in somebody's request. Must not know what is counted.
Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

from __future__ import annotations

from contextvars import ContextVar

from sluiceway import log, settings
from sluiceway.errors import DeadlineExceeded
from sluiceway.events.invocation import Invocation
from sluiceway.steps import Next

__all__ = ["count", "metrics"]

_gathered: ContextVar[list[tuple[str, float, str]] | None] = ContextVar("sluiceway_metrics", default=None)


def count(name: str, value: float = 1, *, unit: str = "Count") -> None:
    """Add `value` to the invocation's metrics; nothing where the function does not list the step.

    `unit` is a CloudWatch unit: `Count`, `Milliseconds`, `Bytes`, ... `name` and `unit` are the program's own words,
    never a caller's.
    """
    gathered = _gathered.get()
    if gathered is not None:
        gathered.append((name, value, unit))


def metrics(following: Next) -> Next:
    """Write an invocation's metrics at its end, `ColdStart` and `DeadlineExceeded` among them.

    The dimension is `service`, the function's name; the namespace is the setting POWERTOOLS_METRICS_NAMESPACE.
    Raises: Misconfigured at init where the namespace is unset.
    """
    namespace = settings.text("POWERTOOLS_METRICS_NAMESPACE")
    log.defer_powertools()
    from aws_lambda_powertools.metrics import EphemeralMetrics  # noqa: PLC0415 - only who lists the step pays

    async def run(event: object, call: Invocation) -> object:
        gathered: list[tuple[str, float, str]] = []
        token = _gathered.set(gathered)
        if call.cold_start:
            count("ColdStart")
        try:
            return await following(event, call)
        except DeadlineExceeded:
            count("DeadlineExceeded")
            raise
        finally:
            _gathered.reset(token)
            if gathered:
                sink = EphemeralMetrics(namespace=namespace, service=call.function_name)
                for name, value, unit in gathered:
                    sink.add_metric(name=name, unit=unit, value=value)
                sink.flush_metrics()

    return run
