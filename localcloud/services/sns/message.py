"""What a publisher sends: its rules, its size, what of it each protocol gets. Pure; knows no topic and no protocol.

Sources: https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
and https://docs.aws.amazon.com/sns/latest/dg/sns-message-attributes.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, cast

from localcloud.json_text import MalformedJson, read_json
from localcloud.services.sns.errors import invalid, invalid_attribute

__all__ = [
    "MAX_MESSAGE_BYTES",
    "Attribute",
    "Publication",
    "check_attributes",
    "check_publication",
    "check_token",
    "message_size_bytes",
    "read_structure",
]

MAX_MESSAGE_BYTES: Final = 262_144  # API_Publish: 256 KB, message and attributes together
MAX_SUBJECT_CHARS: Final = 100  # API_Publish
MAX_NAME_CHARS: Final = 256  # sns-message-attributes
_TYPE: Final = re.compile(r"(String|Number|Binary)(\..+)?", re.DOTALL)
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_NAME_CHARACTER: Final = re.compile(r"[A-Za-z0-9_.-]")
_TOKEN: Final = re.compile(r"[A-Za-z0-9!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~]{1,128}")


@dataclass(frozen=True, slots=True)
class Attribute:
    """A message attribute: `value` is bytes for the Binary types, text for the others."""

    data_type: str
    value: str | bytes


@dataclass(frozen=True, slots=True)
class Publication:
    """One message as it was published. `texts`: MessageStructure json's, by protocol, None where it has none.

    `group_id` and `deduplication_id` are "" where absent, `subject` None.
    """

    message: str
    subject: str | None = None
    attributes: Mapping[str, Attribute] = field(default_factory=dict[str, Attribute])
    texts: Mapping[str, str] | None = None
    group_id: str = ""
    deduplication_id: str = ""

    def text_for(self, protocol: str) -> str:
        """What subscribers of a protocol get."""
        if self.texts is None:
            return self.message
        return self.texts.get(protocol, self.texts["default"])


def message_size_bytes(publication: Publication) -> int:
    """What counts against the message size: the message, and each attribute's name, type and value."""
    size = len(publication.message.encode())
    for name, attribute in publication.attributes.items():
        value = attribute.value if isinstance(attribute.value, bytes) else attribute.value.encode()
        size += len(name.encode()) + len(attribute.data_type.encode()) + len(value)
    return size


def check_publication(publication: Publication) -> None:
    """Hold subject, message and attributes against their rules.

    Raises SnsError: InvalidParameter, ParameterValueInvalid.
    """
    subject = publication.subject
    if subject is not None and (not 1 <= len(subject) <= MAX_SUBJECT_CHARS or not subject.isprintable()):
        raise invalid("Subject")
    if not publication.message:
        raise invalid("Empty message")
    check_attributes(publication.attributes)
    if message_size_bytes(publication) > MAX_MESSAGE_BYTES:
        raise invalid("Message too long")


def check_token(name: str, token: str) -> None:
    """Hold a group or deduplication id against its rules. Raises SnsError: InvalidParameter."""
    if not _TOKEN.fullmatch(token):
        raise invalid(
            f"{name} Reason: {name} can only include alphanumeric and punctuation characters. 1 to 128 in length"
        )


def read_structure(structure: str, message: str) -> Mapping[str, str] | None:
    """The texts by protocol of MessageStructure `json`, None for "". Values that are no text are passed over.

    Raises SnsError: InvalidParameter.
    """
    if not structure:
        return None
    if structure != "json":
        raise invalid("MessageStructure")
    try:
        decoded = read_json(message.encode())
    except MalformedJson:
        decoded = None
    if not isinstance(decoded, dict):
        raise invalid("Message Structure - JSON message body failed to parse")
    texts = {name: text for name, text in cast("dict[str, object]", decoded).items() if isinstance(text, str)}
    if "default" not in texts:
        raise invalid("Message Structure - No default entry in JSON message body")
    return texts


def check_attributes(attributes: Mapping[str, Attribute]) -> None:
    """Hold message attributes against their rules. Raises SnsError: ParameterValueInvalid."""
    for name, attribute in attributes.items():
        _check_name(name)
        _check_value(name, attribute)


def _check_name(name: str) -> None:
    if len(name) > MAX_NAME_CHARS:
        raise invalid_attribute(f"Length of message attribute name must be less than {MAX_NAME_CHARS} bytes.")
    if not name:
        raise invalid_attribute("The message attribute name must not be empty.")
    if name.startswith("."):
        raise invalid_attribute("Invalid message attribute name starting with character '.' was found.")
    if name.endswith("."):
        raise invalid_attribute("Invalid message attribute name ending with character '.' was found.")
    for character in name:
        if not _NAME_CHARACTER.fullmatch(character):
            raise invalid_attribute(
                f"Invalid non-alphanumeric character '#x{ord(character):X}' was found in the message attribute name. "
                "Can only include alphanumeric characters, hyphens, underscores, or dots."
            )
    if ".." in name:
        raise invalid_attribute("Message attribute name can not have successive '.' character.")


def _check_value(name: str, attribute: Attribute) -> None:
    data_type, value = attribute.data_type, attribute.value
    if not _TYPE.fullmatch(data_type):
        raise invalid_attribute(
            f"The message attribute '{name}' has an invalid message attribute type, "
            "the set of supported type prefixes is Binary, Number, and String."
        )
    prefix = data_type.partition(".")[0]
    if not value:
        raise invalid_attribute(
            f"The message attribute '{name}' must contain non-empty message attribute value "
            f"for message attribute type '{data_type}'."
        )
    if isinstance(value, bytes) != (prefix == "Binary"):
        kind = "Binary" if prefix == "Binary" else "String"
        raise invalid_attribute(f"The message attribute '{name}' with type '{data_type}' must use field '{kind}'.")
    is_number = prefix == "Number" and data_type != "Number.Array"
    if is_number and isinstance(value, str) and not _NUMBER.fullmatch(value):
        raise invalid_attribute(f"Could not cast message attribute '{name}' value to number.")
