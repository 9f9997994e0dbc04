"""What figures and tables share: the common look, capacity grids, heat maps, and how numbers and names are written."""
