"""What a health check is told to look at, and what Route 53 says of settings that make no sense. Pure.

Source: https://docs.aws.amazon.com/Route53/latest/APIReference/API_HealthCheckConfig.html
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from localcloud.services.route53.errors import Route53Error, invalid_input, not_served

__all__ = ["ALARM", "CALCULATED", "LAST_KNOWN", "TCP", "AlarmName", "CheckConfig", "judge_config"]

CALCULATED: Final = "CALCULATED"
ALARM: Final = "CLOUDWATCH_METRIC"
TCP: Final = "TCP"
LAST_KNOWN: Final = "LastKnownStatus"
TYPES: Final = ("HTTP", "HTTPS", "HTTP_STR_MATCH", "HTTPS_STR_MATCH", TCP, CALCULATED, ALARM, "RECOVERY_CONTROL")
INSUFFICIENT: Final = ("Healthy", "Unhealthy", LAST_KNOWN)
REGIONS: Final = (
    "us-east-1", "us-west-1", "us-west-2", "eu-west-1", "ap-southeast-1", "ap-southeast-2", "ap-northeast-1",
    "sa-east-1",
)  # fmt: skip
FEWEST_REGIONS: Final = 3
MAX_CHILDREN: Final = 256
MAX_TEXT_CHARACTERS: Final = 255  # of FullyQualifiedDomainName, ResourcePath and SearchString
_FIXED_PORTS: Final = {"HTTP": 80, "HTTP_STR_MATCH": 80, "HTTPS": 443, "HTTPS_STR_MATCH": 443}


@dataclass(frozen=True, slots=True)
class AlarmName:
    """Which alarm, and in which Region."""

    region: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckConfig:
    """The settings of one check, as given; "", (), 0 and None: not given.

    `interval_s` is 10 or 30, `threshold` from 1 to 10. `health_threshold`: how many of `children` have to be healthy.
    """

    type: str
    address: str = ""
    port: int = 0
    name: str = ""
    path: str = ""
    search: str = ""
    interval_s: int = 30
    threshold: int = 3
    measures_latency: bool = False
    inverted: bool = False
    disabled: bool = False
    sni: bool = False
    health_threshold: int = 0
    children: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    alarm: AlarmName | None = None
    insufficient: str = LAST_KNOWN

    @property
    def is_endpoint(self) -> bool:
        """Whether something is asked over the network."""
        return self.type not in {CALCULATED, ALARM}

    @property
    def is_https(self) -> bool:
        """Whether it is asked over TLS."""
        return self.type.startswith("HTTPS")

    @property
    def matches_text(self) -> bool:
        """Whether the answer's body counts."""
        return self.type.endswith("_STR_MATCH")

    @property
    def host(self) -> str:
        """The Host header, with the port where it is not the type's own."""
        shown = self.name or (f"[{self.address}]" if ":" in self.address else self.address)
        port = self.with_port()
        return shown if port == _FIXED_PORTS.get(self.type) else f"{shown}:{port}"

    def with_port(self) -> int:
        """The port that is asked where none is given; 0 where one is needed."""
        return self.port or _FIXED_PORTS.get(self.type, 0)


def judge_config(config: CheckConfig) -> None:
    """Raises Route53Error (InvalidInput; NotImplemented for what is not served here)."""
    if config.type not in TYPES:
        raise invalid_input(f"Invalid parameter : Unknown health check type {config.type}.")
    if config.type == "RECOVERY_CONTROL":
        raise not_served("health checks of the type RECOVERY_CONTROL: there is no Application Recovery Controller here")
    _judge_numbers(config)
    for fault in (_judge_kind(config), _judge_texts(config), _judge_regions(config)):
        if fault:
            raise invalid_input(f"Invalid parameter : {fault}")
    if config.address:
        _judge_address(config.address)


def _judge_numbers(config: CheckConfig) -> None:
    if config.interval_s not in {10, 30}:
        raise invalid_input("Invalid parameter : Request interval must be 10 or 30 seconds.")
    if not 1 <= config.threshold <= 10:
        raise invalid_input("Invalid parameter : Failure threshold must be from 1 to 10.")
    if config.port and not 1 <= config.port <= 65_535:
        raise invalid_input("Invalid parameter : Port must be from 1 to 65535.")
    if not 0 <= config.health_threshold <= MAX_CHILDREN:
        raise invalid_input(f"Invalid parameter : Health threshold must be from 0 to {MAX_CHILDREN}.")


def _judge_kind(config: CheckConfig) -> str:
    """What speaks against members of another kind of check."""
    if (config.type != ALARM and config.alarm is not None) or (config.type != CALCULATED and config.children):
        strange = "an metric region" if config.alarm is not None else "child health checks"
        return f"Basic health checks must not have {strange} specified."
    if config.is_endpoint:
        return _judge_endpoint(config)
    if config.address or config.name or config.port or config.path or config.search:
        return f"Health checks of the type {config.type} must not have an endpoint specified."
    if config.type == ALARM:
        return "" if config.alarm is not None else "CloudWatch metric health checks must have an alarm specified."
    if len(config.children) > MAX_CHILDREN:
        return f"Calculated health checks must not have more than {MAX_CHILDREN} child health checks specified."
    return ""


def _judge_endpoint(config: CheckConfig) -> str:
    if not config.address and not config.name:
        return "Basic health checks must have an IP address or a fully qualified domain name specified."
    if not config.with_port():
        return "TCP health checks must have a port specified."
    if config.type == TCP and (config.path or config.search):
        return "TCP health checks must not have a resource path or a search string specified."
    if config.matches_text and not config.search:
        return "String match health checks must have a search string specified."
    if config.search and not config.matches_text:
        return "Only string match health checks may have a search string specified."
    return ""


def _judge_texts(config: CheckConfig) -> str:
    if any(len(text) > MAX_TEXT_CHARACTERS for text in (config.name, config.path, config.search)):
        return f"Names, paths and search strings have {MAX_TEXT_CHARACTERS} characters at most."
    if any(not 0x20 < ord(each) < 0x7F for each in f"{config.path}{config.name}"):
        return "Names and paths have printable ASCII characters alone."
    if config.insufficient not in INSUFFICIENT:
        return f"Insufficient data health status must be one of {', '.join(INSUFFICIENT)}."
    return ""


def _judge_regions(config: CheckConfig) -> str:
    if not config.regions:
        return ""
    if not set(config.regions) <= set(REGIONS):
        return f"Health checkers are in the Regions {', '.join(REGIONS)}."
    if len(set(config.regions)) < FEWEST_REGIONS:
        return f"At least {FEWEST_REGIONS} Regions must be specified."
    return ""


def _judge_address(address: str) -> None:
    """The other way round than on AWS, which asks no address of this machine: here no other is asked."""
    try:
        parsed = ip_address(address)
    except ValueError:
        raise invalid_input(f"Invalid parameter : {address} is no IP address.") from None
    if not parsed.is_loopback:
        raise Route53Error(
            "NotImplemented",
            f"The local cloud asks nobody outside this machine: {address} is no loopback address.",
            status=501,
        )
