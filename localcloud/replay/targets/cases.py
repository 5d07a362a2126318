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

from localcloud.caller import TIMEOUT_S, LambdaEndpoint, Unreachable, fetch
from localcloud.replay.cases import Case
from localcloud.replay.replies import DELIMITER, as_proxy_reply, read_json, read_payload
from localcloud.replay.websocket import WebSocket
from sluiceway.rules.tokens import name_caller

__all__ = ["HttpTarget", "LambdaTarget", "SamTarget", "Target", "WebSocketTarget", "caller_of", "logical_id"]


class Target(Protocol):
    """One place to send events to."""

    def refusal(self, case: Case) -> str:
        """Why this event cannot be sent here, in a few words; "" where it can."""
        ...

    def recorded(self, case: Case) -> object:
        """What is recorded of such a reply; NOT_RECORDED where nothing is."""
        ...

    def send(self, case: Case) -> object:
        """Send it; the reply in its recorded form. Raises Unreachable."""
        ...


_NEEDS_BEARER: Final = "it needs a bearer token: --token or $TOKEN"
_FUNCTION_URL: Final = "lambda-url"  # in its host on AWS, in its path here
_CORS: Final = "access-control-"
_GOES_ON: Final = frozenset({"delta", "tool", "reset", "retract", "ping"})  # frames that another one follows


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
            return f"{logical_id(case.function)} is not in this stack"
        return _NEEDS_BEARER if case.needs_token and not self.token else ""

    def recorded(self, case: Case) -> object:
        """The function's reply."""
        return case.reply

    def send(self, case: Case) -> object:
        """Invoke it; a function error's payload is the reply, as Lambda gives it."""
        body = json.dumps(case.as_sent(token=self.token, caller="")).encode()
        invoked = self.endpoint.invoke(self.names[case.function], body)
        return read_payload(invoked.payload, self.names[case.function])


@dataclass(frozen=True, slots=True)
class SamTarget:
    """`sam local invoke`, one run a case; `extra` goes to it unchanged (`--docker-network host`, `--env-vars FILE`)."""

    template: Path
    extra: Sequence[str] = ()
    program: str = "sam"

    def refusal(self, case: Case) -> str:
        """Everything but cases that need a token: sam sends the file as it is."""
        return "sam sends the file as it is, without a token" if case.needs_token else ""

    def recorded(self, case: Case) -> object:
        """The function's reply."""
        return case.reply

    def arguments(self, case: Case) -> list[str]:
        """The argument list that is run for `case`."""
        start = [self.program, "local", "invoke", logical_id(case.function)]
        return [*start, "--template", str(self.template), "--event", str(case.path), *self.extra]

    def send(self, case: Case) -> object:
        """Run it; the last line that sam prints is the function's reply. Raises Unreachable."""
        try:
            done = subprocess.run(self.arguments(case), capture_output=True, check=False, timeout=TIMEOUT_S)  # noqa: S603 - the user's own sam
        except FileNotFoundError as error:
            message = f"{self.program} is not installed; see https://docs.aws.amazon.com/serverless-application-model"
            raise Unreachable(message) from error
        except subprocess.TimeoutExpired as error:
            message = f"{self.program} did not end in {TIMEOUT_S:.0f} s"
            raise Unreachable(message) from error
        said = done.stdout.strip(b"\r\n\t ")
        if done.returncode != 0 or not said:
            message = f"sam ended with {done.returncode}: {done.stderr.decode(errors='replace').strip()[-300:]}"
            raise Unreachable(message)
        head, delimiter, body = said.partition(DELIMITER)  # a streamed body may have lines of its own
        return read_payload(head.rpartition(b"\n")[2] + delimiter + body, self.program)


@dataclass(frozen=True, slots=True)
class HttpTarget:
    """An HTTP endpoint, of an API or of a function: proxy events become the requests that they were made from."""

    url: str
    token: str = ""

    def refusal(self, case: Case) -> str:
        """Proxy events only; those behind an authorizer, or that had a token, need one."""
        if _request_of(case.event) is None:
            return "no HTTP request alone makes it"
        if _is_of_function_url(case.event) != (_FUNCTION_URL in self.url):
            return "it came through a Function URL" if _is_of_function_url(case.event) else "it came through an API"
        return _NEEDS_BEARER if not self.token and (case.principal or case.needs_token) else ""

    def recorded(self, case: Case) -> object:
        """The function's reply; the CORS headers of a Function URL are the URL's own, not the function's."""
        if not isinstance(case.reply, dict) or not _is_of_function_url(case.event):
            return cast("object", case.reply)
        reply = cast("Mapping[str, object]", case.reply)
        headers = {k: v for k, v in _members(reply, "headers").items() if not k.lower().startswith(_CORS)}
        return {**reply, "headers": headers}

    def send(self, case: Case) -> object:
        """Send it; status, body and the recorded headers as the function's proxy reply has them. Raises Unreachable."""
        event = case.as_sent(token=self.token, caller=caller_of(self.token))
        method, path, query = _request_of(event) or ("", "", "")
        headers = {name.lower(): str(value) for name, value in _members(event, "headers").items()}
        had_token = headers.pop("authorization", "")
        kept = {name: value for name, value in headers.items() if name not in {"host", "content-length"}}
        if self.token and (had_token or case.principal):  # who came without one is recorded as that
            kept["authorization"] = f"Bearer {self.token}"
        body = str(event.get("body") or "")
        raw = base64.b64decode(body) if event.get("isBase64Encoded") else body.encode()
        url = self.url.rstrip("/") + quote(path) + (f"?{query}" if query else "")
        return as_proxy_reply(fetch(url, method=method, headers=kept, body=raw), self.recorded(case))


def _request_of(event: Mapping[str, Any]) -> tuple[str, str, str] | None:
    """Method, path and query of a proxy event, payload 1.0 or 2.0; None for an event of another kind."""
    if event.get("type") == "REQUEST":
        return None  # an authorizer's, which the API makes
    request = _members(_members(event, "requestContext"), "http")
    if request and "rawPath" in event:
        return str(request["method"]), str(event["rawPath"]), str(event.get("rawQueryString") or "")
    if "httpMethod" not in event:
        return None
    lists = cast("Mapping[str, list[str]]", _members(event, "multiValueQueryStringParameters"))
    query = urlencode([(name, value) for name, values in lists.items() for value in values])
    return str(event["httpMethod"]), str(event["path"]), query


def _is_of_function_url(event: Mapping[str, Any]) -> bool:
    return _FUNCTION_URL in str(_members(event, "requestContext").get("domainName", ""))


def _members(event: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = event.get(name)
    return cast("Mapping[str, Any]", found) if isinstance(found, dict) else {}


@dataclass(frozen=True, slots=True)
class WebSocketTarget:
    """A WebSocket endpoint: the body of a recorded message is sent; the last frame that comes of it is the reply."""

    url: str
    token: str = ""
    timeout_s: float = 30.0

    def refusal(self, case: Case) -> str:
        """Events of a WebSocket API that carry a message."""
        sendable = _members(case.event, "requestContext").get("eventType") == "MESSAGE" and "body" in case.event
        return "" if sendable else "it is no message of a WebSocket API"

    def recorded(self, case: Case) -> object:
        """The last frame; what the function replied to the gateway is not seen here."""
        return case.frame

    def send(self, case: Case) -> object:
        """One connection, one message out, messages in until the last. Raises Unreachable, WebSocketRefused."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        try:
            with WebSocket(self.url, headers=headers, timeout_s=self.timeout_s) as socket:
                socket.send(str(case.as_sent(token=self.token, caller="")["body"]))
                while True:
                    message = read_json(socket.receive(), self.url)
                    if not _goes_on(message):
                        return message
        except OSError as error:
            message = f"{self.url} does not answer: {error}"
            raise Unreachable(message) from error


def _goes_on(message: object) -> bool:
    return isinstance(message, dict) and cast("dict[str, object]", message).get("t") in _GOES_ON


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
