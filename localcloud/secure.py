"""A certificate for this machine's loopback address, and the roots by which functions trust it.

Stock functions build addresses that begin with `https://`: WebSocket handlers of `domainName`, custom resources of the
host in `ResponseURL`. The SDKs' own settings lead such addresses nowhere else, so they are served: the certificate is
made once, kept in the cache, and trusted by nobody but functions, through variables of their own. The key that signed
it is thrown away, so it can vouch for nothing else.
Sources: https://docs.aws.amazon.com/sdkref/latest/guide/feature-gen-config.html (`AWS_CA_BUNDLE`),
https://docs.openssl.org/master/man3/SSL_CTX_load_verify_locations/ (`SSL_CERT_FILE`)
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import shutil
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from localcloud.file_lock import hold_lock

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.x509 import CertificateBuilder

__all__ = ["Trust", "read_trust"]

VALID_DAYS: Final = 397  # the longest that clients take of a server: https://support.apple.com/102028
RENEWED_DAYS: Final = 30  # before its end
NAME: Final = "sluiceway local cloud"


@dataclass(frozen=True, slots=True)
class Trust:
    """`server` has key and certificate, for the owner's eyes alone; `bundle` this machine's roots and ours."""

    server: Path
    bundle: Path

    def context(self) -> ssl.SSLContext:
        """What a listener needs."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.server)
        return context


def read_trust(cache: Path, *, now: dt.datetime) -> Trust:
    """The newest certificate in `cache`, made where there is none or it ends soon. Blocks for some 100 ms then.

    Each has a folder of its own, and stays there until it ends: another local cloud may serve it.
    """
    folder = cache / "certificate"
    folder.mkdir(parents=True, exist_ok=True)
    with hold_lock(folder / "lock"):
        made = sorted(path for path in folder.iterdir() if path.is_dir())
        trust = _in_folder(made[-1] if made else folder)
        if not _is_good(trust, now):
            trust = _in_folder(folder / f"{now:%Y-%m-%dT%H-%M-%S-%f}")
            _make(trust, now)
        for past in made:
            if _left_s(_in_folder(past), now) < 0:
                shutil.rmtree(past)
    return trust


def _in_folder(folder: Path) -> Trust:
    return Trust(folder / "server.pem", folder / "bundle.pem")


def _is_good(trust: Trust, now: dt.datetime) -> bool:
    return trust.bundle.is_file() and _left_s(trust, now) > RENEWED_DAYS * 86_400


def _left_s(trust: Trust, now: dt.datetime) -> float:
    """Seconds until it ends; less than 0 where it was never made whole."""
    try:
        return trust.server.stat().st_mtime - now.timestamp()  # set to the certificate's end
    except OSError:
        return -1.0


def _make(trust: Trust, now: dt.datetime) -> None:
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - 50 ms, where it is made only
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415 - the same

    root_key, server_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root, server = _sign(root_key, server_key, now)
    key = server_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    trust.server.parent.mkdir(exist_ok=True)
    _write(trust.bundle, _roots() + b"\n" + root)
    _write(trust.server, key + server)
    until = (now + dt.timedelta(days=VALID_DAYS)).timestamp()
    os.utime(trust.server, (until, until))


def _sign(
    root_key: EllipticCurvePrivateKey, server_key: EllipticCurvePrivateKey, now: dt.datetime
) -> tuple[bytes, bytes]:
    """The root's certificate and the server's, as PEM; with all that `ssl.VERIFY_X509_STRICT` wants."""
    from cryptography import x509  # noqa: PLC0415 - as above
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415 - as above
    from cryptography.x509.oid import ExtendedKeyUsageOID  # noqa: PLC0415 - as above

    root_id = x509.SubjectKeyIdentifier.from_public_key(root_key.public_key())
    uses = dict.fromkeys(("digital_signature", "key_cert_sign", "crl_sign"), False)
    never = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    others = dict.fromkeys((*never, "encipher_only", "decipher_only"), False)
    root = (
        _builder(f"{NAME} root", now)
        .public_key(root_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.KeyUsage(**others, **uses | {"key_cert_sign": True, "crl_sign": True}), critical=True)
        .add_extension(root_id, critical=False)
    )
    hosts = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
    server = (
        _builder(NAME, now)
        .public_key(server_key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**others, **uses | {"digital_signature": True}), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(server_key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(root_id), critical=False)
    )
    made = (each.sign(root_key, hashes.SHA256()) for each in (root, server))
    first, second = (each.public_bytes(serialization.Encoding.PEM) for each in made)
    return first, second


def _builder(name: str, now: dt.datetime) -> CertificateBuilder:
    from cryptography import x509  # noqa: PLC0415 - as above
    from cryptography.x509.oid import NameOID  # noqa: PLC0415 - as above

    def named(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    return (
        x509.CertificateBuilder()
        .subject_name(named(name))
        .issuer_name(named(f"{NAME} root"))
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=VALID_DAYS))
    )


def _roots() -> bytes:
    """The roots that functions would trust without us: this machine's, else those that come with requests."""
    path = Path(ssl.get_default_verify_paths().openssl_cafile)
    if path.is_file():
        return path.read_bytes()
    import certifi  # noqa: PLC0415 - where the machine has none

    return Path(certifi.where()).read_bytes()


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all, and for the owner alone."""
    written = path.with_suffix(".new")
    descriptor = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    written.replace(path)
