"""A case that is marched step by step from Python: looked at, changed and gone on with."""

from __future__ import annotations

from contextlib import contextmanager
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np

from parsolve.api import make_case, path_of, ranks_of, require_case
from parsolve.case.tables import flat, nearest
from parsolve.domain.redistribute import gather
from parsolve.errors import CaseError, agreed, is_agreed, require_same
from parsolve.march.schedule import Stop
from parsolve.problem.calls import Calls, at_times, every_steps
from parsolve.problem.live import Live
from parsolve.problem.parameters import Parameters
from parsolve.resume import checkpoint_of
from parsolve.view.bar import bar_of
from parsolve.view.snapshot import page_of, snapshot
from parsolve.watchdog import Watchdog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path
    from typing import Self

    import xarray
    from matplotlib.figure import Figure
    from mpi4py import MPI
    from numpy.typing import ArrayLike, NDArray

    from parsolve.case import Case
    from parsolve.view.snapshot import Snapshot


class Simulation:
    """A case that is marched from Python: ``sim.step(10)``, ``sim.u``, ``sim.parameters["D"] = 0.2``, ``sim.run()``.

    The steps are those of `solve`: they end at the times at which the case writes frames, though none are written, and
    `run()` alone gives the bits of its result. Times of `at` and of `run(until=...)` are met too, by steps up to them
    that are a little shorter; `step(n)` and `every(n, ...)` change no bit.

    Between steps values and parameters may be changed. Then the march is prepared anew from the values of now, as a run
    that begins with them would be: the stable step is found again, and an error estimate begins again. Nothing is
    compiled for that.

    All is collective, but for the attributes and the arrays: every rank calls the same with the same. Without ``comm``
    this process is alone, unless a launcher started several, which is refused.

    Args:
        case: of `make_case` or `Case.load`.
        comm: the ranks that share it.

    Raises:
        ParsolveError: the case cannot be run; the same one on all ranks.
    """

    def __init__(self, case: Case, comm: MPI.Intracomm | None = None) -> None:
        ranks = ranks_of("Simulation", comm)
        with agreed(ranks):
            require_case("Simulation", case)
        require_same(ranks, {key: repr(value) for key, value in flat(case.to_dict()).items()})
        self._begin(Live(case, ranks))

    @classmethod
    def restart(cls, path: str | Path, comm: MPI.Intracomm | None = None, case: Case | None = None) -> Self:
        """Return a simulation that goes on from a checkpoint, with the same bits; on any number of ranks.

        Args:
            path: the manifest of a checkpoint, a folder of some, of which the newest whole one is taken, or the name
                of the result of a run.
            comm: the ranks, as for a new one.
            case: that of the checkpoint, where it has arrays among its coefficients or boundary values, which are not
                in the checkpoint.

        Raises:
            StorageError: there is no checkpoint that is whole.
            CaseError: it is of another case, or an input file has changed.
        """
        ranks = ranks_of("Simulation.restart", comm)
        with agreed(ranks):
            if case is not None:
                require_case("Simulation.restart", case)
            place = path_of("Simulation.restart", path)
        since, found = checkpoint_of(ranks, place, case)
        sim = cls.__new__(cls)
        sim._begin(Live(found, ranks, since))
        return sim

    def _begin(self, live: Live) -> None:
        self._held: Live | None = live
        self._comm, self._calls, self._is_calling = live.comm, Calls(), False
        self._fields = tuple(live.march.state)
        self._parameters = Parameters(lambda: self._live, self._asked)

    # Where it is

    @property
    def time(self) -> float:
        """The time reached."""
        return self._live.clock.time

    @property
    def steps(self) -> int:
        """The steps taken since the case began."""
        return self._live.clock.step

    @property
    def dt(self) -> float:
        """The last time step, or the first; of adaptive steps the next one to be tried."""
        return self._live.march.control.dt

    @property
    def is_over(self) -> bool:
        """Whether the end of the case is reached, or a rule of [stop] has ended the last `run` or `step`."""
        return self._live.end.is_reached(self._live.clock) or bool(self.stopped)

    @property
    def stopped(self) -> str:
        """The rule of [stop] that ended the last `run` or `step`; empty if none did."""
        return self._live.stopped

    @property
    def case(self) -> Case:
        """The case, with the parameters of now."""
        return self._live.problem.case

    @property
    def comm(self) -> MPI.Intracomm:
        """Its ranks."""
        return self._comm

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the fields that are marched."""
        return self._fields

    @property
    def warnings(self) -> list[str]:
        """What the numbers may not be trusted for."""
        return self._live.warnings

    @property
    def owned(self) -> tuple[slice, ...]:
        """The part of the whole grid that this rank owns, by the axes that there are: ``whole[sim.owned]``."""
        sub = self._live.subdomain
        places = zip(sub.start, sub.stop, sub.grid.present, strict=True)
        return tuple(slice(a, b) for a, b, there in places if there)

    # Marching

    def step(self, n: int = 1) -> int:
        """Take n steps, or those up to the end of the case, or to a rule of [stop]; return how many.

        Raises:
            CaseError: the case is over, or n is no number of steps.
            ParsolveError: as of `run`.
        """
        live = self._live
        with self._asked() as said:
            if not isinstance(n, Integral) or n < 1:
                raise CaseError(f"step: expected a number of steps, got {n!r}")
            if live.end.is_reached(live.clock):
                raise CaseError(f"step: the case is over at t = {self.time:.6g}; give it a later end")
            said["step"] = repr(int(n))
        first = live.clock.step
        self._march(Stop(step=first + int(n)))
        return live.clock.step - first

    def run(self, until: float | None = None, progress: bool = False) -> None:
        """March to a time, by default to the end of the case; with ``progress`` tqdm shows it, if it is installed.

        A rule of [stop] that is met ends it, and `stopped` says which; another call goes on to the next look at them.

        Raises:
            CaseError: the time is over, or beyond the end of the case; a callback failed on some ranks alone.
            NumericalError: a value is not finite, or no step is stable; the same one on all ranks.
            KeyboardInterrupt, Stopped: a signal came. It can go on after that.
        """
        live = self._live
        with self._asked() as said:
            if until is not None and not (isinstance(until, Real) and self.time <= self._met(until) <= live.end.time):
                text = f"expected a time from now, {self.time:.6g}, to the end of the case, {live.end.time:.6g}"
                raise CaseError(f"run: {text}, got until = {until!r}")
            said["until"] = repr(until if until is None else float(until))
        self._march(Stop() if until is None else Stop(time=self._met(float(until))), progress)

    def every(self, n: int, call: Callable[[Simulation], object]) -> None:
        """Call ``call(sim)`` on all ranks after every step whose number is a multiple of n.

        It may look at the simulation and change it, but not march it. What it raises ends the march: as it is where all
        ranks raise it, else as one CaseError that names the rank.

        Raises:
            CaseError: n is no number of steps.
        """
        with self._asked() as said:
            found = every_steps(n, call)
            said["every"] = repr(found.when)
        self._calls.add(found)

    def at(self, times: float | Iterable[float], call: Callable[[Simulation], object]) -> None:
        """Call ``call(sim)`` on all ranks at these times, as `every` does; steps end there exactly.

        Raises:
            CaseError: a time is over, or beyond the end of the case.
        """
        with self._asked() as said:
            found = at_times(times, call, self.time, self._live.end.time, self._met)
            said["at"] = repr(found.when)
        self._calls.add(found)

    def _met(self, time: float) -> float:
        """The time as the march meets it."""
        return self._live.met(time, self._calls.after)

    def _march(self, stop: Stop, progress: bool = False) -> None:
        """March to a stop or the end of the case, with pauses where functions are called."""
        live, end = self._live, self._live.end
        stop = Stop(min(stop.step, end.step), min(stop.time, end.time))
        with bar_of(progress and self._comm.rank == 0, live.clock, stop) as bar:
            while not stop.is_reached(self._live.clock):  # a function may have closed it
                due = self._calls.after(live.clock)
                with Watchdog(self.case.patience, self._comm):
                    live.go(Stop(min(stop.step, due.step), min(stop.time, due.time)), bar)
                    self._is_calling = True
                    try:
                        self._calls.call(self._comm, live.clock, self)
                    finally:
                        self._is_calling = False
                if live.stopped:
                    break

    # Values and parameters

    def __getattr__(self, name: str) -> NDArray[Any]:
        """Return the values of a field, as ``sim[name]`` does."""
        if name.startswith("_") or name not in self._fields:
            hint = "" if name.startswith("_") else nearest(name, self._fields, "fields")
            raise AttributeError(f"a simulation has no '{name}'{hint}")
        return self[name]

    def __setattr__(self, name: str, value: Any) -> None:
        """Give a field values, as ``sim[name] = value`` does."""
        if name.startswith("_"):
            super().__setattr__(name, value)
        elif name in self._fields and not hasattr(type(self), name):
            self[name] = value
        else:
            hint = f"; it is a parameter: sim.parameters['{name}'] = ..." if name in self._parameters else ""
            raise AttributeError(f"a simulation has no field '{name}' that could be given values{hint}")

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Return the values of a field that this rank owns, not copied; ``sim.u`` is ``sim["u"]``; not collective.

        The axes are those of the grid, slowest first. What is written there before the next step holds; after it the
        array is read-only and may be of an older state: take ``sim.u`` anew.

        Raises:
            KeyError: there is no such field.
        """
        if name not in self._fields:
            raise KeyError(name)
        return self._live.view(name)

    def __setitem__(self, name: str, values: ArrayLike) -> None:
        """Give a field values on this rank: a number, or an array of what it owns.

        Raises:
            CaseError: there is no such field, or the values are of another shape; the same on all ranks.
        """
        if name in self._fields and values is self._live.view(name):
            return  # as of sim.u *= 2, which one rank may do alone
        with self._asked(marching=False) as said:
            self._require_field(name)
            try:
                given = np.ma.asanyarray(values) if np.ma.isMaskedArray(values) else np.asarray(values)
            except (TypeError, ValueError) as error:
                raise CaseError(f"{name}: expected a number or an array of numbers: {error}") from None
            said["field"] = name
        self._live.assign(name, given)

    def set(self, name: str, value: Any) -> None:
        """Give a field the values of an expression, a number, an array of the whole grid, or a file.

        As in the table [initial] of a case; but t in it is the time of now.

        Raises:
            CaseError: it is wrong; the same on all ranks, and nothing is changed.
        """
        with self._asked(marching=False) as said:
            self._require_field(name)
            changed = make_case(self.case, initial={name: value})
            said |= {"field": name, name: repr(changed.to_dict()["initial"][name])}
        self._live.fill(name, changed.initial[name])

    @property
    def parameters(self) -> Parameters:
        """The parameters of the equation; ``sim.parameters["D"] = 0.2`` holds from the next step on; collective."""
        return self._parameters

    def gather(self, name: str) -> NDArray[Any] | None:
        """Return a copy of a whole field on rank 0, None on the others.

        Raises:
            CaseError: there is no such field.
            ResourceError: no memory for it; the same on all ranks.
        """
        with self._asked(marching=False) as said:
            self._require_field(name)
            said["field"] = name
        f = self._live.march.state[name]
        return gather(f.owned, f.subdomain)

    def measure(self, text: str) -> float | NDArray[np.float64]:
        """Return a number made of the values of all cells now, as [measure] of a case does: ``"integral(u**2)"``.

        The same on all ranks, with the same bits on any number of them; a histogram or a spectrum is an array.

        Raises:
            CaseError: the text is wrong, or reads farther neighbours than the equation: put it into [measure] then.
        """
        with self._asked(marching=False) as said:
            if not isinstance(text, str):
                raise CaseError(f"measure: expected a text such as 'integral(u)', got {text!r}")
            said["measure"] = text
        return self._live.measure(text)

    # What it leaves

    def checkpoint(self, folder: str | Path, force: bool = False) -> Path:
        """Write a checkpoint into a folder, which is made if it is not there; return its manifest.

        With ``force`` it replaces checkpoints of other runs or of later steps there.

        `Simulation.restart` goes on from there with the same bits, and so does the command `restart`, with the
        manifest and another result. Arrays that were handed out end here, as at a step.

        Raises:
            StorageError, ResourceError: the disk failed or is full, or the folder has checkpoints of other runs or of
                later steps, and there is no ``force``.
            NumericalError: a value is not finite.
        """
        with self._asked(marching=False) as said:
            place = path_of("checkpoint", folder)
            said |= {"folder": str(place), "force": repr(bool(force))}
        return self._live.keep(place, bool(force))

    def write(self, path: str | Path, force: bool = False) -> Path:
        """Write the state of now as a result of one frame; with ``force`` an older one is replaced; return its path.

        Raises:
            StorageError, ResourceError: there is one, or the disk failed or is full.
        """
        with self._asked(marching=False) as said:
            place = path_of("write", path)
            said |= {"path": str(place), "force": repr(bool(force))}
        return self._live.write(place, bool(force))

    def to_xarray(self) -> xarray.Dataset | None:
        """Return on rank 0 a data set of the fields that a result would have, with coordinates and units; else None.

        Raises:
            SetupError: xarray is not installed.
            ResourceError: no memory for the whole fields; the same on all ranks.
        """
        found = self._snapshot(None)
        with agreed(self._comm):
            return found.to_xarray() if found else None

    def plot(self, field: str | None = None, slice: str | None = None) -> Figure | None:
        """Return on rank 0 a figure of matplotlib of a field, by default the first that a result would have; else None.

        A map, a line, or of a 3-D field the plane in the middle; ``slice="z=0.5"`` takes an axis away.

        Raises:
            CaseError: there is no such field or slice; the same on all ranks.
            SetupError: matplotlib is not installed.
            ResourceError: no memory for the whole field; the same on all ranks.
        """
        found = self._snapshot(field or self._live.problem.recorded[0].name)
        with agreed(self._comm):
            if not isinstance(slice, str | None):
                raise CaseError(f"plot: expected a slice such as 'z=0.5', got {slice!r}")
            from parsolve.view.plot import figure_of

            return figure_of(found, slice) if found else None

    def _snapshot(self, name: str | None) -> Snapshot | None:
        """A field, or all that a result would have, whole, on rank 0."""
        with self._asked(marching=False) as said:
            said["field"] = repr(name)
            live, names = self._live, [info.name for info in self._live.problem.recorded]
            known = list(dict.fromkeys([*names, *self._fields]))
            if name is not None and name not in known:
                raise CaseError(f"there is no field '{name}'{nearest(str(name), known, 'fields')}")
        there = live.march.looking.derived(live.march.state, live.clock.time)
        return snapshot(live.problem, live.clock, there, names if name is None else [name])

    # Its end

    def close(self) -> None:
        """Free its messages and fields; it can then do nothing more."""
        live, self._held = self._held, None
        self._calls = Calls()
        if live is not None:
            live.free()

    def __reduce__(self) -> str:
        """Refuse to be copied or pickled: a copy would have the same fields.

        Raises:
            TypeError: always.
        """
        raise TypeError("a simulation cannot be copied or pickled; write a checkpoint and go on with restart of it")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if is_agreed(self._comm, error):  # else the others do not come
            self.close()

    def __repr__(self) -> str:
        if self._held is None:
            return "<Simulation, closed>"
        live, grid = self._held, self._held.problem.grid
        cells = " x ".join(f"{n} ({axis})" for axis, n in zip(grid.names, grid.shape[::-1], strict=True))
        what = live.problem.case.title or live.problem.equation.name
        return (
            f"<Simulation of {what}: {', '.join(self._fields)} on {cells} cells, step {live.clock.step}, "
            f"t = {live.clock.time:.6g}, dt = {self.dt:.6g}>"
        )

    def _repr_html_(self) -> str:
        """Equations, grid, parameters and state, as a notebook shows them; of several ranks what this one owns."""
        if self._held is None:
            return repr(self)
        where = f"step {self.steps}, t = {self.time:.6g}, dt = {self.dt:.6g}" + ", at the end" * self.is_over
        return page_of(self._held.problem, where, self._held.march.state)

    @property
    def _live(self) -> Live:
        if self._held is None:
            raise CaseError("the simulation is closed")
        if self._held.is_torn:
            raise CaseError("it was interrupted within a step, so that its values are of no time: begin it again")
        return self._held

    @contextmanager
    def _asked(self, marching: bool = True) -> Iterator[dict[str, str]]:
        """Look at what was asked for, on all ranks, which are told what is to be the same; all raise what is wrong."""
        said: dict[str, str] = {}
        with agreed(self._comm):
            self._live.clock  # noqa: B018  # or it is closed
            if marching and self._is_calling:
                raise CaseError("a function that the march calls cannot march itself, nor be given others to call")
            yield said
        require_same(self._comm, said)

    def _require_field(self, name: object) -> None:
        if name not in self._fields:
            raise CaseError(f"no field '{name}' is marched{nearest(str(name), self._fields, 'fields')}")
