"""Signatures of crates by OpenSSF's model-signing, with a local key or certificate."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from optiproxy_nas.core.errors import DataError, ParameterError, first_line
from optiproxy_nas.proof.verify import FAILED, NOT_CHECKED, OK, SIGNATURE, Check, files_of

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
                config.use_certificate_signer(
                    private_key=self.key,
                    signing_certificate=self.certificate,
                    certificate_chain=self.chain,
                )
            config.sign(crate, target)
        except Exception as error:  # cryptography, model-signing: each has its own
            raise ParameterError(
                f"The crate cannot be signed with {str(self.key)!r}: {first_line(error)}. "
                "It must be the PEM file of an elliptic curve key: "
                "openssl ecparam -name prime256v1 -genkey -noout -out crate.key",
                path=str(self.key),
            ) from error


def check_signature(crate: Path, key: Path | None, chain: tuple[Path, ...] = ()) -> Check:
    """Return whether the signature holds for all files of a crate.

    Args:
        crate: its folder.
        key: PEM file of the public key of whoever should have signed.
        chain: in place of the key: certificates that are trusted.

    Raises:
        ParameterError: a key was given, and model-signing is not installed.
        DataError: there is no such key.
    """
    signature = crate / SIGNATURE
    if key is None and not chain:
        reason = (
            "no key was given: --key PUBLIC, or --chain ROOT"
            if signature.exists()
            else "there is none"
        )
        return Check("signature", NOT_CHECKED, reason)
    if not signature.is_file() or signature.is_symlink():
        return Check("signature", FAILED, f"there is no {SIGNATURE}")
    if others := files_of(crate)[1]:  # a pipe would be read without end
        return Check("signature", FAILED, f"{others[0]} is a link or no file")
    verifying = _library("verifying")
    if missing := [path for path in (key, *chain) if path is not None and not path.is_file()]:
        raise DataError(f"There is no key {str(missing[0])!r}.", path=str(missing[0]))
    try:
        config = verifying.Config().set_hashing_config(_hashing())
        if key is not None:
            config.use_elliptic_key_verifier(public_key=key)
        else:
            config.use_certificate_verifier(certificate_chain=chain)
        config.verify(crate, signature)
    except Exception as error:  # of what a stranger wrote: of any kind
        reason = first_line(error) if isinstance(error, ValueError) else "another kind of signature"
        return Check("signature", FAILED, f"it does not hold: {reason[:160]}")
    if key is not None:
        whose = f"the holder of {key.name}"
    else:
        whose = f"a certificate that {', '.join(path.name for path in chain)} vouches for"
    return Check("signature", OK, f"signed by {whose}, all files as signed")


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
