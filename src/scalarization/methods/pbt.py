"""Weights of population-based training (Jaderberg et al. 2017): the worst members copy good ones and perturb."""

from scalarization.methods import _searched

OPTIONS = _searched.OPTIONS
