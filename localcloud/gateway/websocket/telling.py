"""What a stage of a WebSocket API tells of each event: CloudWatch's metrics, and a line of its access log.

Sources: https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-logging.html
and websocket-api-logging.html there
"""

from __future__ import annotations

from localcloud.gateway.errors import GatewayError
from localcloud.gateway.telling import NAMESPACE, Called, Telling, stream_of
from localcloud.gateway.websocket.definition import CONNECT, DISCONNECT, Stage
from localcloud.gateway.websocket.exchange import Exchange
from localcloud.services.cloudwatch.counting import Dimensions, Tally

__all__ = ["SocketTelling"]


class SocketTelling:
    """What one stage tells."""

    def __init__(self, telling: Telling, api_id: str, region: str, *, stage: Stage) -> None:
        sets: list[Dimensions] = [{"ApiId": api_id}, {"ApiId": api_id, "Stage": stage.name}]

        def tally(name: str, unit: str = "Count") -> Tally:
            return telling.counters.tally(NAMESPACE, name, sets, region=region, unit=unit)

        self._logs, self._log = telling.logs, stage.access_log
        self._stream = stream_of(api_id, stage.name)
        self._connects = tally("ConnectCount")
        self._messages = tally("MessageCount")
        self._client_errors = tally("ClientError")
        self._integration_errors = tally("IntegrationError")
        self._execution_errors = tally("ExecutionError")
        self._latency = tally("IntegrationLatency", "Milliseconds")

    def sent(self) -> None:
        """A message went to a client."""
        self._messages.note(1.0)

    def tell(self, exchange: Exchange, called: Called, status: int, *, error: GatewayError | None, mock: bool) -> None:
        """An event is settled. `mock`: its integration is one, whose time counts nowhere."""
        was_called = called.latency_ms is not None
        if exchange.route_key == CONNECT:
            if was_called:
                self._connects.note(1.0)
        elif exchange.route_key != DISCONNECT:
            self._messages.note(1.0)
        self._client_errors.note(1.0 if not was_called and 400 <= status < 500 else 0.0)
        self._execution_errors.note(1.0 if was_called and error is not None else 0.0)
        self._integration_errors.note(1.0 if was_called and error is None and status >= 400 else 0.0)
        if called.latency_ms is not None and not mock:
            self._latency.note(called.latency_ms)
        if self._log is not None:
            told = {**exchange.context(), **called.context(), "status": str(status)}
            if error is not None:
                told["error"] = {"message": error.message, "responseType": error.kind}
            self._logs.append(self._log.group, self._stream, self._log.fill(told))
