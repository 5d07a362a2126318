"""What a test holds in its hands: the template's application, running, with clients, functions and their logs.

Made anew for each test around the cloud of the session. Every method may be called from a sync test, and from an async
one whose loop may wait for it; what waits has an `_async` form beside it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from boto3.session import Session

from localcloud.caller import Unreachable
from localcloud.compute.function import FunctionSpec
from localcloud.issuer import LocalIssuer
from localcloud.testing.clock import SETTLE_S, TestClock
from localcloud.testing.environment import KEYS
from localcloud.testing.faults import Faults
from localcloud.testing.hosting import CloudEnded, HostedCloud
from localcloud.testing.timeline import Timeline, show

__all__ = ["App", "Invoked"]

MAX_LINES: Final = 20  # of each function's log, in a report


@dataclass(frozen=True, slots=True)
class Invoked:
    """What Invoke answered. `payload` is the decoded JSON, None where there is none; `error` the error's type or ""."""

    status: int
    payload: Any
    error: str
    request_id: str
    log: str


class App:
    """The application of one test, from `open` until `close`."""

    def __init__(self, host: HostedCloud) -> None:
        self._host = host
        self._clients: dict[tuple[str, str], Any] = {}
        self.timeline = Timeline(host)
        self.clock = TestClock(host, host.activity)
        self.faults = Faults(host)

    def open(self) -> None:
        """The test begins."""
        self._host.run(self.timeline.open)

    def close(self) -> None:
        """The test has ended: its faults are over, its clients closed."""
        self.faults.end()
        self._host.run(self.timeline.close)
        for (kind, _), made in self._clients.items():
            (made if kind == "client" else made.meta.client).close()
        self._clients.clear()

    def settle(self, timeout_s: float = SETTLE_S) -> None:
        """Wait until nothing happens any more unless time passes. Raises Unsettled. See `TestClock.settle`."""
        self.clock.settle(timeout_s)

    async def settle_async(self, timeout_s: float = SETTLE_S) -> None:
        """The same; the test's own loop goes on."""
        await self.clock.settle_async(timeout_s)

    def describe(self) -> list[tuple[str, str]]:
        """What a failed test's report says: the end of the timeline, and of the log of each function that ran."""
        try:
            return self._describe()
        except CloudEnded as ended:
            return [("sluiceway", f"  the local cloud has ended: {ended.__cause__!r}")]

    def _describe(self) -> list[tuple[str, str]]:
        entries = self.timeline.entries
        sections = [("sluiceway timeline", show(entries))]
        ran = sorted({entry.name for entry in entries if entry.kind in {"invocation", "init"}})
        for name in ran:
            lines = [f"  {line.rstrip()}" for line in self.logs(name)]
            sections.append((f"sluiceway log of {name}", "\n".join(lines[-MAX_LINES:])))
        return sections

    # ------------------------------------------------------------------ where things are

    @property
    def region(self) -> str:
        """The Region that it runs in."""
        return self._host.cloud.state.region

    @property
    def endpoint(self) -> str:
        """The address of every AWS API."""
        return self._host.cloud.state.endpoints["aws"]

    @property
    def outputs(self) -> dict[str, str]:
        """The stack's outputs, addresses as they are reached here."""
        return dict(self._host.cloud.state.outputs)

    def url(self, logical_id: str) -> str:
        """The address of an API, a stage's path in it, or of a Function URL, without a slash at its end.

        Raises LookupError, which names those that there are.
        """
        return _find(self._host.cloud.state.endpoints, logical_id.lower(), "API", named=logical_id)

    def physical(self, logical_id: str) -> str:
        """What `Ref` gives: a queue's URL, a table's name. Those of nested stacks have dotted ids (`Child.Queue`).

        Raises LookupError, which names those that there are.
        """
        return _find(self._host.cloud.deployed.whole, logical_id, "resource").physical.ref

    def attribute(self, logical_id: str, name: str) -> str:
        """What `Fn::GetAtt` gives, such as the `Arn`. Raises LookupError."""
        made = _find(self._host.cloud.deployed.whole, logical_id, "resource")
        return str(_find(made.physical.attributes, name, f"attribute of {logical_id}"))

    # ------------------------------------------------------------------ clients

    def client(self, service: str, **settings: Any) -> Any:
        """A boto3 client of the service; `settings` as boto3 takes them. Those without are made once for the test."""
        return self._make("client", service, settings)

    def resource(self, service: str, **settings: Any) -> Any:
        """A boto3 resource of the service, the same."""
        return self._make("resource", service, settings)

    def _make(self, kind: str, service: str, settings: Mapping[str, Any]) -> Any:
        made = self._clients.get((kind, service)) if not settings else None
        if made is None:
            made = getattr(_session(self.region), kind)(service, **{"endpoint_url": self.endpoint, **settings})
            if not settings:
                self._clients[kind, service] = made
        return made

    # ------------------------------------------------------------------ functions

    def invoke(self, function: str, payload: object = None, *, invocation_type: str = "RequestResponse") -> Invoked:
        """Invoke a function by logical id or name: `payload` as JSON, `Event` queues it.

        Raises LookupError, and LambdaError for what Lambda refuses. An error of the function is in the answer.
        """
        return self._host.run(lambda: self._invoke(function, payload, invocation_type))

    async def invoke_async(
        self, function: str, payload: object = None, *, invocation_type: str = "RequestResponse"
    ) -> Invoked:
        """The same; the test's own loop goes on."""
        return await asyncio.wrap_future(self._host.submit(lambda: self._invoke(function, payload, invocation_type)))

    async def _invoke(self, function: str, payload: object, invocation_type: str) -> Invoked:
        name = self._name_of(function)
        sent = b"" if payload is None else json.dumps(payload).encode()
        functions = self._host.cloud.compute.functions
        result = await functions.invoke(name, sent, invocation_type=invocation_type, log_tail=True)
        answer = json.loads(result.payload) if result.payload else None
        return Invoked(result.status, answer, result.error_type, result.request_id, result.log_tail.decode())

    def variables(self, function: str) -> dict[str, str]:
        """The environment variables that the template gives a function, for tests that call its code themselves."""
        return dict(self._spec_of(function).environment)

    def logs(self, function: str) -> list[str]:
        """The lines in a function's log group since the test began, those of the platform too. Raises LookupError."""
        group = self._spec_of(function).group

        async def read() -> list[str]:
            return [event.message for event in self._host.cloud.services.logs.events(group)]

        return self._host.run(read)

    def token(self, subject: str = "developer", *, minutes: int = 60, **claims: object) -> str:
        """A bearer token of the local issuer, from the cloud's date on. Raises ValueError as the issuer does."""
        cloud, host = self._host.cloud, self._host
        issuer = LocalIssuer.open(host.options.issuer_folder)
        audience = str(claims.pop("audience", cloud.state.audience))
        return issuer.token(subject=subject, audience=audience, minutes=minutes, clock=host.clock, claims=claims)

    # ------------------------------------------------------------------ inside

    def _name_of(self, function: str) -> str:
        try:
            return self._host.cloud.state.find_function(function)
        except Unreachable as error:
            raise LookupError(str(error)) from None

    def _spec_of(self, function: str) -> FunctionSpec:
        name = self._name_of(function)

        async def get() -> FunctionSpec:
            return self._host.cloud.compute.functions.get(name)

        return self._host.run(get)


@cache
def _session(region: str) -> Any:
    """Kept from test to test: it has read the models of services, which takes 0.1 s each time."""
    access_key, secret = KEYS
    return Session(access_key, secret, region_name=region)


def _find(there: Mapping[str, Any], key: str, what: str, *, named: str = "") -> Any:
    if key not in there:
        message = f"there is no {what} {named or key}; there are {', '.join(sorted(there)) or 'none'}"
        raise LookupError(message)
    return there[key]
