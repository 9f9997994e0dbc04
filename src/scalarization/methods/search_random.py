"""The best of constant weights drawn uniformly on the simplex, as many as a population has members."""

from scalarization.methods import _searched

OPTIONS = _searched.OPTIONS
