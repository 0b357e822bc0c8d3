"""Networks written as ONNX answer as they do in torch."""

import sys

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from optiproxy_nas.core.errors import ConversionError, ParameterError
from optiproxy_nas.measuring.onnx import feeds_of, onnx_model, onnx_session


class Sum(nn.Module):
    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return left + 2 * right


class Eigenvalues(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        values: Tensor = torch.linalg.eigvals(inputs).real
        return values


def test_answers_are_those_of_torch_for_any_batch_where_asked_for() -> None:
    model = nn.Sequential(nn.Conv1d(1, 4, 3), nn.BatchNorm1d(4), nn.Flatten(), nn.Dropout())
    session = onnx_session(onnx_model(model, torch.randn(1, 1, 8), any_batch=True))
    assert model.training  # as it was
    inputs = torch.randn(3, 1, 8)
    with torch.inference_mode():
        expected = model.eval()(inputs).numpy()
    (output,) = session.run(None, feeds_of(inputs))
    np.testing.assert_allclose(output, expected, atol=1e-5)


def test_several_inputs_keep_their_order() -> None:
    inputs = torch.ones(1, 2), torch.full((1, 2), 3.0)
    (output,) = onnx_session(onnx_model(Sum(), inputs)).run(None, feeds_of(inputs))
    assert output.tolist() == [[7.0, 7.0]]


def test_what_onnx_cannot_express_is_one_error(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConversionError, match=r"Eigenvalues cannot be .* ONNX.*linalg_eigvals"):
        onnx_model(Eigenvalues(), torch.eye(3)[None])
    assert capfd.readouterr() == ("", "")


def test_a_missing_onnxruntime_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ParameterError, match="pip install") as caught:
        onnx_session(b"")
    assert caught.value.data == {"package": "onnxruntime"}
