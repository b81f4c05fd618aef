"""`list`, `new`, `doctor`, `--version`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from parsolve.case.tables import packaged
from parsolve.cli import environment

if TYPE_CHECKING:
    from collections.abc import Callable

    Call = Callable[..., tuple[int, str, str]]


def test_list(call: Call) -> None:
    code, out, _ = call("list", "--json")
    found = json.loads(out)
    assert code == 0
    assert set(found) == {"equations", "schemes", "cases"}
    assert set(found["cases"]) == set(packaged())
    assert {"heat", "gray-scott", "wave"} <= set(found["equations"])
    assert {"euler", "rk4", "leapfrog"} <= set(found["schemes"])
    code, out, _ = call("list", "cases")
    assert out.startswith("cases:\n")
    assert all(name in out for name in packaged())


def test_new_copies_comments_and_overwrites_nothing(call: Call) -> None:
    assert call("new", "heat")[0] == 0
    assert Path("heat.toml").read_text() == packaged()["heat"]
    code, _, err = call("new", "heat")
    assert code == 5
    assert "heat.toml: exists" in err
    assert call("new", "wave", "-o", "heat.toml", "--force")[0] == 0
    assert Path("heat.toml").read_text() == packaged()["wave"]
    code, _, err = call("new", "wave", "-o", "no/such/folder.toml")
    assert code == 5
    assert "no/such/folder.toml: directory 'no/such' does not exist; create it" in err
    code, _, err = call("new", "wave", "-o", "")
    assert code == 2
    assert "expected the name of a file" in err


def test_doctor(call: Call) -> None:
    code, out, err = call("doctor", "--json")
    found = json.loads(out)
    assert err == ""
    assert (code == 3) == bool(found["problems"])
    assert set(found) == {"parsolve", "Python", "MPI", "machine", "compilers", "files", "problems"}
    assert all(found["Python"][name] != "missing" for name in ("numpy", "scipy", "h5py", "HDF5"))
    code, out, _ = call("doctor")
    assert out.startswith("# parsolve doctor\n")


@pytest.mark.parametrize("compiler", ["no-such-compiler", "false", "'", ""])
def test_doctor_finds_what_keeps_equations_from_being_compiled(
    call: Call, monkeypatch: pytest.MonkeyPatch, compiler: str
) -> None:
    monkeypatch.setenv("CC", compiler)
    monkeypatch.setattr(environment, "ask", lambda *_, **__: (0, "asked"))
    if not compiler:
        monkeypatch.setenv("PATH", "/nowhere")
    code, out, _ = call("doctor", "--json")
    assert code == 3
    assert any("equations of [evolve] run in NumPy" in problem for problem in json.loads(out)["problems"])


def test_doctor_knows_families() -> None:
    open_mpi, mpich = "mpirun (Open MPI) 5.0.3\n", "HYDRA build details:\n    Version:      5.0.2\n"
    assert environment._fits("MPICH Version: 5.0.2", mpich) is True
    assert environment._fits("MPICH Version: 5.0.2", open_mpi) is False
    assert environment._fits("Open MPI v5.0.3, package: Open MPI", open_mpi) is True
    assert environment._fits("Open MPI v5.0.3", mpich) is False
    assert environment._fits("Intel(R) MPI Library 2021.12", "Intel(R) MPI Library for Linux* OS") is True
    assert environment._fits("MPICH Version: 5.0.2", "something else") is None
    assert environment._launcher_name(mpich) == "Hydra 5.0.2"


def test_version(call: Call) -> None:
    code, out, _ = call("--version")
    assert code == 0
    assert out.startswith("parsolve ")
    assert out.count("\n") == 1
