"""The door: load a compiled library, check that it is ours, find a kernel, bind it once, launch it many times."""

from __future__ import annotations

import ctypes
import os
import platform
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from parsolve.errors import SetupError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike


ABI = 7
MAX_FIELDS, MAX_COEFFICIENTS, MAX_TERMS, MAX_DEPTH, MAX_POINTS = 256, 128, 12, 8, 8
SUM_DIGITS, SUM_FRACTION = 136, 2176
TYPES = {"float64": "f64", "float32": "f32"}
LIBRARIES = Path(__file__).parent.parent / "lib"
Int3 = ctypes.c_int64 * 3
Launch = Callable[[], int]


class Args(ctypes.Structure):
    """``ps_args`` of parsolve.h."""

    _fields_ = [
        ("lo", Int3), ("hi", Int3), ("stride", Int3), ("offset", Int3), ("period", Int3),
        ("lower", ctypes.c_double * 3), ("spacing", ctypes.c_double * 3), ("time", ctypes.c_double),
        ("scale", ctypes.c_double), ("terms", ctypes.c_int64), ("weight", ctypes.c_double * MAX_TERMS),
        ("coefficient", ctypes.c_double * MAX_COEFFICIENTS),
        ("stream", ctypes.c_void_p), ("ahead", ctypes.c_void_p), ("ahead_lines", ctypes.c_int64),
        ("streaming", ctypes.c_int64), ("colour", ctypes.c_int64), ("other_stride", Int3), ("other_offset", Int3),
        ("finer", Int3), ("coarser", Int3), ("field", ctypes.c_void_p * MAX_FIELDS),
    ]  # fmt: skip


class Copy(ctypes.Structure):
    """``ps_copy`` of parsolve.h."""

    _fields_ = [
        ("source", ctypes.c_void_p), ("target", ctypes.c_void_p), ("extent", Int3),
        ("source_stride", Int3), ("target_stride", Int3), ("factor", ctypes.c_double),
    ]  # fmt: skip


class Ghost(ctypes.Structure):
    """``ps_ghost`` of parsolve.h."""

    _fields_ = [
        ("field", ctypes.c_void_p), ("axis", ctypes.c_int64), ("first", ctypes.c_int64), ("inward", ctypes.c_int64),
        ("lo", Int3), ("hi", Int3), ("stride", Int3), ("depth", ctypes.c_int64), ("points", ctypes.c_int64),
        ("weight", (ctypes.c_double * MAX_POINTS) * MAX_DEPTH), ("value_weight", ctypes.c_double * MAX_DEPTH),
        ("constant", ctypes.c_double), ("value", ctypes.c_void_p), ("value_stride", Int3),
        ("a", ctypes.c_void_p), ("b", ctypes.c_void_p), ("slope", ctypes.c_double * MAX_POINTS),
        ("slope_value", ctypes.c_double),
    ]  # fmt: skip


class Extrema(ctypes.Structure):
    """``ps_extrema`` of parsolve.h."""

    _fields_ = [("minimum", ctypes.c_double), ("maximum", ctypes.c_double), ("bad", Int3)]


class StageEntry(ctypes.Structure):
    """``ps_stage`` of pipeline.h."""

    _fields_ = [
        ("kind", ctypes.c_int64), ("function", ctypes.c_void_p), ("lag", Int3), ("lo", Int3), ("hi", Int3),
        ("axis", ctypes.c_int64), ("trigger", ctypes.c_int64), ("args", ctypes.POINTER(Args)),
        ("copy", ctypes.POINTER(Copy)), ("ghost", ctypes.POINTER(Ghost)), ("count", ctypes.c_int64),
        ("size", ctypes.c_int64), ("worst", ctypes.POINTER(ctypes.c_double)),
    ]  # fmt: skip


class PassEntry(ctypes.Structure):
    """``ps_pass`` of pipeline.h."""

    _fields_ = [
        ("stages", ctypes.POINTER(StageEntry)), ("count", ctypes.c_int64), ("kernels", ctypes.c_int64),
        ("lo", Int3), ("hi", Int3), ("tile", Int3), ("march", ctypes.c_int64), ("strip", ctypes.c_int64),
        ("fields", ctypes.POINTER(ctypes.c_void_p)), ("field_count", ctypes.c_int64), ("reach", ctypes.c_int64),
        ("size", ctypes.c_int64), ("threads", ctypes.c_int64), ("done", ctypes.POINTER(ctypes.c_int64)),
    ]  # fmt: skip


class MailboxEntry(ctypes.Structure):
    """``ps_mailbox`` of mailbox.h."""

    _fields_ = [
        ("copy", ctypes.c_void_p), ("packs", ctypes.POINTER(Copy)), ("unpacks", ctypes.POINTER(Copy)),
        ("count", ctypes.c_int64), ("posted", ctypes.c_int64), ("own", ctypes.c_void_p),
        ("awaited", ctypes.c_void_p * 2), ("yielding", ctypes.c_int64),
    ]  # fmt: skip


STRUCTS = (Args, Copy, Ghost, Extrema, StageEntry, PassEntry, MailboxEntry)

_int, _void, _args = ctypes.c_int64, ctypes.c_void_p, ctypes.POINTER(Args)
# Results and arguments of what is not a kernel, so that no integer of 64 bits is cut.
SIGNATURES: dict[str, tuple[type, list[type]]] = {
    "abi": (_int, []),
    "layout": (_int, [ctypes.POINTER(_int)]),
    "isa": (_int, []),
    "threads": (_int, [_int]),
    "launch": (ctypes.c_int, [_void, _args, _int]),
    "pipeline": (ctypes.c_int, [ctypes.POINTER(PassEntry)]),
    "post": (ctypes.c_int, [ctypes.POINTER(MailboxEntry)]),
    "collect": (ctypes.c_int, [ctypes.POINTER(MailboxEntry)]),
    "carry": (ctypes.c_int, [ctypes.POINTER(_int)]),
    "copy": (ctypes.c_int, [ctypes.POINTER(Copy), _int]),
    "ghost": (ctypes.c_int, [ctypes.POINTER(Ghost), _int]),
    "extrema": (ctypes.c_int, [_args, ctypes.POINTER(Extrema)]),
    "histogram": (ctypes.c_int, [_args, ctypes.POINTER(ctypes.c_double), _int, ctypes.POINTER(_int)]),
    "error_norm": (ctypes.c_int, [_args, ctypes.POINTER(ctypes.c_double)]),
    "reduce": (ctypes.c_int, [_void, _args, ctypes.POINTER(_int), _int]),
    "sum": (ctypes.c_int, [_args, ctypes.POINTER(_int)]),
    "sum_abs": (ctypes.c_int, [_args, ctypes.POINTER(_int)]),
    "dot": (ctypes.c_int, [_args, ctypes.POINTER(_int)]),
    "fma": (ctypes.c_int, [_void, _void, _void, _void, _int]),
}


class Kernel(Protocol):
    """What can be bound to arguments and launched over a box."""

    def bind(
        self, args: Args, arrays: Sequence[np.ndarray], origin: tuple[int, int, int], threads: int, core: Library
    ) -> Launch:
        """A launch without arguments, by so many threads of the ``core``; it returns a status, 0 if all is well."""


class CompiledKernel:
    """A kernel of a shared library."""

    def __init__(self, function: Callable[..., int]) -> None:
        self.function = function

    def bind(
        self, args: Args, arrays: Sequence[np.ndarray], origin: tuple[int, int, int], threads: int, core: Library
    ) -> Launch:
        """A launch that costs one foreign call; it keeps args and arrays alive."""
        if threads > 1:
            launch = partial(core.handle.ps_launch, self.function, ctypes.byref(args), threads)
        else:
            launch = partial(self.function, ctypes.byref(args))
        launch.keep = (args, tuple(arrays))  # type: ignore[attr-defined]
        return launch


class Library:
    """An opened library whose structs are laid out as here.

    Raises:
        SetupError: the file is missing, cannot be loaded, or is of another build.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.handle = ctypes.CDLL(str(path))
        except OSError as error:
            raise SetupError(f"{path}: cannot load the compiled kernels ({error}); reinstall parsolve") from error
        for name in SIGNATURES:
            _declare(getattr(self.handle, f"ps_{name}", None), name)
        try:
            same = self.handle.ps_abi() == ABI and self._layout() == _layout()
        except AttributeError as error:
            raise SetupError(f"{path}: a library without ps_abi and ps_layout; reinstall parsolve") from error
        if not same:
            raise SetupError(f"{path}: compiled kernels of another version; reinstall parsolve")

    def function(self, name: str, precision: str) -> Callable[..., int]:
        """The function ``ps_<name>_<f64|f32>``; KeyError if there is none."""
        try:
            function: Callable[..., int] = self.handle[f"ps_{name}_{TYPES[precision]}"]
        except AttributeError as error:
            raise KeyError(name) from error
        _declare(function, name)
        return function

    def kernel(self, name: str, precision: str) -> CompiledKernel:
        """The kernel of a stage; KeyError if there is none."""
        return CompiledKernel(self.function(name, precision))

    def _layout(self) -> list[int]:
        offsets = (ctypes.c_int64 * 128)()
        return list(offsets[: self.handle.ps_layout(offsets)])


def _declare(function: Any, name: str) -> None:
    """Tell a function what it takes and returns; a kernel takes a pointer as it is, which costs less at each launch."""
    if function is not None and name in SIGNATURES:
        function.restype, function.argtypes = SIGNATURES[name]


def _layout() -> list[int]:
    """Sizes of the structs and offsets of their members, in the order of ``ps_layout``."""
    sizes = [ctypes.sizeof(s) for s in STRUCTS]
    return sizes + [getattr(s, name).offset for s in STRUCTS for name, *_ in s._fields_]


@cache
def from_bytes(data: bytes) -> Library:
    """The library that these bytes are: exactly they are loaded, from memory where the system can.

    Elsewhere (no memfd, no /proc, execution refused there) from a file in a fresh private directory, removed at once.

    Raises:
        SetupError: the bytes cannot be loaded, or are of another build.
    """
    with suppress(OSError, AttributeError, SetupError):
        # Never closed: the loader knows a library by its path, and would take the next one of this number for it.
        descriptor = os.memfd_create("parsolve", os.MFD_CLOEXEC)
        with open(descriptor, "wb", closefd=False) as file:
            file.write(data)
        return Library(Path(f"/proc/self/fd/{descriptor}"))
    with tempfile.TemporaryDirectory(prefix="parsolve-") as directory:
        path = Path(directory) / "kernels.so"
        path.write_bytes(data)
        return Library(path)


@cache
def core(level: int | None = None) -> Library:
    """The installed library for an instruction set (4, 3 or 1, as ``best_level``), by default the best for this CPU."""
    level = best_level() if level is None else level
    for candidate in (4, 3):
        path = LIBRARIES / f"libparsolve_cpu_v{candidate}.so"
        if level >= candidate and path.is_file():
            return Library(path)
    return Library(_baseline(LIBRARIES))


@cache
def best_level() -> int:
    """The best instruction set of this CPU: the level of x86-64 (4, 3 or 1), 0 on other processors."""
    return int(Library(_baseline(LIBRARIES)).handle.ps_isa())


def fma(a: ArrayLike, b: ArrayLike, c: ArrayLike) -> np.ndarray:
    """The values a b + c, rounded once, which NumPy does not have; float32 or float64, as the arguments are."""
    import numpy as np

    dtype, shape = np.result_type(a, b, c), np.broadcast(a, b, c).shape
    operands = [
        np.ascontiguousarray(s if np.shape(s) == shape else np.broadcast_to(s, shape), dtype) for s in (a, b, c)
    ]
    out = np.empty(shape, dtype)
    _fma(dtype)(*(array.__array_interface__["data"][0] for array in (*operands, out)), out.size)
    return out


@cache
def _fma(dtype: np.dtype) -> Callable[..., int]:
    return core().function("fma", dtype.name)


def _baseline(directory: Path) -> Path:
    """The library that every CPU of this kind can run."""
    for path in (directory / "libparsolve_cpu.so", directory / "libparsolve_cpu.dylib"):
        if path.is_file():
            return path
    raise SetupError(f"{directory}: no compiled kernels (libparsolve_cpu); install parsolve with pip")


def possible_threads(wanted: int) -> int:
    """How many threads a rank can have if it wants so many: one where the kernels were built without OpenMP."""
    return int(core().handle.ps_threads(wanted))


def instruction_set(level: int) -> str:
    """The name of an instruction set, as ``best_level`` counts them."""
    return {3: "x86-64-v3 (AVX2)", 4: "x86-64-v4 (AVX-512)"}.get(level, platform.machine())


def describe() -> dict[str, str]:
    """The library in use and the instruction set it was built for."""
    isa = instruction_set(best_level())
    threads = "OpenMP" if possible_threads(2) > 1 else "one a rank: built without OpenMP"
    return {"library": str(core().path), "instruction set": isa, "ABI": str(ABI), "threads": threads}
