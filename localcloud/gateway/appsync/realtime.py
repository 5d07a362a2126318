"""Event APIs over WebSocket: the handshake, and the protocol's operations on an open connection.

An API is at `/<api id>/event/realtime`, and at `/event/realtime` under the host name it has on AWS. Each message of a
client is a task of its own, so those that wait for a function do not hold up the others.
Source: https://docs.aws.amazon.com/appsync/latest/eventapi/event-api-websocket-protocol.html
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import re
from collections.abc import Mapping
from typing import Any, Final, cast

from localcloud.gateway.appsync.connection import RealtimeConnection
from localcloud.gateway.message import HttpRequest
from localcloud.gateway.websocket.connection import GOING_AWAY
from localcloud.json_text import MalformedJson, parse_json
from localcloud.services.appsync.broker import Broker, Sender, Subscription
from localcloud.services.appsync.errors import AppSyncError, bad_request
from localcloud.services.appsync.model import EventApi

__all__ = ["SUBPROTOCOL", "Realtime"]

SUBPROTOCOL: Final = "aws-appsync-event-ws"
TIMEOUT_MS: Final = 300_000  # connectionTimeoutMs, the page above
MAX_SUBSCRIPTIONS: Final = 100  # of a connection; quota "Subscriptions per connection"
MAX_UNDER_WAY: Final = 200  # ours: messages of one client that are not answered yet
_HEADER: Final = "header-"
_HOST: Final = re.compile(r"([a-z0-9]+)\.appsync-realtime-api\.[\w-]+\.[\w.-]+(?::\d+)?", re.IGNORECASE)
_PATH: Final = re.compile(r"/([a-z0-9]+)/event/realtime")
_ID: Final = re.compile(r"[a-zA-Z0-9_+-]{1,128}")
_LOG: Final = logging.getLogger(__name__)


class Realtime:
    """Every connection to Event APIs. `group` owns the tasks; `close()` before it ends."""

    subprotocol = SUBPROTOCOL

    def __init__(self, broker: Broker, *, group: asyncio.TaskGroup) -> None:
        self.broker = broker
        self.group = group
        self._open: dict[_Client, EventApi] = {}
        broker.apis.watch_removals(self._drop)

    async def connect(self, handshake: HttpRequest) -> RealtimeConnection | None:
        """A connection to be opened, None where the address is no Event API's.

        A client that may not connect is told so on the open connection, which is closed then: a browser sees nothing of
        a refused handshake.
        """
        api = self.broker.apis.find(_read_address(handshake))
        if api is None:
            return None
        try:
            headers = _read_protocols(handshake.header("sec-websocket-protocol") or "")
            await self.broker.connect(api, Sender(headers, handshake.source_ip))
        except AppSyncError as error:
            _LOG.info("appsync.connect_refused api=%s code=%s", api.id, error.code)
            return RealtimeConnection(refusal={"type": "connection_error", **_errors(error)})
        connection = RealtimeConnection()
        client = _Client(self, api, connection, source_ip=handshake.source_ip)
        self._open[client] = api
        connection.serve(client)
        return connection

    def leave(self, client: _Client) -> None:
        """The client is gone."""
        self._open.pop(client, None)

    def close(self) -> None:
        """Close every connection and drop what is under way."""
        for client in tuple(self._open):
            client.close()

    def _drop(self, api: EventApi) -> None:
        for client, connected in tuple(self._open.items()):
            if connected is api:
                client.close()


class _Client:
    """One client: its subscriptions and what it asks for. It is its connection's Session, and a Listener."""

    def __init__(self, realtime: Realtime, api: EventApi, connection: RealtimeConnection, *, source_ip: str) -> None:
        self._realtime = realtime
        self._broker = realtime.broker
        self._api = api
        self._connection = connection
        self._source_ip = source_ip
        self._subscriptions: dict[str, Subscription | None] = {}  # None: being made
        self._tasks: set[asyncio.Task[None]] = set()
        self._actions = {
            "publish": self._publish,
            "subscribe": self._subscribe,
            "unsubscribe": self._unsubscribe,
        }

    # ---- the connection's Session

    def received(self, text: str) -> None:
        """A message: answered in a task of its own."""
        if len(self._tasks) >= MAX_UNDER_WAY:
            self._send({"type": "error", **_errors(AppSyncError("LimitExceededException", "Rate limit exceeded", 429))})
            return
        task = self._realtime.group.create_task(self._guard(text))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def ended(self) -> None:
        """The connection is no more: nothing is heard, and what is under way is dropped."""
        self._realtime.leave(self)
        for subscription in self._subscriptions.values():
            if subscription is not None:
                self._broker.unsubscribe(subscription)
        self._subscriptions.clear()
        for task in tuple(self._tasks):
            task.cancel()

    def close(self) -> None:
        """End the connection."""
        self._connection.close(GOING_AWAY)

    # ---- a Listener

    def hear(self, subscription_id: str, text: str) -> None:
        """Tell the client of an event."""
        self._send({"type": "data", "id": subscription_id, "event": text})

    def miss(self, subscription_id: str) -> None:
        """Tell the client that it misses an event."""
        error = AppSyncError("MessageProcessingError", "There was an error processing the message", 500)
        self._send({"type": "broadcast_error", "id": subscription_id, **_errors(error)})

    # ---- messages

    async def _guard(self, text: str) -> None:
        """Whatever goes wrong belongs to this message, never to the group."""
        try:
            await self._answer(text)
        except Exception:  # noqa: BLE001 - the outermost edge of a message
            _LOG.exception("appsync.failed api=%s", self._api.id)
            error = AppSyncError("InternalFailure", "The local cloud failed; its log says why.", 500)
            self._send({"type": "error", **_errors(error)})

    async def _answer(self, text: str) -> None:
        try:
            message = _read_message(text)
        except AppSyncError as error:
            self._send({"type": "error", **_errors(error)})
            return
        kind = message.get("type")
        if kind == "connection_init":
            self._send({"type": "connection_ack", "connectionTimeoutMs": TIMEOUT_MS})
            return
        action = self._actions.get(kind) if isinstance(kind, str) else None
        if action is None:
            said = "unknown not supported through the realtime channel"
            self._send({"type": "error", **_errors(AppSyncError("UnsupportedOperation", said, 400))})
            return
        given = message.get("id")
        about = {"id": given} if isinstance(given, str) else {}
        try:
            if not isinstance(given, str) or _ID.fullmatch(given) is None:
                raise bad_request("Invalid operation id")
            self._send({**about, "type": f"{kind}_success", **await action(given, message)})
        except AppSyncError as error:
            self._send({**about, "type": f"{kind}_error", **_errors(error)})

    async def _publish(self, _id: str, message: Mapping[str, Any]) -> Mapping[str, Any]:
        published = await self._broker.publish(self._api, message, self._sender(message))
        return published.to_json()

    async def _subscribe(self, given: str, message: Mapping[str, Any]) -> Mapping[str, Any]:
        if given in self._subscriptions:
            raise AppSyncError("DuplicatedOperationError", f"Duplicated operation id {given}", 400)
        if len(self._subscriptions) >= MAX_SUBSCRIPTIONS:
            raise AppSyncError("MaxSubscriptionsReachedError", "Max number of subscriptions reached", 400)
        self._subscriptions[given] = None
        made: Subscription | None = None
        try:
            made = await self._broker.subscribe(self._api, message, self._sender(message), listener=self)
        finally:
            if made is None:
                self._subscriptions.pop(given, None)
        self._subscriptions[given] = made
        return {}

    async def _unsubscribe(self, given: str, _message: Mapping[str, Any]) -> Mapping[str, Any]:
        subscription = self._subscriptions.get(given)
        if subscription is None:
            raise AppSyncError("UnknownOperationError", f"Unknown operation id {given}", 400)
        del self._subscriptions[given]
        self._broker.unsubscribe(subscription)
        return {}

    def _sender(self, message: Mapping[str, Any]) -> Sender:
        given = message.get("authorization")
        return Sender(_read_headers(given if given is not None else {}), self._source_ip)

    def _send(self, message: Mapping[str, Any]) -> None:
        self._connection.send(message)


def _read_address(handshake: HttpRequest) -> str:
    """The id of the API that a handshake is for, "" where it is for none."""
    named = _HOST.fullmatch(handshake.header("host") or "")
    if named is not None:
        return named[1].lower() if handshake.path == "/event/realtime" else ""
    found = _PATH.fullmatch(handshake.path)
    return found[1] if found is not None else ""


def _read_protocols(offered: str) -> dict[str, str]:
    """The authorization among the subprotocols that a client offers. Raises AppSyncError."""
    protocols = [each.strip() for each in offered.split(",")]
    if SUBPROTOCOL not in protocols:
        raise AppSyncError("NoProtocolError", f"The subprotocol {SUBPROTOCOL} must be offered", 400)
    shown = next((each.removeprefix(_HEADER) for each in protocols if each.startswith(_HEADER)), "")
    if not shown:
        return {}
    try:
        text = base64.b64decode(shown + "=" * (-len(shown) % 4), altchars=b"-_", validate=True)
        return _read_headers(parse_json(text))
    except (binascii.Error, MalformedJson, ValueError) as error:
        raise bad_request("The authorization header is not JSON in base64url") from error


def _read_headers(value: object) -> dict[str, str]:
    """The headers of an authorization, by lower-case name. Raises AppSyncError."""
    if not isinstance(value, dict):
        raise bad_request("The authorization is not a JSON object")
    given = cast("dict[str, object]", value)
    if not all(isinstance(each, str) for each in given.values()):
        raise bad_request("The authorization has a header that is no text")
    return {name.lower(): str(each) for name, each in given.items()}


def _read_message(text: str) -> Mapping[str, Any]:
    try:
        value = parse_json(text)
    except MalformedJson as error:
        raise bad_request("The message is not JSON") from error
    if not isinstance(value, dict):
        raise bad_request("The message is not a JSON object")
    return cast("dict[str, Any]", value)


def _errors(error: AppSyncError) -> dict[str, Any]:
    return {"errors": [{"errorType": error.code, "message": error.message}]}
