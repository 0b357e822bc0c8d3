from __future__ import annotations

import copy
import inspect
import pickle
from typing import Any

import pytest

from optiproxy_nas.core import errors
from optiproxy_nas.core.errors import (
    OptiProxyError,
    ParameterError,
    UnknownNameError,
    message_of,
    project_error,
    unknown_name,
)

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)
         if issubclass(kind, OptiProxyError)]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("transfer", [lambda e: pickle.loads(pickle.dumps(e)), copy.deepcopy])
def test_errors_keep_message_and_data_between_processes(kind: Any, transfer: Any) -> None:
    error = kind("Went wrong.", budget=3, kind="x", names=["a", "b"])
    sent = transfer(error)
    assert type(sent) is kind
    assert str(sent) == sent.message == "Went wrong."
    assert sent.data == {"budget": 3, "kind": "x", "names": ["a", "b"]}


def test_an_interruption_keeps_its_result_between_processes() -> None:
    sent = pickle.loads(pickle.dumps(errors.SearchInterrupted("Interrupted.", [3])))
    assert (str(sent), sent.result) == ("Interrupted.", [3])


def test_every_error_has_the_one_base_and_a_docstring() -> None:
    assert len(KINDS) >= 12
    assert all(kind.__doc__ for kind in KINDS)


def test_unknown_name_lists_and_suggests() -> None:
    error = unknown_name("proxy", "gnc", iter(["mlp", "gcn", "lstm"]))
    assert isinstance(error, UnknownNameError)
    assert isinstance(error, ParameterError)
    assert str(error) == "Unknown proxy 'gnc'. Did you mean 'gcn'? Allowed: gcn, lstm, mlp."
    assert error.data == {
        "kind": "proxy", "name": "gnc", "allowed": ["gcn", "lstm", "mlp"], "suggestion": "gcn",
    }  # fmt: skip
    assert pickle.loads(pickle.dumps(error)).data == error.data


def test_unknown_name_without_a_near_one_suggests_nothing() -> None:
    error = unknown_name("proxy", "zzzz", ["mlp", "gcn"])
    assert "Did you mean" not in str(error)
    assert error.data["suggestion"] is None


def test_a_long_message_ends_with_a_sentence_or_a_word() -> None:
    assert errors.shortened("a b\n c", 5) == "a b c"
    assert (
        errors.shortened("It is damaged. If you see this, there is more.", 40) == "It is damaged."
    )
    assert errors.shortened("words without an end of any sentence", 20) == "words without an ..."
    assert len(errors.shortened("x" * 500, 300)) <= 300


def test_a_circle_of_causes_is_walked_once() -> None:
    ours = ParameterError("No such run.", name="r")
    wrapped = RuntimeError("loading failed")
    wrapped.__cause__, ours.__cause__ = ours, wrapped
    assert project_error(wrapped) is ours
    assert message_of(wrapped) == message_of(ours) == "No such run."
