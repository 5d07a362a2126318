"""The errors of Cognito user pools, with their codes and AWS's words. Knows no state.

Source: https://docs.aws.amazon.com/cognito-user-identity-pools/latest/APIReference/API_InitiateAuth.html and others
"""

from __future__ import annotations

__all__ = ["CognitoError", "bad_credentials", "invalid", "not_served", "refused", "user_missing"]


class CognitoError(Exception):
    """Cognito refuses the request: `code` is the error's name, `message` its text."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = 400


def invalid(message: str) -> CognitoError:
    """An InvalidParameterException that says `message`."""
    return CognitoError("InvalidParameterException", message)


def not_served(what: str) -> CognitoError:
    """AWS would take `what`; the local cloud does not, and says so."""
    return invalid(f"The local cloud does not serve {what}.")


def refused(message: str) -> CognitoError:
    """A NotAuthorizedException that says `message`."""
    return CognitoError("NotAuthorizedException", message)


def bad_credentials() -> CognitoError:
    """The user or the password is not right; which one is not said."""
    return refused("Incorrect username or password.")


def user_missing() -> CognitoError:
    """There is no such user."""
    return CognitoError("UserNotFoundException", "User does not exist.")
