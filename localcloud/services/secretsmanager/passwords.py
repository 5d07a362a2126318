"""The passwords that CloudFormation lets Secrets Manager make. Pure, but for the randomness it is given.

Source: https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetRandomPassword.html
"""

from __future__ import annotations

import random
import string
from dataclasses import dataclass
from typing import Final

__all__ = ["MAX_LENGTH", "PasswordRules", "make_password"]

MAX_LENGTH: Final = 4_096
_PUNCTUATION: Final = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordRules:
    """What a password is made of. `length` is 1 to 4,096; `excluded` are single characters."""

    length: int = 32
    excluded: str = ""
    lowercase: bool = True
    uppercase: bool = True
    numbers: bool = True
    punctuation: bool = True
    space: bool = False
    each: bool = True

    def kinds(self) -> list[str]:
        """The characters of each kind that is in it. Raises ValueError where nothing is left to choose from."""
        chosen = (
            (self.lowercase, string.ascii_lowercase),
            (self.uppercase, string.ascii_uppercase),
            (self.numbers, string.digits),
            (self.punctuation, _PUNCTUATION),
            (self.space, " "),
        )
        found = ["".join(each for each in kind if each not in self.excluded) for wanted, kind in chosen if wanted]
        left = [kind for kind in found if kind]
        if not left or (self.each and len(left) < len(found)):
            raise ValueError("every character of a kind that the password must have is excluded")
        if self.each and self.length < len(left):
            raise ValueError(f"a password of {self.length} characters cannot have one of each of {len(left)} kinds")
        return left


def make_password(rules: PasswordRules, rng: random.Random) -> str:
    """One password. Raises ValueError for rules that no password can keep."""
    kinds = rules.kinds()
    everything = "".join(kinds)
    found = [rng.choice(kind) for kind in kinds] if rules.each else []
    found += [rng.choice(everything) for _ in range(rules.length - len(found))]
    rng.shuffle(found)
    return "".join(found)
