"""Signing with a certificate, and trusting the root that issued it."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from optiproxy_nas import search
from optiproxy_nas.core.errors import DataError, ParameterError
from optiproxy_nas.proof.certificates import check_for_signing
from optiproxy_nas.proof.signature import Signer, check_signature
from optiproxy_nas.proof.verify import FAILED, OK, Check

pytest.importorskip("model_signing")


class Issued(NamedTuple):
    """A certificate and its key, which lie at NAME.pem, NAME.key and NAME.pub."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def issue(
    folder: Path,
    name: str,
    issuer: Issued | None = None,
    is_root: bool = False,
    days: tuple[int, int] = (-10, 365),
) -> Issued:
    """Write a certificate that is valid for so many days from now; without an issuer, by itself."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    usage = {"digital_signature": not is_root, "key_cert_sign": is_root, "crl_sign": is_root}
    others = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    usage |= dict.fromkeys((*others, "encipher_only", "decipher_only"), False)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=days[0]))
        .not_valid_after(now + timedelta(days=days[1]))
        .add_extension(x509.BasicConstraints(is_root, None), critical=True)
        .add_extension(x509.KeyUsage(**usage), critical=True)
        .sign(issuer.key if issuer else key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    public = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    (folder / f"{name}.key").write_bytes(private)
    (folder / f"{name}.pub").write_bytes(public)
    (folder / f"{name}.pem").write_bytes(certificate.public_bytes(pem))
    return Issued(certificate, key)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with certificates of two roots, and a crate."""
    folder = tmp_path_factory.mktemp("certificates")
    root = issue(folder, "root", is_root=True)
    issue(folder, "other", is_root=True)
    middle = issue(folder, "middle", root, is_root=True)
    leaf = issue(folder, "leaf", middle)
    issue(folder, "child", leaf)
    issue(folder, "direct", root)
    issue(folder, "expired", root, days=(-9, -1))
    issue(folder, "early", root, days=(1, 9))
    result = search(space={"a": [1, 2]}, evaluate=len, method="random_search", budget=2)
    result.export_crate(folder / "crate")
    return folder


def signer(made: Path, name: str, *chain: str, key: str = "") -> Signer:
    paths = tuple(made / f"{it}.pem" for it in chain)
    return Signer(made / f"{key or name}.key", None, made / f"{name}.pem", paths)


def checked(made: Path, *trusted: str, key: str = "") -> Check:
    paths = tuple(made / f"{it}.pem" for it in trusted)
    return check_signature(made / "crate", made / f"{key}.pub" if key else None, paths)


@pytest.mark.heavy
def test_a_root_vouches_for_a_signer_by_those_between(made: Path) -> None:
    signer(made, "leaf", "middle").sign(made / "crate")
    found = checked(made, "root")
    assert found.state == OK
    assert "CN=leaf" in found.why
    arguments = ["verify", str(made / "crate"), "--chain", str(made / "root.pem")]
    done = subprocess.run(
        [sys.executable, "-m", "optiproxy_nas", *arguments], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "CN=leaf" in done.stdout
    assert checked(made, "other").state == FAILED


def test_a_certificate_of_the_root_itself_needs_none_between(made: Path) -> None:
    signer(made, "direct").sign(made / "crate")
    assert checked(made, "root", "other").state == OK
    wrong = checked(made, "other")
    assert wrong.state == FAILED
    assert "other.pem does not vouch for" in wrong.why
    assert "--chain" in checked(made, key="direct").why
    with pytest.raises(DataError, match="PEM file of certificates"):
        check_signature(made / "crate", None, (made / "root.pub",))


@pytest.mark.parametrize(("name", "chain"), [("leaf", ()), ("child", ("leaf", "middle"))])
def test_a_gap_or_a_leaf_that_issues_is_no_chain(
    made: Path, name: str, chain: tuple[str, ...]
) -> None:
    signer(made, name, *chain).sign(made / "crate")
    assert checked(made, "root").state == FAILED


def test_a_key_of_another_certificate_does_not_sign(made: Path) -> None:
    with pytest.raises(ParameterError, match="certificate of that key"):
        signer(made, "leaf", key="direct").sign(made / "crate")


@pytest.mark.parametrize("name", ["expired", "early", "root"])
def test_a_certificate_that_no_one_could_trust_does_not_sign(made: Path, name: str) -> None:
    """Out of its dates, or not for signatures."""
    with pytest.raises(ParameterError, match="Nobody could verify it"):
        signer(made, name).sign(made / "crate")


def test_a_certificate_that_expired_since_does_not_hold(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("optiproxy_nas.proof.signature.check_for_signing", lambda _: None)
    signer(made, "expired").sign(made / "crate")
    found = checked(made, "root")
    assert found.state == FAILED
    assert "expired on" in found.why


def test_what_is_no_certificate_does_not_sign(made: Path) -> None:
    with pytest.raises(ValueError, match="PEM"):
        check_for_signing(made / "root.pub")
    with pytest.raises(ParameterError, match="cannot be signed"):
        Signer(made / "direct.key", None, made / "root.pub").sign(made / "crate")
