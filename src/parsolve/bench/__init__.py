"""How fast a machine marches: one benchmark, and its scaling over ranks and threads."""
