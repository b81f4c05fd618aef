"""The door to compiled code: structs as in C, and libraries that are not ours refused with advice."""

from __future__ import annotations

import ctypes
import ctypes.util
import re
from pathlib import Path

import pytest

from parsolve.errors import SetupError
from parsolve.kernels import library
from parsolve.kernels.library import STRUCTS, Args, Library, core, describe

FOLDER = Path(__file__).parents[2] / "cext" / "include" / "parsolve"
TEXT = "".join(header.read_text() for header in sorted(FOLDER.glob("*.h")))


def members(struct: str) -> list[str]:
    """Names of the members of a struct in the header, in order."""
    body = re.search(rf"typedef struct {struct} {{(.*?)}} {struct};", TEXT, re.DOTALL)
    assert body is not None
    text = re.sub(r"/\*.*?\*/", "", body[1], flags=re.DOTALL)
    names = []
    for declaration in text.split(";"):
        names += [
            re.sub(r"\[.*", "", part).replace("*", " ").split()[-1] for part in declaration.split(",") if part.strip()
        ]
    return names


def constant(name: str) -> int:
    found = re.search(rf"#define {name} (\d+)", TEXT)
    assert found is not None
    return int(found[1])


@pytest.mark.parametrize("struct", STRUCTS)
def test_structs_have_the_members_of_the_header(struct: type[ctypes.Structure]) -> None:
    name = (struct.__doc__ or "").split("``")[1]
    assert [field for field, *_ in struct._fields_] == members(name)  # type: ignore[misc]


def test_the_library_tells_every_member() -> None:
    """Sizes, then offsets: a member that is forgotten in ps_layout would never be compared."""
    offsets = (ctypes.c_int64 * 256)()
    told = core().handle.ps_layout(offsets)
    names = [re.search(r"``(\w+)``", struct.__doc__ or "") for struct in STRUCTS]
    assert told == len(STRUCTS) + sum(len(members(name[1])) for name in names if name)
    source = (FOLDER / "about.h").read_text()
    said = re.findall(r"AT\((\w+), (\w+)\)", source.split("const int64_t all[]")[1])
    assert said == [(name[1], member) for name in names if name for member in members(name[1])]


C_TYPES = {"int": ctypes.c_int, "int64_t": ctypes.c_int64}
DECLARATION = re.compile(r"PS_EXPORT (int|int64_t) (?:PS_NAME\((\w+)\)|ps_(\w+))\(([^)]*)\);")


def test_integers_of_64_bits_are_passed_whole() -> None:
    """Every exported function has as many arguments for ctypes as in C, of 64 bits where they are int64_t."""
    texts = [path.read_text() for path in [*FOLDER.parents[1].glob("*.c"), FOLDER / "about.h"]]
    found = [declaration for text in texts for declaration in DECLARATION.findall(text)]
    names = {re.sub("_f(64|32)$", "", one or other) for _, one, other, _ in found}
    assert names == set(library.SIGNATURES)
    for result, one, other, listed in found:
        restype, argtypes = library.SIGNATURES[re.sub("_f(64|32)$", "", one or other)]
        wanted = [] if listed == "void" else listed.split(", ")
        assert restype is C_TYPES[result], one or other
        assert [t is ctypes.c_int64 for t in argtypes] == [w.startswith("int64_t ") and "*" not in w for w in wanted]
    with pytest.raises(ctypes.ArgumentError):
        core().function("copy", "float64")(None, None)
    assert core().handle.ps_threads(1 << 40) in (1, 1 << 40)


def test_limits_are_those_of_the_header() -> None:
    limits = ("MAX_FIELDS", "MAX_COEFFICIENTS", "MAX_TERMS", "MAX_DEPTH", "MAX_POINTS")
    for name in (*limits, "SUM_DIGITS", "SUM_FRACTION", "ABI"):
        assert getattr(library, name) == constant(f"PS_{name}"), name


def test_a_missing_library_is_told_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"none\.so: cannot load the compiled kernels .* reinstall parsolve"):
        Library(tmp_path / "none.so")
    with pytest.raises(SetupError, match=r"no compiled kernels \(libparsolve_cpu\); install parsolve with pip"):
        library._baseline(tmp_path)


def test_a_file_that_is_no_library_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "libparsolve_cpu.so"
    path.write_bytes(b"not a library")
    with pytest.raises(SetupError, match="cannot load the compiled kernels"):
        Library(path)


def test_a_library_of_others_is_refused() -> None:
    name = ctypes.util.find_library("m")
    if name is None:
        pytest.skip("no C library of mathematics by name")
    with pytest.raises(SetupError, match="reinstall parsolve"):
        Library(Path(name))


def test_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "ABI", library.ABI + 1)
    with pytest.raises(SetupError, match="compiled kernels of another version; reinstall parsolve"):
        Library(core().path)


def test_another_layout_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Shorter(ctypes.Structure):
        _fields_ = STRUCTS[-1]._fields_[:-1]

    monkeypatch.setattr(library, "STRUCTS", (*STRUCTS[:-1], Shorter))
    with pytest.raises(SetupError, match="another version"):
        Library(core().path)


def test_a_kernel_that_is_not_there() -> None:
    with pytest.raises(KeyError):
        core().kernel("no_such_stage", "float64")
    with pytest.raises(KeyError):
        core().kernel("heat_1d_o2_rate", "float16")


def test_describe_names_the_library_in_use() -> None:
    told = describe()
    assert Path(told["library"]).is_file()
    assert told["ABI"] == str(library.ABI)
    assert told["instruction set"]


@pytest.mark.parametrize("level", [3, 4])
def test_every_instruction_set_gives_the_same_bits(level: int) -> None:
    """Not one operation is contracted or reassociated for the sake of a wider vector."""
    import numpy as np

    path = core().path.with_name(f"libparsolve_cpu_v{level}.so")
    base = Library(core().path.with_name("libparsolve_cpu.so"))
    if not path.is_file() or base.handle.ps_isa() < level:
        pytest.skip(f"this CPU is not of level {level}")
    results = []
    for lib in (base, Library(path)):
        rng = np.random.default_rng(2)
        u, out = (np.ascontiguousarray(rng.uniform(-1, 1, (12, 13, 31))) for _ in range(2))
        args = Args(terms=1, scale=0.1)
        args.lo[:], args.hi[:], args.stride[:] = (0, 0, 0), (4, 5, 23), (13 * 31, 31, 1)
        args.weight[0] = 0.7
        args.coefficient[:32] = rng.uniform(-1, 1, 32)
        at = 4 * (13 * 31 + 31 + 1) * 8
        args.field[:3] = [u.ctypes.data + at, out.ctypes.data + at, out.ctypes.data + at]
        assert lib.function("burgers_3d_o8_rate", "float64")(ctypes.byref(args)) == 0
        results.append(out.copy())
    np.testing.assert_array_equal(*results)
