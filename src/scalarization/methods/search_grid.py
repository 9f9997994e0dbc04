"""The best of constant weights on a grid of the simplex, with at most as many members as a population."""

from scalarization.methods import _searched

OPTIONS = _searched.OPTIONS
