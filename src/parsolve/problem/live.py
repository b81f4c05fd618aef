"""A march that goes as far as it is told, and whose values and parameters may be changed in between."""

from __future__ import annotations

import math
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import xxhash

from parsolve.case import FileValue
from parsolve.domain.grid import slabs
from parsolve.equations.values import fill
from parsolve.errors import CaseError, ParsolveError, agree, agreed, owning
from parsolve.march.march import Event, check_finite
from parsolve.march.schedule import START, At, Clock, Either
from parsolve.march.watch import Due, Signals, Watch
from parsolve.problem.keeping import Stopped
from parsolve.problem.layout import decide
from parsolve.problem.measuring import looking_at
from parsolve.problem.pose import pose
from parsolve.problem.prepare import prepare
from parsolve.problem.saving import kept_values, save
from parsolve.problem.stopping import Rules
from parsolve.problem.times import end_of, frames_of, looks_of, measured_of
from parsolve.problem.values import initial, stored
from parsolve.store.frames import Recorder
from parsolve.store.provenance import provenance

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mpi4py import MPI
    from numpy.typing import NDArray

    from parsolve.case import Case, Value
    from parsolve.domain.field import Field
    from parsolve.domain.grid import Subdomain, Triple
    from parsolve.march.march import Progress
    from parsolve.march.schedule import Stop, When
    from parsolve.problem.measuring import Looking, Measured
    from parsolve.problem.prepare import Prepared
    from parsolve.stages.operator import State
    from parsolve.store.checkpoint import Checkpoint

ROUNDING = 1e-12  # of times that are meant to be the same


class Live:
    """The march of a case, where it is now; every method but ``view`` is collective.

    After a change it is prepared anew from its values, at its time, as a run that begins with them there would be. So
    what a march remembers (rates, the step, limits) is never that of other values or parameters.

    Args:
        case: what is solved.
        comm: its ranks.
        since: a checkpoint of the case to go on from.

    Attributes:
        problem: of the case with the parameters of now.
        clock: where the march is.
        march: which goes on from there.
        is_torn: whether it was left within a step, so that its values are of no time.
    """

    def __init__(self, case: Case, comm: MPI.Intracomm, since: Checkpoint | None = None) -> None:
        self.problem = pose(case, comm)
        self._layout = decide(self.problem, comm)
        self._run = since.run if since else None
        self.clock = Clock(since.step, since.time) if since else START
        given = partial(kept_values, since, self.problem) if since else None
        self.march: Prepared = prepare(self.problem, self._layout, comm, self.clock, given)
        if since:
            with owning(comm) as owner:
                owner.callback(self.march.free)
                self.march.restore(since.numbers, lambda arrays: since.read(self.subdomain, arrays))
                self.march.history.spent = since.spent
                owner.pop_all()
        self.is_torn = False
        self._rules, self._spent = Rules(self.march), 0.0  # seconds of marching
        self._judged = self.clock != START  # the rule on measures, where it begins
        self._warned: list[str] = []
        self._views: dict[str, NDArray[Any]] = {}  # handed out since the last step
        self._before: dict[str, bytes] = {}  # their values then, or a hash of them
        self._changed = False
        self._velocities: dict[str, Field] | None = None  # of a march that carries y_-1, before a change
        self._looking: dict[str, Looking] = {}  # of the march and the parameters of now, by the text that is measured
        self._listen()

    @property
    def comm(self) -> MPI.Intracomm:
        """Its ranks."""
        return self.march.comm

    @property
    def subdomain(self) -> Subdomain:
        """What this rank owns."""
        return self.march.steps.stepper.work.subdomain

    @property
    def end(self) -> Stop:
        """Where the case ends."""
        return end_of(self.problem)

    @property
    def stopped(self) -> str:
        """The rule that ended the last march; empty if none did."""
        return self._rules.reason

    @property
    def warnings(self) -> list[str]:
        """What the numbers may not be trusted for."""
        return list(dict.fromkeys([*self._warned, *self.march.warnings, *self.march.growth.warnings]))

    def go(self, stop: Stop, progress: Progress | None = None) -> None:
        """March to a stop that is not beyond the end of the case, or until a rule of the case is met.

        Raises:
            ParsolveError: as of a run; the same one on all ranks. The state is then that at which it was found.
            Stopped: a signal came; after the step that was under way.
            KeyboardInterrupt: likewise for SIGINT; a second one comes at once, and the values are then torn.
        """
        self.settle()
        march, watch, rules, is_there, begun = self.march, self._watch, self._rules, False, monotonic()
        rules.go_on(self._spent)

        def pass_by(clock: Clock, state: State) -> None:
            """Steps end here in a run too, where something is written or cut out."""

        def judge(clock: Clock, state: State) -> None:
            if rules.of_measures:
                rules.judge_measures(clock, march.looking.measure(state, clock.time))

        def arrive(clock: Clock, state: State) -> None:
            nonlocal is_there
            check_finite(state, clock, march.control.dt, march.walls.error)
            is_there = True

        def look(clock: Clock, state: State) -> None:
            watch.look(clock)

        events = [
            Event(Either(measured_of(self.problem)), judge),
            Event(Either(self._looks), pass_by),
            Event(At(stop), arrive),
            Event(watch, look),
            *rules.events,
        ]
        if not self._judged:
            judge(self.clock, march.state)
        self._judged = True
        try:
            with self._signals:
                march.run(
                    pass_by, progress, self.clock, events, lambda: is_there or rules.is_over() or bool(watch.reason)
                )
            if rules.is_over() and not is_there:
                arrive(Clock(*march.history.last[:2]), march.state)
        except ParsolveError:
            raise
        except BaseException:
            self.is_torn = True
            raise
        finally:
            step, time, _ = march.history.last
            self.clock = Clock(step, time)
            self._spent += monotonic() - begun
            march.warnings[:] = dict.fromkeys(march.warnings)  # as each part of the march tells all of them
        if watch.reason:
            self._stop()

    def met(self, time: float, others: Callable[[Clock], Stop]) -> float:
        """Return a time, or the one at which a step ends anyway, where only rounding tells them apart.

        Else there would be a step between them that is as short as rounding is.
        """
        if not math.isfinite(time):
            return time
        slack = ROUNDING * abs(time)
        before = Clock(self.clock.step, time - slack)
        case = Either([frames_of(self.problem), *self._looks]).after(before)
        known = (self.clock.time, case.time, self.end.time, others(before).time)
        return next((other for other in known if abs(other - time) <= slack), time)

    def view(self, name: str) -> NDArray[Any]:
        """Return the owned cells of a field as they are now, not copied, over the axes that there are.

        They may be written to until the next step; then this array is read-only.
        """
        if name not in self._views:
            self._before[name], there = self._mark(name), self.subdomain.grid.present
            self._views[name] = self.march.state[name].owned[tuple(slice(None) if present else 0 for present in there)]
        return self._views[name]

    def assign(self, name: str, values: NDArray[Any]) -> None:
        """Give the owned cells of a field values, of the shape of its view or a single one.

        Raises:
            CaseError: they are not of that shape, or no real numbers; the same on all ranks.
        """
        with agreed(self.comm):
            view = self.view(name)
            if values.dtype.kind not in "biuf" or np.ma.is_masked(values):
                raise CaseError(f"{name}: expected real numbers, none of them masked, got an array of {values.dtype}")
            if values.ndim and values.shape != view.shape:
                text = f"{name}: the array has shape {values.shape}, and rank {self.comm.rank} owns {view.shape}"
                raise CaseError(f"{text}; `set` takes an array of the whole grid")
            with np.errstate(over="ignore"):
                view[...] = values

    def fill(self, name: str, value: Value) -> None:
        """Give a field the values of an expression (t is the time of now), a number, an array or a file.

        Raises:
            CaseError: it is wrong; the same on all ranks, and nothing is changed.
        """
        problem, sub, found = self.problem, self.subdomain, []
        with agreed(self.comm):
            for first, shape in slabs(sub.shape):
                z, y, x = (a + b for a, b in zip(sub.start, first, strict=True))
                if isinstance(value, FileValue):
                    values = stored(value, problem.grid, (z, y, x), shape, name)
                else:
                    values = fill(value, problem.grid, (z, y, x), shape, time=self.clock.time,
                                  parameters=problem.parameters, key=name)  # fmt: skip
                with np.errstate(over="ignore"):  # which is told as a value that is not finite
                    found.append((first, values.astype(problem.dtype)))
            self.view(name)
        owned = self.march.state[name].owned
        for first, values in found:
            owned[tuple(slice(a, a + n) for a, n in zip(first, values.shape, strict=True))] = values

    def set_parameter(self, name: str, value: float) -> None:
        """Give a parameter of the case another value, from the next step on.

        Raises:
            CaseError: the case has no such parameter, or does not take the value; it is then as it was.
        """
        case = self.problem.case
        if self.problem.parameters.get(name) == value:
            return
        parameters = {**case.parameters, name: value}
        self.problem = pose(msgspec.structs.replace(case, parameters=parameters), self.comm)
        self._changed, self._looking = True, {}

    def settle(self) -> None:
        """Prepare the march anew if values or parameters were changed; arrays that were handed out end here.

        Raises:
            ParsolveError: values are not finite, or no step is stable; it may be changed again then.
        """
        views, before = self._views, self._before
        self._views, self._before = {}, {}
        for view in views.values():
            view.flags.writeable = False
        altered = any(self._mark(name) != mark for name, mark in before.items())
        if self.comm.size > 1:
            altered = bool(self.comm.allreduce(int(altered)))
        self._changed |= altered
        if self._changed:
            if self.problem.velocities and self.clock != START and self._velocities is None:
                self._velocities = self._velocities_of(before)
            self._prepare()

    def keep(self, folder: Path, force: bool) -> Path:
        """Write a checkpoint into a folder, which is made; return its manifest.

        With ``force`` it replaces those of other runs or later steps.

        Raises:
            StorageError, ResourceError: the disk failed or is full, or without ``force`` the folder has checkpoints of
                other runs or later steps; the same on all ranks.
            NumericalError: a value is not finite.
        """
        self.settle()
        manifest, self._run = save(self.march, self.clock, folder, self._run, force)
        return manifest

    def write(self, path: Path, force: bool) -> Path:
        """Write the state of now as a result of one frame; with ``force`` an older one is replaced; return its path.

        Raises:
            StorageError, ResourceError: there is one, or the disk failed or is full.
        """
        problem, march = self.problem, self.march
        recorder = Recorder(
            self.comm, path, problem.grid, problem.recorded, problem.dtype, provenance(problem.case, self.comm),
            force=force, inputs=problem.case.files, dimensions=problem.dimensions,
        )  # fmt: skip
        with recorder:
            there = march.looking.derived(march.state, self.clock.time)
            recorder.write(self.clock.time, self.clock.step, [there[info.name] for info in problem.recorded])
            return recorder.finish()

    def measure(self, text: str) -> Measured:
        """Return what a measure of this text gives now: a number, or several.

        Raises:
            CaseError: the text is wrong, or needs deeper ghosts than the march has; the same on all ranks.
        """
        if text not in self._looking:
            with agreed(self.comm):
                self._looking[text] = looking_at(self.problem, self.march.steps.stepper.work, text)
        return self._looking[text].measure(self.march.state, self.clock.time)["measure"]

    @property
    def _looks(self) -> list[When]:
        """Where something is measured or cut out, and steps end."""
        return looks_of(self.problem)

    def _listen(self) -> None:
        """Wait for signals from now on."""
        self._signals = Signals()
        self._watch = Watch(self.comm, Due(), self._signals)
        self._watch.begin(self.clock)

    def _stop(self) -> None:
        """Tell on all ranks that a signal came.

        Raises:
            KeyboardInterrupt, Stopped: it did.
        """
        text = f"stopped at step {self.clock.step}, t = {self.clock.time:.6g}, as {self._watch.reason}"
        self._listen()
        if "SIGINT" not in text:
            agree(self.comm, Stopped(text))
        error = KeyboardInterrupt(text)
        error.ranks = self.comm.size  # type: ignore[attr-defined]
        raise error

    def free(self) -> None:
        """Free messages."""
        self.march.free()

    def _prepare(self) -> None:
        """Prepare the march anew from its values at its time."""
        old, start = self.march, self.subdomain.start
        known = {**old.state, **(self._velocities or {})}

        def values(name: str, first: Triple, shape: Triple) -> NDArray[Any]:
            if name not in known:
                return initial(old.problem, name, first, shape)
            places = (slice(a - s, a - s + n) for a, s, n in zip(first, start, shape, strict=True))
            return known[name].owned[tuple(places)]

        march = prepare(self.problem, self._layout, self.comm, self.clock, values)
        self._warned, march.history.spent = self.warnings, old.history.spent
        old.free()
        self.march, self._changed, self._velocities, self._looking = march, False, None, {}
        self._rules = Rules(march)

    def _mark(self, name: str) -> bytes:
        """What changes with the values of a field: a hash, or all where the velocity has to be known from them."""
        f = self.march.state[name]
        return f.owned.tobytes() if self.problem.velocities else xxhash.xxh3_128_digest(f.memory.data)

    def _velocities_of(self, before: dict[str, bytes]) -> dict[str, Field]:
        """The velocities that y_-1 and these values of the state, from before a change, stand for; collective."""
        stepper = self.march.steps.stepper
        found, kept = stepper.work.fields(stepper.work.unknowns), {}
        for name, mark in before.items():
            owned = stepper.state[name].owned
            kept[name] = owned.copy()
            owned[...] = np.frombuffer(mark, owned.dtype).reshape(owned.shape)
        stepper.velocity(self.clock.time, found)
        for name, values in kept.items():
            stepper.state[name].owned[...] = values
        return {f"{name}_t": f for name, f in found.items()}
