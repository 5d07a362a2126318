"""ListTags, TagResource, UntagResource, of functions. The tags of event source mappings are set when those are made.

Source: https://docs.aws.amazon.com/lambda/latest/dg/configuration-tags.html
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from localcloud.compute.function import parse_reference
from localcloud.compute.versions import FunctionRecord
from localcloud.services.contract import WireResponse
from localcloud.services.lambda_.api import ApiParts, answer, no_content
from localcloud.services.lambda_.errors import bad_constraint, no_such_function, refused
from localcloud.services.lambda_.members import Members
from localcloud.services.lambda_.routes import Call

__all__ = ["list_tags", "read_tags", "tag_resource", "untag_resource"]

MAX_TAGS: Final = 50  # configuration-tags: per function
MAX_KEY: Final = 128  # the same
MAX_VALUE: Final = 256  # the same
_PATTERN: Final = (
    r"arn:(aws[a-zA-Z-]*):lambda:[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:function:[a-zA-Z0-9-_]+"
)


def read_tags(members: Members) -> dict[str, str]:
    """The member `Tags`. Raises LambdaError."""
    tags = members.text_map("Tags")
    for key, value in tags.items():
        if not 1 <= len(key) <= MAX_KEY or len(value) > MAX_VALUE or key.lower().startswith("aws:"):
            raise refused(
                f"The tag {key[:MAX_KEY]!r} is not valid: a key has 1 to {MAX_KEY} characters and no prefix aws:, "
                f"a value at most {MAX_VALUE}"
            )
    return _bounded(tags)


async def list_tags(api: ApiParts, call: Call) -> WireResponse:
    """The tags of a function."""
    return answer({"Tags": dict(_find(api, call).spec.tags)})


async def tag_resource(api: ApiParts, call: Call) -> WireResponse:
    """Add tags, and change those that are there."""
    tags = read_tags(Members.read(call.request.body))
    if not tags:
        raise refused("An error occurred and the request cannot be processed.")
    record = _find(api, call)
    record.note(replace(record.spec, tags=_bounded({**record.spec.tags, **tags})))
    return no_content()


async def untag_resource(api: ApiParts, call: Call) -> WireResponse:
    """Take tags away, if they are there."""
    keys = call.query.get("tagKeys", [])
    if not keys:
        raise bad_constraint("tagKeys", "null", "Member must not be null")
    record = _find(api, call)
    record.note(replace(record.spec, tags={key: value for key, value in record.spec.tags.items() if key not in keys}))
    return no_content()


def _find(api: ApiParts, call: Call) -> FunctionRecord:
    arn = call.parts["Resource"]
    reference = parse_reference(arn)
    if ":event-source-mapping:" in arn or ":code-signing-config:" in arn:
        raise refused(f"{arn}: only functions have tags that are changed in this local cloud")
    if reference is None or not reference.region:
        raise bad_constraint("resource", arn, f"Member must satisfy regular expression pattern: {_PATTERN}")
    if reference.qualifier:
        raise refused("Tags on function aliases and versions are not supported. Please specify a function ARN.")
    record = api.records.get(reference.name)
    if record is None or record.spec.region != reference.region:
        raise no_such_function(arn)
    return record


def _bounded(tags: dict[str, str]) -> dict[str, str]:
    if len(tags) > MAX_TAGS:
        raise refused("Number of tags exceeds resource tag limit.")
    return tags
