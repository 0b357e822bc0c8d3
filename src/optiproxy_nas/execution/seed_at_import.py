"""Seeds for libraries that a training may import later: a worker process imports none itself."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Mapping
from typing import Any


class SeedAtImport:
    """Seeds NumPy and torch before a training, or as soon as the training imports them."""

    _seeders: Mapping[str, Callable[[Any, int], Any]] = {
        "numpy": lambda numpy, seed: numpy.random.seed(seed),
        "torch": lambda torch, seed: torch.manual_seed(seed),
    }

    def set(self, seed: int) -> None:
        """Seed what is imported now."""
        self._seed, self._searching = seed, False
        for name, seeder in self._seeders.items():
            if name in sys.modules:
                seeder(sys.modules[name], seed)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Return the module's own spec; its loader seeds the module in the end."""
        if name not in self._seeders or not hasattr(self, "_seed") or self._searching:
            return None
        self._searching = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._searching = False
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_seed(module: Any) -> None:
                execute(module)
                self._seeders[name](module, self._seed)

            spec.loader.exec_module = execute_and_seed  # type: ignore[method-assign]
        return spec
