"""Secrets: hidden in texts of all kinds, and nothing else is."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from optiproxy_nas.core.errors import DataError, ParameterError, first_line, message_of, one_line
from optiproxy_nas.core.secrets import HIDDEN, MaskedRecord, mask_file, masked
from optiproxy_nas.core.validation import refuse_secrets
from optiproxy_nas.execution.jobs import reason_of
from optiproxy_nas.report.html import environment
from optiproxy_nas.runs.atomic_files import write_json
from optiproxy_nas.runs.mlflow_store import store_errors

PLANT = "hunter2-Zq7"
PLANTED = {  # each holds the plant
    "a tracking store": f"http://bob:{PLANT}@store.example:5000/api",
    "a git remote": f"https://{PLANT}@github.com/x/y.git",
    "a database": f"postgresql+psycopg://bob:{PLANT}/a@db/mlflow",
    "a proxy": f"via proxy http://bob:{PLANT}@proxy:3128 (refused)",
    "a proxy without a scheme": f"HTTP_PROXY=bob:{PLANT}@proxy:3128",
    "an address without a scheme": f"no answer of (bob:{PLANT}@10.0.0.1)",
    "an address behind slashes": f"//bob:{PLANT}@store.example/x",
    "an e-mail address that logs in": f"bob@x.de:{PLANT}@smtp.x.de",
    "a driver": f"jdbc:oracle:thin:bob/{PLANT}@db:1521/x",
    "a password with slashes": f"bob:a/{PLANT}:b@db",
    "a signed address": f"https://bucket/x?X-Amz-Signature={PLANT}&part=1",
    "an argument": f"connect(password='{PLANT}', host='h')",
    "a header": f"{{'Authorization': 'Basic {PLANT}'}}",
    "a bearer": f"curl -H 'authorization: Bearer {PLANT}'",
    "JSON": json.dumps({"api_key": PLANT}),
    "YAML": f"api_key: {PLANT}",
    "a command line": f"curl --token {PLANT} https://x",
    "a connection": f"AccountName=a;AccountKey={PLANT};Server=h;PWD={PLANT}",
    "a signed file": f"https://x.blob/f?sv=1&sig={PLANT}",
    "a secret key": f"SECRET_KEY='{PLANT}'",
    "a key": f"-----BEGIN RSA PRIVATE KEY-----\n{PLANT}\n-----END RSA PRIVATE KEY-----",
}
TOKENS = (
    *("ghp_" + "a1B2" * 9, "glpat-" + "a1B2" * 5, "hf_" + "a1B2" * 8, "AKIA" + "A1B2" * 4),
    *("dapi" + "a1b2" * 8, "AIza" + "a1B2" * 9, "npm_" + "a1B2" * 9, "ASIA" + "A1B2" * 4),
)
ORDINARY = (
    "|avg_pool_3x3~0|+|nor_conv_3x3~0|skip_connect~1|",
    "see https://medium.com/@user and http://host:80/a@b, or write to a@b.c",
    "sqlite:////home/a/b@c/mlflow.db, tcp://10.0.0.1:8786, file:///a",
    "unexpected token: foo; the secret of the search; password",
    "module:Name, step_00.archive, evaluation.workers = 4",
    "C:/Users/x@y, host:8080/a@b, git@github.com:org/repo@v1, org/image:tag@v1, lab@host:data/x",
    "mailto:a@b.c, python:3.11@sha256:0123, git@host:a/b.git, at 12:30 @ home, a:b @ c",
)


@pytest.mark.parametrize("text", [*PLANTED.values()], ids=[*PLANTED])
def test_a_secret_is_hidden_wherever_a_text_leaves(text: Any, tmp_path: Path) -> None:
    error = DataError(f"it failed: {text}", advice=text, at=text)
    foreign = ValueError(f"it failed: {text}")
    page = environment().from_string("<p>{{ text }}</p>").render(text=text)
    write_json(tmp_path / "facts.json", {"error": [text], "more": {"at": text}})
    (tmp_path / "output.txt").write_text(text)
    mask_file(tmp_path / "output.txt")
    with pytest.raises(DataError) as stored, store_errors(text, "read", "or not."):
        raise error
    record = MaskedRecord("x", logging.INFO, "x", 1, "%s", (text,), None)
    texts = (
        *(masked(text), message_of(error), str(error), str(error.data), message_of(foreign)),
        *(first_line(foreign), one_line(foreign), reason_of(foreign), str(stored.value)),
        *(page, record.getMessage()),
        *((tmp_path / name).read_text() for name in ("facts.json", "output.txt")),
    )
    for shown in texts:
        assert PLANT not in shown
    assert HIDDEN in masked(text)


@pytest.mark.parametrize("token", TOKENS)
def test_a_token_is_known_by_its_form(token: Any) -> None:
    assert masked(f"refused: {token}.") == f"refused: {HIDDEN}."


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_texts_stay(text: Any, tmp_path: Path) -> None:
    assert masked(text) == text
    refuse_secrets({"setting": {"of": [text, 1], "it": text}})


@pytest.mark.parametrize(
    "name",
    [
        *("WANDB_API_KEY", "MLFLOW_TRACKING_PASSWORD", "HF_TOKEN", "PGPASSWORD", "MYSQL_PWD"),
        *("DB_PASS", "SECRET_KEY", "KAGGLE_KEY", "AZURE_STORAGE_KEY", "npm_config__authToken"),
    ],
)
def test_values_of_secret_variables_are_hidden(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, PLANT)
    assert masked(f"no {PLANT} is allowed") == f"no {HIDDEN} is allowed"


def test_the_password_of_an_address_among_the_variables_is_hidden_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://bob:p%40ss-word@proxy:3128")
    assert masked("login p@ss-word failed") == f"login {HIDDEN} failed"
    monkeypatch.setenv("HTTPS_PROXY", "bob:other-word@proxy:3128")
    assert masked("login other-word failed") == f"login {HIDDEN} failed"


def test_other_variables_are_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "falsehood")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/var/run/token")
    monkeypatch.setenv("SHORT_TOKEN", "on")
    monkeypatch.setenv("PWD", "/home/bob")
    monkeypatch.setenv("SORT_KEY", "accuracy")
    text = "falsehood on /var/run/token of accuracy in /home/bob"
    assert masked(text) == text


@pytest.mark.parametrize(
    "setting", [{"password": "x"}, {"url": "http://a:b@h"}, {"x": ["hf_" + 20 * "a"]}]
)
def test_parameters_with_secrets_are_refused_without_showing_them(setting: Any) -> None:
    with pytest.raises(ParameterError, match="environment variable") as refused:
        refuse_secrets({"problem": {"name": "x:Y", **setting}})
    assert refused.value.data["name"] == f"problem.{next(iter(setting))}"


def test_a_file_without_secrets_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "output.txt"
    path.write_bytes(b"\xff plain\r\n")
    before = path.stat()
    mask_file(path)
    assert path.read_bytes() == b"\xff plain\r\n"
    assert path.stat() == before


@pytest.mark.parametrize("text", ["://a:{}/@", "://{}@", "eyJ{}.eyJhbGciOiJ.a"])
def test_no_secret_is_so_long_that_looking_for_it_takes_time_by_the_square(text: Any) -> None:
    assert HIDDEN in masked(text.format("x" * 100))
    assert HIDDEN not in masked(text.format("x" * 5000))
