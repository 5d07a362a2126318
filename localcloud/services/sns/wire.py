"""SNS on the wire: the Query protocol, in forms and XML.

Owns the protocol's envelope and which IAM actions a request needs; the actions themselves are `operations`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from localcloud.services.contract import ACCOUNT_ID, Permission, WireRequest, WireResponse
from localcloud.services.iam.tags import ContextPairs, request_tags, tag_keys, with_resource_tags
from localcloud.services.sns.errors import SnsError
from localcloud.services.sns.model import Topics
from localcloud.services.sns.operations import ACTIONS, NOT_SERVED, Call
from localcloud.services.sns.parameters import Parameters
from localcloud.services.sns.query import read_form, write_error, write_result

__all__ = ["SnsService"]

_VERSION: Final = "2010-03-31"
_ON_EVERYTHING: Final = frozenset(  # service authorization reference: actions that name no resource
    (
        "GetSubscriptionAttributes",
        "ListSubscriptions",
        "ListTopics",
        "SetSubscriptionAttributes",
        "Unsubscribe",
    )
)
_SAME_AS: Final = {"PublishBatch": "Publish"}


@dataclass(frozen=True, slots=True)
class _Decoded:
    action: str
    parameters: Parameters


class SnsService:
    """The SNS API. `principal_of` gives the ARN of an access key's owner."""

    name = "sns"

    def __init__(
        self, topics: Topics, *, principal_of: Callable[[str], str] = lambda _: f"arn:aws:iam::{ACCOUNT_ID}:root"
    ) -> None:
        self._topics = topics
        self._principal_of = principal_of
        self._last: tuple[WireRequest, _Decoded] | None = None  # IAM's check and the action read the same request

    async def handle(self, request: WireRequest) -> WireResponse:
        """Answer `request`."""
        as_json = "application/json" in request.headers.get("accept", "")
        headers = {"content-type": "application/json" if as_json else "text/xml"}
        try:
            decoded = self._decode(request)
            call = Call(
                self._topics,
                request.region,
                decoded.parameters,
                principal=self._principal_of(request.access_key),
                trace_header=request.headers.get("x-amzn-trace-id", ""),
            )
            result = await ACTIONS[decoded.action](call)
        except SnsError as error:
            return WireResponse(error.status, write_error(error, request.request_id, as_json=as_json), headers)
        return WireResponse(200, write_result(decoded.action, result, request.request_id, as_json=as_json), headers)

    def permissions(self, request: WireRequest) -> tuple[Permission, ...]:
        """The action on its topic's ARN; none where the request is malformed, for that is answered first."""
        try:
            decoded = self._decode(request)
            resource = self._resource(decoded, request.region)
            context = _context(decoded)
        except SnsError:
            return ()
        needed = [Permission(f"sns:{_SAME_AS.get(decoded.action, decoded.action)}", resource, context)]
        if decoded.action == "CreateTopic" and context:
            needed.append(Permission("sns:TagResource", resource, context))
        return with_resource_tags(needed, self.tags_of)

    def tags_of(self, action: str, arn: str) -> Mapping[str, str] | None:  # noqa: ARG002 - they count for every action
        """The tags of a topic, None where there is none."""
        topic = self._topics.find(arn)
        return topic.tags if topic is not None else None

    def _resource(self, decoded: _Decoded, region: str) -> str:
        parameters = decoded.parameters
        if decoded.action in _ON_EVERYTHING or parameters.has("PhoneNumber"):
            return "*"
        if decoded.action == "CreateTopic":
            return self._topics.arn_of(parameters.required("Name"), region)
        name = next((each for each in ("TopicArn", "TargetArn") if parameters.has(each)), "ResourceArn")
        return parameters.required(name)

    def _decode(self, request: WireRequest) -> _Decoded:
        if self._last is not None and self._last[0] is request:
            return self._last[1]
        try:
            body = request.body.decode()
        except UnicodeDecodeError as error:
            raise SnsError("MalformedQueryString", "The request's body is not UTF-8.") from error
        values = read_form("&".join(part for part in (request.query, body) if part))
        action, version = values.get("Action"), values.get("Version", _VERSION)
        if not isinstance(action, str) or not action:
            raise SnsError("MissingAction", "The request must contain the parameter Action.")
        if version != _VERSION:
            raise SnsError("NoSuchVersion", f"The requested version ( {version} ) is not valid.")
        if action in NOT_SERVED:
            raise SnsError("UnsupportedOperation", f"{action} is not served by this local cloud.")
        if action not in ACTIONS:
            raise SnsError("InvalidAction", f"The action {action} is not valid for this web service.")
        decoded = _Decoded(action, Parameters(values))
        self._last = (request, decoded)
        return decoded


def _context(decoded: _Decoded) -> ContextPairs:
    """The condition keys of an action. Raises SnsError: InvalidParameter, MalformedInput."""
    parameters = decoded.parameters
    if decoded.action in {"CreateTopic", "TagResource"}:
        return request_tags(parameters.tags())
    if decoded.action == "UntagResource":
        return tag_keys(parameters.texts("TagKeys"))
    if decoded.action != "Subscribe":
        return ()
    found = {"sns:Endpoint": parameters.text("Endpoint"), "sns:Protocol": parameters.text("Protocol")}
    return tuple((key, value) for key, value in found.items() if value)
