"""The memory that a rank takes at its peak, and whether there is so much."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from parsolve.domain.field import layout as field_layout
from parsolve.domain.memory import shortage
from parsolve.errors import ResourceError, agree
from parsolve.kernels.device import resident
from parsolve.problem.renewal import measures
from parsolve.problem.several import gathered

if TYPE_CHECKING:
    from parsolve.domain.grid import Subdomain, Triple
    from parsolve.problem.problem import Problem

PROCESS = 118 << 20  # bytes of Python, NumPy, MPI, HDF5 and buffers of messages and files, measured


def memory_of(problem: Problem, shape: Triple, ghosts: Triple) -> int:
    """Bytes of fields and arrays of a rank with a subdomain of this shape, at their peak.

    No page of a field is taken before it is written.  So there are peaks when the growth of rates is measured, with
    the state, its first rates, initial velocities and coefficients; and in the march.
    A power iteration has two fields for each unknown (its trial, and what comes of it), those that definitions make,
    and two arrays of owned cells (the direction, and the rates to compare with).  While a checkpoint is written there
    is a copy of what it holds; of slices there is one of their cells.  One rank lays out the coordinates: as an array,
    in the image of the result, and in the outline of the frames.
    """
    program, item = problem.program, problem.dtype.itemsize
    unknowns, made, arrays = len(program.unknowns), len(program.defines), len(problem.arrays)
    field = resident(prod(field_layout(shape, ghosts, item)[0]) * item)
    power = (2 * unknowns + made) * field + 2 * unknowns * prod(shape) * item
    first, again = (measured * power for measured in measures(problem))
    start = (unknowns + len(problem.velocities) + arrays) * field
    rates = start + (unknowns + made) * field
    copied = problem.carried + problem.remembered + unknowns * (again > 0)
    kept = copied * prod(shape) * item if problem.case.checkpoint else 0
    cut = sum(len(one.chosen) * one.cells.most(shape) for one in problem.slices) * item
    march = problem.field_count * field + again + kept + cut
    return max(rates + first, march) + 24 * max(problem.grid.cells)


def gathering(problem: Problem) -> int:
    """Bytes that rank 0 takes beside: for spectra, and for the largest row of a slice, twice, as it is written."""
    item = problem.dtype.itemsize
    rows = (2 * len(one.chosen) * one.cells.size * item for one in problem.slices)
    return gathered(problem.measures, problem.grid, item) + max(rows, default=0)


def require_memory(problem: Problem, sub: Subdomain) -> None:
    """Refuse a run that needs more memory on a node than is free there; collective.

    Raises:
        ResourceError: with both numbers; the same on all ranks.
    """
    needed = memory_of(problem, sub.shape, sub.ghosts)
    if sub.comm.rank == 0:
        needed += gathering(problem)
    text = shortage(sub.comm, needed)
    agree(sub.comm, ResourceError(f"{text}; {advice(problem)}") if text else None)


def advice(problem: Problem) -> str:
    """What to do where there is not enough memory."""
    smaller = " or run.precision = 'float32'" if problem.dtype.itemsize > 4 else ""
    return f"use fewer cells, more nodes{smaller}"
