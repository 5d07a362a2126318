"""A Converse request as a prompt for a model: what Bedrock checks, and what is not served here. Pure.

Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html

A last message of the assistant is accepted, as Bedrock does for models that go on from it. That it must not end in
white space is the rule of one vendor's models ("The model returned the following errors: messages: final assistant
content cannot end with trailing whitespace", https://github.com/aws/aws-sdk-net/pull/4015) and not held here.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Final, cast, get_args

from localcloud.models.engine import Prompt, Role, Turn
from localcloud.services.bedrock.errors import invalid

__all__ = ["read_converse"]

MAX_STOP_SEQUENCES: Final = 2_500  # InferenceConfiguration
MAX_METADATA: Final = 16  # RequestMetadata
_SERVED: Final = frozenset(("inferenceConfig", "messages", "modelId", "requestMetadata", "system"))
_NOT_SERVED: Final = frozenset(
    (
        "additionalModelRequestFields",
        "additionalModelResponseFieldPaths",
        "guardrailConfig",
        "outputConfig",
        "performanceConfig",
        "promptVariables",
        "serviceTier",
        "toolConfig",
    )
)
_BLOCKS: Final = frozenset(
    (
        "audio",
        "cachePoint",
        "citationsContent",
        "document",
        "guardContent",
        "image",
        "reasoningContent",
        "searchResult",
        "toolResult",
        "toolUse",
        "video",
    )
)


def read_converse(body: object) -> Prompt:
    """The prompt of a request body. Raises BedrockError: ValidationException."""
    fields = _structure("the request", body)
    for name, value in fields.items():
        if name in _NOT_SERVED and value not in (None, {}, []):
            raise invalid(f"{name} is not served by this local cloud.")
        if name not in _SERVED and name not in _NOT_SERVED:
            raise invalid(f"Malformed input request: extraneous key [{name}] is not permitted.")
    _check_metadata(fields.get("requestMetadata"))
    config = _structure("inferenceConfig", fields.get("inferenceConfig") or {})
    for name in config:
        if name not in ("maxTokens", "stopSequences", "temperature", "topP"):
            raise invalid(f"Malformed input request: extraneous key [inferenceConfig.{name}] is not permitted.")
    return Prompt(
        turns=_read_turns(fields.get("messages")),
        system=_read_system(fields.get("system")),
        max_tokens=_read_max_tokens(config.get("maxTokens")),
        temperature=_read_fraction("temperature", config.get("temperature")),
        top_p=_read_fraction("topP", config.get("topP")),
        stop=_read_stop(config.get("stopSequences")),
    )


def _read_turns(value: object) -> tuple[Turn, ...]:
    turns: list[Turn] = []
    for at, item in enumerate(_list("messages", value)):
        message = _structure(f"messages.{at}", item)
        turns.append(Turn(_read_role(at, message.get("role")), _read_content(at, message.get("content"))))
    if not turns or turns[0].role != "user":
        raise invalid(
            "A conversation must start with a user message. "
            "Try again with a conversation that starts with a user message."
        )
    if any(before.role == after.role for before, after in itertools.pairwise(turns)):
        raise invalid(
            "A conversation must alternate between user and assistant roles. "
            "Make sure the conversation alternates between user and assistant roles and try again."
        )
    return tuple(turns)


def _read_role(at: int, role: object) -> Role:
    for known in get_args(Role):
        if role == known:
            return known
    raise _violation(f"messages.{at + 1}.member.role", role, "Member must satisfy enum value set: [user, assistant]")


def _read_content(at: int, value: object) -> str:
    blocks = _list(f"messages.{at}.content", value)
    if not blocks:
        raise invalid(
            f"The content field in the Message object at messages.{at} is empty. "
            "Add a ContentBlock object to the content field and try again."
        )
    texts: list[str] = []
    for number, block in enumerate(blocks):
        text = _read_text(f"messages.{at}.content.{number}", block)
        if not text.strip():
            raise invalid(
                f"The text field in the ContentBlock object at messages.{at}.content.{number} is blank. "
                "Add text to the text field, and try again."
            )
        texts.append(text)
    return "\n".join(texts)


def _read_system(value: object) -> str:
    texts: list[str] = []
    for number, block in enumerate(_list("system", value)):
        text = _read_text(f"system.{number}", block)
        if not text:
            raise _violation(
                f"system.{number + 1}.member.text", text, "Member must have length greater than or equal to 1"
            )
        texts.append(text)
    return "\n".join(texts)


def _read_text(path: str, value: object) -> str:
    block = _structure(path, value)
    other = sorted(block.keys() - {"text"})
    if other:
        known = "is not served by this local cloud, text is" if other[0] in _BLOCKS else "is not a kind of content"
        raise invalid(f"{path}.{other[0]} {known}.")
    text = block.get("text")
    if not isinstance(text, str):
        raise invalid(f"{path} must have exactly one member, such as text.")
    return text


def _read_max_tokens(value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise invalid("inferenceConfig.maxTokens is not a whole number.")
    if value < 1:
        raise _violation("inferenceConfig.maxTokens", value, "Member must have value greater than or equal to 1")
    return value


def _read_fraction(name: str, value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise invalid(f"inferenceConfig.{name} is not a number.")
    if value < 0:
        raise _violation(f"inferenceConfig.{name}", value, "Member must have value greater than or equal to 0")
    if value > 1:
        raise _violation(f"inferenceConfig.{name}", value, "Member must have value less than or equal to 1")
    return float(value)


def _read_stop(value: object) -> tuple[str, ...]:
    sequences = _list("inferenceConfig.stopSequences", value)
    if len(sequences) > MAX_STOP_SEQUENCES:
        raise _violation("inferenceConfig.stopSequences", "...", "Member must have length less than or equal to 2500")
    for sequence in sequences:
        if not isinstance(sequence, str) or not sequence:
            raise _violation(
                "inferenceConfig.stopSequences", sequence, "Member must have length greater than or equal to 1"
            )
    return tuple(cast("list[str]", sequences))


def _check_metadata(value: object) -> None:
    metadata = _structure("requestMetadata", value or {})
    if len(metadata) > MAX_METADATA or not all(isinstance(item, str) for item in metadata.values()):
        raise invalid("requestMetadata must be a map of 1 to 16 strings.")


def _list(path: str, value: object) -> list[object]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise invalid(f"{path} is not a list.")
    return cast("list[object]", value)


def _structure(path: str, value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise invalid(f"{path} is not a structure.")
    return cast("dict[str, object]", value)


def _violation(path: str, value: object, constraint: str) -> Exception:
    return invalid(
        f"1 validation error detected: Value '{value}' at '{path}' failed to satisfy constraint: {constraint}"
    )
