"""Search of the weights on Ray Tune (paper A 5): PBT, PB2, and grid and random search on the same budget."""
