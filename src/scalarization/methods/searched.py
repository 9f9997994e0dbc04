"""Methods for which a search of the preset determines the weights (PBT, PB2, grid, random) or the learning rate."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from scalarization.config import MethodOptions
from scalarization.methods.info import SCALARIZATION, CostFormulas, MethodInfo


class SearchedOptions(MethodOptions):
    """Which search the weights, or the learning rate, come from."""

    search: str | None = Field(None, description="A key of the preset's `searches`.")
    search_on: str | None = Field(
        None, description="Architecture that the search trained; null: the architecture of the cell."
    )
    policy: Literal["whole", "last"] = Field(
        "whole",
        description="Train with the whole policy, or with the weights of its last interval from the first epoch on.",
    )


#: Name -> method. These methods share one module because they train alike: only their searches differ.
METHODS = {
    method.name: method
    for method in (
        MethodInfo(
            name="pbt",
            label="PBT",
            group=SCALARIZATION,
            kind="searched",
            description="Population-based training (Jaderberg et al. 2017): the worst members copy good members and "
            "perturb their weights.",
            options=SearchedOptions,
            formulas=CostFormulas("N+1", "N+1", "minor (checkpoint writing)"),
            exploits=True,
            rank=5,
            module="searched",
        ),
        MethodInfo(
            name="pb2",
            label="PB2",
            group=SCALARIZATION,
            kind="searched",
            description="Population-based bandits (Parker-Holder et al. 2020): as PBT, but a Gaussian process chooses "
            "the new weights.",
            options=SearchedOptions,
            formulas=CostFormulas("N+1", "N+1", "minor (checkpoint writing, Gaussian process)"),
            exploits=True,
            rank=6,
            module="searched",
        ),
        MethodInfo(
            name="search_grid",
            label="Grid search",
            group=SCALARIZATION,
            kind="searched",
            description="The best of the constant weights on a grid of the simplex with at most as many points as the "
            "population has members.",
            options=SearchedOptions,
            formulas=CostFormulas("N+1", "N+1"),
            rank=7,
            module="searched",
        ),
        MethodInfo(
            name="search_random",
            label="Random search",
            group=SCALARIZATION,
            kind="searched",
            description="The best of constant weights drawn uniformly from the simplex, one draw for each member of "
            "the population.",
            options=SearchedOptions,
            formulas=CostFormulas("N+1", "N+1"),
            rank=8,
            module="searched",
        ),
        MethodInfo(
            name="search_lr",
            label="Uniform, searched lr",
            group=SCALARIZATION,
            kind="searched",
            description="Uniform weights with the best of learning rates drawn around the recipe's, one draw for each "
            "member of the population: what the budget of a search of weights gives without them (the control of "
            "Kurin et al. 2022 and Xin et al. 2022).",
            options=SearchedOptions,
            formulas=CostFormulas("N+1", "N+1"),
            rank=9,
            module="searched",
        ),
    )
}
