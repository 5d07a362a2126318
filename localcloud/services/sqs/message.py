"""One message: what may be in it, how large it counts, its checksums. Pure; knows no queue and no protocol.

Sources: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
and https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from localcloud.services.sqs.errors import SqsError, invalid_value, missing

__all__ = [
    "MAX_MESSAGE_BYTES",
    "AttributeValue",
    "Content",
    "Message",
    "check_content",
    "check_id",
    "content_size_bytes",
    "md5_of_attributes",
    "md5_of_body",
]

MAX_MESSAGE_BYTES: Final = 1_048_576  # quotas-messages: 1 MiB, body and attributes together
MAX_ATTRIBUTES: Final = 10  # quotas-messages
MAX_NAME_CHARS: Final = 256  # sqs-message-metadata: attribute name and data type
MAX_ID_CHARS: Final = 128  # quotas-messages: MessageGroupId; SendMessage, ReceiveMessage: the other ids

_ALLOWED: Final = "#x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF"
_FORBIDDEN: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NAME: Final = re.compile(r"[A-Za-z0-9_\-]+(\.[A-Za-z0-9_\-]+)*")
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_ID: Final = re.compile(r"[A-Za-z0-9!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~]+")
_PREFIXES: Final = ("String", "Number", "Binary")
_PERIODS: Final = {
    ".x": "Message (user) attribute name must not begin with character '.'.",
    "x.": "Message (user) attribute name must not end with character '.'.",
    "..": "Message (user) attribute name must not have successive '.' characters.",
}
_NAME_CHARACTERS: Final = (
    "Message (user) attribute name can only contain upper and lower case characters, digits, periods, hyphens and "
    "underscores."
)


@dataclass(frozen=True, slots=True)
class AttributeValue:
    """A message attribute: `value` is bytes for the Binary types, str for the others."""

    data_type: str
    value: str | bytes


@dataclass(frozen=True, slots=True)
class Content:
    """What a producer sends. `system` holds AWSTraceHeader; `group_id` is MessageGroupId, `deduplication_id` is
    MessageDeduplicationId ("" for none).
    """

    body: str
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict[str, AttributeValue])
    system: Mapping[str, AttributeValue] = field(default_factory=dict[str, AttributeValue])
    group_id: str = ""
    deduplication_id: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """What one receive gives. `system` has every system attribute, dates as epoch milliseconds in text."""

    message_id: str
    receipt_handle: str
    content: Content
    system: Mapping[str, str]

    @property
    def body(self) -> str:
        """The body as sent."""
        return self.content.body

    @property
    def message_attributes(self) -> Mapping[str, AttributeValue]:
        """The producer's attributes."""
        return self.content.attributes

    @property
    def md5_of_body(self) -> str:
        """Hex."""
        return md5_of_body(self.content.body)


def md5_of_body(body: str) -> str:
    """Hex MD5 of the body in UTF-8."""
    return hashlib.md5(body.encode(), usedforsecurity=False).hexdigest()


def md5_of_attributes(attributes: Mapping[str, AttributeValue]) -> str:
    """Hex MD5 over names, types and values, sorted by name; "" where there are none.

    Source: sqs-message-metadata, "Calculating the MD5 message digest for message attributes".
    """
    if not attributes:
        return ""
    digest = hashlib.md5(usedforsecurity=False)
    for name in sorted(attributes):
        attribute = attributes[name]
        binary = isinstance(attribute.value, bytes)
        for part in (name.encode(), attribute.data_type.encode()):
            digest.update(struct.pack(">I", len(part)) + part)
        value = attribute.value if isinstance(attribute.value, bytes) else attribute.value.encode()
        digest.update((b"\x02" if binary else b"\x01") + struct.pack(">I", len(value)) + value)
    return digest.hexdigest()


def content_size_bytes(content: Content) -> int:
    """What counts against the message size: body, and each attribute's name, type and value; refused ones too."""
    size = _size_bytes(content.body)
    for name, attribute in content.attributes.items():
        value = attribute.value
        size += _size_bytes(name) + _size_bytes(attribute.data_type)
        size += len(value) if isinstance(value, bytes) else _size_bytes(value)
    return size


def _size_bytes(text: str) -> int:
    if text.isascii():
        return len(text)
    return len(text.encode(errors="surrogatepass"))  # half a character is refused elsewhere, by name


def check_content(content: Content, *, max_bytes: int = MAX_MESSAGE_BYTES) -> None:
    """Hold a message against every rule that both types of queue share.

    Raises SqsError: MissingParameter, InvalidMessageContents, InvalidParameterValue.
    """
    if not content.body:
        raise missing("MessageBody")
    found = _FORBIDDEN.search(content.body)
    if found:
        raise SqsError(
            "InvalidMessageContents",
            f"Invalid binary character '#x{ord(found[0]):X}' was found in the message body, "
            f"the set of allowed characters is {_ALLOWED}",
        )
    if len(content.attributes) > MAX_ATTRIBUTES:
        raise invalid_value(
            f"Number of message attributes [{len(content.attributes)}] exceeds the allowed maximum [{MAX_ATTRIBUTES}]."
        )
    for name, attribute in content.attributes.items():
        _check_name(name)
        _check_attribute(name, attribute)
    _check_system(content)
    if content_size_bytes(content) > max_bytes:
        raise invalid_value(
            f"One or more parameters are invalid. Reason: Message must be shorter than {max_bytes} bytes."
        )


def _check_name(name: str) -> None:
    if not name:
        raise invalid_value("The request must contain non-empty message (user) attribute names.")
    if len(name) > MAX_NAME_CHARS:
        raise invalid_value(f"Message (user) attribute name must be shorter than {MAX_NAME_CHARS} bytes.")
    if not _NAME.fullmatch(name):
        raise invalid_value(_PERIODS.get(_misplaced_period(name), _NAME_CHARACTERS))
    if name.lower().startswith(("aws.", "amazon.")):
        raise invalid_value(
            "You can't use message attribute names beginning with 'AWS.' or 'Amazon.'. "
            "These strings are reserved for internal use."
        )


def _misplaced_period(name: str) -> str:
    return ".x" if name[0] == "." else "x." if name[-1] == "." else ".." if ".." in name else ""


def _check_attribute(name: str, attribute: AttributeValue) -> None:
    data_type, value = attribute.data_type, attribute.value
    if not data_type:
        raise invalid_value(f"Message (user) attribute '{name}' must contain a non-empty attribute type.")
    prefix = data_type.partition(".")[0]
    if prefix not in _PREFIXES:
        raise invalid_value(
            f"The type of message (user) attribute '{name}' is invalid. "
            "You must use only the following supported type prefixes: Binary, Number, String."
        )
    if len(data_type) > MAX_NAME_CHARS or _FORBIDDEN.search(data_type):
        raise invalid_value(f"Message (user) attribute type must be shorter than {MAX_NAME_CHARS} bytes.")
    if isinstance(value, bytes) != (prefix == "Binary"):
        raise invalid_value(
            f"Message (user) attribute '{name}' with type '{data_type}' must use field "
            f"'{'Binary' if prefix == 'Binary' else 'String'}'."
        )
    if not value:
        raise invalid_value(f"Message (user) attribute '{name}' must contain a non-empty value of type '{data_type}'.")
    if isinstance(value, str):
        _check_text(name, prefix, value)


def _check_text(name: str, prefix: str, value: str) -> None:
    found = _FORBIDDEN.search(value)
    if found:
        raise invalid_value(
            f"Invalid binary character '#x{ord(found[0]):X}' was found in the message attribute '{name}' value, "
            f"the set of allowed characters is {_ALLOWED}"
        )
    if prefix == "Number" and not _NUMBER.fullmatch(value):
        raise invalid_value(f"Can't cast the value of message (user) attribute '{name}' to a number.")


def _check_system(content: Content) -> None:
    for name, attribute in content.system.items():
        if name != "AWSTraceHeader":
            raise invalid_value(f"Message system attribute name '{name}' is invalid.")
        if attribute.data_type != "String" or not isinstance(attribute.value, str) or not attribute.value:
            raise invalid_value("The message system attribute 'AWSTraceHeader' must be a non-empty String.")
        _check_text(name, "String", attribute.value)
    check_id("MessageGroupId", content.group_id)
    check_id("MessageDeduplicationId", content.deduplication_id)


def check_id(name: str, value: str) -> None:
    """Hold an id that the caller made against its length and characters; "" passes. Raises SqsError."""
    if value and (len(value) > MAX_ID_CHARS or not _ID.fullmatch(value)):
        raise invalid_value(
            f"Value {value} for parameter {name} is invalid. Reason: {name} can only include "
            "alphanumeric and punctuation characters. 1 to 128 in length."
        )
