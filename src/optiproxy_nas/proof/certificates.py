"""Certificates of signatures: whether they are valid today, and who vouches for them.

model-signing checks a chain as of the day on which its certificate began to be valid, so that one
that has expired passes. Nothing in a crate proves when it was signed; so it is checked as of now.
"""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.proof.crate_reading import SIGNATURE, Refused, content_of

if TYPE_CHECKING:
    from cryptography.x509 import Certificate


def check_for_signing(path: Path) -> None:
    """Refuse a certificate by which no signature could be verified today.

    Raises:
        ParameterError: it is not valid yet, or not any more, or is not for signing.
        ValueError: the file holds none.
    """
    certificate = _read(path)[0]
    fault = _date_fault(certificate)
    if not fault and not _is_for_signing(certificate):
        fault = "its key usage is not digitalSignature, nor its extended one codeSigning"
    if fault:
        raise ParameterError(
            f"The crate cannot be signed with {str(path)!r}: {fault}. Nobody could verify it.",
            path=str(path),
        )


def holder_of(crate: Path, trusted: tuple[Path, ...]) -> str:
    """Return whose certificate signed a crate, if the trusted ones vouch for it.

    Args:
        crate: with a signature.
        trusted: PEM files, each with a certificate.

    Raises:
        Refused: the signature holds no certificate, or they do not vouch for it today; why.
    """
    from OpenSSL import crypto

    certificate, *others = _of_signature(crate)
    store = crypto.X509Store()
    for path in trusted:
        for root in _read(path):
            store.add_cert(crypto.X509.from_cryptography(root))
    whose = certificate.subject.rfc4514_string() or "nobody"
    names = ", ".join(path.name for path in trusted)
    for other in (certificate, *others):
        if fault := _date_fault(other):
            raise Refused(f"{fault}, and nothing proves when it signed")
    chain = [crypto.X509.from_cryptography(other) for other in others]
    leaf = crypto.X509.from_cryptography(certificate)
    try:
        crypto.X509StoreContext(store, leaf, chain).verify_certificate()
    except crypto.X509StoreContextError as error:
        raise Refused(
            f"{names} does not vouch for the certificate of {whose}, issued by "
            f"{certificate.issuer.rfc4514_string()}: {error}"
        ) from error
    return f"{whose}, for whom {names} vouches"


def has_certificate(crate: Path) -> bool:
    """Return whether a signature brings a certificate."""
    try:
        return bool(_of_signature(crate))
    except Refused:
        return False


def _of_signature(crate: Path) -> list[Certificate]:
    """Return the certificates that a signature brings, that of the signer first.

    Raises:
        Refused: there is none.
    """
    from cryptography import x509

    try:
        material = json.loads(content_of(crate / SIGNATURE))["verificationMaterial"]
        found = material["x509CertificateChain"]["certificates"]
        read = [x509.load_der_x509_certificate(base64.b64decode(it["rawBytes"])) for it in found]
        if not read:
            raise ValueError("an empty chain")
        return read
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise Refused("it was made by a key without a certificate: give --key") from error


def _read(path: Path) -> list[Certificate]:
    """Return the certificates of a PEM file; ValueError where it has none."""
    from cryptography import x509

    return x509.load_pem_x509_certificates(path.read_bytes())


def _is_for_signing(certificate: Certificate) -> bool:
    """Return whether model-signing takes a certificate as a signer's."""
    from cryptography.x509 import ExtendedKeyUsage, ExtensionNotFound, KeyUsage
    from cryptography.x509.oid import ExtendedKeyUsageOID

    extensions = certificate.extensions
    with suppress(ExtensionNotFound):
        if extensions.get_extension_for_class(KeyUsage).value.digital_signature:
            return True
    with suppress(ExtensionNotFound):
        usage = extensions.get_extension_for_class(ExtendedKeyUsage).value
        return ExtendedKeyUsageOID.CODE_SIGNING in usage
    return False


def _date_fault(certificate: Certificate) -> str:
    """Return why a certificate is not valid today, "" if it is."""
    whose = certificate.subject.rfc4514_string()
    if certificate.not_valid_after_utc < datetime.now(UTC):
        return f"the certificate of {whose} expired on {certificate.not_valid_after_utc:%Y-%m-%d}"
    if certificate.not_valid_before_utc > datetime.now(UTC):
        return f"the certificate of {whose} begins on {certificate.not_valid_before_utc:%Y-%m-%d}"
    return ""
