"""Checking labels: nothing that is no valid label (NaN, out of range, of another type) becomes one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from scalarization.benchmarks.images import listed
from scalarization.errors import DataError


def check_class_labels(labels: Any, classes: int, source: str, name_of: Callable[[int], str]) -> None:
    """Check that labels are integers from 0 to the number of classes minus 1.

    Args:
        labels: The labels, expected as an integer array [N].
        classes: Number of classes.
        source: What the labels are of, for messages.
        name_of: From a row to the name of its image, for messages.

    Raises:
        DataError: They are not; the message names the first wrong ones and says how many there are.
    """
    _check_integers(labels, 1, source, name_of)
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    _refuse(labels, wrong, f"expected 0 to {classes - 1} for {classes} classes", source, name_of)


def check_attribute_labels(labels: Any, attributes: int, source: str, name_of: Callable[[int], str]) -> None:
    """Check that labels are 0 or 1 for every attribute.

    Args:
        labels: The labels, expected as an integer array [N, attributes].
        attributes: Number of attributes.
        source: What the labels are of, for messages.
        name_of: From a row to the name of its image, for messages.

    Raises:
        DataError: They are not; the message names the first wrong ones and says how many there are.
    """
    _check_integers(labels, 2, source, name_of)
    if labels.shape[1] != attributes:
        raise DataError(f"{source}: labels of {labels.shape[1]} attributes, {attributes} are declared")
    wrong = np.flatnonzero(((labels != 0) & (labels != 1)).any(axis=1))
    _refuse(labels, wrong, "expected 0 or 1 for every attribute", source, name_of)


def _check_integers(labels: Any, dimensions: int, source: str, name_of: Callable[[int], str]) -> None:
    """Check type and dimensions. Whole numbers of another type are refused, too: they may have been rounded."""
    if not isinstance(labels, np.ndarray):
        raise DataError(f"{source}: labels are of type {type(labels).__name__}, expected an array of integers")
    if labels.ndim != dimensions:
        raise DataError(f"{source}: labels have shape {labels.shape}, expected {dimensions} dimension(s)")
    if labels.dtype.kind in "iu":
        return
    first = ""
    if labels.dtype.kind == "f":
        broken = labels != np.round(labels)  # true for NaN
        rows = np.flatnonzero(broken if dimensions == 1 else broken.any(axis=1))
        first = f"; that of {name_of(int(rows[0]))} is {_text(labels[rows[0]])}" if len(rows) else ""
    elif labels.dtype.kind == "O":
        row = next((n for n, v in enumerate(labels.ravel()) if isinstance(v, bool) or not isinstance(v, int)), 0)
        width = labels.size // max(1, len(labels))
        first = f"; that of {name_of(row // width)} is {labels.ravel()[row]!r}" if width else ""
    raise DataError(f"{source}: labels are {labels.dtype}, expected integers{first}")


def _refuse(labels: np.ndarray, rows: np.ndarray, expected: str, source: str, name_of: Callable[[int], str]) -> None:
    if len(rows):
        wrong = listed(f"{name_of(int(row))} has {_text(labels[row])}" for row in rows)
        raise DataError(f"{source}: {len(rows)} wrong label(s), {expected}: {wrong}")


def _text(value: np.ndarray) -> str:
    return np.array2string(value, threshold=8).replace("\n", "")
