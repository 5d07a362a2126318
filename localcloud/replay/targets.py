"""Where recorded events go: Lambda's Invoke API (local or deployed), `sam local invoke`, HTTP and WebSocket URLs.

Each target turns one case into one reply in the form that was recorded. It compares nothing and prints nothing.
"""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, cast
from urllib.parse import quote, urlencode

from localcloud.caller import TIMEOUT_S, Answer, LambdaEndpoint, Unreachable, fetch
from localcloud.replay.cases import Case
from localcloud.replay.websocket import WebSocket
from sluiceway.rules.tokens import name_caller

__all__ = ["HttpTarget", "LambdaTarget", "SamTarget", "Target", "WebSocketTarget", "logical_id"]


class Target(Protocol):
    """One place to send events to."""

    def refusal(self, case: Case) -> str:
        """Why this event cannot be sent here, in a few words; "" where it can."""
        ...

    def send(self, case: Case) -> object:
        """Send it; the reply in its recorded form. Raises Unreachable."""
        ...


_NEEDS_BEARER: Final = "it needs a bearer token: --token or $TOKEN"


def logical_id(function: str) -> str:
    """The template's name of a function's folder: `read_job` is `ReadJob`."""
    return "".join(word.capitalize() for word in function.split("_"))


@dataclass(frozen=True, slots=True)
class LambdaTarget:
    """The Invoke API. `names` maps a case's folder to a function name."""

    endpoint: LambdaEndpoint
    names: Mapping[str, str]
    token: str = ""

    def refusal(self, case: Case) -> str:
        """Only functions that this target knows; token cases need a token."""
        if case.function not in self.names:
            return f"there is no function {logical_id(case.function)}"
        return _NEEDS_BEARER if case.needs_token and not self.token else ""

    def send(self, case: Case) -> object:
        """Invoke it; a function error's payload is the reply, as Lambda gives it."""
        body = json.dumps(case.as_sent(token=self.token, caller="")).encode()
        invoked = self.endpoint.invoke(self.names[case.function], body)
        return _parse(invoked.payload or b"null", self.names[case.function])


@dataclass(frozen=True, slots=True)
class SamTarget:
    """`sam local invoke`, one run a case; `extra` goes to it unchanged (`--docker-network host`, `--env-vars FILE`)."""

    template: Path
    extra: Sequence[str] = ()
    program: str = "sam"

    def refusal(self, case: Case) -> str:
        """Everything but cases that need a token: sam sends the file as it is."""
        return "sam sends the file as it is, without a token" if case.needs_token else ""

    def arguments(self, case: Case) -> list[str]:
        """The argument list that is run for `case`."""
        start = [self.program, "local", "invoke", logical_id(case.function)]
        return [*start, "--template", str(self.template), "--event", str(case.path), *self.extra]

    def send(self, case: Case) -> object:
        """Run it; the last line that sam prints is the function's reply. Raises Unreachable."""
        try:
            done = subprocess.run(self.arguments(case), capture_output=True, text=True, check=False, timeout=TIMEOUT_S)  # noqa: S603 - the user's own sam
        except FileNotFoundError as error:
            message = f"{self.program} is not installed; see https://docs.aws.amazon.com/serverless-application-model"
            raise Unreachable(message) from error
        except subprocess.TimeoutExpired as error:
            message = f"{self.program} did not end in {TIMEOUT_S:.0f} s"
            raise Unreachable(message) from error
        lines = done.stdout.strip().splitlines()
        if done.returncode != 0 or not lines:
            message = f"sam ended with {done.returncode}: {done.stderr.strip()[-300:]}"
            raise Unreachable(message)
        return _parse(lines[-1], self.program)


@dataclass(frozen=True, slots=True)
class HttpTarget:
    """A deployed HTTP endpoint: proxy events become the requests that they were made from."""

    url: str
    token: str = ""

    def refusal(self, case: Case) -> str:
        """Proxy events only; those behind an authorizer need a token."""
        if "httpMethod" not in case.event or case.event.get("type") == "REQUEST":
            return "no HTTP request alone makes it"
        return _NEEDS_BEARER if case.principal and not self.token else ""

    def send(self, case: Case) -> object:
        """Send it; status, body and the recorded headers as the function's proxy reply has them. Raises Unreachable."""
        event = case.as_sent(token=self.token, caller=caller_of(self.token))
        lists = cast("dict[str, list[str]]", event.get("multiValueQueryStringParameters") or {})
        query = urlencode([(name, value) for name, values in lists.items() for value in values])
        url = self.url.rstrip("/") + quote(str(event["path"])) + (f"?{query}" if query else "")
        headers = {name: str(value) for name, value in cast("dict[str, Any]", event.get("headers") or {}).items()}
        headers = {k: v for k, v in headers.items() if k.lower() not in {"host", "authorization", "content-length"}}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        body = str(event.get("body") or "")
        raw = base64.b64decode(body) if event.get("isBase64Encoded") else body.encode()
        answer = fetch(url, method=str(event["httpMethod"]), headers=headers, body=raw)
        return _proxy_reply(answer, case.reply)


@dataclass(frozen=True, slots=True)
class WebSocketTarget:
    """A WebSocket endpoint: the body of a recorded message is sent, the next message back is the reply."""

    url: str
    token: str = ""
    timeout_s: float = 30.0

    def refusal(self, case: Case) -> str:
        """Events of a WebSocket API that carry a message."""
        context = cast("dict[str, Any]", case.event.get("requestContext") or {})
        sendable = context.get("eventType") == "MESSAGE" and "body" in case.event
        return "" if sendable else "it is no message of a WebSocket API"

    def send(self, case: Case) -> object:
        """One connection, one message out, one message in. Raises Unreachable, WebSocketRefused."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        try:
            with WebSocket(self.url, headers=headers, timeout_s=self.timeout_s) as socket:
                socket.send(str(case.as_sent(token=self.token, caller="")["body"]))
                return _parse(socket.receive(), self.url)
        except OSError as error:
            message = f"{self.url} does not answer: {error}"
            raise Unreachable(message) from error


def caller_of(token: str) -> str:
    """The principal that the authorizer gives this token's subject; "" for no token. The signature is not looked at.

    Raises ValueError for text that is no token with an issuer and a subject.
    """
    if not token:
        return ""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return name_caller(str(claims["iss"]), str(claims["sub"]))
    except (ValueError, LookupError, TypeError) as error:
        message = "the token is no JSON Web Token with an issuer and a subject"
        raise ValueError(message) from error


def _proxy_reply(answer: Answer, recorded: object) -> dict[str, object]:
    """An HTTP answer as a proxy reply; of its headers those that the recorded reply has, in its own spelling."""
    reply = cast("dict[str, Any]", recorded) if isinstance(recorded, dict) else {}
    named = reply.get("headers")
    names = list(cast("dict[str, Any]", named)) if isinstance(named, dict) else []
    kept = {name: answer.headers[name.lower()] for name in names if name.lower() in answer.headers}
    try:
        body, encoded = answer.body.decode(), False
    except UnicodeDecodeError:
        body, encoded = base64.b64encode(answer.body).decode(), True
    return {"statusCode": answer.status, "headers": kept, "body": body, "isBase64Encoded": encoded}


def _parse(reply: str | bytes, sender: str) -> object:
    try:
        return cast("object", json.loads(reply))
    except ValueError as error:
        message = f"the reply of {sender} is not JSON: {str(reply[:100])!r}"
        raise Unreachable(message) from error
