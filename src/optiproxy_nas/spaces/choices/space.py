"""A search space that is declared by named choices."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from optiproxy_nas.core.errors import InvalidArchitectureError, ParameterError
from optiproxy_nas.core.random_streams import isolated
from optiproxy_nas.spaces.base import Candidates, Encoding, Graph, Logits, as_list
from optiproxy_nas.spaces.choices import conversions
from optiproxy_nas.spaces.choices.choice import Choice
from optiproxy_nas.spaces.choices.conditions import Existence, resolve_conditions, with_options
from optiproxy_nas.spaces.choices.constraint import (
    Forbidden,
    constraint_declaration,
    constraint_key,
    constraint_parameter,
    read_constraint,
)
from optiproxy_nas.spaces.choices.counting import Counts
from optiproxy_nas.spaces.choices.declaration import read_choices, read_space
from optiproxy_nas.spaces.choices.drawing import architecture_table, size_line, space_table
from optiproxy_nas.spaces.choices.features import Features, kinds_of
from optiproxy_nas.spaces.choices.json_values import value_label, value_text
from optiproxy_nas.spaces.choices.notation import Notation, check_numbers, checked_generator
from optiproxy_nas.spaces.choices.sampling import Sampler
from optiproxy_nas.spaces.graph_space import missing_graph
from optiproxy_nas.spaces.relaxation import gumbel_softmax


class Space:
    """A search space of named choices, some of which exist under conditions only.

    A code has one number for each choice: that of its option, from 1, or 0 where it does not exist.
    An encoding has a row for each choice, with column 0 for absence. There are no edges, no graph.

    Args:
        choices: {name: choice}, or a class whose public attributes are the choices. A choice is a
            :class:`Choice`, a list of options, or a mapping such as ``{"log": [1e-4, 0.1],
            "count": 7, "when": {...}}``. Conditions name earlier choices.
        constraint: a function of an architecture (a dict) that returns whether it is valid,
            "package.module:function", or ``{"forbidden": [{choice: values, ...}, ...]}``.
        name: of the space, for labels.

    Raises:
        ParameterError: which choice is wrong, what is allowed and what to do.
    """

    num_edges = 0
    num_vertices = 0
    num_features = 0
    vertex_labels: tuple[str, ...] = ()

    @isolated()  # it holds tensors
    def __init__(self, choices: Any, *, constraint: Any = None, name: str = "choices") -> None:
        if not isinstance(name, str) or not name.strip() or not name.isprintable():
            raise ParameterError(f"name = {name!r:.100}: the name of a space is a text.", name=name)
        self.name = name
        declared = read_choices(choices)
        conditions = resolve_conditions(declared)
        self._choices = with_options(declared, conditions)
        counts = [len(choice.options) for choice in self._choices.values()]
        self.operations = ("absent", *(f"option {i}" for i in range(1, max(counts) + 1)))
        self.node_labels = tuple(self._choices)
        self.num_nodes = self.code_length = len(counts)
        numbers = torch.arange(len(self.operations))
        self._numbers_of_choice = torch.tensor(counts) + 1  # [N]
        self.allowed = (numbers > 0) & (numbers < self._numbers_of_choice.unsqueeze(-1))  # [N, M]
        self._ordered = torch.tensor([choice.ordered for choice in self._choices.values()])
        self._defaults = torch.tensor([c.default_number() + 1 for c in self._choices.values()])
        self._existence = Existence(conditions, len(self.operations))
        self._notation = Notation(self._choices, conditions)
        self._constraint = read_constraint(constraint)
        if isinstance(self._constraint, Forbidden):
            self._constraint = self._constraint.resolved(self._choices)
        self._sampler = Sampler(
            Counts(self.node_labels, counts, conditions),
            self._constraint,
            self._notation.architectures,
        )
        self.size = self._sampler.size
        self._size_line = size_line(len(counts), self.size, self._sampler.most)
        conditional = torch.tensor([bool(needed) for needed in conditions])
        kinds = kinds_of(self._choices)
        self._features = Features(self.allowed, self._ordered, conditional, kinds)

    @property
    def choices(self) -> dict[str, Choice]:
        """The choices by name, in declared order."""
        return dict(self._choices)

    @property
    def option_labels(self) -> tuple[tuple[str, ...], ...]:
        """The options of each choice, for figures: [N][M] strings, "" where there is none."""
        width = len(self.operations)
        labels = (("", *map(value_label, c.options)) for c in self._choices.values())
        return tuple((*row, *[""] * (width - len(row))) for row in labels)

    @classmethod
    def from_configspace(cls, configuration_space: Any, steps: int = 10) -> Space:
        """Return the space of a ConfigSpace ``ConfigurationSpace``.

        It has categorical, ordinal, integer and float hyperparameters, constants, conditions joined
        by "and", and forbidden clauses of values. A float, and an integer that has more, takes
        ``steps`` values.

        Raises:
            ParameterError: what cannot be translated, by its name.
        """
        return cls(**conversions.from_configspace(configuration_space, steps))

    @classmethod
    def from_optuna(cls, distributions: Mapping[str, Any], steps: int = 10) -> Space:
        """Return the space of Optuna distributions, {name: distribution}.

        A float without a step, and an integer that has more, takes ``steps`` values.

        Raises:
            ParameterError: what cannot be translated, by its name.
        """
        return cls(**conversions.from_optuna(distributions, steps))

    @classmethod
    def from_declaration(cls, declaration: Mapping[str, Any]) -> Space:
        """Return the space of a mapping, as in a YAML file: choices, constraint and name.

        The order of the choices need not be that of their conditions.

        Raises:
            ParameterError: unknown keys, conditions in a circle, or as the class.
        """
        return cls(**read_space(declaration))

    def declaration(self) -> dict[str, Any]:
        """Return the space as JSON; ``Space(**declaration)`` is equal to it.

        Raises:
            ParameterError: the constraint is a function that no other process can import.
        """
        return self._declared(constraint_declaration(self._constraint))

    def parameter(self) -> dict[str, Any]:
        """Return the declaration for a search of this process, whatever function constrains it."""
        return self._declared(constraint_parameter(self._constraint))

    def describe(self) -> str:
        """Return a table of the choices, their options and conditions, for a terminal."""
        return space_table(f"{self.name}: {self._size_line}", self._choices)

    def random(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw architectures uniformly over all valid ones: codes [count, N].

        Raises:
            ParameterError: there is no generator; how one is made.
            SamplingError: the constraint rejects nearly all.
        """
        return self._sampler.random(count, checked_generator(generator))

    def sample(
        self, logits: Logits, count: int, generator: torch.Generator, exploration: float = 0.0
    ) -> Candidates:
        """Draw ``count`` architectures a group: Cat(softmax(α)) for each choice that exists.

        ``exploration`` mixes in the share that an option has of all architectures which begin with
        the same choices. Draws that the constraint rejects are counted.

        Raises:
            SamplingError: the constraint rejects nearly all.
        """
        alpha = logits.alpha.detach().double().masked_fill(~self.allowed, -math.inf)
        return self._sampler.sample(torch.softmax(alpha, -1), count, generator, exploration)

    def relax(
        self, logits: Logits, temperature: float, generator: torch.Generator, noise: str
    ) -> Encoding:
        """Draw Gumbel-softmax options (Eq. 9), times the extent to which their choice exists.

        A choice exists to the probability that the choices of its conditions have the values, so
        these get a gradient too. The constraint and ``noise`` (of edges) have no effect.
        """
        soft = gumbel_softmax(logits.alpha, temperature, generator, self.allowed)
        return Encoding(self._existence.relax(soft), logits.beta)

    def encode(self, codes: Tensor) -> Encoding:
        """Return one-hot rows [n, N, M], column 0 where a choice does not exist, and no edges.

        Raises:
            ValueError: a code is out of range.
        """
        self._check(codes)
        one_hot = torch.nn.functional.one_hot(codes, len(self.operations)).float()
        return Encoding(one_hot, torch.zeros(len(codes), 0))

    def features(self, encoding: Encoding) -> Tensor:
        """Return the probabilities [n, D] that a proxy without a graph sees; see ``Features``."""
        return self._features.of(encoding.operations)

    def features_by_kind(self, encoding: Encoding) -> list[Tensor]:
        """Return them in blocks [n, d], and their sums over repeated choices; see ``Features``."""
        return self._features.by_kind(encoding.operations)

    def graph(self, encoding: Encoding) -> Graph:
        """Raise ParameterError: a declared space has no graph."""
        raise missing_graph(self.name)

    def identify(self, codes: Tensor) -> list[Hashable]:
        """Return the codes as tuples: one for each architecture."""
        self._check(codes)
        return [tuple(code) for code in codes.tolist()]

    def canonical(self, codes: Tensor) -> list[Hashable]:
        """Return ``identify``: what architectures compute is not declared."""
        return self.identify(codes)

    def isomorphic(self, codes: Tensor, generator: torch.Generator) -> Tensor:
        """Return the codes [n, N]: there is no other order."""
        self._check(codes)
        return codes

    def neighbours(self, codes: Tensor) -> Tensor:
        """Return all valid architectures with one other option, for each of codes [n, N]: [m, N].

        Of an ordered choice it is the one before or behind. Choices that begin to exist have their
        default.
        """
        self._check(codes)
        changed = self._existence.change_one(codes, self.allowed, self._ordered, self._defaults)
        return changed[self._sampler.valid(changed)]

    def to_string(self, codes: Tensor) -> list[str]:
        """Return codes [n, N] as JSON objects of the choices that exist, in declared order."""
        self._check(codes)
        return self._notation.texts(codes)

    def from_string(self, architectures: Any) -> Tensor:
        """Parse JSON objects or dicts, or one, to codes [n, N]; keys may have any order.

        Raises:
            InvalidArchitectureError: which choice breaks which rule.
        """
        one = isinstance(architectures, Mapping)
        given: Sequence[Any] = [architectures] if one else as_list(architectures)
        rows = [self._notation.code(architecture) for architecture in given]
        codes = torch.tensor(rows, dtype=torch.int64).reshape(-1, self.num_nodes)
        valid = self._sampler.valid(codes)
        if not bool(valid.all()):
            invalid = given[int(valid.int().argmin())]
            raise InvalidArchitectureError(
                f"The constraint of the space rejects {invalid!r:.500}.",
                architecture=invalid,
                reason="constraint",
            )
        return codes

    def architecture(self, text: str) -> dict[str, Any]:
        """Return the dict of a JSON object: each choice that exists, with its value.

        Raises:
            InvalidArchitectureError: which choice breaks which rule.
        """
        return self._notation.architectures(self.from_string(text))[0]

    def draw(self, architecture: str) -> str:
        """Return one line for each choice that exists: name, value, and all options."""
        return architecture_table(self.architecture(architecture), self._choices)

    @cached_property
    def _key(self) -> tuple[Hashable, ...]:
        """What two equal spaces have in common; functions without a path are compared as such."""
        return value_text(self._declared(None)), constraint_key(self._constraint)

    def _declared(self, constraint: Any) -> dict[str, Any]:
        choices = {name: choice.declaration() for name, choice in self._choices.items()}
        declared = {"name": self.name, "choices": choices}
        return declared if constraint is None else {**declared, "constraint": constraint}

    def _check(self, codes: Tensor) -> None:
        check_numbers(codes, self._numbers_of_choice, self.name)

    def __eq__(self, other: object) -> bool:
        return self._key == other._key if isinstance(other, Space) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key)

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(Space, constraint=self._constraint, name=self.name), (self._choices,)

    __str__ = describe

    def __repr__(self) -> str:
        return f"Space({self._size_line})"
