"""A case, its equation and its grid made concrete: what the march takes."""
