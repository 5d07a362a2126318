"""What lives as long as the environment, and how a reply or an error becomes the request that answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from sluiceway.runtime.context import Call
from sluiceway.runtime.faults import Failure, describe_failure
from sluiceway.runtime.handler import Driven, Handler
from sluiceway.runtime.logs import Sink, is_json, log_failure
from sluiceway.runtime.marshal import encode_plain, encode_reply
from sluiceway.runtime.requests import Requests

__all__ = ["Desk"]


class Desk(NamedTuple):
    """The process's variables, the handler (`app` too where it is driven), the Runtime API's place, the log."""

    environ: Mapping[str, str]
    handler: Handler
    app: Driven | None
    address: str
    requests: Requests
    sink: Sink

    def encode(self, call: Call, reply: object) -> bytes:
        """The request that answers with `reply`. Raises: RuntimeFault."""
        if self.app is not None and not isinstance(reply, bytes):  # a codec made it, of JSON types alone
            return self.requests.response(call, encode_plain(reply), "application/json")
        return self.requests.response(call, *encode_reply(reply))

    def fail(self, call: Call, error: BaseException) -> Failure:
        """The function error that `error` is, written to the log."""
        failure = describe_failure(error, request_id=call.request_id)
        self.report(failure)
        return failure

    def report(self, failure: Failure) -> None:
        """Write a function error to the log."""
        log_failure(failure, self.sink, as_json=is_json(self.environ))
