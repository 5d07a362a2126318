"""The errors of SQS, by whose fault they are, with the code each of its two protocols uses for them.

Source: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/CommonErrors.html and each action's page.
"""

from __future__ import annotations

from typing import Final

__all__ = ["SqsError", "invalid_value", "missing"]

_PREFIX: Final = "AWS.SimpleQueueService."

# JSON error shape -> (code of the Query protocol, HTTP status). The Query codes are older than the shapes' names.
_CODES: Final = {
    "BatchEntryIdsNotDistinct": (_PREFIX + "BatchEntryIdsNotDistinct", 400),
    "BatchRequestTooLong": (_PREFIX + "BatchRequestTooLong", 400),
    "EmptyBatchRequest": (_PREFIX + "EmptyBatchRequest", 400),
    "InvalidAddress": ("InvalidAddress", 404),
    "InvalidAttributeName": ("InvalidAttributeName", 400),
    "InvalidAttributeValue": ("InvalidAttributeValue", 400),
    "InvalidBatchEntryId": (_PREFIX + "InvalidBatchEntryId", 400),
    "InvalidMessageContents": ("InvalidMessageContents", 400),
    "InvalidParameterValueException": ("InvalidParameterValue", 400),
    "MessageNotInflight": (_PREFIX + "MessageNotInflight", 400),
    "MissingRequiredParameterException": ("MissingParameter", 400),
    "OverLimit": ("OverLimit", 403),
    "PurgeQueueInProgress": (_PREFIX + "PurgeQueueInProgress", 403),
    "QueueDeletedRecently": (_PREFIX + "QueueDeletedRecently", 400),
    "QueueDoesNotExist": (_PREFIX + "NonExistentQueue", 400),
    "QueueNameExists": ("QueueAlreadyExists", 400),
    "ReceiptHandleIsInvalid": ("ReceiptHandleIsInvalid", 404),
    "ResourceNotFoundException": ("ResourceNotFoundException", 404),
    "ThrottlingException": ("ThrottlingException", 400),
    "TooManyEntriesInBatchRequest": (_PREFIX + "TooManyEntriesInBatchRequest", 400),
    "UnsupportedOperation": (_PREFIX + "UnsupportedOperation", 400),
}


_QUERY_MESSAGES: Final = {"QueueDoesNotExist": "The specified queue does not exist for this wsdl version."}


class SqsError(Exception):
    """SQS refuses the request: `code` is the shape's name, `query_code` its name in the Query protocol.

    `query_message` is what the Query protocol says, in one case not what JSON says.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.query_message = _QUERY_MESSAGES.get(code, message)
        self.query_code, self.status = _CODES.get(code, (code, 400))


def invalid_value(message: str) -> SqsError:
    """A parameter's value is not allowed."""
    return SqsError("InvalidParameterValueException", message)


def missing(parameter: str) -> SqsError:
    """A required parameter is absent or empty."""
    return SqsError("MissingRequiredParameterException", f"The request must contain the parameter {parameter}.")
