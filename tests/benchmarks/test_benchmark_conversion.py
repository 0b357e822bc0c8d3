"""The conversion that docs/low-fidelity-data.md shows makes the file that it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from optiproxy_nas.benchmarks.readers import schedule12

PAGE = Path(__file__).parents[2] / "docs" / "low-fidelity-data.md"
CELLS = (
    "|none~0|+|skip_connect~0|nor_conv_1x1~1|+|nor_conv_3x3~0|avg_pool_3x3~1|none~2|",
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|none~1|+|skip_connect~0|none~1|nor_conv_1x1~2|",
)


def test_the_conversion_of_the_document_makes_a_file_that_is_read(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    (block,) = [block for block in blocks if "def convert" in block]
    names: dict[str, Any] = {}
    exec(block, names)
    values = [dict(zip(CELLS, pair, strict=True)) for pair in ((10.0, 84.0), (1.0, 60.0), (2, 38))]
    path = tmp_path / "nb201_12epoch.npz"
    names["convert"](values[0], dict(reversed(values[1].items())), values[2], path=path)
    content = schedule12.SOURCE.parse(path.read_bytes(), str(path))
    own = [file for file in schedule12.SOURCE.publication.files if file.name == path.name]
    assert [file.dataset for file in own] == ["cifar10", "cifar100", "imagenet16-120"]
    for file, expected in zip(own, values, strict=True):
        rows = schedule12.read(file, content)
        told = dict(zip(rows["architecture"], rows["validation_accuracy"], strict=True))
        assert told == expected
        assert set(rows["epochs"]) == {12}
