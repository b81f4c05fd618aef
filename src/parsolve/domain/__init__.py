"""The distributed grid: who owns what, fields, halo exchange, boundaries, reductions."""
