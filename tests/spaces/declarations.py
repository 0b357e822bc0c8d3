"""Random declarations of spaces for hypothesis, and a plain enumeration to compare with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hypothesis import reject
from hypothesis import strategies as st

from optiproxy_nas import Choice, ParameterError, Space
from optiproxy_nas.spaces.choices.json_values import is_number, value_key

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([0.5, 1.0, 1e-300, -2.25]),
    st.sampled_from(["relu", "a, b", 'say "x"', "größe", "", " ", "{", "|"]),
)
VALUES = st.one_of(SCALARS, st.lists(SCALARS, max_size=2), st.dictionaries(st.just("k"), SCALARS))
NAMES = st.sampled_from(["stages", "width 1", "größe", 'a"b', "c,d", "lr", "x", "y", "z", "last"])


@st.composite
def choices_of(draw: st.DrawFn, most: int = 6) -> dict[str, Choice]:
    """Draw up to ``most`` choices of one to four options, with up to two conditions each."""
    choices: dict[str, Choice] = {}
    for name in draw(st.lists(NAMES, min_size=1, max_size=most, unique=True)):
        options = draw(st.lists(VALUES, min_size=1, max_size=4, unique_by=value_key))
        mixed = any(map(is_number, options)) and any(isinstance(v, str) for v in options)
        parents = draw(
            st.lists(st.sampled_from(sorted(choices)), max_size=2, unique=True)
            if choices
            else st.just([])
        )
        when = {
            parent: draw(
                st.lists(st.sampled_from(choices[parent].options), min_size=1, unique_by=value_key)
            )
            for parent in parents
        }
        default = draw(st.one_of(st.just(...), st.sampled_from(options)))
        ordered = not mixed and draw(st.booleans())
        choices[name] = Choice(options, ordered=ordered, when=when, default=default)
    return choices


@st.composite
def spaces(draw: st.DrawFn, most: int = 6) -> Space:
    """Draw a space of two architectures at least."""
    try:
        return Space(draw(choices_of(most)))
    except ParameterError:  # one architecture, or conditions that exclude each other
        reject()


def enumerated(choices: Mapping[str, Choice]) -> Iterator[dict[str, Any]]:
    """Yield all architectures of choices in declared order, by their definition."""

    def exists(choice: Choice, chosen: Mapping[str, Any]) -> bool:
        return all(
            parent in chosen and value_key(chosen[parent]) in map(value_key, values)
            for parent, values in choice.when.items()
        )

    def extended(chosen: dict[str, Any], names: list[str]) -> Iterator[dict[str, Any]]:
        if not names:
            yield chosen
        elif exists(choices[names[0]], chosen):
            for option in choices[names[0]].options:
                yield from extended({**chosen, names[0]: option}, names[1:])
        else:
            yield from extended(chosen, names[1:])

    yield from extended({}, list(choices))
