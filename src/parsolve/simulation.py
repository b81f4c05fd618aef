"""A case that is marched step by step from Python: looked at, changed and gone on with."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np

from parsolve.api import make_case, ranks_of, require_case, require_same
from parsolve.case.tables import flat, nearest
from parsolve.domain.redistribute import gather
from parsolve.errors import CaseError, agree, agreed, is_agreed, together
from parsolve.march.schedule import AtTimes, Either, EverySteps, Stop
from parsolve.problem.live import Live
from parsolve.view.bar import bar_of
from parsolve.watchdog import Watchdog

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self

    from mpi4py import MPI
    from numpy.typing import ArrayLike, NDArray

    from parsolve.case import Case
    from parsolve.march.schedule import When


@dataclass(frozen=True)
class _Call:
    """A function of the user, and when it is called."""

    when: When
    act: Callable[[Simulation], object]


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
        if ranks.size > 1:
            require_same(ranks, {key: repr(value) for key, value in flat(case.to_dict()).items()})
        self._begin(Live(case, ranks))

    def _begin(self, live: Live) -> None:
        self._held: Live | None = live
        self._comm, self._calls, self._is_calling = live.comm, list[_Call](), False
        self._fields = tuple(live.march.state)
        self._parameters = Parameters(self)

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
        """Whether the end of the case is reached."""
        return self._live.end.is_reached(self._live.clock)

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
        """Take n steps, or those that are left to the end of the case; return how many.

        Raises:
            CaseError: the case is over, or n is no number of steps.
            ParsolveError: as of `run`.
        """
        live = self._live
        with self._asked():
            if not isinstance(n, Integral) or n < 1:
                raise CaseError(f"step: expected a number of steps, got {n!r}")
            if self.is_over:
                raise CaseError(f"step: the case is over at t = {self.time:.6g}; give it a later end")
        first = live.clock.step
        self._march(Stop(step=first + int(n)))
        return live.clock.step - first

    def run(self, until: float | None = None, progress: bool = False) -> None:
        """March to a time, by default to the end of the case; with ``progress`` tqdm shows it, if it is installed.

        Raises:
            CaseError: the time is over, or beyond the end of the case; a callback failed on some ranks alone.
            NumericalError: a value is not finite, or no step is stable; the same one on all ranks.
        """
        live = self._live
        with self._asked():
            if until is not None and not (isinstance(until, Real) and self.time <= until <= live.end.time):
                text = f"expected a time from now, {self.time:.6g}, to the end of the case, {live.end.time:.6g}"
                raise CaseError(f"run: {text}, got until = {until!r}")
        self._march(Stop() if until is None else Stop(time=float(until)), progress)

    def every(self, n: int, call: Callable[[Simulation], object]) -> None:
        """Call ``call(sim)`` on all ranks after every step whose number is a multiple of n.

        It may look at the simulation and change it, but not march it. What it raises ends the march: as it is where all
        ranks raise it, else as one CaseError that names the rank.

        Raises:
            CaseError: n is no number of steps.
        """
        with self._asked():
            if not isinstance(n, Integral) or n < 1 or not callable(call):
                raise CaseError(f"every: expected a number of steps and a function, got {n!r} and {call!r}")
        self._calls.append(_Call(EverySteps(int(n)), call))

    def at(self, times: float | Iterable[float], call: Callable[[Simulation], object]) -> None:
        """Call ``call(sim)`` on all ranks at these times, as `every` does; steps end there exactly.

        Raises:
            CaseError: a time is over, or beyond the end of the case.
        """
        with self._asked():
            try:
                due = sorted({float(time) for time in np.atleast_1d(np.asarray(times, np.float64))})
            except (TypeError, ValueError):
                due = [math.nan]
            if not callable(call) or not all(self.time < time <= self._live.end.time for time in due):
                text = (
                    f"expected times after now, {self.time:.6g}, up to the end of the case, {self._live.end.time:.6g}"
                )
                raise CaseError(f"at: {text}, and a function, got {times!r} and {call!r}")
        self._calls.append(_Call(AtTimes(tuple(due)), call))

    def _march(self, stop: Stop, progress: bool = False) -> None:
        """March to a stop or the end of the case, with pauses where functions are called."""
        live, end = self._live, self._live.end
        stop = Stop(min(stop.step, end.step), min(stop.time, end.time))
        _require_same_stop(self._comm, stop)
        with (
            Watchdog(self.case.patience, self._comm),
            bar_of(progress and self._comm.rank == 0, live.clock, stop) as bar,
        ):
            while not stop.is_reached(live.clock):
                due = Either([call.when for call in self._calls]).after(live.clock)
                live.go(Stop(min(stop.step, due.step), min(stop.time, due.time)), bar)
                for call in [call for call in self._calls if call.when.is_due(live.clock)]:
                    self._call(call.act)

    def _call(self, act: Callable[[Simulation], object]) -> None:
        """Call a function of the user.

        Raises:
            Exception: that of the function where all ranks have one, else a CaseError.
        """
        self._is_calling = True
        try:
            name = getattr(act, "__qualname__", repr(act))
            together(self._comm, lambda: act(self), f"{name}, called at step {self.steps}, t = {self.time:.6g}")
        finally:
            self._is_calling = False

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
        with self._asked(marching=False):
            self._require_field(name)
            given = np.ma.asanyarray(values) if np.ma.isMaskedArray(values) else np.asarray(values)
        self._live.assign(name, given)

    def set(self, name: str, value: Any) -> None:
        """Give a field the values of an expression, a number, an array of the whole grid, or a file.

        As in the table [initial] of a case; but t in it is the time of now.

        Raises:
            CaseError: it is wrong; the same on all ranks, and nothing is changed.
        """
        with self._asked(marching=False):
            self._require_field(name)
            found = make_case(self.case, initial={name: value}).initial[name]
        self._live.fill(name, found)

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
        with self._asked(marching=False):
            self._require_field(name)
        f = self._live.march.state[name]
        return gather(f.owned, f.subdomain)

    # Its end

    def close(self) -> None:
        """Free its messages and fields; it can then do nothing more."""
        live, self._held = self._held, None
        self._calls = []
        if live is not None:
            live.free()

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

    @property
    def _live(self) -> Live:
        if self._held is None:
            raise CaseError("the simulation is closed")
        return self._held

    @contextmanager
    def _asked(self, marching: bool = True) -> Iterator[None]:
        """Look at what was asked for, on all ranks; what is found wrong is raised by all."""
        with agreed(self._comm):
            self._live.clock  # noqa: B018  # or it is closed
            if marching and self._is_calling:
                raise CaseError("a function that the march calls cannot march itself, nor be given others to call")
            yield

    def _require_field(self, name: object) -> None:
        if name not in self._fields:
            raise CaseError(f"no field '{name}' is marched{nearest(str(name), self._fields, 'fields')}")


class Parameters(MutableMapping[str, float]):
    """The parameters of a simulation by name; none comes or goes."""

    def __init__(self, sim: Simulation) -> None:
        self._sim = sim

    def __getitem__(self, name: str) -> float:
        return self._sim._live.problem.parameters[name]

    def __setitem__(self, name: str, value: float) -> None:
        """Give a parameter another value, from the next step on; collective.

        Raises:
            CaseError: there is no such parameter, or the case does not take the value; it is then as it was.
        """
        sim, known = self._sim, self._sim._live.problem.parameters
        with sim._asked(marching=False):
            if name not in known:
                raise CaseError(f"parameters.{name}: there is no such parameter{nearest(str(name), known)}")
            try:
                number = float(value)
            except (TypeError, ValueError, OverflowError):
                number = math.nan
            if not math.isfinite(number):
                raise CaseError(f"parameters.{name}: expected a number, got {value!r}")
        if sim.comm.size > 1:
            require_same(sim.comm, {f"parameters.{name}": repr(number)})
        sim._live.set_parameter(name, number)

    def __delitem__(self, name: str) -> None:
        raise TypeError("a parameter of a simulation cannot be removed")

    def __iter__(self) -> Iterator[str]:
        return iter(self._sim._live.problem.parameters)

    def __len__(self) -> int:
        return len(self._sim._live.problem.parameters)

    def __repr__(self) -> str:
        return repr(dict(self))


def _require_same_stop(comm: MPI.Intracomm, stop: Stop) -> None:
    """Refuse to march to a stop that is not the same on all ranks; collective.

    Raises:
        CaseError: it is not.
    """
    if comm.size == 1:
        return
    from mpi4py import MPI

    found = np.array([stop.step, -stop.step, stop.time, -stop.time])
    comm.Allreduce(MPI.IN_PLACE, found, op=MPI.MAX)
    if found[0] != -found[1] or found[2] != -found[3]:
        agree(comm, CaseError("the ranks march to different steps or times"))
