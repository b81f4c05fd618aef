"""parsolve: partial differential equations on structured grids, on any number of MPI ranks."""
