"""One choice: its options, whether they are ordered, and when it exists."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import islice
from typing import Any

from optiproxy_nas.core.errors import ParameterError
from optiproxy_nas.core.validation import whole_number
from optiproxy_nas.spaces.choices.json_values import (
    is_number,
    plain_value,
    reads_as_number,
    value_key,
    value_text,
)
from optiproxy_nas.spaces.choices.ranges import (
    MAX_OPTIONS,
    check_ends,
    spaced,
    too_many,
    whole_end,
)


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Choice:
    """One choice of a declared space.

    Args:
        options: the values to choose from, 1 to 1,000 different ones that JSON can write. One is a
            constant.
        ordered: whether neighbours in the list are similar (sizes, rates), as in all ranges.
        when: {earlier choice: value, or a collection of values}. The choice exists where every
            choice named here exists and has such a value; None: always.
        default: the option that the choice takes where a change of another one lets it begin to
            exist. If not given, the middle one of ordered options, else the first.

    Raises:
        ParameterError: what is wrong, what is allowed and what to do.
    """

    options: tuple[Any, ...]
    ordered: bool
    when: Mapping[str, list[Any]]  # each a list of values; a list may stand for itself
    default: Any  # ... where it is not given

    def __init__(
        self,
        options: Iterable[Any],
        *,
        ordered: bool = False,
        when: Mapping[str, Any] | None = None,
        default: Any = ...,
    ) -> None:
        if not isinstance(ordered, bool):
            raise ParameterError(
                f"ordered = {ordered!r:.100}: it is True or False.", ordered=ordered
            )
        values = _options(options, ordered)
        _set(self, "options", values)
        _set(self, "ordered", ordered)
        _set(self, "when", _conditions(when))
        _set(self, "default", default if default is ... else plain_value(default))
        if default is not ... and value_key(self.default) not in map(value_key, values):
            raise ParameterError(
                f"The default {self.default!r:.100} is none of the options {shown(values)}.",
                value=default,
                allowed=list(values),
            )

    @classmethod
    def integers(
        cls,
        low: int,
        high: int,
        step: int = 1,
        *,
        when: Mapping[str, Any] | None = None,
        default: Any = ...,
    ) -> Choice:
        """Return the ordered integers from ``low`` to ``high``, both included.

        Raises:
            ParameterError: ``low`` is above ``high``, ``step`` below 1, or there are too many.
        """
        low, high = whole_end("low", low), whole_end("high", high)
        check_ends(low, high)
        options = range(low, high + 1, whole_number("step", step, 1))
        return cls(options, ordered=True, when=when, default=default)

    @classmethod
    def linear(
        cls,
        low: float,
        high: float,
        count: int,
        *,
        when: Mapping[str, Any] | None = None,
        default: Any = ...,
    ) -> Choice:
        """Return ``count`` ordered numbers at equal distances, from ``low`` to ``high``.

        They are integers where both ends are and all others come out whole.

        Raises:
            ParameterError: ``low`` is not below ``high``, or ``count`` is not 2 to 1,000.
        """
        return cls(spaced(low, high, count), ordered=True, when=when, default=default)

    @classmethod
    def log(
        cls,
        low: float,
        high: float,
        count: int,
        *,
        when: Mapping[str, Any] | None = None,
        default: Any = ...,
    ) -> Choice:
        """Return ``count`` ordered numbers at equal ratios, from ``low`` > 0 to ``high``.

        They are integers where both ends are and all others come out whole.

        Raises:
            ParameterError: ``low`` is not above 0 or not below ``high``, or ``count`` is not 2 to
                1,000.
        """
        return cls(spaced(low, high, count, log=True), ordered=True, when=when, default=default)

    def default_number(self) -> int:
        """Return the number of the default option, from 0."""
        if self.default is ...:
            return (len(self.options) - 1) // 2 if self.ordered else 0
        return [*map(value_key, self.options)].index(value_key(self.default))

    def declaration(self) -> dict[str, Any]:
        """Return the choice as JSON; what is not given is left out."""
        declared: dict[str, Any] = {"options": list(self.options)}
        if self.ordered:
            declared["ordered"] = True
        if self.when:
            declared["when"] = {name: list(values) for name, values in self.when.items()}
        if self.default is not ...:
            declared["default"] = self.default
        return declared

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Choice):
            return NotImplemented
        return value_text(self.declaration()) == value_text(other.declaration())

    def __hash__(self) -> int:
        return hash(value_text(self.declaration()))

    def __repr__(self) -> str:
        declared = self.declaration()
        options = declared.pop("options")
        further = "".join(f", {name}={value!r}" for name, value in declared.items())
        return f"Choice({options!r}{further})"


def shown(options: Iterable[Any]) -> str:
    """Return options for a message: the first ten."""
    values = list(options)
    text = ", ".join(value_text(value) for value in values[:10])
    return f"{text}, ... ({len(values)} options)" if len(values) > 10 else text


def _set(choice: Choice, name: str, value: Any) -> None:
    object.__setattr__(choice, name, value)


def _options(options: Any, ordered: bool) -> tuple[Any, ...]:
    if isinstance(options, str | bytes | Mapping) or not isinstance(options, Iterable):
        raise ParameterError(
            f"The options are given as {options!r:.100}; they are a list of values. One option is "
            "a list of one.",
            options=options,
        )
    if isinstance(options, AbstractSet):
        raise ParameterError(
            f"The options are a set, {options!r:.100}, which has no order: give a list, so that "
            "every run reads the same.",
            options=options,
        )
    values = tuple(plain_value(value) for value in islice(options, MAX_OPTIONS + 1))
    if len(values) > MAX_OPTIONS:
        raise too_many()
    if not values:
        raise ParameterError(
            "There are no options: give a list of one value at least.", options=options
        )
    _check_kinds(values, ordered)
    first: dict[str, Any] = {}
    for value in values:
        if (key := value_key(value)) in first:
            raise ParameterError(
                f"The option {value_text(value)} is given twice"
                + (f" ({value_text(first[key])} is equal)" if first[key] is not value else "")
                + ": all options are different. 1 and 1.0 are equal, True and 1 are not.",
                value=value,
                options=list(values),
            )
        first[key] = value
    return values


def _check_kinds(values: Sequence[Any], ordered: bool) -> None:
    """Refuse texts that stand for numbers: YAML 1.1 reads ``1e-3`` as a text, 0.001 as a number."""
    numbers = [value for value in values if is_number(value)]
    texts = [value for value in values if isinstance(value, str)]
    suspect = [text for text in texts if reads_as_number(text, not (ordered or numbers))]
    if suspect:
        raise ParameterError(
            f"The option {suspect[0]!r} is a text that reads as a number. Write numbers without "
            "quotation marks, and 0.001 or 1.0e-3 for 1e-3, which YAML 1.1 reads as a text.",
            value=suspect[0],
            options=list(values),
        )
    if ordered and numbers and texts:
        raise ParameterError(
            f"Ordered options mix numbers and texts ({numbers[0]!r}, {texts[0]!r}), which have no "
            "order. Give one kind, or leave ordered away.",
            options=list(values),
        )


def _conditions(when: Any) -> dict[str, list[Any]]:
    """Return each condition as a list of plain values."""
    if when is None:
        return {}
    if not isinstance(when, Mapping):
        raise ParameterError(
            f"when = {when!r:.100}: it is a mapping {{earlier choice: value or list of values}}.",
            when=when,
        )
    conditions = {}
    for parent, given in when.items():
        if not isinstance(parent, str):
            raise ParameterError(
                f"when names the choice {parent!r:.100}, which is no text. A choice is named by "
                "its text; in YAML, quote on, off, yes, no and numbers.",
                when=dict(when),
            )
        if isinstance(given, AbstractSet):
            given = sorted(given, key=lambda value: value_key(plain_value(value)))
        if isinstance(given, range) and given[MAX_OPTIONS:]:
            raise too_many()
        values = plain_value(given)
        conditions[parent] = values if isinstance(values, list) else [values]
    return conditions
