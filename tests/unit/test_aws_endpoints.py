"""Addresses of services, held against botocore's rules, and the settings that change them."""

from __future__ import annotations

import pytest
from botocore.config import Config
from botocore.session import get_session

from sluiceway.aws.bedrock import BEDROCK_RUNTIME
from sluiceway.aws.connections import describe_service
from sluiceway.aws.dynamodb import DYNAMODB
from sluiceway.aws.endpoints import parse_url, read_region, resolve_endpoint
from sluiceway.aws.functions import LAMBDA
from sluiceway.aws.s3 import S3
from sluiceway.aws.sqs import SQS
from sluiceway.errors import Misconfigured

REGIONS = ["us-east-1", "il-central-1", "cn-north-1", "us-gov-west-1"]


@pytest.fixture(scope="module")
def boto_session():
    """One botocore session: loading it is what takes time."""
    return get_session()


@pytest.mark.parametrize(
    "service", [DYNAMODB, SQS, S3, BEDROCK_RUNTIME, LAMBDA], ids=lambda service: service.endpoint_prefix
)
def test_regional_addresses_equal_botocores(boto_session, service):
    """Host names of every partition served, and the signing name and target prefix of the API model."""
    regional = Config(s3={"us_east_1_regional_endpoint": "regional"})
    for region in REGIONS:
        client = boto_session.create_client(
            service.endpoint_prefix, region, aws_access_key_id="a", aws_secret_access_key="b", config=regional
        )
        endpoint = resolve_endpoint(service, region, {})
        ours = f"{'https' if endpoint.origin.tls else 'http'}://{endpoint.host}{endpoint.path}"
        assert ours == client.meta.endpoint_url
        model = client.meta.service_model
        assert service.signing_name == model.signing_name
        assert service.target_prefix == model.metadata.get("targetPrefix", "")


def test_an_address_of_its_own_is_used_but_where_settings_say_another(boto_session):
    """A WebSocket API's management API is at its own host; the names of settings and signature are botocore's."""
    service = describe_service("https://a1.execute-api.eu-west-1.amazonaws.com")
    endpoint = resolve_endpoint(service, "us-iso-east-1", {})
    assert (endpoint.origin.tls, endpoint.host, endpoint.path) == (True, "a1.execute-api.eu-west-1.amazonaws.com", "")
    for name in ("AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI", "AWS_ENDPOINT_URL"):
        assert resolve_endpoint(service, "eu-west-1", {name: "http://x.test"}).host == "x.test"
    model = boto_session.get_service_model("apigatewaymanagementapi")
    assert service.signing_name == model.signing_name
    assert service.env_name == model.service_id.upper().replace(" ", "_")


def test_precedence_of_settings():
    """The service's own address, then the one for all, then the Region's; both are ignored when told so."""
    one, every = "http://127.0.0.1:4600", "http://127.0.0.1:4700/base/"
    environ = {"AWS_ENDPOINT_URL_BEDROCK_RUNTIME": one, "AWS_ENDPOINT_URL": every}
    assert resolve_endpoint(BEDROCK_RUNTIME, "eu-west-1", environ).host == "127.0.0.1:4600"
    endpoint = resolve_endpoint(SQS, "eu-west-1", environ)
    assert (endpoint.host, endpoint.path) == ("127.0.0.1:4700", "/base")
    ignored = {**environ, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "TRUE"}
    assert resolve_endpoint(SQS, "eu-west-1", ignored).host == "sqs.eu-west-1.amazonaws.com"


@pytest.mark.parametrize(
    ("url", "origin", "host"),
    [
        ("http://localhost", (False, "localhost", 80), "localhost"),
        ("http://localhost:80", (False, "localhost", 80), "localhost"),
        ("https://h.example:443/", (True, "h.example", 443), "h.example"),
        ("https://h.example:8443", (True, "h.example", 8443), "h.example:8443"),
        ("http://[::1]:4600", (False, "::1", 4600), "[::1]:4600"),
    ],
)
def test_addresses_and_host_headers(url, origin, host):
    """The usual port is not said in the host header, as botocore has it."""
    endpoint = parse_url(url, what="X")
    assert (tuple(endpoint.origin), endpoint.host) == (origin, host)


@pytest.mark.parametrize(
    "url", ["", "localhost:80", "ftp://x", "http://", "http://x:99999", "http://x y", "http://u:p@x", "http://x/é"]
)
def test_addresses_that_are_none(url):
    """The setting is named."""
    with pytest.raises(Misconfigured) as caught:
        parse_url(url, what="AWS_ENDPOINT_URL")
    assert caught.value.what == "AWS_ENDPOINT_URL"


@pytest.mark.parametrize("name", ["AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT"])
def test_endpoint_variants_are_refused_aloud(name):
    """What is not served is not ignored."""
    with pytest.raises(Misconfigured) as caught:
        resolve_endpoint(SQS, "eu-west-1", {name: "true"})
    assert caught.value.what == name
    assert resolve_endpoint(SQS, "eu-west-1", {name: "false"}).host == "sqs.eu-west-1.amazonaws.com"


def test_partitions_that_are_not_known_are_refused():
    """A guessed host name would leak requests; an address by hand still serves."""
    with pytest.raises(Misconfigured):
        resolve_endpoint(SQS, "us-iso-east-1", {})
    assert resolve_endpoint(SQS, "us-iso-east-1", {"AWS_ENDPOINT_URL_SQS": "http://x"}).host == "x"


@pytest.mark.parametrize("region", ["", "x", "eu west 1", "EU-WEST-1", "eu-west-1/"])
def test_regions_that_are_none(region):
    """A Region goes into a host name: nothing else gets there."""
    with pytest.raises(Misconfigured):
        read_region({"AWS_REGION": region})
    assert read_region({"AWS_DEFAULT_REGION": "eu-west-1"}) == "eu-west-1"
