"""One call into moto, as a function. Importing this loads moto (0.8 s): only the delegate does, in its worker thread.

Owns the shape of moto's requests and answers; knows no service but two rules: a PUT's body is never a form, and a
bucket's policy is told and not evaluated.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final, cast

from moto.core.botocore_stubber import BotocoreStubber
from moto.core.common_models import BaseModel
from moto.core.request import Request
from werkzeug.datastructures import ImmutableMultiDict

from localcloud.services.contract import WireRequest, WireResponse

__all__ = ["ask_moto", "forget_all"]

_STUBBER: Final = BotocoreStubber()
_NOT_YET: Final = (404, "Not yet implemented")  # what moto's dispatcher says where no backend matches


def _make_untracked(cls: type[BaseModel], *_: object, **__: object) -> BaseModel:
    if cls.__module__ == "moto.s3.models":
        _close_what_objects_hold()
    return object.__new__(cls)


# moto lists every instance of its models for its dashboard and its own reset, which are not served here: whatever was
# ever put, an object with its body as well, would live as long as the process.
BaseModel.__new__ = staticmethod(_make_untracked)  # pyright: ignore[reportAttributeAccessIssue]


@cache
def _close_what_objects_hold() -> None:
    """An object's body, which above some size is a file, is closed when nobody has the object any more.

    moto warns instead. Its own `dispose` would close the parts as well, which a copy of the object still has.
    """
    from moto.s3.models import FakeKey  # noqa: PLC0415 - at S3's first object only

    def close(key: FakeKey) -> None:
        body = vars(key).get("_value_buffer")  # none where its making failed
        if body is not None:
            body.close()

    setattr(FakeKey, "__del__", close)  # noqa: B010 - the type checker knows the method's own signature


class _Put(Request):
    """A request whose body is what it is, whatever its type says: moto would read a PUT of curl's as a form.

    Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html (the body is the object)
    """

    form: Any = ImmutableMultiDict[str, str]()
    files: Any = ImmutableMultiDict[str, str]()

    @property
    def data(self) -> bytes:
        return self.get_data(parse_form_data=False)


def ask_moto(request: WireRequest, host: str) -> WireResponse | None:
    """moto's answer to `request`, as if it had come to `host`; None where moto has none."""
    if request.service == "s3":
        _leave_bucket_policies_unread()
    headers = {name: host if name == "host" else value for name, value in request.headers.items()}
    url = f"https://{host}{request.path}" + (f"?{request.query}" if request.query else "")
    made: Any = (_Put if request.method == "PUT" else Request).from_primitives(
        request.method, url, headers, request.body
    )
    made.url = url  # as it was sent, not as werkzeug would spell it
    answer = cast("tuple[int, dict[str, object], str | bytes] | None", _STUBBER.process_request(made))
    if answer is None or (answer[0], answer[2]) == _NOT_YET:
        return None
    status, shown, body = answer
    return WireResponse(
        int(status),
        body.encode() if isinstance(body, str) else bytes(body),
        {str(name): str(value) for name, value in shown.items()},
    )


def forget_all() -> None:
    """Empty every service of moto, whose state is the process's and outlives the cloud that made it."""
    from moto.moto_api._internal.models import moto_api_backend  # noqa: PLC0415 - for who has several clouds after one another

    cast("Any", moto_api_backend).reset()


@cache
def _leave_bucket_policies_unread() -> None:
    """Who may do what is decided before moto is asked, by IAM.

    moto holds object requests against the bucket's Deny statements and reads no Condition: one that denies what comes
    without TLS, as templates have it everywhere, would deny everything.
    """
    from moto.iam.access_control import PermissionResult  # noqa: PLC0415 - at S3's first call only
    from moto.s3.models import FakeBucket  # noqa: PLC0415 - as above

    def say_nothing(_bucket: FakeBucket, _action: str, _resource: str) -> PermissionResult:
        return PermissionResult.NEUTRAL

    setattr(FakeBucket, "get_permission", say_nothing)  # noqa: B010 - the type checker knows the method's own names
