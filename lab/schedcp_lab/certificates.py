"""Certificate authorities, certificates and kubeconfigs of a lab.

Three authorities that never vouch for each other: the cluster's (API server, nodes, clients),
etcd's (whoever holds one of its certificates can read and write everything), and the product's
(the operator's HTTPS and the agents' metrics). Keys are P-256 and live as long as one lab.
"""

from __future__ import annotations

import base64
import datetime
import ipaddress
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = [
    "Authority",
    "Credential",
    "key_pair",
    "kubeconfig",
    "kubeconfig_with_token",
    "write_private",
]

LIFETIME = datetime.timedelta(days=30)
CLOCK_TOLERANCE = datetime.timedelta(hours=1)
"""Certificates begin this much earlier: a guest's clock may be a little behind."""


@dataclass(frozen=True)
class Credential:
    """A certificate and its key, both as PEM."""

    certificate: str
    key: str = field(repr=False)

    def write(self, folder: Path, name: str) -> tuple[Path, Path]:
        """Write NAME.crt and NAME.key; return both paths."""
        certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
        certificate.write_text(self.certificate)
        write_private(key, self.key)
        return certificate, key


@dataclass(frozen=True)
class Authority:
    """A certificate authority; its key never leaves the process."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)

    @classmethod
    def create(cls, name: str, *, now: datetime.datetime) -> Self:
        """Make an authority with a key of its own."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        usage = _key_usage(signs_certificates=True)
        builder = (
            _builder(subject, subject, key.public_key(), now=now)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
        )
        return cls(builder.sign(key, hashes.SHA256()), key)

    @property
    def pem(self) -> str:
        """Return the authority's certificate as PEM."""
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def issue_client(
        self, common_name: str, *, now: datetime.datetime, organizations: tuple[str, ...] = ()
    ) -> Credential:
        """Issue a client certificate; Kubernetes reads user and groups from its subject."""
        return self._issue(common_name, organizations, ExtendedKeyUsageOID.CLIENT_AUTH, (), now=now)

    def issue_server(
        self, common_name: str, names: tuple[str, ...], *, now: datetime.datetime
    ) -> Credential:
        """Issue a server certificate for DNS names and IP addresses."""
        return self._issue(common_name, (), ExtendedKeyUsageOID.SERVER_AUTH, names, now=now)

    def _issue(
        self,
        common_name: str,
        organizations: tuple[str, ...],
        purpose: x509.ObjectIdentifier,
        names: tuple[str, ...],
        *,
        now: datetime.datetime,
    ) -> Credential:
        key = ec.generate_private_key(ec.SECP256R1())
        attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, o) for o in organizations]
        attributes.append(x509.NameAttribute(NameOID.COMMON_NAME, common_name))
        subject = x509.Name(attributes)
        builder = (
            _builder(subject, self.certificate.subject, key.public_key(), now=now)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()),
                critical=False,
            )
        )
        if names:
            alternatives = x509.SubjectAlternativeName([_general_name(name) for name in names])
            builder = builder.add_extension(alternatives, critical=False)
        certificate = builder.sign(self.key, hashes.SHA256())
        pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
        return Credential(pem, _private_pem(key))


def key_pair() -> tuple[str, str]:
    """Return a fresh P-256 private key and its public key as PEM, for service account tokens."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return _private_pem(key), public.decode()


def kubeconfig(server: str, *, authority_pem: str, user: str, credential: Credential) -> str:
    """Return a kubeconfig with everything embedded (JSON, which is YAML)."""
    identity = {
        "client-certificate-data": _base64(credential.certificate),
        "client-key-data": _base64(credential.key),
    }
    return _kubeconfig(server, authority_pem, user, identity)


def kubeconfig_with_token(server: str, *, authority_pem: str, user: str, token: str) -> str:
    """Return a kubeconfig whose user shows a bearer token, such as a service account's."""
    return _kubeconfig(server, authority_pem, user, {"token": token})


def _kubeconfig(server: str, authority_pem: str, user: str, identity: dict[str, str]) -> str:
    cluster = {"server": server, "certificate-authority-data": _base64(authority_pem)}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "lab", "cluster": cluster}],
        "users": [{"name": user, "user": identity}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": user}}],
        "current-context": "lab",
    }
    return json.dumps(document, indent=1) + "\n"


def write_private(path: Path, text: str) -> Path:
    """Write a file that only its owner may read; it is never wider, not even for a moment."""
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(text)
    return path


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    *,
    now: datetime.datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_TOLERANCE)
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _private_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
