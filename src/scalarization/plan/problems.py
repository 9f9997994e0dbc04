"""Collects what is wrong with a preset, so that all of it is told at once."""

from __future__ import annotations

from pathlib import Path

from scalarization.config.messages import one_line
from scalarization.errors import ConfigError


class Problems:
    """Mistakes of one preset.

    Args:
        file: The preset's file, with which every message begins.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lines: dict[str, None] = {}

    def __len__(self) -> int:
        """Number of noted mistakes."""
        return len(self._lines)

    def add(self, key: str, message: str) -> None:
        """Note a mistake.

        Args:
            key: Where it is, as ``experiments.pair.methods``.
            message: What is wrong, with the value and the way out.
        """
        self.add_line(f"{self._file}: {key}: {message}")

    def add_options(self, key: str, error: ConfigError) -> None:
        """Note mistakes in options: each line of the error begins with the rest of its key.

        Args:
            key: Where the options are, as ``experiments.pair.methods``.
            error: What is wrong with them, as ``grid.p1.1 = 1.5: ...``.
        """
        for line in str(error).splitlines():
            self.add_line(f"{self._file}: {key}.{line}")

    def add_line(self, line: str) -> None:
        """Note a mistake that is not the preset's: a whole line, source included."""
        self._lines[one_line(line)] = None

    def raise_if_any(self) -> None:
        """Stop if anything was noted.

        Raises:
            ConfigError: One line for every mistake.
        """
        if self._lines:
            raise ConfigError("\n".join(self._lines))
