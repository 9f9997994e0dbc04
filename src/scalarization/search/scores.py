"""Scores of the members of a search, and what one that diverged counts as."""

from __future__ import annotations

import math

#: Score of a member that diverged.
DIVERGED = -math.inf


def ranked(score: float) -> float:
    """The score with which a member is compared with others: minus infinity if it is NaN or infinite."""
    return score if math.isfinite(score) else DIVERGED
