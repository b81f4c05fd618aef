"""Text in, the same kernel out on every rank, or the same error."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from parsolve.equations.catalogue import CATALOGUE
from parsolve.equations.codegen import program_text
from parsolve.equations.program import Stage, build
from parsolve.errors import SetupError
from parsolve.kernels import jit
from parsolve.kernels.jit import PREAMBLE, NoCompiler, compile_text, load
from parsolve.kernels.library import ABI, Args, Library, core, from_bytes

if TYPE_CHECKING:
    from mpi4py import MPI

GRAY_SCOTT = build(CATALOGUE["gray-scott"], ("x", "y"), 2)
GRAY_SCOTT_TEXT = PREAMBLE + program_text(GRAY_SCOTT)


def answer(value: object) -> str:
    """A text whose function answer gives a value."""
    return (
        PREAMBLE
        + f"PS_EXPORT ps_kernel PS_NAME(answer);\nint PS_NAME(answer)(const ps_args *a) {{ return a ? 0 : {value}; }}\n"
    )


def ask(library: Library, precision: str = "float64") -> int:
    return library.function("answer", precision)(None)


@pytest.fixture(autouse=True)
def kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache for each test, and the default compiler."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    return tmp_path / "parsolve" / "kernels"


class Compiler:
    """A compiler that counts how often it is started."""

    def __init__(self, directory: Path) -> None:
        self.path, self.log = directory / "my cc", directory / "log"
        self.write('exec cc "$@"')

    def write(self, script: str) -> None:
        self.path.write_text(f'#!/bin/sh\necho "$@" >> "{self.log}"\n{script}\n')
        self.path.chmod(0o700)

    @property
    def starts(self) -> int:
        return len(self.log.read_text().splitlines()) if self.log.exists() else 0


@pytest.fixture
def compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Compiler:
    made = Compiler(tmp_path)
    monkeypatch.setenv("CC", f"'{made.path}'")
    return made


def one_entry(kernels: Path) -> Path:
    (path,) = kernels.glob("*.kernels")
    return path


# -- kernels -----------------------------------------------------------------------------------------------------------


def launch(door: Library, stage: Stage, precision: str) -> list[np.ndarray]:
    """The stage's outputs from arrays of noise, by a library's kernel."""
    shape, ghost, random = (13, 37), 3, np.random.default_rng(1)
    arrays = [random.random([n + 2 * ghost for n in shape]).astype(precision) for _ in range(3 * len(stage.outputs))]
    args = Args(terms=2, scale=0.37)
    row = arrays[0].shape[1]
    args.lo[:], args.hi[:], args.stride[:] = (0, 0, 0), (1, *shape), (row * arrays[0].shape[0], row, 1)
    args.weight[:2] = 1.0, 0.3
    args.coefficient[: len(stage.coefficients)] = random.random(len(stage.coefficients)).tolist()
    outputs = [a.copy() for a in arrays[: len(stage.outputs)]]
    fields = [*arrays[: len(stage.inputs)], *outputs, *arrays[len(outputs) :]]
    args.field[: len(fields)] = [a.ctypes.data + (ghost * row + ghost) * a.itemsize for a in fields]
    assert door.kernel(stage.name, precision).bind(args, fields, (0, ghost, ghost), 1, core())() == 0
    return outputs


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_kernel_compiled_now_gives_the_bits_of_the_installed_one(precision: str) -> None:
    stage = GRAY_SCOTT.rate
    ours = launch(load(None, GRAY_SCOTT_TEXT, precision), stage, precision)
    theirs = launch(core(), stage, precision)
    for a, b in zip(ours, theirs, strict=True):
        assert a.tobytes() == b.tobytes()
        assert np.isfinite(a).all()


def test_every_library_keeps_its_own_kernels() -> None:
    libraries = [from_bytes(compile_text(answer(n), "float64", ())) for n in range(4)]
    assert [ask(library) for library in libraries] == [0, 1, 2, 3]
    assert len({library.path for library in libraries}) == 4


def test_same_bytes_are_opened_once() -> None:
    data = compile_text(answer(5), "float64", ())
    assert from_bytes(data) is from_bytes(bytes(bytearray(data)))


def test_precisions_are_told_apart() -> None:
    text = answer("(int)sizeof(ps_real)")
    assert ask(load(None, text, "float64")) == 8
    assert ask(load(None, text, "float32"), "float32") == 4


def test_no_file_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    load(None, answer(6), "float64")
    with pytest.raises(SetupError):
        load(None, answer("nonsense"), "float64")
    assert not list(place.iterdir())


def test_without_memory_files_a_private_file_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> int:
        raise OSError

    monkeypatch.setattr(os, "memfd_create", missing, raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    opened = load(None, answer(7), "float64")
    assert ask(opened) == 7
    assert not opened.path.parent.exists()
    assert opened.path.parent.parent == tmp_path


@pytest.mark.parametrize("data", [b"", b"\x7fELF", b"not a library" * 100])
def test_what_is_not_a_library_is_refused(data: bytes) -> None:
    with pytest.raises(SetupError, match="cannot load"):
        from_bytes(data)


def test_library_of_another_layout_is_refused() -> None:
    plain = f'int ps_abi(void); __attribute__((visibility("default"))) int ps_abi(void) {{ return {ABI}; }}\n'
    with pytest.raises(SetupError, match="without ps_abi"):
        from_bytes(compile_text(plain, "float64", ()))
    other = answer(8).replace(
        "#include <parsolve/about.h>", "#undef PS_ABI\n#define PS_ABI 99\n#include <parsolve/about.h>"
    )
    with pytest.raises(SetupError, match="another version"):
        from_bytes(compile_text(other, "float64", ()))


# -- the compiler ------------------------------------------------------------------------------------------------------


def test_cc_may_hold_arguments(compiler: Compiler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", f"'{compiler.path}' -DANSWER='(40 + 2)'")
    assert ask(load(None, answer("ANSWER"), "float64")) == 42
    monkeypatch.setenv("CC", f"'{compiler.path}' -DANSWER=43")
    assert ask(load(None, answer("ANSWER"), "float64")) == 43
    assert compiler.starts == 2


def test_fast_math_in_cc_changes_no_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    values = 'volatile double b = 1e16, o = 1, n = __builtin_nan(""); double big = b, one = o, nan = n;'
    text = answer(f"({{ {values} (int)((big + one) - big) + 2 * (nan != nan); }})")
    assert ask(load(None, text, "float64")) == 2
    monkeypatch.setenv("CC", "cc -Ofast -ffast-math")
    assert ask(load(None, text, "float64")) == 2


def test_cc_is_no_shell_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", f"cc; touch {tmp_path}/harm")
    with pytest.raises(NoCompiler, match="cc;"):
        load(None, answer(9), "float64")
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(("cc", "path"), [("no-such-compiler -O2", None), (None, "/nowhere")])
def test_missing_compiler_is_an_error_of_its_own(
    cc: str | None, path: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if cc:
        monkeypatch.setenv("CC", cc)
    if path:
        monkeypatch.setenv("PATH", path)
    for call in (lambda: compile_text(answer(10), "float64"), lambda: load(None, answer(10), "float64")):
        with pytest.raises(NoCompiler, match=r"no C compiler: (CC=no-such-compiler|none of cc, gcc, clang)"):
            call()


def test_cc_with_an_open_quote_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "gcc '-O2")
    with pytest.raises(SetupError, match="CC=gcc '-O2: No closing quotation"):
        load(None, answer(11), "float64")


def test_error_shows_the_first_lines_of_the_compiler(kernels: Path) -> None:
    text = PREAMBLE + "\n".join(f"int f{n} = undeclared_{n};" for n in range(50))
    with pytest.raises(SetupError, match="undeclared_0") as caught:
        load(None, text, "float64")
    assert not isinstance(caught.value, NoCompiler)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("the C compiler ")
    assert 2 <= len(lines) <= 1 + jit.ERROR_LINES
    assert not list(kernels.glob("*"))


def test_program_that_is_no_compiler_is_an_error(compiler: Compiler) -> None:
    compiler.write("exit 0")
    with pytest.raises(SetupError, match="failed"):
        load(None, answer(12), "float64")
    compiler.path.write_bytes(b"\x7fELF nonsense")
    with pytest.raises(SetupError, match="cannot be started"):
        load(None, answer(12), "float64")


def test_compiler_that_does_not_know_this_cpu_is_used_without_its_flags(compiler: Compiler) -> None:
    compiler.write('case "$*" in *-march=*) echo "bad value for -march"; exit 1;; esac\nexec cc "$@"')
    assert ask(load(None, answer(13), "float64")) == 13
    assert compiler.starts == 2


def test_compiler_that_hangs_is_ended_with_its_children(
    compiler: Compiler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler.write(f'sleep 60 & echo $! > "{tmp_path}/child"; wait')
    monkeypatch.setattr(jit, "COMPILE_SECONDS", 0.5)
    start = time.perf_counter()
    with pytest.raises(SetupError, match="took more than"):
        load(None, answer(14), "float64")
    assert time.perf_counter() - start < 10
    status = Path("/proc") / (tmp_path / "child").read_text().strip() / "status"
    time.sleep(0.1)
    assert not status.exists() or "State:\tZ" in status.read_text()


# -- the cache ---------------------------------------------------------------------------------------------------------


def test_compiler_is_started_once(compiler: Compiler, kernels: Path) -> None:
    for _ in range(3):
        assert ask(load(None, answer(20), "float64", key_hint="wave")) == 20
    assert compiler.starts == 1
    assert one_entry(kernels).name.startswith("wave-")


@pytest.mark.parametrize("damage", [b"", b"\x7fELF", None])
def test_damaged_entry_is_not_loaded(compiler: Compiler, kernels: Path, damage: bytes | None) -> None:
    load(None, answer(21), "float64")
    path = one_entry(kernels)
    path.write_bytes(path.read_bytes()[:-1] + b"\1" if damage is None else damage)
    assert ask(load(None, answer(21), "float64")) == 21
    assert compiler.starts == 2
    load(None, answer(21), "float64")
    assert compiler.starts == 2


def test_entry_of_another_text_is_not_loaded(kernels: Path) -> None:
    load(None, answer(22), "float64")
    path = one_entry(kernels)
    content = path.read_bytes()
    path.unlink()
    load(None, answer(23), "float64")
    one_entry(kernels).write_bytes(content)
    assert ask(load(None, answer(23), "float64")) == 23


def test_changed_compiler_compiles_again(compiler: Compiler) -> None:
    compiler.write('exec cc -DANSWER=1 "$@"')
    assert ask(load(None, answer("ANSWER"), "float64")) == 1
    compiler.write('exec cc -DANSWER=2 "$@"')
    os.utime(compiler.path, ns=(10**18, 10**18))
    assert ask(load(None, answer("ANSWER"), "float64")) == 2


@pytest.mark.parametrize("what", ["cpu", "_headers", "_libc"])
def test_changed_surroundings_compile_again(what: str, compiler: Compiler, monkeypatch: pytest.MonkeyPatch) -> None:
    load(None, answer(24), "float64")
    before = getattr(jit, what)()
    monkeypatch.setattr(jit, what, lambda: (*before, ("more", "")) if what == "cpu" else f"another {before}")
    load(None, answer(24), "float64")
    assert compiler.starts == 2


def test_refused_cache_is_a_warning_and_kernels_are_compiled(compiler: Compiler, kernels: Path) -> None:
    load(None, answer(25), "float64")
    kernels.chmod(0o777)
    for _ in range(2):
        with pytest.warns(RuntimeWarning, match="chmod go-w"):
            assert ask(load(None, answer(25), "float64")) == 25
    assert compiler.starts == 3


def test_hit_is_fast_and_starts_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    load(None, GRAY_SCOTT_TEXT, "float64")
    monkeypatch.delattr(subprocess, "Popen")
    times = [time.perf_counter()]
    for _ in range(5):
        from_bytes.cache_clear()
        load(None, GRAY_SCOTT_TEXT, "float64")
        times.append(time.perf_counter())
    assert min(b - a for a, b in pairwise(times)) < 0.02  # about 1 ms on a quiet machine


PROGRAM = """
import sys
from parsolve.kernels import jit
value = sys.argv[1]
text = jit.PREAMBLE + "PS_EXPORT ps_kernel PS_NAME(answer);\\n" \\
    "int PS_NAME(answer)(const ps_args *a) { (void)a; return %s; }\\n" % value
for _ in range(3):
    print(jit.load(None, text, "float64").function("answer", "float64")(None))
"""


def test_processes_that_compile_at_once_do_no_harm(kernels: Path) -> None:
    values = [31, 31, 31, 32]
    command = [sys.executable, "-W", "error", "-c", PROGRAM]
    running = [subprocess.Popen([*command, str(n)], stdout=subprocess.PIPE, text=True) for n in values]
    assert [p.communicate(timeout=120)[0].split() for p in running] == [[str(n)] * 3 for n in values]
    assert len(list(kernels.iterdir())) == 2


# -- many ranks --------------------------------------------------------------------------------------------------------


@pytest.mark.mpi(min_size=2)
def test_all_ranks_open_what_one_compiled(comm: MPI.Intracomm, compiler: Compiler) -> None:
    for _ in range(2):
        assert ask(load(comm, answer(40), "float64")) == 40
    # A cache and a compiler for each rank: only those of rank 0 are used.
    assert compiler.starts == (1 if comm.rank == 0 else 0)


@pytest.mark.mpi(min_size=2)
@pytest.mark.parametrize("fault", ["no compiler", "bad text", "bad CC"])
def test_what_fails_on_rank_0_is_the_same_error_on_all(
    comm: MPI.Intracomm, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if comm.rank == 0 and fault != "bad text":
        monkeypatch.setenv("CC", "no-such-compiler" if fault == "no compiler" else "'")
    with pytest.raises(SetupError) as caught:
        load(comm, answer("nonsense" if fault == "bad text" else 41), "float64")
    kinds = comm.allgather((type(caught.value), str(caught.value)))
    assert len(set(kinds)) == 1
    assert isinstance(caught.value, NoCompiler) == (fault == "no compiler")
    monkeypatch.delenv("CC", raising=False)
    assert ask(load(comm, answer(42), "float64")) == 42


@pytest.mark.mpi(min_size=2)
def test_what_fails_on_the_last_rank_is_an_error_on_all(comm: MPI.Intracomm, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: bytes) -> Library:
        raise SetupError("no room for a library")

    if comm.rank == comm.size - 1:
        monkeypatch.setattr(jit, "from_bytes", fail)
    with pytest.raises(SetupError, match="no room"):
        load(comm, answer(43), "float64")


@pytest.mark.mpi(min_size=2)
def test_different_cpus_get_what_all_can_run(
    comm: MPI.Intracomm, compiler: Compiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = jit.cpu()
    flags = " ".join(jit.LEVELS[1][0]) if comm.rank else " ".join(jit.LEVELS[0][0] | jit.LEVELS[1][0])
    monkeypatch.setattr(jit, "cpu", lambda: (("flags", flags),))
    assert jit._tuning(comm) == jit.LEVELS[1][1]
    monkeypatch.setattr(jit, "cpu", lambda: (("flags", flags if comm.rank else ""),))
    assert jit._tuning(comm) == ()
    assert ask(load(comm, answer(44), "float64")) == 44
    if comm.rank == 0:
        assert "-march" not in compiler.log.read_text()
    monkeypatch.setattr(jit, "cpu", lambda: machine)
    assert jit._tuning(comm)[0] == jit.NATIVE
