import base64
import datetime
import ipaddress
import json
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from schedcp_lab.certificates import Authority, kubeconfig
from schedcp_lab.pki import Pki

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def load(pem: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem.encode())


@pytest.fixture
def authority() -> Authority:
    return Authority.create("test", now=NOW)


def test_a_client_certificate_carries_user_and_groups(authority: Authority) -> None:
    issued = authority.issue_client("system:node:one", organizations=("system:nodes",), now=NOW)
    certificate = load(issued.certificate)
    certificate.verify_directly_issued_by(authority.certificate)
    names = {attribute.oid: attribute.value for attribute in certificate.subject}
    assert names[NameOID.COMMON_NAME] == "system:node:one"
    assert names[NameOID.ORGANIZATION_NAME] == "system:nodes"
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert isinstance(key.curve, ec.SECP256R1)


def test_a_server_certificate_names_hosts_and_addresses(authority: Authority) -> None:
    certificate = load(
        authority.issue_server("one", ("one.test", "10.76.0.1"), now=NOW).certificate
    )
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["one.test"]
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address("10.76.0.1")]


def test_a_certificate_is_no_authority(authority: Authority) -> None:
    certificate = load(authority.issue_client("one", now=NOW).certificate)
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert not constraints.value.ca
    assert constraints.critical


def test_a_clock_a_little_behind_is_tolerated(authority: Authority) -> None:
    certificate = load(authority.issue_client("one", now=NOW).certificate)
    assert certificate.not_valid_before_utc < NOW < certificate.not_valid_after_utc


def test_a_key_is_not_shown(authority: Authority) -> None:
    assert "PRIVATE" not in repr(authority.issue_client("one", now=NOW))


def test_the_three_authorities_do_not_vouch_for_each_other(tmp_path: Path) -> None:
    pki = Pki.create(tmp_path / "pki", now=NOW)
    node = load(pki.node_credentials("one", "10.76.0.1", port=1).serving_certificate)
    node.verify_directly_issued_by(pki.cluster.certificate)
    for other in (pki.etcd, pki.product):
        with pytest.raises((InvalidSignature, ValueError)):
            node.verify_directly_issued_by(other.certificate)


def test_private_files_are_their_owners(tmp_path: Path) -> None:
    pki = Pki.create(tmp_path / "pki", now=NOW)
    private = [*pki.folder.glob("*.key"), pki.client_kubeconfig("admin", port=1)]
    assert len(private) > 3
    assert {stat.S_IMODE(path.stat().st_mode) for path in private} == {0o600}


def test_no_authoritys_key_is_written(tmp_path: Path) -> None:
    pki = Pki.create(tmp_path / "pki", now=NOW)
    assert not list(pki.folder.glob("*ca.key"))


def test_a_kubeconfig_is_complete(authority: Authority) -> None:
    issued = authority.issue_client("admin", now=NOW)
    text = kubeconfig(
        "https://127.0.0.1:1", authority_pem=authority.pem, user="admin", credential=issued
    )
    document = json.loads(text)
    (user,) = document["users"]
    assert base64.b64decode(user["user"]["client-key-data"]).decode() == issued.key
    (cluster,) = document["clusters"]
    assert cluster["cluster"]["server"] == "https://127.0.0.1:1"
    (context,) = document["contexts"]
    assert context["context"] == {"cluster": cluster["name"], "user": user["name"]}
    assert document["current-context"] == context["name"]
