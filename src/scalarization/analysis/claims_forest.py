"""The claims as a forest plot: the query of :mod:`scalarization.analysis.claims`, drawn as a figure."""

from __future__ import annotations

import dataclasses

from scalarization.analysis import claims

KIND = dataclasses.replace(claims.KIND, name="claims_forest", output="figure")
