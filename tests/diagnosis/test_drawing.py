from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from coarse import coarse_pictures
from optiproxy_nas.evaluation.finished_run import SearchHistory
from optiproxy_nas.pipelines import diagnose as nodes
from optiproxy_nas.report.diagnose.collapse import Alarm, collapse_figure
from optiproxy_nas.report.diagnose.diagnosis_html import FIGURES, DiagnosisSettings
from optiproxy_nas.report.diagnose.landscape_figures import value_range
from optiproxy_nas.report.diagnose.proxy_figures import gap_figure, predictions_by_step
from optiproxy_nas.report.diagnose.reference_cells import Cells
from optiproxy_nas.report.style import evenly
from optiproxy_nas.spaces import get_space

ALLOWED = get_space("nb201").allowed
SETTINGS = DiagnosisSettings(run="made-up", probe=100, panels=4)


draw: Any = nodes.draw
summarise: Any = nodes.summarise


@pytest.fixture(scope="module")
def measured(run: SearchHistory, cells: Cells) -> Any:
    judged, _ = nodes.ask_proxies(run, cells, SETTINGS)
    steps, alarms = nodes.measure(run, judged, SETTINGS)
    return judged, steps, alarms, nodes.find_landscape(run, cells, SETTINGS)


@pytest.fixture(autouse=True, scope="module")
def coarse() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        coarse_pictures(monkeypatch, nodes)
        yield


@pytest.fixture(scope="module")
def pictures(run: SearchHistory, measured: Any, coarse: None) -> Any:
    return draw(run, *measured, SETTINGS)


@pytest.fixture(scope="module")
def page(run: SearchHistory, cells: Cells, measured: Any, pictures: Any) -> Any:
    numbers = summarise(run, *measured, cells, SETTINGS)
    _, steps, _, landscape = measured
    return nodes.write_page(cells, numbers, steps, landscape, *pictures.values())


def texts(figure: Figure) -> str:
    return " ".join(t.get_text() for axes in figure.axes for t in (axes.title, *axes.texts))


@pytest.mark.heavy
def test_every_figure_has_a_title_a_caption_and_a_picture(pictures: Any) -> None:
    assert list(pictures) == [figure.id for figure in FIGURES]
    assert all(figure.title and figure.caption for figure in FIGURES)
    assert all(data.startswith(b"\x89PNG") for data in pictures.values())


@pytest.mark.heavy
def test_the_same_run_gives_the_same_bytes(
    run: SearchHistory, cells: Cells, measured: Any, pictures: Any, page: Any
) -> None:
    assert draw(run, *measured, SETTINGS) == pictures
    numbers = summarise(run, *measured, cells, SETTINGS)
    _, steps, _, landscape = measured
    again = nodes.write_page(cells, numbers, steps, landscape, *pictures.values())
    assert again == page


def test_the_page_needs_nothing_else(page: Any) -> None:
    assert len(page) < 2_000_000
    assert not re.findall(r'<(?:script|img|link)[^>]+(?:src|href)="http', page)
    assert page.count("<img alt=") == len(FIGURES)
    assert "kedro run --pipeline=nb201_diagnose --params=run=made-up" in page
    for figure in FIGURES:
        assert f"<h2>{figure.title}</h2>" in page


def test_a_picture_stands_where_no_script_turns_the_landscape(page: Any, pictures: Any) -> None:
    picture = base64.b64encode(pictures["landscape_3d"]).decode()
    turned, _, still = page.partition('</div><div class="still"><img alt="The landscape in three')
    assert turned.count('<div class="live turn"><canvas tabindex="0"') == 1
    assert still.startswith(f' dimensions" src="data:image/png;base64,{picture}"></div>')
    # Hidden unless a script runs; in print the picture is shown.
    style = page.partition("<style>")[2].partition("</style>")[0]
    assert ".live{display:none}html.js .live{display:block}" in style
    assert "html.js .turn+.still{display:block}" in style.partition("@media print")[2]


def test_the_landscape_that_is_turned_is_the_one_of_the_run(page: Any, measured: Any) -> None:
    *_, landscape = measured
    data = json.loads(re.findall(r'id="landscape">(.*?)</script>', page, flags=re.S)[0])
    shown = landscape.values >= value_range(landscape)[0]
    assert len(data["x"]) == len(data["y"]) == len(data["z"]) == shown.sum()
    assert (min(data["z"]), max(data["z"])) == (0, 999)
    assert len(data["way"]) == len(landscape.trajectory)
    best = data["best"]
    assert best["z"] == 999
    rows = np.flatnonzero(shown)
    at = int(np.flatnonzero(rows == landscape.optimum)[0])
    assert [best["x"], best["y"]] == [data["x"][at], data["y"][at]]


def test_a_hostile_name_is_text_in_the_page(
    run: SearchHistory, cells: Cells, measured: Any, pictures: Any
) -> None:
    evil = "<plaintext></script><script>alert(1)</script>\"'`|&lt;"
    numbers = summarise(run, *measured, cells, SETTINGS)
    _, steps, _, landscape = measured
    keys = ("run_id", "dataset", "source", "preset", "objective", "caution")
    evil_numbers = numbers | dict.fromkeys(keys, evil) | {"alarms": [{"text": evil}]}
    evil_cells = cells._replace(table=cells.table.assign(architecture=evil))
    evil_steps = steps.assign(alarm=evil)
    evil_landscape = landscape._replace(caution=evil)
    images = pictures.values()
    page = nodes.write_page(evil_cells, evil_numbers, evil_steps, evil_landscape, *images)
    assert page.count("alert(1)") > 10
    assert not re.search("<(plaintext|script>alert)", page)


def test_alarms_are_told_with_what_was_known_by_then(
    run: SearchHistory, cells: Cells, measured: Any
) -> None:
    judged, steps, _, landscape = measured
    alarm = Alarm(2, 3, 18, "because.")
    (raised,) = nodes.summarise(run, judged, steps, [alarm], landscape, cells, SETTINGS)["alarms"]
    assert raised["text"].startswith("mode collapse in steps 2 to 3 (from query 18 on): because.")
    found = run.archive["best"].iloc[17] >= landscape.values.max()
    assert ("optimum" in raised["text"]) == found


def test_panels_are_spread_over_the_run(measured: Any) -> None:
    judged, steps, *_ = measured
    assert evenly(45, 9).tolist() == [0, 6, 11, 16, 22, 28, 33, 38, 44]
    assert evenly(2, 9).tolist() == [0, 1]
    figure = predictions_by_step(judged, steps, 20, 3)
    titles = " ".join(a.get_title(loc="left") for a in figure.axes)
    assert [f"step {n}" in titles for n in (1, 2, 3, 4, 5)] == [True, False, True, False, True]


def test_alarms_are_shaded(run: SearchHistory, measured: Any) -> None:
    _, steps, *_ = measured
    calm = collapse_figure(run.traces, steps, [], SETTINGS.collapse, ALLOWED)
    loud = collapse_figure(run.traces, steps, [Alarm(2, 4, 18, "x")], SETTINGS.collapse, ALLOWED)
    assert len(loud.axes[0].patches) == len(calm.axes[0].patches) + 1
    band: Any = loud.axes[0].patches[-1]
    assert band.get_x() == 1.5
    assert band.get_width() == 3


def test_nothing_to_draw_says_so(measured: Any) -> None:
    judged, steps, *_ = measured
    nothing = judged._replace(archive=judged.archive.head(0))
    assert "no search steps" in texts(predictions_by_step(nothing, steps, 20, 9))
    assert "no search steps" in texts(gap_figure(steps.head(0), 20, 0.1, 100))
    assert "no search epochs" in texts(collapse_figure({}, steps, [], SETTINGS.collapse, ALLOWED))
