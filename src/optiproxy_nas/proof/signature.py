"""Signatures of crates by OpenSSF's model-signing, with a local key or certificate."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any, NamedTuple

from optiproxy_nas.core.errors import DataError, ParameterError, first_line
from optiproxy_nas.proof.certificates import check_for_signing, has_certificate, holder_of
from optiproxy_nas.proof.crate_reading import SIGNATURE, Refused, content_of, digest_of, files_of
from optiproxy_nas.proof.verify import FAILED, NOT_CHECKED, OK, Check, failure

_INSTALL = "pip install 'optiproxy-nas[proof]'"


class Signer(NamedTuple):
    """A private key, with its certificate and chain if there is one.

    Attributes:
        key: PEM file of an elliptic curve key (secp256r1, secp384r1, secp521r1).
        password: of the key.
        certificate: PEM file.
        chain: PEM files of the certificates between that one and the root.
    """

    key: Path
    password: str | None = None
    certificate: Path | None = None
    chain: tuple[Path, ...] = ()

    def sign(self, crate: Path) -> None:
        """Sign all files of a crate, into ``crate.sig``.

        Raises:
            ParameterError: model-signing is not installed, or the key cannot be used.
        """
        signing = _library("signing")
        target = crate / SIGNATURE
        try:
            for path in (self.key, self.certificate, *self.chain):
                if path is not None and not path.is_file():  # a pipe would be waited for
                    raise ValueError(f"{path} is no file")
            config = signing.Config().set_hashing_config(_hashing())
            if self.certificate is None:
                # It hands the password on to cryptography, which wants bytes.
                password = self.password.encode() if self.password else None
                config.use_elliptic_key_signer(private_key=self.key, password=password)
            else:
                check_for_signing(self.certificate)
                config.use_certificate_signer(
                    private_key=self.key,
                    signing_certificate=self.certificate,
                    # It takes no empty chain; one that has the certificate again is no other.
                    certificate_chain=self.chain or (self.certificate,),
                )
            config.sign(crate, target)
        except ParameterError:
            raise
        except Exception as error:  # cryptography, model-signing: each has its own
            if self.certificate is None:
                used, advice = repr(str(self.key)), "It must be the PEM file of an elliptic curve "
                advice += "key: openssl ecparam -name prime256v1 -genkey -noout -out crate.key"
            else:
                used = f"{str(self.key)!r} and {str(self.certificate)!r}"
                advice = "The PEM files of an elliptic curve key without a password, of the "
                advice += "certificate of that key, and of those up to the root are needed."
            raise ParameterError(
                f"The crate cannot be signed with {used}: {first_line(error).rstrip('.')}. "
                f"{advice}",
                path=str(self.key),
            ) from error


def check_signature(crate: Path, key: Path | None, chain: tuple[Path, ...] = ()) -> Check:
    """Return whether the signature holds for all files of a crate.

    Args:
        crate: its folder.
        key: PEM file of the public key of whoever should have signed.
        chain: in place of the key: certificates that are trusted.

    Raises:
        ParameterError: a key and a chain were given, or one of them and model-signing is not
            installed.
        DataError: there is no such key, or it is none.
    """
    if key is not None and chain:
        raise ParameterError("Give --key, or --chain in its place, not both.", name="key")
    signature = crate / SIGNATURE
    if key is None and not chain:
        reason = (
            "no key was given: --key PUBLIC, or --chain ROOT"
            if signature.exists()
            else "there is none"
        )
        return Check("signature", NOT_CHECKED, reason)
    config = _verifier(key, chain)
    if not signature.is_file() or signature.is_symlink():
        return Check("signature", FAILED, f"there is no {SIGNATURE}")
    if others := files_of(crate)[1]:  # a pipe would be read without end
        return Check("signature", FAILED, f"{others[0]} is a link or no file")
    try:
        whose = f"the holder of {key.name}" if key is not None else holder_of(crate, chain)
        config.verify(crate, signature)
    except Refused as error:
        return Check("signature", FAILED, f"it does not hold: {error}")
    except Exception as error:  # of what a stranger wrote: of any kind
        if changed := _changed(crate):
            return failure("signature", changed)
        reason = first_line(error) if isinstance(error, ValueError) else "another kind of signature"
        if key is not None and has_certificate(crate):
            reason = "a certificate signed it: give --chain ROOT in the place of --key"
        return Check("signature", FAILED, f"it does not hold: {reason[:160]}")
    return Check("signature", OK, f"signed by {whose}, all files as signed")


def _verifier(key: Path | None, chain: tuple[Path, ...]) -> Any:
    """Return model-signing's check by a public key or by certificates.

    Raises:
        ParameterError: model-signing is not installed.
        DataError: a file is missing, or holds no such thing.
    """
    config = _library("verifying").Config().set_hashing_config(_hashing())
    files = [key] if key is not None else [*chain]
    if missing := [path for path in files if not path.is_file()]:
        raise DataError(f"There is no key {str(missing[0])!r}.", path=str(missing[0]))
    try:
        if key is not None:
            return config.use_elliptic_key_verifier(public_key=key)
        return config.use_certificate_verifier(certificate_chain=chain)
    except Exception as error:  # cryptography's, of several kinds
        kind = "certificates" if key is None else "the public key of an elliptic curve key"
        raise DataError(
            f"{', '.join(map(str, files))}: the PEM file of {kind} is needed. A public key is "
            "written by: openssl ec -in crate.key -pubout -out crate.pub",
            path=str(files[0]),
        ) from error


def _changed(crate: Path) -> list[str]:
    """Return which files are not as the signature lists them; none where it cannot be read."""
    try:
        envelope = json.loads(content_of(crate / SIGNATURE))["dsseEnvelope"]
        resources = json.loads(base64.b64decode(envelope["payload"]))["predicate"]["resources"]
        signed = {str(it["name"]): str(it["digest"]) for it in resources}
    except (Refused, ValueError, TypeError, KeyError, RecursionError):
        return []
    files = files_of(crate)[0] - {SIGNATURE}
    changed = [
        path for path in sorted(files & signed.keys()) if digest_of(crate / path) != signed[path]
    ]
    return [
        *(f"{path} is not as it was signed" for path in changed),
        *(f"{path} was signed and is missing" for path in sorted(signed.keys() - files)),
        *(f"{path} was not signed" for path in sorted(files - signed.keys())),
    ]


def _hashing() -> Any:
    """Return how files are hashed: all of them but the signature, also those of Git, no links."""
    config = _library("hashing").Config()
    return config.set_ignored_paths(paths=[SIGNATURE], ignore_git_paths=False)


def _library(module: str) -> Any:
    import importlib

    try:
        return importlib.import_module(f"model_signing.{module}")
    except ImportError as error:
        raise ParameterError(
            f"Signatures need model-signing: {_INSTALL}", name="model-signing"
        ) from error
