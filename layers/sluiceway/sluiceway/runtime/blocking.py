"""The Runtime API over one blocking socket: the cheapest way where one invocation runs at a time.

While `next` waits nothing else could run anyway: Lambda freezes the environment. Measured against an asyncio transport
in bench/runtime.py; the decision is docs/adr/0006. Signal handlers run while it waits.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Final

from sluiceway.aws.http1 import ReplyParser
from sluiceway.runtime.context import Call
from sluiceway.runtime.outcome import (
    BROKEN,
    DELAYS_S,
    Reply,
    RuntimeApiError,
    check_answer,
    check_ok,
    expect_call,
)
from sluiceway.runtime.requests import Requests

__all__ = ["BlockingApi"]

RECEIVE_BYTES: Final = 64 * 1024  # past 128 KiB the C library maps memory anew for each: 20 us


class BlockingApi:
    """A client of the Runtime API at `address` (`host:port`). Not for use by two threads."""

    def __init__(self, address: str, requests: Requests, *, sleep: Callable[[float], None] = time.sleep) -> None:
        host, _, port = address.rpartition(":")
        self._place = (host.strip("[]"), int(port))
        self._requests = requests
        self._sleep = sleep
        self._socket: socket.socket | None = None

    def next(self) -> Call:
        """Wait for the next invocation, however long. Raises: RuntimeApiError."""
        return expect_call(self._ask(self._requests.next)[0])

    def answer(self, call: Call, request: bytes) -> None:
        """Send the answer to an invocation. Raises: RuntimeApiError where the process must end."""
        reply, again = self._ask(request)
        check_answer(reply, call, again=again)

    def post(self, request: bytes) -> None:
        """Send a call that belongs to no invocation and wait for its answer. Raises: RuntimeApiError."""
        check_ok(self._ask(request)[0])

    def close(self) -> None:
        """Drop the connection; the next call makes another."""
        held, self._socket = self._socket, None
        if held is not None:
            held.close()

    def _ask(self, request: bytes) -> tuple[Reply, bool]:
        """The reply, and whether the request may have arrived before."""
        again = False
        for delay_s in DELAYS_S:
            try:
                return self._exchange(request), again
            except BROKEN as cause:
                self.close()
                again = again or not isinstance(cause, ConnectionRefusedError)
                self._sleep(delay_s)
        try:
            return self._exchange(request), again
        except BROKEN as cause:
            raise RuntimeApiError(f"the runtime API cannot be reached: {cause}") from cause

    def _exchange(self, request: bytes) -> Reply:
        connection = self._socket or self._connect()
        connection.sendall(request)
        parser = ReplyParser()
        while not parser.complete:
            data = connection.recv(RECEIVE_BYTES)
            if data:
                parser.feed(data)
            else:
                parser.end()
        if not parser.keep_alive:
            self.close()
        head = parser.head
        if head is None:
            raise ConnectionResetError("the connection ended without a reply")
        return Reply(head.status, head.headers, parser.take_body())

    def _connect(self) -> socket.socket:
        self._socket = connection = socket.create_connection(self._place)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection
