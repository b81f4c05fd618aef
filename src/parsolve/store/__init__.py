"""Results on disk: frames during a run, one file after it, and what reads them."""
