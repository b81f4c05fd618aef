"""Results on disk: frames during a run, one file after it, and what reads them."""

from parsolve.store.compare import Comparison, compare
from parsolve.store.frames import FieldInfo, Recorder
from parsolve.store.result import Result, open_result
from parsolve.store.source import read_block

__all__ = ["Comparison", "FieldInfo", "Recorder", "Result", "compare", "open_result", "read_block"]
