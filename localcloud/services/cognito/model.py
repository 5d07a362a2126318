"""User pools: their clients, groups, users, sessions and refresh tokens. State and rules, no wire, in memory.

Knows nothing of CloudFormation, of functions, or of how tokens are signed.
Source: https://docs.aws.amazon.com/cognito/latest/developerguide/cognito-user-pools.html
"""

from __future__ import annotations

import hashlib
import hmac
import random
import string
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from localcloud.clock import Clock
from localcloud.services.cognito.errors import CognitoError, invalid, user_missing
from localcloud.services.contract import ACCOUNT_ID
from localcloud.uuids import new_uuid

__all__ = ["CODE_S", "Client", "Group", "Pool", "Refresh", "Session", "User", "UserPools"]

MAX_POOLS: Final = 1_000  # https://docs.aws.amazon.com/cognito/latest/developerguide/quotas.html
MAX_CLIENTS: Final = 1_000
MAX_USERS: Final = 100_000  # of a pool; memory, AWS has 40 million
MAX_HELD: Final = 100_000  # refresh tokens and sessions of a pool: the oldest are forgotten; memory
CODE_S: Final = 86_400.0  # a confirmation code's life
_NAME_CHARACTERS: Final = string.ascii_lowercase + string.digits
_ID_CHARACTERS: Final = string.ascii_letters + string.digits
_WRITTEN: Final = {"email": "an email", "phone_number": "a phone number"}
_TAKEN: Final = "An account with the given email already exists."
K = TypeVar("K")
V = TypeVar("V")


@dataclass(slots=True)
class User:
    """One user. `proof` is what the password is held against, None for none; `epoch` grows with each global sign-out.

    `codes`: what was sent, by purpose, and until when it counts. `attributes` has `sub` among them.
    """

    username: str
    attributes: dict[str, str]
    status: str
    created_s: float
    modified_s: float
    proof: bytes | None = None
    enabled: bool = True
    epoch: int = 0
    groups: set[str] = field(default_factory=set[str])
    codes: dict[str, tuple[str, float]] = field(default_factory=dict[str, tuple[str, float]])

    @property
    def sub(self) -> str:
        """The user's unchanging id."""
        return self.attributes["sub"]


@dataclass(slots=True)
class Group:
    """One group; the lower `precedence`, the more its role counts."""

    name: str
    created_s: float
    modified_s: float
    description: str = ""
    role_arn: str = ""
    precedence: int | None = None


@dataclass(slots=True)
class Client:
    """One app client; `settings` are the members of CreateUserPoolClient as they came. `secret` is "" for none."""

    id: str
    name: str
    secret: str
    settings: dict[str, Any]
    created_s: float
    modified_s: float

    def allows(self, *flows: str) -> bool:
        """Whether any of these flows is enabled; without a list, custom, refresh and SRP are."""
        default = ("ALLOW_CUSTOM_AUTH", "ALLOW_REFRESH_TOKEN_AUTH", "ALLOW_USER_SRP_AUTH")
        given = self.settings.get("ExplicitAuthFlows") or default
        return any(flow in given for flow in flows)


@dataclass(frozen=True, slots=True)
class Refresh:
    """What a refresh token stands for."""

    username: str
    client_id: str
    auth_time_s: int
    origin: str
    until_s: float
    epoch: int


@dataclass(frozen=True, slots=True)
class Session:
    """A challenge that somebody owes an answer to."""

    username: str
    client_id: str
    challenge: str
    until_s: float
    secret: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(slots=True)
class Pool:
    """One pool; `settings` are the members of CreateUserPool as they came."""

    id: str
    name: str
    region: str
    settings: dict[str, Any]
    created_s: float
    modified_s: float
    clients: dict[str, Client] = field(default_factory=dict[str, Client])
    groups: dict[str, Group] = field(default_factory=dict[str, Group])
    users: dict[str, User] = field(default_factory=dict[str, User])
    servers: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    refreshes: dict[str, Refresh] = field(default_factory=dict[str, Refresh])
    sessions: dict[str, Session] = field(default_factory=dict[str, Session])
    revoked: dict[str, float] = field(default_factory=dict[str, float])

    @property
    def arn(self) -> str:
        """The pool's ARN."""
        return f"arn:aws:cognito-idp:{self.region}:{ACCOUNT_ID}:userpool/{self.id}"

    @property
    def issuer(self) -> str:
        """The `iss` of its tokens."""
        return f"https://cognito-idp.{self.region}.amazonaws.com/{self.id}"

    @property
    def sign_in_attributes(self) -> tuple[str, ...]:
        """Attributes that are names of users: those users have an id for a username."""
        return tuple(self.settings.get("UsernameAttributes") or ())

    def fold(self, name: str) -> str:
        """A name as it is compared: in any case, unless the pool tells cases apart."""
        configuration: Mapping[str, Any] = self.settings.get("UsernameConfiguration") or {}
        return name if configuration.get("CaseSensitive") else name.lower()

    def find(self, name: str) -> User | None:
        """A user by username, sub, or what else signs in."""
        folded = self.fold(name)
        for user in self.users.values():
            if folded == self.fold(user.username) or name == user.sub:
                return user
        by = (*self.sign_in_attributes, *(self.settings.get("AliasAttributes") or ()))
        for attribute in by:
            for user in self.users.values():
                if self.fold(user.attributes.get(attribute, "")) == folded and self._is_alias(user, attribute):
                    return user
        return None

    def user(self, name: str) -> User:
        """As `find`. Raises CognitoError: UserNotFoundException."""
        found = self.find(name)
        if found is None:
            raise user_missing()
        return found

    def group(self, name: str) -> Group:
        """Raises CognitoError: ResourceNotFoundException."""
        if name not in self.groups:
            raise CognitoError("ResourceNotFoundException", "Group not found.")
        return self.groups[name]

    def client(self, client_id: str) -> Client:
        """Raises CognitoError: ResourceNotFoundException."""
        if client_id not in self.clients:
            raise CognitoError("ResourceNotFoundException", f"User pool client {client_id} does not exist.")
        return self.clients[client_id]

    def prove(self, user: User, password: str) -> bytes:
        """What a password is to this user, as SRP has it: the pool's name, the user's and the password, hashed."""
        text = f"{self.id.partition('_')[2]}{user.username}:{password}"
        return hashlib.sha256(text.encode()).digest()

    def is_proven(self, user: User, password: str) -> bool:
        """Whether this is the user's password."""
        return user.proof is not None and hmac.compare_digest(user.proof, self.prove(user, password))

    def check_password(self, password: str) -> None:
        """Hold a password against the pool's policy. Raises CognitoError: InvalidPasswordException.

        Source: https://docs.aws.amazon.com/cognito/latest/developerguide/managing-users-passwords.html
        """
        policies: Mapping[str, Any] = self.settings.get("Policies") or {}
        policy: Mapping[str, Any] = policies.get("PasswordPolicy") or {}
        kinds: tuple[tuple[str, str, Callable[[str], bool]], ...] = (
            ("RequireLowercase", "lowercase", lambda c: c in string.ascii_lowercase),
            ("RequireUppercase", "uppercase", lambda c: c in string.ascii_uppercase),
            ("RequireNumbers", "numeric", lambda c: c in string.digits),
            ("RequireSymbols", "symbol", lambda c: c in "^$*.[]{}()?\"!@#%&/\\,><':;|_~`=+- "),
        )
        wrong = "not long enough" if len(password) < int(policy.get("MinimumLength") or 8) else ""
        for member, kind, is_kind in kinds:
            wanted = policy.get(member, not policy)
            if not wrong and wanted and not any(is_kind(each) for each in password):
                wrong = f"must have {kind} characters"
        if wrong:
            said = f"Password did not conform with policy: Password {wrong}"
            raise CognitoError("InvalidPasswordException", said)

    def groups_of(self, user: User) -> list[Group]:
        """A user's groups, the one whose role counts most first."""
        mine = [self.groups[name] for name in user.groups if name in self.groups]
        return sorted(mine, key=lambda each: (each.precedence is None, each.precedence or 0, each.name))

    def _is_alias(self, user: User, attribute: str) -> bool:
        if attribute in self.sign_in_attributes or attribute == "preferred_username":
            return True
        return user.attributes.get(f"{attribute}_verified") == "true"


class UserPools:
    """The pools of every Region."""

    def __init__(self, *, clock: Clock, rng: random.Random) -> None:
        self.clock = clock
        self.rng = rng
        self.pools: dict[str, Pool] = {}

    def pool(self, pool_id: str) -> Pool:
        """Raises CognitoError: ResourceNotFoundException."""
        if pool_id not in self.pools:
            raise CognitoError("ResourceNotFoundException", f"User pool {pool_id} does not exist.")
        return self.pools[pool_id]

    def of_client(self, client_id: str) -> tuple[Pool, Client]:
        """The client of an id, and its pool: what is unsigned names no Region.

        Raises CognitoError: ResourceNotFoundException.
        """
        for pool in self.pools.values():
            if client_id in pool.clients:
                return pool, pool.clients[client_id]
        raise CognitoError("ResourceNotFoundException", f"User pool client {client_id} does not exist.")

    def create_pool(self, region: str, settings: dict[str, Any], *, ending: str = "") -> Pool:
        """A pool; `ending` are the last nine characters of its id, made where not given."""
        if len(self.pools) >= MAX_POOLS:
            raise CognitoError("LimitExceededException", f"Maximum number of user pools reached: {MAX_POOLS}.")
        now = self.clock.time()
        made = Pool(
            id=f"{region}_{ending or self.characters(_ID_CHARACTERS, 9)}",
            name=str(settings["PoolName"]),
            region=region,
            settings=settings,
            created_s=now,
            modified_s=now,
        )
        if made.id in self.pools:
            raise invalid(f"There is already a pool {made.id}.")
        self.pools[made.id] = made
        return made

    def create_client(self, pool: Pool, settings: dict[str, Any], *, client_id: str = "") -> Client:
        """An app client, with a secret where it is asked for."""
        if len(pool.clients) >= MAX_CLIENTS:
            raise CognitoError("LimitExceededException", f"Maximum number of clients reached: {MAX_CLIENTS}.")
        now = self.clock.time()
        made = Client(
            id=client_id or self.characters(_NAME_CHARACTERS, 26),
            name=str(settings["ClientName"]),
            secret=self.characters(_NAME_CHARACTERS, 51) if settings.get("GenerateSecret") else "",
            settings=settings,
            created_s=now,
            modified_s=now,
        )
        pool.clients[made.id] = made
        return made

    def create_user(self, pool: Pool, name: str, attributes: Mapping[str, str], *, status: str) -> User:
        """A user of a pool. Raises CognitoError: UsernameExistsException, InvalidParameterException."""
        if len(pool.users) >= MAX_USERS:
            raise CognitoError("LimitExceededException", f"The local cloud keeps {MAX_USERS} users of a pool.")
        given = dict(attributes)
        sub = new_uuid(self.rng)
        username = name
        if pool.sign_in_attributes:
            kind = "email" if "@" in name else "phone_number"
            if kind not in pool.sign_in_attributes:
                wanted = " or ".join(_WRITTEN[each] for each in pool.sign_in_attributes)
                raise invalid(f"Username should be {wanted}.")
            if given.setdefault(kind, name) != name:
                raise invalid(f"Username and {kind} must be the same.")
            username = sub
        if pool.find(name) is not None:
            what = (
                "User already exists"
                if not pool.sign_in_attributes
                else "An account with the given email already exists."
            )
            raise CognitoError("UsernameExistsException", what)
        now = self.clock.time()
        user = User(username, {"sub": sub, **given}, status, now, now)
        pool.users[username] = user
        return user

    def send_code(self, user: User, purpose: str) -> str:
        """A new code for a purpose, in place of one before it: six digits."""
        code = self.characters(string.digits, 6)
        user.codes[purpose] = (code, self.clock.time() + CODE_S)
        return code

    def take_code(self, user: User, purpose: str, code: str) -> None:
        """Use a code up. Raises CognitoError: CodeMismatchException, ExpiredCodeException."""
        sent, until_s = user.codes.get(purpose, ("", 0.0))
        if not sent or until_s <= self.clock.time():
            raise CognitoError("ExpiredCodeException", "Invalid code provided, please request a code again.")
        if sent != code:
            raise CognitoError("CodeMismatchException", "Invalid verification code provided, please try again.")
        del user.codes[purpose]

    def keep(self, held: dict[K, V], key: K, value: V) -> None:
        """Remember something of a pool, and forget the oldest of too much."""
        held[key] = value
        while len(held) > MAX_HELD:
            del held[next(iter(held))]

    def characters(self, alphabet: Iterable[str], count: int) -> str:
        """Random text."""
        letters = "".join(alphabet)
        return "".join(self.rng.choice(letters) for _ in range(count))
