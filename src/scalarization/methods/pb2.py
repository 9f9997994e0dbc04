"""Weights of population-based bandits (Parker-Holder et al. 2020): as PBT, but a Gaussian process explores."""

from scalarization.methods import _searched

OPTIONS = _searched.OPTIONS
