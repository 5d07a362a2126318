"""AssumeRole and AssumeRoleWithWebIdentity: what goes out, what comes back, and what a refusal means."""

from __future__ import annotations

import subprocess
import sys
from urllib.parse import parse_qs

import pytest

from sluiceway.aws.assume_role import Role, open_as
from sluiceway.aws.sqs import SQS
from sluiceway.aws.wire import Outside, Wire
from sluiceway.errors import Misconfigured, Retryable, ServiceUnavailable
from tests.unit.wire_server import MemoryNetwork, answer, environ

ARN = "arn:aws:iam::123456789012:role/producers/orders"
NOW_S = 1_795_428_000.0  # 2026-11-23T10:00:00Z
TOKEN = "eyJhbGciOiJSUzI1NiJ9.secret.signature"
SECRET = "sEcReT/key+of=the/session"
EXPIRES = "2026-11-23T11:00:00Z"
CLOUD = environ(AWS_ENDPOINT_URL="http://cloud.test")
OK = answer()
OUTSIDE = Outside(now=lambda: NOW_S, draw=lambda: 0.5)


def issued(operation="AssumeRole", key="ASIAQHJYEXAMPLEKLEA1", expires=EXPIRES, token="session-token"):
    """What STS answers."""
    members = f"<AccessKeyId>{key}</AccessKeyId>\n<SecretAccessKey>{SECRET}</SecretAccessKey>"
    credentials = f"<Credentials>{members}<SessionToken>{token}</SessionToken><Expiration>{expires}</Expiration>"
    user = "<AssumedRoleUser><Arn>arn:aws:sts::1:assumed-role/r/s</Arn></AssumedRoleUser>"
    inner = f"<{operation}Result>{user}{credentials}</Credentials></{operation}Result>"
    return (
        f'<{operation}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/">{inner}</{operation}Response>'.encode()
    )


def refusal(status, code, message="said why"):
    """An error answer of the query protocol."""
    error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
    return answer(status, f"<ErrorResponse>{error}<RequestId>req-1</RequestId></ErrorResponse>".encode())


def parse(request):
    """The head's lines by name, and the form."""
    head, body = request.decode().split("\r\n\r\n", 1)
    lines = dict(line.split(": ", 1) for line in head.split("\r\n")[1:])
    return lines, {name: values[0] for name, values in parse_qs(body, keep_blank_values=True).items()}


def call_as(script, role=None, settings=CLOUD):
    """One SendMessage as `role` (or as the environment says): the network, and what was raised."""
    network = MemoryNetwork(script)

    async def main():
        opened = open_as(role, settings, outside=OUTSIDE) if role else Wire.open(settings, outside=OUTSIDE)
        try:
            async with opened as wire:
                await wire.call(SQS, "SendMessage", {})
        except Exception as error:  # noqa: BLE001 - handed to the test
            return error
        return None

    return network, network.run(main)


def web_identity(tmp_path, token=TOKEN, **more):
    """The settings of a process that has a token."""
    path = tmp_path / "token"
    path.write_text(token)
    return {
        "AWS_REGION": "eu-west-1",
        "AWS_ENDPOINT_URL": "http://cloud.test",
        "AWS_ROLE_ARN": ARN,
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(path),
        **more,
    }


def test_a_role_is_assumed_with_the_base_credentials_and_signs_what_follows():
    """The signed form has every member of the role; the call after it carries the session's key and token."""
    role = Role(ARN, "orders-1", duration_s=900, external_id="ext:1/2", tags={"team": "orders & co".replace("&", "+")})
    network, raised = call_as([answer(body=issued()), OK], role)
    assert raised is None
    asked, form = parse(network.requests[0])
    assert form == {
        "Action": "AssumeRole",
        "Version": "2011-06-15",
        "RoleArn": ARN,
        "RoleSessionName": "orders-1",
        "DurationSeconds": "900",
        "ExternalId": "ext:1/2",
        "Tags.member.1.Key": "team",
        "Tags.member.1.Value": "orders + co",
    }
    assert "Credential=AKIDEXAMPLE/20261123/eu-west-1/sts/aws4_request" in asked["authorization"]
    assert asked["content-type"] == "application/x-www-form-urlencoded; charset=utf-8"
    sent, _ = parse(network.requests[1])
    assert "Credential=ASIAQHJYEXAMPLEKLEA1/20261123/eu-west-1/sqs/aws4_request" in sent["authorization"]
    assert sent["x-amz-security-token"] == "session-token"


def test_sts_is_asked_in_the_region_or_where_its_variable_says():
    """`sts.<region>.amazonaws.com` over TLS, and `AWS_ENDPOINT_URL_STS` before `AWS_ENDPOINT_URL`."""
    from sluiceway.aws.assume_role import STS
    from sluiceway.aws.endpoints import resolve_endpoint

    regional = resolve_endpoint(STS, "eu-west-1", {})
    named = resolve_endpoint(STS, "eu-west-1", {"AWS_ENDPOINT_URL": "http://a", "AWS_ENDPOINT_URL_STS": "http://b"})
    assert (regional.host, regional.origin.tls, named.host) == ("sts.eu-west-1.amazonaws.com", True, "b")


def test_a_web_identity_is_exchanged_unsigned(tmp_path):
    """No authorization, no date; the token of the file without its line break, the name given or one made up."""
    script = [answer(body=issued("AssumeRoleWithWebIdentity")), OK]
    network, raised = call_as(list(script), settings=web_identity(tmp_path, TOKEN + "\n", AWS_ROLE_SESSION_NAME="me"))
    assert raised is None
    asked, form = parse(network.requests[0])
    assert {"authorization", "x-amz-date", "x-amz-security-token"} & set(asked) == set()
    assert form == {
        "Action": "AssumeRoleWithWebIdentity",
        "Version": "2011-06-15",
        "RoleArn": ARN,
        "RoleSessionName": "me",
        "DurationSeconds": "3600",
        "WebIdentityToken": TOKEN,
    }
    assert parse(network.requests[1])[0]["x-amz-security-token"] == "session-token"
    network, raised = call_as(list(script), settings=web_identity(tmp_path))
    assert (raised, parse(network.requests[0])[1]["RoleSessionName"]) == (None, f"sluiceway-{int(NOW_S)}")


def test_keys_go_before_a_web_identity(tmp_path):
    """As in the SDKs: a function whose environment has keys asks nobody."""
    settings = {**web_identity(tmp_path), **environ()}
    network, raised = call_as([OK], settings=settings)
    assert raised is None
    assert "Credential=AKIDEXAMPLE/" in parse(network.requests[0])[0]["authorization"]


@pytest.mark.parametrize(
    ("token", "more", "what"),
    [
        (TOKEN, {"AWS_ROLE_ARN": ""}, "AWS_ROLE_ARN"),
        (TOKEN, {"AWS_ROLE_ARN": "arn:aws:iam::123456789012:user/me"}, "Role.arn"),
        (TOKEN, {"AWS_ROLE_SESSION_NAME": "a b"}, "Role.session_name"),
        (TOKEN, {"AWS_WEB_IDENTITY_TOKEN_FILE": "/nonexistent/token"}, "AWS_WEB_IDENTITY_TOKEN_FILE"),
        ("abc", {}, "AWS_WEB_IDENTITY_TOKEN_FILE"),
        ("a" * 20_001, {}, "AWS_WEB_IDENTITY_TOKEN_FILE"),
        ("two words", {}, "AWS_WEB_IDENTITY_TOKEN_FILE"),
    ],
)
def test_a_wrong_web_identity_fails_when_the_client_opens(tmp_path, token, more, what):
    """The setting is named before anybody calls, and the token is not told."""

    async def main():
        with pytest.raises(Misconfigured) as caught:
            async with Wire.open(web_identity(tmp_path, token, **more), outside=OUTSIDE):
                pass
        return caught.value

    raised = MemoryNetwork([]).run(main)
    assert (raised.what, token in str(raised)) == (what, False)


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("AccessDenied", 403),
        ("InvalidClientTokenId", 403),
        ("ExpiredToken", 403),
        ("RegionDisabledException", 403),
        ("PackedPolicyTooLarge", 400),
        ("ValidationError", 400),
    ],
)
def test_what_the_operator_must_mend_names_the_role(code, status):
    """With what STS says about the base credentials, which is no secret."""
    network, raised = call_as([refusal(status, code)] * 3, Role(ARN, "me"))
    assert isinstance(raised, Misconfigured)
    assert raised.what == ARN
    assert f"{ARN} cannot be assumed: sts AssumeRole: {code}: said why (request req-1)" in str(raised)
    assert len(network.requests) == (3 if code == "ExpiredToken" else 1)


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("InvalidIdentityToken", 400),
        ("ExpiredTokenException", 400),
        ("IDPRejectedClaim", 403),
        ("ValidationError", 400),
    ],
)
def test_a_refused_token_is_never_quoted(tmp_path, code, status):
    """Not in the error, nor in one behind it, even where STS repeats it."""
    _, raised = call_as([refusal(status, code, f"no {TOKEN}")] * 3, settings=web_identity(tmp_path))
    assert isinstance(raised, Misconfigured)
    assert (raised.what, raised.__cause__, raised.__context__) == (ARN, None, None)
    assert str(raised) == f"the role {ARN} cannot be assumed: sts AssumeRoleWithWebIdentity: {code} (request req-1)"


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (refusal(400, "Throttling"), "Throttling"),
        (refusal(503, "ServiceUnavailable"), "ServiceUnavailable"),
        (refusal(400, "IDPCommunicationError"), "IDPCommunicationError"),
        (ConnectionResetError(), "ConnectionClosed"),
    ],
)
@pytest.mark.parametrize("by_token", [False, True])
def test_sts_that_is_away_is_worth_another_try(tmp_path, reply, code, by_token):
    """After the client's three attempts it is for the caller to come again."""
    role, settings = (None, web_identity(tmp_path)) if by_token else (Role(ARN, "me"), CLOUD)
    network, raised = call_as([reply] * 3, role, settings)
    assert isinstance(raised, ServiceUnavailable)
    assert (raised.code, raised.service, len(network.requests)) == (code, "sts", 3)


GOOD = issued()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        GOOD.replace(b"SessionToken", b"Token"),
        GOOD.replace(b"session-token", b""),
        GOOD.replace(b"session-token", b"a b"),
        GOOD.replace(b"session-token", b"a&#10;b"),
        GOOD.replace(b"session-token", b"a\r\nx-evil: b"),
        GOOD.replace(b"session-token", "tökén".encode()),
        GOOD.replace(b"<Expiration>", b"<SessionToken>other</SessionToken><Expiration>"),
        GOOD.replace(b"</Credentials>", b"</Credentials><Credentials></Credentials>"),
        GOOD.replace(b"ASIAQHJYEXAMPLEKLEA1", b"short"),
        GOOD.replace(EXPIRES.encode(), b"soon"),
        GOOD.replace(EXPIRES.encode(), b"2026-11-23T11:00:00"),
        GOOD + b" " * 40_000,
    ],
)
def test_an_answer_without_whole_credentials_is_an_outage(body):
    """Whatever is missing, doubled, too much or cannot stand in a header; the secret is not told."""
    _, raised = call_as([answer(body=body)], Role(ARN, "me"))
    assert isinstance(raised, Retryable)
    assert (getattr(raised, "code", ""), SECRET in str(raised)) == ("MalformedReply", False)


@pytest.mark.parametrize(
    "change",
    [
        {"arn": "arn:aws:iam::1:role/x"},
        {"arn": f"{ARN}\n"},
        {"session_name": "a"},
        {"session_name": "a" * 65},
        {"duration_s": 899},
        {"duration_s": 43_201},
        {"external_id": "x"},
        {"external_id": "a b"},
        {"external_id": "a" * 1225},
        {"tags": {f"k{at}": "" for at in range(51)}},
        {"tags": {"": "v"}},
        {"tags": {"k" * 129: ""}},
        {"tags": {"k": "v" * 257}},
        {"tags": {"aws:k": "v"}},
        {"tags": {"k": "a,b"}},
        {"tags": {"k": "a\nb"}},
        {"tags": {"Team": "", "team": ""}},
    ],
)
def test_a_role_beyond_its_limits_is_refused(change):
    """The member is named before anybody is asked."""
    with pytest.raises(Misconfigured) as caught:
        Role(**{"arn": ARN, "session_name": "me", **change})
    assert caught.value.what == f"Role.{next(iter(change))}"


def test_a_role_at_its_limits_is_taken():
    """The ends of each range, and any script in tags."""
    tags = {f"k{at}": "v" * 256 for at in range(49)} | {"Équipe 1": ""}
    role = Role(ARN.replace("aws", "aws-us-gov"), "ab", duration_s=43_200, external_id="a" * 1224, tags=tags)
    assert len(role.tags) == 50


def test_a_wire_with_keys_loads_none_of_this():
    """A function in Lambda pays nothing for roles: neither module is imported where the environment has keys."""
    code = (
        "import asyncio, sys\n"
        "from sluiceway.aws.wire import Wire\n"
        "async def main():\n"
        "    keys = {'AWS_ACCESS_KEY_ID': 'a', 'AWS_SECRET_ACCESS_KEY': 'b'}\n"
        "    async with Wire.open({'AWS_REGION': 'eu-west-1', **keys}):\n"
        "        print(sorted(name for name in sys.modules if 'role' in name or 'session_cred' in name))\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
