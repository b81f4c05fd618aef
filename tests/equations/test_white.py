"""White noise: the numbers are those of the paper, normal and independent; kernels make them with the same bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.special import ndtr

from parsolve.equations.white import normal, philox

SIDE = 700
MANY = SIDE**2
FULL, PI = 2**32 - 1, (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344)


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [  # Random123, kat_vectors
        ((0, 0, 0, 0), (0, 0), "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ((FULL,) * 4, (FULL, FULL), "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (PI, (0xA4093822, 0x299F31D0), "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)
def test_the_bits_are_those_of_the_paper(counter: tuple[int, ...], key: tuple[int, int], words: str) -> None:
    assert " ".join(f"{int(word):08x}" for word in philox([np.uint64(c) for c in counter], key)) == words


def test_numbers_are_normal_and_independent() -> None:
    """Moments, neighbours along axes and steps, and the distribution, within five times what sampling lets vary."""
    v = normal(3, 7, [0, np.arange(SIDE)[:, None], np.arange(SIDE)])
    w, other = (normal(seed, step, [0, 0, np.arange(MANY)]) for seed, step in ((3, 8), (4, 7)))
    pairs = [v[:, 1:] * v[:, :-1], v[1:] * v[:-1], v.ravel() * w, v.ravel() * other, w * other]
    found = [v.mean(), v.var() - 1, (v**3).mean(), (v**4).mean() - 3, *(p.mean() for p in pairs)]
    deviations = np.sqrt(np.array([1, 2, 15, 96, 1, 1, 1, 1, 1]) / MANY)
    assert (np.abs(found) < 5 * deviations).all()
    below = ndtr(np.sort(v.ravel()))  # Kolmogorov and Smirnov
    assert np.abs(below - (np.arange(MANY) + 0.5) / MANY).max() < 2.3 / np.sqrt(MANY)
    assert 4.5 < np.abs(v).max() < 6.5


def test_seeds_steps_and_cells_give_other_numbers() -> None:
    seeds, steps = (0, 1, 2**32, 2**53 - 1), (0, 1, 2**32, 2**40)
    cells: list[Any] = [[0, 0, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0], [0, 0, -1]]
    found = [float(normal(s, n, c)) for s in seeds for n in steps for c in cells]
    assert len(set(found)) == len(found)
    np.testing.assert_array_equal(normal(1, 2, [0, [[3], [4]], [5, 6]])[1, 0], normal(1, 2, [0, 4, 5]))
