"""Assigning families of images to splits."""

import numpy as np
from families import split_families


def test_proportions_are_kept_and_do_not_depend_on_the_order():
    generator = np.random.default_rng(0)
    families = {f"f{n}": np.array([size, *generator.integers(0, size, 3)]) for n, size in enumerate(range(2, 42))}
    split = split_families(families, (70, 15, 15), (5, 2, 2), starts=2)
    assert split == split_families(dict(reversed(families.items())), (70, 15, 15), (5, 2, 2), starts=2)
    sums = np.stack([sum(families[f] for f, number in split.items() if number == s) for s in range(3)])
    proportions = sums / sums.sum(axis=0)
    assert np.abs(proportions - [[0.7], [0.15], [0.15]]).max() < 0.02


def test_every_split_gets_a_rare_label():
    # Three families have the label: proportions alone would put two of them into the first split, none into the third.
    families = {f"f{n}": np.array([10, 10 if n < 3 else 0]) for n in range(20)}
    split = split_families(families, (70, 15, 15), (1, 1, 1), starts=1)
    assert {split["f0"], split["f1"], split["f2"]} == {0, 1, 2}
    assert np.bincount(list(split.values())).tolist() == [14, 3, 3]
