"""EventBridge's error answers, with the codes and, as far as they are known, the words of AWS. Knows no state.

Source: https://docs.aws.amazon.com/eventbridge/latest/APIReference/CommonErrors.html
"""

from __future__ import annotations

__all__ = [
    "EventsError",
    "invalid_pattern",
    "limit_exceeded",
    "managed_rule",
    "missing_archive",
    "missing_bus",
    "missing_replay",
    "missing_rule",
    "not_served",
    "validation",
]


class EventsError(Exception):
    """EventBridge refuses the request: an error's `code` and its `message`. All of them are answered with 400."""

    status = 400

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def validation(message: str) -> EventsError:
    """A parameter makes no sense."""
    return EventsError("ValidationException", message)


def missing_bus(name: str) -> EventsError:
    """There is no bus of this name (or ARN)."""
    return EventsError("ResourceNotFoundException", f"Event bus {name} does not exist.")


def missing_rule(name: str, bus: str) -> EventsError:
    """The bus has no rule of this name."""
    return EventsError("ResourceNotFoundException", f"Rule {name} does not exist on EventBus {bus}.")


def missing_archive(name: str) -> EventsError:
    """There is no archive of this name."""
    return EventsError("ResourceNotFoundException", f"Archive {name} does not exist.")


def missing_replay(name: str) -> EventsError:
    """There is no replay of this name."""
    return EventsError("ResourceNotFoundException", f"Replay {name} does not exist.")


def managed_rule(name: str) -> EventsError:
    """A rule is AWS's own: only what it was made for changes it."""
    message = f"{name} is a managed rule. Set 'force' parameter to true to override."
    return EventsError("ManagedRuleException", message)


def limit_exceeded() -> EventsError:
    """A quota is used up; AWS does not say which."""
    return EventsError("LimitExceededException", "The requested resource exceeds the maximum number allowed.")


def invalid_pattern(reason: str) -> EventsError:
    """An event pattern breaks a rule of the language."""
    return EventsError("InvalidEventPatternException", f"Event pattern is not valid. Reason: {reason}")


def not_served(what: str) -> EventsError:
    """An error of our own: AWS would take `what` (a plural or an action), the local cloud does not and says so."""
    return validation(f"{what} not served by this local cloud.")
