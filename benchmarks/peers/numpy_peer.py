"""Whole arrays with ghosts, slices of them, and temporaries that are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from peer import Array, Problem


class Stepper:
    """March by NumPy."""

    def __init__(self, problem: Problem) -> None:
        p, dt = problem.parameters, problem.dt
        self.radius = problem.order // 2
        self.now = [problem.padded(name) for name in ("u", "v") if name in problem.fields]
        self.next = [problem.padded("u_before")] if problem.name == "wave" else [field.copy() for field in self.now]
        self.total, self.reaction = np.empty_like(problem.fields["u"]), np.empty_like(problem.fields["u"])
        if problem.name == "gray-scott":
            self.decay, self.feed = (dt * p["F"], dt * (p["F"] + p["k"])), dt * p["F"]
            factors = [dt * p["Du"], dt * p["Dv"]]
        else:
            factors = [dt * p["D"] if problem.name == "heat" else (dt * p["c"]) ** 2]
        self.dt = dt
        self.centre, self.groups = [], []
        for factor in factors:
            weights = problem.weights(factor)
            self.centre.append(float(weights[:, 0].sum()))
            self.groups.append(self.neighbours(weights))
        self.step = {"heat": self.heat, "wave": self.wave, "gray-scott": self.gray_scott}[problem.name]

    def neighbours(self, weights: Array) -> dict[float, list[tuple[slice, ...]]]:
        """Where the neighbours are in an array with ghosts, by their weight."""
        groups: dict[float, list[tuple[slice, ...]]] = {}
        for axis, row in enumerate(weights):
            for distance in range(1, self.radius + 1):
                for shift in (-distance, distance):
                    where = [slice(self.radius, -self.radius)] * len(weights)
                    where[axis] = slice(self.radius + shift, shift - self.radius or None)
                    groups.setdefault(float(row[distance]), []).append(tuple(where))
        return groups

    def inner(self, array: Array) -> Array:
        """An array without its ghosts."""
        return array[(slice(self.radius, -self.radius),) * array.ndim]

    def add_neighbours(self, field: int, out: Array) -> None:
        """Add what the neighbours give to the next values of a field."""
        now, total = self.now[field], self.total
        for weight, (first, second, *others) in self.groups[field].items():
            np.add(now[first], now[second], out=total)
            for other in others:
                np.add(total, now[other], out=total)
            np.multiply(total, weight, out=total)
            np.add(out, total, out=out)

    def heat(self) -> None:
        """One step of u_t = D lap(u)."""
        out = self.inner(self.next[0])
        np.multiply(self.inner(self.now[0]), 1 + self.centre[0], out=out)
        self.add_neighbours(0, out)

    def wave(self) -> None:
        """One step of u_tt = c^2 lap(u); the next values replace those before."""
        out = self.inner(self.next[0])
        np.multiply(self.inner(self.now[0]), 2 + self.centre[0], out=self.total)
        np.subtract(self.total, out, out=out)
        self.add_neighbours(0, out)

    def gray_scott(self) -> None:
        """One step of u_t = Du lap(u) - u v^2 + F (1 - u), v_t = Dv lap(v) + u v^2 - (F + k) v."""
        (u, v), (un, vn) = map(self.inner, self.now), map(self.inner, self.next)
        np.multiply(v, v, out=self.reaction)
        np.multiply(self.reaction, u, out=self.reaction)
        np.multiply(self.reaction, self.dt, out=self.reaction)
        np.multiply(u, 1 + self.centre[0] - self.decay[0], out=un)
        np.add(un, self.feed, out=un)
        np.subtract(un, self.reaction, out=un)
        self.add_neighbours(0, un)
        np.multiply(v, 1 + self.centre[1] - self.decay[1], out=vn)
        np.add(vn, self.reaction, out=vn)
        self.add_neighbours(1, vn)

    def march(self, steps: int) -> None:
        """March some steps onwards."""
        for _ in range(steps):
            self.step()
            self.now, self.next = self.next, self.now

    def u(self) -> Array:
        """The field u now, without ghosts."""
        return self.inner(self.now[0])
