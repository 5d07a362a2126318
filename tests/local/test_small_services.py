"""The small services behind one front, from boto3: parameters, secrets and keys by moto, the rest our own."""

from __future__ import annotations

import asyncio
import json
import random
import urllib.request
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import boto3
import jwt
import pytest
import pytest_asyncio
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from localcloud.clock import SystemClock
from localcloud.delegate import Delegate
from localcloud.front import Front
from localcloud.listening import open_listener
from localcloud.parts.delegated import Delegated, Setting, UnresolvedReference, open_delegated
from localcloud.parts.handler_groups import Handlers
from localcloud.parts.small_handlers import add_small_handlers
from localcloud.services.cognito.triggers import Failed
from localcloud.services.iam.calls import Authoriser, CallRecord
from localcloud.services.iam.model import Iam
from localcloud.services.iam.policy import parse_document
from localcloud.services.logs.model import Logs
from localcloud.services.secretsmanager.passwords import PasswordRules, make_password
from localcloud.template.errors import TemplateError
from localcloud.template.handler import Physical, Resource, StackContext

pytestmark = [pytest.mark.local, pytest.mark.asyncio(loop_scope="module")]
REGION = "eu-west-1"
T = TypeVar("T")


@dataclass
class Cloud:
    """A front with the small services; the keys of ROLE are held to its one policy."""

    url: str
    delegated: Delegated
    iam: Iam
    logs: Logs
    role: str
    handlers: Handlers

    async def make(self, logical_id: str, kind: str, **properties: Any) -> Physical:
        """A resource of a template's."""
        context = StackContext("app", REGION, "123456789012", "aws", Path())
        return await self.handlers[kind].create(Resource(logical_id, kind, properties, context))

    def client(self, service: str, key: str = "AK") -> Any:
        config = Config(retries={"total_max_attempts": 1}, parameter_validation=False)
        sdk: Any = boto3
        return sdk.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=key,
            aws_secret_access_key="secret",
            config=config,
        )

    def allow(self, *statements: dict[str, Any]) -> str:
        """Let the role do this alone; the id of a key of its session."""
        document = {"Version": "2012-10-17", "Statement": list(statements)}
        self.iam.put_inline("poor", parse_document(document, name="inline"))
        return self.iam.issue_credentials(self.role, function_name="session").access_key


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cloud() -> AsyncIterator[Cloud]:
    """One front for every test."""
    iam, clock = Iam(random.Random(1)), SystemClock()
    logs = Logs(clock=clock)
    trust = {
        "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}]
    }
    role = iam.create_role("poor", parse_document(trust, name="trust", resource_policy=True))
    delegate = Delegate()
    delegated = open_delegated(delegate, Setting(REGION, clock, random.Random(2), iam, logs))
    authorise = Authoriser(iam, CallRecord(), policy_of=lambda arn: iam.trust_of(arn) or delegated.secret_policy(arn))
    front = Front(delegated.services.values(), authorise=authorise, rng=random.Random(3))
    async with front.serve(open_listener()) as url:
        handlers = small_handlers(delegated, random.Random(4), keeps=False)
        yield Cloud(url, delegated, iam, logs, role.arn, handlers)
    delegate.close()


def small_handlers(delegated: Delegated, rng: random.Random, *, keeps: bool) -> Handlers:
    """The handlers of their types."""
    handlers = Handlers()
    add_small_handlers(handlers, delegated, rng, keeps=keeps)
    return handlers


async def run(work: Callable[[], T]) -> T:
    """A blocking client's work, away from the loop that answers it."""
    return await asyncio.to_thread(work)


def refusal(call: Callable[..., Any], **members: Any) -> tuple[str, str, int]:
    """Code, message and status of what a call is refused with."""
    with pytest.raises(ClientError) as caught:
        call(**members)
    raised: Any = caught.value
    error = raised.response
    return error["Error"]["Code"], error["Error"]["Message"], error["ResponseMetadata"]["HTTPStatusCode"]


async def test_parameters_have_types_versions_labels_and_paths(cloud: Cloud) -> None:
    """What is put is read by name, version, label and path; a SecureString is plain only to who asks for it."""

    def work() -> None:
        ssm = cloud.client("ssm")
        assert ssm.put_parameter(Name="/app/a", Value="one", Type="String")["Version"] == 1
        assert ssm.put_parameter(Name="/app/a", Value="two", Type="String", Overwrite=True)["Version"] == 2
        ssm.put_parameter(Name="/app/list", Value="x,y", Type="StringList")
        ssm.put_parameter(Name="/app/deep/secret", Value="s3cret", Type="SecureString")
        ssm.label_parameter_version(Name="/app/a", ParameterVersion=1, Labels=["old"])
        values = [ssm.get_parameter(Name=f"/app/a{which}")["Parameter"]["Value"] for which in ("", ":1", ":2", ":old")]
        assert values == ["two", "one", "two", "one"]
        assert [each["Value"] for each in ssm.get_parameter_history(Name="/app/a")["Parameters"]] == ["one", "two"]
        flat = ssm.get_parameters_by_path(Path="/app")["Parameters"]
        assert sorted(each["Name"] for each in flat) == ["/app/a", "/app/list"]
        null = b'{"Path":"/app","MaxResults":null}'
        headers = {"x-amz-target": "AmazonSSM.GetParametersByPath", "content-type": "application/x-amz-json-1.1"}
        scope = f"AWS4-HMAC-SHA256 Credential=AK/20261128/{REGION}/ssm/aws4_request, Signature=0"
        asked = urllib.request.Request(cloud.url, data=null, headers={**headers, "authorization": scope})
        with urllib.request.urlopen(asked, timeout=10) as answer:
            assert len(json.load(answer)["Parameters"]) == 2
        deep = ssm.get_parameters_by_path(Path="/app", Recursive=True, WithDecryption=True)["Parameters"]
        assert {each["Name"]: each["Value"] for each in deep}["/app/deep/secret"] == "s3cret"
        assert ssm.get_parameter(Name="/app/deep/secret")["Parameter"]["Value"] != "s3cret"

    await run(work)


async def test_parameters_are_refused_as_on_aws(cloud: Cloud) -> None:
    """Lengths, names, patterns and enumerations are checked, and what is not served is named."""

    def work() -> None:
        ssm = cloud.client("ssm")
        put = ssm.put_parameter
        code, message, status = refusal(put, Name="/r/long", Value="x" * 4097, Type="String")
        assert (code, status) == ("ValidationException", 400)
        assert message.startswith("Standard tier parameters support a maximum parameter value of 4096 characters.")
        assert put(Name="/r/advanced", Value="x" * 8192, Type="String", Tier="Advanced")["Version"] == 1
        assert refusal(put, Name="r/x", Value="1", Type="String")[1] == "Parameter name must be a fully qualified name."
        assert refusal(put, Name="/r/x y", Value="1", Type="String")[0] == "ValidationException"
        assert refusal(put, Name="/" + "/".join("abcdefghijklmnop"), Value="1", Type="String")[0] == (
            "HierarchyLevelLimitExceededException"
        )
        assert refusal(put, Name="/r/x", Value="1", Type="Bogus")[1] == (
            "1 validation error detected: Value 'Bogus' at 'type' failed to satisfy constraint: "
            "Member must satisfy enum value set: [String, StringList, SecureString]"
        )
        assert refusal(put, Name="/r/x", Value="b", Type="String", AllowedPattern="[0-9]+")[0] == (
            "ParameterPatternMismatchException"
        )
        assert refusal(put, Name="/r/x", Value="1", Type="String", Policies="[]")[0] == "InvalidPolicyTypeException"
        assert refusal(ssm.get_parameter, Name="/r/none")[0] == "ParameterNotFound"
        assert refusal(ssm.describe_parameters, NextToken="x")[0] == "InvalidNextToken"
        assert refusal(ssm.send_command, DocumentName="AWS-RunShellScript") == (
            "UnknownOperationException", "The local cloud does not serve the operation SendCommand of ssm.", 400
        )  # fmt: skip

    await run(work)


async def test_secrets_have_versions_and_stages(cloud: Cloud) -> None:
    """A secret is read by name, ARN and the ARN's beginning; the one before it stays under AWSPREVIOUS."""

    def work() -> None:
        secrets = cloud.client("secretsmanager")
        arn = secrets.create_secret(Name="db", SecretString='{"user":"u"}')["ARN"]
        secrets.put_secret_value(SecretId="db", SecretString="new")
        names = ("db", arn, arn[:-7])
        assert [secrets.get_secret_value(SecretId=name)["SecretString"] for name in names] == ["new"] * 3
        before = secrets.get_secret_value(SecretId="db", VersionStage="AWSPREVIOUS")
        assert before["SecretString"] == '{"user":"u"}'
        code, message, status = refusal(secrets.get_secret_value, SecretId="nothing")
        assert (code, status) == ("ResourceNotFoundException", 400)
        assert message == "Secrets Manager can't find the specified secret."
        assert refusal(secrets.create_secret, Name="db", SecretString="x")[0] == "ResourceExistsException"
        assert refusal(secrets.tag_resource, SecretId="no", Tags=[])[0] == "ResourceNotFoundException"
        assert refusal(secrets.list_secrets, NextToken="x")[0] == "InvalidNextTokenException"
        assert refusal(secrets.create_secret, Name="big", SecretString="x" * 65_537)[0] == "ValidationException"
        code, message, _ = refusal(secrets.rotate_secret, SecretId="db")
        assert (code, message) == (
            "UnknownOperationException",
            "The local cloud does not serve the operation RotateSecret of secretsmanager.",
        )
        assert refusal(secrets.create_secret, Name="far", AddReplicaRegions=[{"Region": "us-east-1"}])[0] == (
            "InvalidParameterException"
        )

    await run(work)


async def test_keys_encrypt_for_a_context_and_sign(cloud: Cloud) -> None:
    """A ciphertext opens with its own encryption context alone; signatures hold for the message that was signed."""

    def work() -> None:
        kms = cloud.client("kms")
        key = kms.create_key()["KeyMetadata"]["KeyId"]
        sealed = kms.encrypt(KeyId=key, Plaintext=b"hello", EncryptionContext={"a": "1"})["CiphertextBlob"]
        assert kms.decrypt(CiphertextBlob=sealed, EncryptionContext={"a": "1"})["Plaintext"] == b"hello"
        assert refusal(kms.decrypt, CiphertextBlob=sealed, EncryptionContext={"a": "2"})[0] == (
            "InvalidCiphertextException"
        )
        data = kms.generate_data_key(KeyId=key, KeySpec="AES_256")
        assert kms.decrypt(CiphertextBlob=data["CiphertextBlob"])["Plaintext"] == data["Plaintext"]
        pair = kms.create_key(KeyUsage="SIGN_VERIFY", KeySpec="ECC_NIST_P256")["KeyMetadata"]["KeyId"]
        asked = {"KeyId": pair, "SigningAlgorithm": "ECDSA_SHA_256"}
        signature = kms.sign(Message=b"m", **asked)["Signature"]
        assert kms.verify(Message=b"m", Signature=signature, **asked)["SignatureValid"]
        assert refusal(kms.verify, Message=b"n", Signature=signature, **asked)[0] == "KMSInvalidSignatureException"
        assert refusal(kms.encrypt, KeyId=key, Plaintext=b"x" * 4097)[0] == "ValidationException"
        assert refusal(kms.list_grants, KeyId="none")[0] == "NotFoundException"
        assert refusal(kms.decrypt, CiphertextBlob=sealed, EncryptionContext={"a": "1"}, DryRun=True)[0] == (
            "UnsupportedOperationException"
        )

    await run(work)


async def test_roles_may_what_their_policies_name(cloud: Cloud) -> None:
    """A role reads the parameters, secrets and keys that its policy names by ARN, and no others."""

    def work() -> None:
        cloud.client("ssm").put_parameter(Name="/iam/yes", Value="1", Type="String")
        arn = cloud.client("secretsmanager").create_secret(Name="mine", SecretString="x")["ARN"]
        key = cloud.client("kms").create_key()["KeyMetadata"]
        cloud.client("kms").create_alias(AliasName="alias/mine", TargetKeyId=key["KeyId"])
        own = cloud.allow(
            {"Effect": "Allow", "Action": "ssm:GetParameter", "Resource": f"arn:aws:ssm:{REGION}:*:parameter/iam/yes"},
            {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": arn},
            {"Effect": "Allow", "Action": ["kms:Encrypt", "kms:Decrypt"], "Resource": key["Arn"]},
        )
        ssm, secrets, kms = (cloud.client(name, own) for name in ("ssm", "secretsmanager", "kms"))
        assert ssm.get_parameter(Name="/iam/yes")["Parameter"]["Value"] == "1"
        code, message, status = refusal(ssm.get_parameter, Name="/iam/no")
        assert (code, status) == ("AccessDeniedException", 400)
        assert message == (
            "User: arn:aws:sts::123456789012:assumed-role/poor/session is not authorized to perform: ssm:GetParameter "
            f"on resource: arn:aws:ssm:{REGION}:123456789012:parameter/iam/no because no identity-based policy allows "
            "the ssm:GetParameter action"
        )
        assert secrets.get_secret_value(SecretId="mine")["SecretString"] == "x"
        assert refusal(secrets.describe_secret, SecretId="mine")[0] == "AccessDeniedException"
        assert refusal(secrets.get_secret_value, SecretId="other")[0] == "AccessDeniedException"
        sealed = kms.encrypt(KeyId="alias/mine", Plaintext=b"hi")["CiphertextBlob"]
        assert kms.decrypt(CiphertextBlob=sealed)["Plaintext"] == b"hi"
        other = cloud.client("kms").create_key()["KeyMetadata"]["KeyId"]
        foreign = cloud.client("kms").encrypt(KeyId=other, Plaintext=b"hi")["CiphertextBlob"]
        assert refusal(kms.decrypt, CiphertextBlob=foreign)[0] == "AccessDeniedException"

    await run(work)


async def test_what_a_key_seals_needs_the_key(cloud: Cloud) -> None:
    """A SecureString and a secret under a key of the account's own need kms:Decrypt on that key, for that value."""

    def work() -> None:
        key = cloud.client("kms").create_key()["KeyMetadata"]
        cloud.client("ssm").put_parameter(Name="/sealed/p", Value="1", Type="SecureString", KeyId=key["KeyId"])
        cloud.client("secretsmanager").create_secret(Name="sealed", SecretString="x", KmsKeyId=key["Arn"])
        reading = {"Effect": "Allow", "Action": ["ssm:*", "secretsmanager:*"], "Resource": "*"}
        own = cloud.allow(reading)
        ssm, secrets = cloud.client("ssm", own), cloud.client("secretsmanager", own)
        assert "kms:Decrypt" in refusal(ssm.get_parameter, Name="/sealed/p", WithDecryption=True)[1]
        assert ssm.get_parameter(Name="/sealed/p")["Parameter"]["Type"] == "SecureString"
        assert "kms:Decrypt" in refusal(secrets.get_secret_value, SecretId="sealed")[1]
        where = {"StringEquals": {"kms:ViaService": f"ssm.{REGION}.amazonaws.com"}}
        opening = {"Effect": "Allow", "Action": "kms:Decrypt", "Resource": key["Arn"], "Condition": where}
        own = cloud.allow(reading, opening)
        told = cloud.client("ssm", own).get_parameter(Name="/sealed/p", WithDecryption=True)
        assert told["Parameter"]["Value"] == "1"
        assert "kms:Decrypt" in refusal(cloud.client("secretsmanager", own).get_secret_value, SecretId="sealed")[1]

    await run(work)


async def test_dynamic_references_are_resolved(cloud: Cloud) -> None:
    """By name and version, and of a secret's JSON by key; what is not there is named."""

    def work() -> None:
        ssm = cloud.client("ssm")
        ssm.put_parameter(Name="/ref/a", Value="one", Type="String")
        ssm.put_parameter(Name="/ref/a", Value="two", Type="String", Overwrite=True)
        ssm.put_parameter(Name="/ref/s", Value="hidden", Type="SecureString")
        cloud.client("secretsmanager").create_secret(Name="ref", SecretString=json.dumps({"user": "u", "port": 1}))

    await run(work)
    resolve = cloud.delegated.resolve_reference
    told = [await resolve("ssm", "/ref/a"), await resolve("ssm", "/ref/a:1"), await resolve("ssm-secure", "/ref/s")]
    assert told == ["two", "one", "hidden"]
    assert await resolve("secretsmanager", "ref:SecretString:user") == "u"
    assert await resolve("secretsmanager", "ref:SecretString:port:AWSCURRENT") == "1"
    assert json.loads(await resolve("secretsmanager", "ref")) == {"user": "u", "port": 1}
    assert await cloud.delegated.read_parameter("/ref/a") == "two"
    for service, reference, named in (
        ("ssm", "/ref/none", "there is no SSM parameter /ref/none"),
        ("ssm", "/ref/a:9", "there is no SSM parameter /ref/a:9"),
        ("ssm", "/ref/s", "SecureString, which ssm-secure resolves"),
        ("ssm-secure", "/ref/a", "is a String, which ssm resolves"),
        ("secretsmanager", "none", "the secret none cannot be read"),
        ("secretsmanager", "ref:SecretString:absent", "the secret has no key absent"),
        ("secretsmanager", "ref:SecretBinary", "a secret's binary cannot be resolved"),
        ("s3", "x", "there are no dynamic references to s3"),
    ):
        with pytest.raises(UnresolvedReference) as caught:
            await resolve(service, reference)
        assert named in str(caught.value)


async def test_a_role_is_assumed_where_its_trust_policy_says(cloud: Cloud) -> None:
    """The session acts as the role, with its name, bounded by its session policy; nobody else is let in."""
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": "123456789012"},
                "Action": "sts:AssumeRole",
                "Condition": {"StringEquals": {"sts:ExternalId": "x1"}},
            }
        ],
    }

    def work() -> None:
        iam, sts = cloud.client("iam"), cloud.client("sts")
        assert sts.get_caller_identity()["Arn"] == "arn:aws:iam::123456789012:root"
        role = iam.create_role(RoleName="reader", AssumeRolePolicyDocument=json.dumps(trust))["Role"]
        allow = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "ssm:*", "Resource": "*"}]}
        iam.put_role_policy(RoleName="reader", PolicyName="p", PolicyDocument=json.dumps(allow))
        asked = {"RoleArn": role["Arn"], "RoleSessionName": "me"}
        assert refusal(sts.assume_role, **asked)[::2] == ("AccessDenied", 403)
        assert refusal(sts.assume_role, **asked, ExternalId="x1", DurationSeconds=60)[0] == "ValidationError"
        assert refusal(sts.assume_role, **asked, ExternalId="x1", DurationSeconds=7200)[1].startswith("The requested")
        own = sts.assume_role(**asked, ExternalId="x1")
        key = own["Credentials"]["AccessKeyId"]
        told = cloud.client("sts", key).get_caller_identity()
        assert told["Arn"] == own["AssumedRoleUser"]["Arn"] == "arn:aws:sts::123456789012:assumed-role/reader/me"
        assert told["UserId"] == f"{role['RoleId']}:me"
        assert cloud.client("ssm", key).put_parameter(Name="/sts/a", Value="1", Type="String")["Version"] == 1
        bound = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "ssm:Get*", "Resource": "*"}]}
        less = sts.assume_role(**asked, ExternalId="x1", Policy=json.dumps(bound))["Credentials"]["AccessKeyId"]
        assert cloud.client("ssm", less).get_parameter(Name="/sts/a")["Parameter"]["Value"] == "1"
        assert refusal(cloud.client("ssm", less).put_parameter, Name="/sts/b", Value="1", Type="String")[0] == (
            "AccessDeniedException"
        )
        poor = cloud.allow({"Effect": "Allow", "Action": "ssm:*", "Resource": "*"})
        assert refusal(cloud.client("sts", poor).assume_role, **asked, ExternalId="x1")[0] == "AccessDenied"
        lambdas = cloud.role
        assert refusal(sts.assume_role, RoleArn=lambdas, RoleSessionName="me")[0] == "AccessDenied"
        cloud.iam.expire(key)
        assert refusal(cloud.client("ssm", key).get_parameter, Name="/sts/a")[0] == "AccessDeniedException"
        assert refusal(sts.get_federation_token, Name="me")[:2] == (
            "InvalidAction", "The local cloud does not serve the operation GetFederationToken of sts."
        )  # fmt: skip

    await run(work)


async def test_roles_and_policies_are_told_written_and_simulated(cloud: Cloud) -> None:
    """What is written is read back and decides; what a conflict or an absence is has IAM's own code."""

    def work() -> None:
        iam = cloud.client("iam")
        trust = {
            "Statement": [{"Effect": "Allow", "Principal": {"Service": "x.amazonaws.com"}, "Action": "sts:AssumeRole"}]
        }
        made = iam.create_role(
            RoleName="made", Path="/a/", AssumeRolePolicyDocument=json.dumps(trust), Tags=[{"Key": "k", "Value": "v"}]
        )["Role"]
        assert made["Arn"] == "arn:aws:iam::123456789012:role/a/made"
        told = iam.get_role(RoleName="made")["Role"]
        assert (told["AssumeRolePolicyDocument"], told["Tags"], told["Path"]) == (
            trust,
            [{"Key": "k", "Value": "v"}],
            "/a/",
        )
        assert refusal(iam.create_role, RoleName="made", AssumeRolePolicyDocument=json.dumps(trust))[::2] == (
            "EntityAlreadyExists", 409
        )  # fmt: skip
        allow = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sqs:Send*", "Resource": "*"}]}
        arn = iam.create_policy(PolicyName="send", PolicyDocument=json.dumps(allow))["Policy"]["Arn"]
        iam.attach_role_policy(RoleName="made", PolicyArn=arn)
        assert iam.list_attached_role_policies(RoleName="made")["AttachedPolicies"] == [
            {"PolicyName": "send", "PolicyArn": arn}
        ]
        assert iam.get_policy_version(PolicyArn=arn, VersionId="v1")["PolicyVersion"]["Document"] == allow
        results = iam.simulate_principal_policy(
            PolicySourceArn=made["Arn"], ActionNames=["sqs:SendMessage", "sqs:DeleteQueue"]
        )["EvaluationResults"]
        assert [each["EvalDecision"] for each in results] == ["allowed", "implicitDeny"]
        assert refusal(iam.delete_role, RoleName="made")[::2] == ("DeleteConflict", 409)
        assert refusal(iam.delete_policy, PolicyArn=arn)[::2] == ("DeleteConflict", 409)
        iam.detach_role_policy(RoleName="made", PolicyArn=arn)
        iam.put_role_policy(RoleName="made", PolicyName="in", PolicyDocument=json.dumps(allow))
        assert iam.list_role_policies(RoleName="made")["PolicyNames"] == ["in"]
        assert iam.get_role_policy(RoleName="made", PolicyName="in")["PolicyDocument"] == allow
        iam.delete_role_policy(RoleName="made", PolicyName="in")
        iam.delete_role(RoleName="made")
        assert refusal(iam.get_role, RoleName="made")[::2] == ("NoSuchEntity", 404)
        assert refusal(iam.put_role_policy, RoleName="poor", PolicyName="x", PolicyDocument="{")[0] == (
            "MalformedPolicyDocument"
        )
        names = [
            role["RoleName"]
            for page in iam.get_paginator("list_roles").paginate(PaginationConfig={"PageSize": 1})
            for role in page["Roles"]
        ]
        assert names == sorted(names)
        assert "poor" in names
        assert refusal(iam.create_user, UserName="u")[:2] == (
            "InvalidAction", "The local cloud does not serve the operation CreateUser of iam."
        )  # fmt: skip
        own = cloud.allow({"Effect": "Allow", "Action": "iam:GetRole", "Resource": cloud.role})
        assert cloud.client("iam", own).get_role(RoleName="poor")["Role"]["Arn"] == cloud.role
        assert refusal(cloud.client("iam", own).get_role, RoleName="other")[::2] == ("AccessDenied", 403)

    await run(work)


async def test_a_templates_resources_have_their_ids_before_moto_is_loaded(cloud: Cloud) -> None:
    """What Ref and attributes tell is what calls then find; moto is loaded by the first call alone."""
    delegate = Delegate()
    setting = Setting(REGION, SystemClock(), random.Random(5), cloud.iam, cloud.logs)
    delegated = open_delegated(delegate, setting)
    handlers = small_handlers(delegated, random.Random(6), keeps=False)
    other = Cloud("", delegated, cloud.iam, cloud.logs, "", handlers)
    key = await other.make(
        "FirstKey", "AWS::KMS::Key", Description="d", EnableKeyRotation="true", Tags=[{"Key": "a", "Value": "b"}]
    )
    alias = await other.make("FirstAlias", "AWS::KMS::Alias", AliasName="alias/first", TargetKeyId=key.ref)
    secret = await other.make(
        "FirstSecret",
        "AWS::SecretsManager::Secret",
        Name="first",
        KmsKeyId=alias.ref,
        GenerateSecretString={
            "SecretStringTemplate": '{"user":"u"}',
            "GenerateStringKey": "password",
            "PasswordLength": "16",
        },
    )
    parameter = await other.make("FirstParameter", "AWS::SSM::Parameter", Type="String", Value="v", Tags={"k": "t"})
    registry = await other.make("FirstRegistry", "AWS::Glue::Registry", Name="first")
    assert delegate.is_loaded is False
    assert key.attributes == {"Arn": f"arn:aws:kms:{REGION}:123456789012:key/{key.ref}", "KeyId": key.ref}
    assert secret.attributes == {"Id": secret.ref}
    assert secret.ref.startswith(f"arn:aws:secretsmanager:{REGION}:123456789012:secret:first-")
    assert parameter.ref.startswith("CFN-FirstParameter-")
    assert parameter.attributes == {"Type": "String", "Value": "v"}
    assert registry.ref == f"arn:aws:glue:{REGION}:123456789012:registry/first"
    delegate.close()


async def test_a_templates_resources_are_what_calls_find(cloud: Cloud) -> None:
    """Keys, aliases, secrets, parameters, registries and schemas, by the ids that the template was told."""
    key = await cloud.make(
        "Key", "AWS::KMS::Key", EnableKeyRotation="true", Enabled="true", Tags=[{"Key": "a", "Value": "b"}]
    )
    off = await cloud.make("Off", "AWS::KMS::Key", Enabled=False)
    await cloud.make("Alias", "AWS::KMS::Alias", AliasName="alias/of-template", TargetKeyId=key.ref)
    generated = {"SecretStringTemplate": '{"user":"u"}', "GenerateStringKey": "password", "PasswordLength": "16"}
    secret = await cloud.make("Secret", "AWS::SecretsManager::Secret", GenerateSecretString=generated)
    parameter = await cloud.make("P", "AWS::SSM::Parameter", Name="/of/template", Type="StringList", Value="a,b")
    registry = await cloud.make("Registry", "AWS::Glue::Registry", Name="of-template")
    definition = '{"type":"record","name":"r","fields":[{"name":"a","type":"string"}]}'
    schema = await cloud.make(
        "Schema", "AWS::Glue::Schema", Name="s", Registry={"Arn": registry.ref}, DataFormat="AVRO",
        Compatibility="BACKWARD", SchemaDefinition=definition,
    )  # fmt: skip
    wider = definition.replace("]}", ',{"name":"b","type":"string","default":""}]}')
    version = await cloud.make(
        "V", "AWS::Glue::SchemaVersion", Schema={"SchemaArn": schema.ref}, SchemaDefinition=wider
    )

    def work() -> None:
        kms = cloud.client("kms")
        told = kms.describe_key(KeyId="alias/of-template")["KeyMetadata"]
        assert (told["KeyId"], told["Arn"]) == (key.ref, key.attributes["Arn"])
        assert kms.get_key_rotation_status(KeyId=key.ref)["KeyRotationEnabled"]
        assert kms.list_resource_tags(KeyId=key.ref)["Tags"] == [{"TagKey": "a", "TagValue": "b"}]
        assert kms.describe_key(KeyId=off.ref)["KeyMetadata"]["KeyState"] == "Disabled"
        value = cloud.client("secretsmanager").get_secret_value(SecretId=secret.ref)
        assert value["ARN"] == secret.ref
        assert value["Name"].startswith("Secret-")
        content = json.loads(value["SecretString"])
        assert (content["user"], len(content["password"])) == ("u", 16)
        assert cloud.client("ssm").get_parameter(Name=parameter.ref)["Parameter"]["Type"] == "StringList"
        glue = cloud.client("glue")
        versions = [
            glue.get_schema_version(SchemaVersionId=each)["VersionNumber"]
            for each in (schema.attributes["InitialSchemaVersionId"], version.ref)
        ]
        assert versions == [1, 2]

    await run(work)


async def test_what_a_template_cannot_have_is_said_at_its_property(cloud: Cloud) -> None:
    """Before moto is asked: names, types, sizes, patterns, policies and passwords."""
    secret = "AWS::SecretsManager::Secret"
    bad: tuple[tuple[str, dict[str, Any], str], ...] = (
        ("AWS::SSM::Parameter", {"Name": "aws-x", "Type": "String", "Value": "v"}, "Bad.Properties.Name: can't be"),
        ("AWS::SSM::Parameter", {"Name": "/of/x", "Type": "String", "Value": ""}, "greater than or equal to 1"),
        (
            "AWS::SSM::Parameter",
            {"Name": "/o", "Type": "String", "Value": "a" * 4097},
            "maximum parameter value of 4096",
        ),
        (
            "AWS::SSM::Parameter",
            {"Name": "/o", "Type": "String", "Value": "a", "AllowedPattern": "b"},
            "allowedPattern",
        ),
        ("AWS::KMS::Alias", {"AliasName": "alias/aws/x", "TargetKeyId": "k"}, "Bad.Properties.AliasName: must be"),
        (
            "AWS::KMS::Key",
            {"KeySpec": "BOGUS", "KeyUsage": "SIGN_VERIFY"},
            "Bad.Properties.KeySpec: 1 validation error",
        ),
        ("AWS::KMS::Key", {"KeySpec": "RSA_2048"}, "Bad.Properties.KeyUsage: must be given"),
        ("AWS::KMS::Key", {"KeyPolicy": {"Statement": []}}, "Bad.Properties.KeyPolicy: KeyPolicy: at least one"),
        (secret, {"Name": "a b"}, "Bad.Properties.Name: must be 1 to 512"),
        (secret, {"SecretString": "a", "GenerateSecretString": {}}, "not both"),
        (secret, {"GenerateSecretString": {"PasswordLength": 3}}, "cannot have one of each of 4 kinds"),
        (secret, {"GenerateSecretString": {"GenerateStringKey": "a"}}, "are given together"),
    )
    for kind, properties, said in bad:
        with pytest.raises(TemplateError) as caught:
            await cloud.make("Bad", kind, **properties)
        assert said in str(caught.value)


async def test_a_secrets_own_policy_lets_a_role_in(cloud: Cloud) -> None:
    """A resource policy allows without the role's own policies; where it denies, those do not help."""
    secret = await cloud.make("Shared", "AWS::SecretsManager::Secret", Name="shared", SecretString="x")
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": cloud.role},
        "Action": "secretsmanager:GetSecretValue",
        "Resource": "*",
    }
    key = cloud.allow({"Effect": "Allow", "Action": "sqs:*", "Resource": "*"})

    def read() -> str:
        return str(cloud.client("secretsmanager", key).get_secret_value(SecretId=secret.ref)["SecretString"])

    assert (await run(lambda: refusal(read)))[0] == "AccessDeniedException"
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    await cloud.make("Policy", "AWS::SecretsManager::ResourcePolicy", SecretId=secret.ref, ResourcePolicy=policy)
    assert await run(read) == "x"


async def test_the_ledger_says_what_a_restart_loses(cloud: Cloud) -> None:
    """Where other services keep their state: parameters, secrets, keys and users end with the process."""
    handlers = small_handlers(cloud.delegated, random.Random(1), keeps=True)
    told = sorted(each.type for each in handlers.values() if "--persist" in each.support.reason)
    assert told == [
        "AWS::Cognito::UserPool", "AWS::KMS::Key", "AWS::SSM::Parameter", "AWS::SecretsManager::Secret"
    ]  # fmt: skip
    assert not any("--persist" in each.support.reason for each in cloud.handlers.values())


async def test_passwords_have_what_is_asked() -> None:
    """Each kind once where that is asked, nothing excluded, of the length that is asked."""
    rng = random.Random(7)
    made = [make_password(PasswordRules(length=4), rng) for _ in range(50)]
    assert all(any(c.islower() for c in each) and any(c.isupper() for c in each) for each in made)
    assert all(any(c.isdigit() for c in each) and not each.isalnum() for each in made)
    digits = make_password(
        PasswordRules(length=40, lowercase=False, uppercase=False, punctuation=False, excluded="01"), rng
    )
    assert (len(digits), set(digits) <= set("23456789")) == (40, True)


async def test_log_events_are_put_got_and_filtered(cloud: Cloud) -> None:
    """In order of their time, by pages from both ends, by stream, time and pattern; what Lambda wrote is among them."""
    now = int(SystemClock().time() * 1000)
    cloud.logs.append("/aws/lambda/f", "2026/11/28/[$LATEST]a", "START")

    def work() -> None:
        logs = cloud.client("logs")
        assert logs.filter_log_events(logGroupName="/aws/lambda/f")["events"][0]["message"] == "START"
        logs.create_log_group(logGroupName="g", tags={"k": "v"})
        assert refusal(logs.create_log_group, logGroupName="g") == (
            "ResourceAlreadyExistsException", "The specified log group already exists", 400
        )  # fmt: skip
        logs.create_log_stream(logGroupName="g", logStreamName="s")
        batch = [{"timestamp": now + each, "message": f"line {each}"} for each in range(5)]
        logs.put_log_events(logGroupName="g", logStreamName="s", logEvents=batch)
        asked = {"logGroupName": "g", "logStreamName": "s"}
        last = logs.get_log_events(**asked, limit=2)
        assert [each["message"] for each in last["events"]] == ["line 3", "line 4"]
        before = logs.get_log_events(**asked, limit=2, nextToken=last["nextBackwardToken"])
        assert [each["message"] for each in before["events"]] == ["line 1", "line 2"]
        after = logs.get_log_events(**asked, nextToken=last["nextForwardToken"])
        assert (after["events"], after["nextForwardToken"]) == ([], last["nextForwardToken"])
        first = logs.get_log_events(**asked, startFromHead=True, startTime=now + 1, endTime=now + 3)
        assert [each["message"] for each in first["events"]] == ["line 1", "line 2"]
        pages = logs.get_paginator("filter_log_events").paginate(
            logGroupName="g", filterPattern="?1 ?3 ?4", PaginationConfig={"PageSize": 1}
        )
        assert [each["message"] for page in pages for each in page["events"]] == ["line 1", "line 3", "line 4"]
        (group,) = logs.describe_log_groups(logGroupNamePrefix="g")["logGroups"]
        assert group["arn"] == f"arn:aws:logs:{REGION}:123456789012:log-group:g:*"
        (stream,) = logs.describe_log_streams(logGroupName="g")["logStreams"]
        assert (stream["firstEventTimestamp"], stream["lastEventTimestamp"]) == (now, now + 4)
        assert logs.list_tags_for_resource(resourceArn=group["logGroupArn"])["tags"] == {"k": "v"}
        logs.put_retention_policy(logGroupName="g", retentionInDays=1)
        assert logs.describe_log_groups(logGroupNamePrefix="g")["logGroups"][0]["retentionInDays"] == 1
        logs.delete_log_stream(**asked)
        assert refusal(logs.get_log_events, **asked)[:2] == (
            "ResourceNotFoundException", "The specified log stream does not exist."
        )  # fmt: skip
        logs.delete_log_group(logGroupName="g")
        assert refusal(logs.describe_log_streams, logGroupName="g")[:2] == (
            "ResourceNotFoundException", "The specified log group does not exist."
        )  # fmt: skip

    await run(work)


async def test_log_events_are_refused_as_on_aws(cloud: Cloud) -> None:
    """Batches out of order, over a day, too old or too new; other Regions; queries; roles without a permission."""
    now = int(SystemClock().time() * 1000)
    day = 86_400_000

    def work() -> None:
        logs = cloud.client("logs")
        logs.create_log_group(logGroupName="r")
        logs.create_log_stream(logGroupName="r", logStreamName="s")
        asked = {"logGroupName": "r", "logStreamName": "s"}

        def batch(*times: int) -> dict[str, Any]:
            return {**asked, "logEvents": [{"timestamp": time, "message": "m"} for time in times]}

        put = logs.put_log_events
        assert "chronological order" in refusal(put, **batch(now, now - 1))[1]
        assert "span more than 24 hours" in refusal(put, **batch(now - day - 1, now))[1]
        assert put(**batch(now, now + 8_000_000))["rejectedLogEventsInfo"] == {"tooNewLogEventStartIndex": 1}
        assert put(**batch(now - 15 * day))["rejectedLogEventsInfo"] == {"tooOldLogEventEndIndex": 1}
        logs.put_retention_policy(logGroupName="r", retentionInDays=1)
        assert put(**batch(now - 2 * day))["rejectedLogEventsInfo"] == {"expiredLogEventEndIndex": 1}
        assert len(logs.get_log_events(**asked)["events"]) == 1
        assert refusal(logs.put_retention_policy, logGroupName="r", retentionInDays=2)[0] == "InvalidParameterException"
        assert refusal(logs.filter_log_events, logGroupName="r", filterPattern="[a]")[0] == "InvalidParameterException"
        assert refusal(logs.get_log_events, **asked, nextToken="x")[0] == "InvalidParameterException"
        assert refusal(logs.get_log_events, **asked, limit=0)[1].startswith("1 validation error detected")
        assert refusal(logs.start_query, logGroupName="r", startTime=0, endTime=1, queryString="fields @log")[:2] == (
            "UnknownOperationException", "The local cloud does not serve the operation StartQuery of logs."
        )  # fmt: skip
        stream = f"arn:aws:logs:{REGION}:123456789012:log-group:r:log-stream:s"
        own = cloud.allow({"Effect": "Allow", "Action": "logs:PutLogEvents", "Resource": stream})
        cloud.client("logs", own).put_log_events(**batch(now))
        code, message, status = refusal(cloud.client("logs", own).filter_log_events, logGroupName="r")
        assert (code, status) == ("AccessDeniedException", 400)
        assert f"on resource: arn:aws:logs:{REGION}:123456789012:log-group:r:log-stream: because" in message

    await run(work)


async def make_pool(cloud: Cloud, logical_id: str, **more: Any) -> tuple[str, str]:
    """A pool that takes emails for names, and a client of it."""
    pool = await cloud.make(
        logical_id, "AWS::Cognito::UserPool", UsernameAttributes=["email"], AutoVerifiedAttributes=["email"], **more
    )
    client = await cloud.make(
        f"{logical_id}Client", "AWS::Cognito::UserPoolClient", UserPoolId=pool.ref,
        ExplicitAuthFlows=["ALLOW_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH", "ALLOW_ADMIN_USER_PASSWORD_AUTH"],
        AccessTokenValidity=5, TokenValidityUnits={"AccessToken": "minutes"},
    )  # fmt: skip
    return pool.ref, client.ref


def sent_code(cloud: Cloud, pool: str) -> str:
    """The last code that a pool sent."""
    return cloud.logs.latest(f"/sluiceway/cognito/{pool}", 1)[0].message.split(" code ")[1][:6]


async def test_a_user_signs_up_and_in_with_tokens_that_verify(cloud: Cloud) -> None:
    """Unsigned, as a browser does; the tokens hold against the pool's published keys, and tell its groups."""
    pool, client = await make_pool(cloud, "Users")
    await cloud.make("Readers", "AWS::Cognito::UserPoolGroup", UserPoolId=pool, GroupName="readers", Precedence=1)

    def work() -> None:
        admin = cloud.client("cognito-idp")
        sdk: Any = boto3
        idp = sdk.client(
            "cognito-idp", endpoint_url=cloud.url, region_name=REGION, config=Config(signature_version=UNSIGNED)
        )
        asked = {"ClientId": client, "Username": "a@example.com"}
        weak = refusal(idp.sign_up, **asked, Password="short")
        assert weak[:2] == (
            "InvalidPasswordException",
            "Password did not conform with policy: Password not long enough",
        )
        told = idp.sign_up(**asked, Password="Passw0rd!")
        assert (told["UserConfirmed"], told["CodeDeliveryDetails"]["Destination"]) == (False, "a***@e***")
        assert refusal(idp.sign_up, **asked, Password="Passw0rd!")[0] == "UsernameExistsException"
        sign_in = {"ClientId": client, "AuthFlow": "USER_PASSWORD_AUTH"}
        given = {"USERNAME": "A@example.com", "PASSWORD": "Passw0rd!"}
        assert refusal(idp.initiate_auth, **sign_in, AuthParameters=given)[0] == "UserNotConfirmedException"
        assert refusal(idp.confirm_sign_up, **asked, ConfirmationCode="x")[0] == "CodeMismatchException"
        idp.confirm_sign_up(**asked, ConfirmationCode=sent_code(cloud, pool))
        admin.admin_add_user_to_group(UserPoolId=pool, Username="a@example.com", GroupName="readers")
        wrong = refusal(idp.initiate_auth, **sign_in, AuthParameters={**given, "PASSWORD": "no"})
        assert wrong == ("NotAuthorizedException", "Incorrect username or password.", 400)
        nobody = refusal(idp.initiate_auth, **sign_in, AuthParameters={**given, "USERNAME": "b@example.com"})
        assert nobody[:2] == ("UserNotFoundException", "User does not exist.")
        result = idp.initiate_auth(**sign_in, AuthParameters=given)["AuthenticationResult"]
        assert result["ExpiresIn"] == 300
        url = f"{cloud.url}/{pool}/.well-known/jwks.json"
        signed = jwt.PyJWKClient(url).get_signing_key_from_jwt(result["IdToken"]).key
        issuer = f"https://cognito-idp.{REGION}.amazonaws.com/{pool}"
        identity = jwt.decode(result["IdToken"], signed, algorithms=["RS256"], audience=client, issuer=issuer)
        assert (identity["cognito:groups"], identity["token_use"], identity["email_verified"]) == (
            ["readers"],
            "id",
            True,
        )
        access = jwt.decode(result["AccessToken"], signed, algorithms=["RS256"], issuer=issuer)
        assert (access["client_id"], access["sub"], access["exp"] - access["iat"]) == (client, told["UserSub"], 300)
        assert idp.get_user(AccessToken=result["AccessToken"])["Username"] == told["UserSub"]
        again = {
            **sign_in,
            "AuthFlow": "REFRESH_TOKEN_AUTH",
            "AuthParameters": {"REFRESH_TOKEN": result["RefreshToken"]},
        }
        assert "RefreshToken" not in idp.initiate_auth(**again)["AuthenticationResult"]
        idp.global_sign_out(AccessToken=result["AccessToken"])
        assert refusal(idp.initiate_auth, **again)[:2] == ("NotAuthorizedException", "Refresh Token has been revoked")
        assert refusal(idp.get_user, AccessToken=result["AccessToken"])[1] == "Access Token has been revoked"
        assert refusal(idp.get_user, AccessToken="x.y.z")[1] == "Invalid Access Token"
        assert refusal(idp.initiate_auth, **{**sign_in, "AuthFlow": "USER_SRP_AUTH"}, AuthParameters=given)[1] == (
            "USER_SRP_AUTH flow not enabled for this client"
        )
        with urllib.request.urlopen(f"{cloud.url}/{pool}/.well-known/openid-configuration", timeout=10) as answer:
            configuration = json.load(answer)
        assert (configuration["issuer"], configuration["jwks_uri"]) == (issuer, url)

    await run(work)
    issuer = f"https://cognito-idp.{REGION}.amazonaws.com/{pool}"
    keys = await cloud.delegated.pool_keys(issuer)
    assert keys is not None
    assert [key["kty"] for key in keys["keys"]] == ["RSA"]
    assert await cloud.delegated.pool_keys(f"{issuer}x") is None
    assert await cloud.delegated.pool_keys("https://other.example.com") is None


async def test_administrators_make_users_who_choose_their_password(cloud: Cloud) -> None:
    """A first password leads to a challenge, the answer to tokens; users are found, disabled, told and refused."""
    pool, client = await make_pool(cloud, "Staff", AdminCreateUserConfig={"AllowAdminCreateUserOnly": "true"})

    def work() -> None:
        idp = cloud.client("cognito-idp")
        assert refusal(idp.sign_up, ClientId=client, Username="z@example.com", Password="Passw0rd!")[1] == (
            "SignUp is not permitted for this user pool"
        )
        idp.admin_create_user(UserPoolId=pool, Username="b@example.com", TemporaryPassword="Tempor4ry!")
        asked = {"UserPoolId": pool, "ClientId": client}
        given = {"USERNAME": "b@example.com", "PASSWORD": "Tempor4ry!"}
        owed = idp.admin_initiate_auth(**asked, AuthFlow="ADMIN_USER_PASSWORD_AUTH", AuthParameters=given)
        assert owed["ChallengeName"] == "NEW_PASSWORD_REQUIRED"
        answer = {"USERNAME": "b@example.com", "NEW_PASSWORD": "Passw0rd!2"}
        responding = {**asked, "ChallengeName": "NEW_PASSWORD_REQUIRED", "Session": owed["Session"]}
        result = idp.admin_respond_to_auth_challenge(**responding, ChallengeResponses=answer)
        assert "AccessToken" in result["AuthenticationResult"]
        assert refusal(idp.admin_respond_to_auth_challenge, **responding, ChallengeResponses=answer)[1] == (
            "Invalid session for the user."
        )
        user = {"UserPoolId": pool, "Username": "b@example.com"}
        assert idp.admin_get_user(**user)["UserStatus"] == "CONFIRMED"
        (found,) = idp.list_users(UserPoolId=pool, Filter='email ^= "b@"')["Users"]
        assert {"Name": "email", "Value": "b@example.com"} in found["Attributes"]
        assert idp.list_users(UserPoolId=pool, Filter='email = "c"')["Users"] == []
        idp.admin_disable_user(**user)
        given["PASSWORD"] = "Passw0rd!2"
        assert refusal(idp.admin_initiate_auth, **asked, AuthFlow="ADMIN_USER_PASSWORD_AUTH", AuthParameters=given)[
            1
        ] == ("User is disabled.")
        assert refusal(idp.admin_get_user, UserPoolId="eu-west-1_none", Username="b")[:2] == (
            "ResourceNotFoundException", "User pool eu-west-1_none does not exist."
        )  # fmt: skip
        assert refusal(idp.associate_software_token, AccessToken="x")[0] == "UnknownOperationException"
        assert refusal(idp.create_user_pool, PoolName="p", MfaConfiguration="ON")[0] == "InvalidParameterException"
        arn = f"arn:aws:cognito-idp:{REGION}:123456789012:userpool/{pool}"
        own = cloud.allow({"Effect": "Allow", "Action": "cognito-idp:AdminGetUser", "Resource": arn})
        assert cloud.client("cognito-idp", own).admin_get_user(**user)["Enabled"] is False
        assert refusal(cloud.client("cognito-idp", own).admin_delete_user, **user)[::2] == (
            "AccessDeniedException",
            400,
        )

    await run(work)


async def test_a_templates_user_is_invited_with_a_first_password(cloud: Cloud) -> None:
    """The pool's log group has what Cognito would mail; with it the user signs in, and chooses another."""
    pool, client = await make_pool(cloud, "Invited")
    named = {"UserPoolId": pool, "Username": "i@example.com"}
    user = await cloud.make("Person", "AWS::Cognito::UserPoolUser", **named)
    await cloud.make("Admins", "AWS::Cognito::UserPoolGroup", UserPoolId=pool, GroupName="admins")
    await cloud.make("In", "AWS::Cognito::UserPoolUserToGroupAttachment", GroupName="admins", **named)
    said = cloud.logs.latest(f"/sluiceway/cognito/{pool}", 1)[0].message
    await cloud.make(
        "Quiet", "AWS::Cognito::UserPoolUser", UserPoolId=pool, Username="q@example.com", MessageAction="SUPPRESS"
    )

    def work() -> None:
        idp = cloud.client("cognito-idp")
        given = {"USERNAME": "i@example.com", "PASSWORD": said.split("temporary password ")[1]}
        owed = idp.initiate_auth(ClientId=client, AuthFlow="USER_PASSWORD_AUTH", AuthParameters=given)
        assert owed["ChallengeName"] == "NEW_PASSWORD_REQUIRED"
        groups = idp.admin_list_groups_for_user(UserPoolId=pool, Username=user.ref)["Groups"]
        assert [group["GroupName"] for group in groups] == ["admins"]

    await run(work)
    assert len(cloud.logs.latest(f"/sluiceway/cognito/{pool}", 9)) == 1


async def test_a_pools_functions_confirm_refuse_and_say_what_tokens_hold(cloud: Cloud) -> None:
    """PreSignUp confirms or refuses, PostConfirmation hears of it, PreTokenGeneration changes claims and groups."""
    called: list[dict[str, Any]] = []

    async def functions(function_arn: str, payload: bytes, *, source_arn: str) -> bytes:
        event = json.loads(payload)
        called.append({"arn": function_arn, "source": source_arn, **event})
        if event["request"]["userAttributes"]["email"].startswith("bad"):
            raise Failed("not you")
        if function_arn == "pre":
            event["response"] |= {"autoConfirmUser": True, "autoVerifyEmail": True}
        elif function_arn == "token":
            event["response"] = {"claimsOverrideDetails": {
                "claimsToAddOrOverride": {"tenant": "t1", "sub": "forged"}, "claimsToSuppress": ["email"],
                "groupOverrideDetails": {"groupsToOverride": ["g"]},
            }}  # fmt: skip
        return json.dumps(event).encode()

    cloud.delegated.functions = functions
    config = {"PreSignUp": "pre", "PostConfirmation": "post", "PreTokenGeneration": "token"}
    pool, client = await make_pool(cloud, "Hooked", LambdaConfig=config)

    def work() -> None:
        idp = cloud.client("cognito-idp")
        bad = refusal(idp.sign_up, ClientId=client, Username="bad@example.com", Password="Passw0rd!")
        assert bad[:2] == ("UserLambdaValidationException", "PreSignUp failed with error not you.")
        told = idp.sign_up(ClientId=client, Username="c@example.com", Password="Passw0rd!")
        assert told["UserConfirmed"]
        given = {"USERNAME": "c@example.com", "PASSWORD": "Passw0rd!"}
        result = idp.initiate_auth(ClientId=client, AuthFlow="USER_PASSWORD_AUTH", AuthParameters=given)
        claims = jwt.decode(result["AuthenticationResult"]["IdToken"], options={"verify_signature": False})
        assert (claims["tenant"], claims["sub"], claims["cognito:groups"]) == ("t1", told["UserSub"], ["g"])
        assert "email" not in claims

    await run(work)
    sources = [call["triggerSource"] for call in called]
    assert sources == [
        "PreSignUp_SignUp", "PreSignUp_SignUp", "PostConfirmation_ConfirmSignUp", "TokenGeneration_Authentication"
    ]  # fmt: skip
    assert {call["source"] for call in called} == {f"arn:aws:cognito-idp:{REGION}:123456789012:userpool/{pool}"}
    assert called[1]["callerContext"]["clientId"] == client
    cloud.delegated.functions = None
