"""Checkpoints: all that a march needs to go on as if it had never stopped.

A checkpoint is a frame whose fields are the registers of the march, and a manifest: a small JSON file with the rest,
the hash of each block of the frame, and its own hash. The frame is written, synced and read back; the manifest is
named last, so that what has one is complete. The one before stays until then, and is removed only if there are more
than are to be kept.
"""

from __future__ import annotations

import json
import math
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from parsolve.errors import StorageError, agreed, on_root
from parsolve.store.files import is_file, naming, rename, sync
from parsolve.store.hashes import block_hashes, damage_of, text_hash
from parsolve.store.slabs import FrameWriter
from parsolve.store.stages import Job
from parsolve.store.writing import write_whole

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from mpi4py import MPI
    from numpy.typing import NDArray

    from parsolve.domain.grid import Subdomain, Triple
    from parsolve.store.layout import Content
    from parsolve.store.stages import Stages

KIND, VERSION = "parsolve checkpoint", 2
LEAST = 2  # complete checkpoints that are kept
MANIFEST = re.compile(r"checkpoint-\d{9,}\.json")
OURS = re.compile(r"\.?(status|failed)\.(json|h5)(\.[\d.]*partial)?|\.?checkpoint-\d{9,}\.(h5|json)(\.[\d.]*partial)?")
_MOST = 64 << 20  # bytes of a manifest


@dataclass(frozen=True)
class Checkpoint:
    """What the manifest of a complete checkpoint says."""

    manifest: Path
    file: Path
    run: str
    step: int
    time: float
    case: str
    has_arrays: bool
    inputs: dict[str, str]
    numbers: dict[str, Any]
    frames: tuple[tuple[int, float], ...]
    regions: dict[str, tuple[int, int]]
    hashes: dict[str, list[str]]
    count: int
    stays: bool
    spent: tuple[float, int] = (0.0, 0)

    def damage(self, comm: MPI.Comm) -> str:
        """Return what is wrong with the file of values, or nothing; collective."""
        try:
            found = block_hashes(comm, self.file, self.regions, str(self.step))
        except StorageError as error:
            return str(error)
        for name, digests in self.hashes.items():
            damage = damage_of(f"'{name}'", self.regions[name], digests, found[name])
            if damage:
                return f"{self.file}: {damage}"
        return ""

    def read(self, sub: Subdomain, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Fill arrays over the owned cells from the fields of their names, whose hashes are right; collective.

        Nothing of the file but these bytes is interpreted.

        Raises:
            StorageError: the file cannot be read, or has other fields; the same on all ranks.
        """
        box = tuple(map(slice, sub.start, sub.stop))
        with agreed(sub.comm), naming(self.file, "read it"):
            for name, values in arrays.items():
                values[...] = self.array(name, values.dtype, sub.grid.cells)[box]

    def array(self, name: str, dtype: np.dtype[Any], cells: Triple) -> NDArray[Any]:
        """Return a field over all cells, mapped: only what is looked at is read.

        Raises:
            StorageError: there is no such field.
            OSError: the file cannot be read.
        """
        start, size = self.regions.get(name, (0, 0))
        if size != math.prod(cells) * dtype.itemsize:
            raise StorageError(f"{self.file}: has no '{name}' of {math.prod(cells)} cells of {dtype}")
        return np.memmap(self.file, dtype, "r", start, cells)


class Checkpoints:
    """Writes the checkpoints of a run into a folder.

    Args:
        comm: all ranks of the run.
        folder: where they are.
        content: what their frames hold.
        case: the resolved case: its "text", whether it "has_arrays" that are not in it, and hashes of its "inputs".
        keep: how many complete ones stay.
        keep_every: each so many-th of the run stays for good; 0: none.
        count: of checkpoints that the run has had.
    """

    def __init__(
        self,
        comm: MPI.Intracomm,
        folder: Path,
        content: Content,
        case: Mapping[str, Any],
        keep: int = LEAST,
        keep_every: int = 0,
        count: int = 0,
    ) -> None:
        self._comm, self._folder, self._case, self._run = comm, folder, dict(case), content.provenance["run"]
        self._writer, self._keep = FrameWriter(comm, content), max(LEAST, keep)
        self._keep_every, self._count, self._staying = keep_every, count, set[str]()

    @property
    def _stays(self) -> bool:
        """Whether the last one stays for good."""
        return self._keep_every > 0 and self._count % self._keep_every == 0

    @property
    def size(self) -> int:
        """Bytes of one."""
        return self._writer.size

    def begin(
        self, time: float, step: int, sub: Subdomain, arrays: Mapping[str, NDArray[Any]], numbers: Mapping[str, Any],
        frames: Sequence[tuple[int, float]], wait: bool = False, spent: tuple[float, int] = (0.0, 0),
    ) -> Job:  # fmt: skip
        """Begin to write a checkpoint of a state that is known to be finite; collective.

        Args:
            time: that the march has reached.
            step: the steps that it has taken.
            sub: of the ranks.
            arrays: the registers over the owned cells; they may change from then on.
            numbers: the rest, as JSON takes it.
            frames: step and time of the frames so far.
            wait: until it is complete, without a copy of the arrays.
            spent: seconds of marching, and the steps that took them.

        Raises:
            StorageError, ResourceError: it could not be brought to the disk; those before are as they were.
        """
        said = {
            "step": step, "time": time, "case": self._case, "numbers": numbers, "frames": list(frames), "spent": spent,
        }  # fmt: skip
        job = Job(self._comm, self._stages(said, sub, arrays, not wait), threaded=not wait)
        if wait:
            job.finish()
        return job

    def _stages(
        self, said: Mapping[str, Any], sub: Subdomain, arrays: Mapping[str, NDArray[Any]], copy: bool
    ) -> Stages:
        writer, name = self._writer, f"checkpoint-{said['step']:09d}"
        partial, file = self._folder / f".{name}.h5.partial", self._folder / f"{name}.h5"
        time, step, is_named = said["time"], said["step"], False

        def commit() -> None:
            nonlocal is_named
            if self._comm.rank == 0:
                more = {
                    "kind": KIND, "version": VERSION, "run": self._run, "count": self._count, "stays": self._stays,
                    "file": file.name, "regions": writer.regions, "hashes": writer.hashes,
                }  # fmt: skip
                rename(partial, file)
                is_named = True
                _write_manifest(self._folder / f"{name}.json", {**more, **said})
                self._prune(step)

        try:
            yield from writer.stages(partial, time, step, sub, arrays, writer.size, "a checkpoint", copy)
            self._count += 1
            yield commit
        finally:
            if self._comm.rank == 0 and not is_named:
                with suppress(OSError):
                    partial.unlink(missing_ok=True)

    def _prune(self, step: int) -> None:
        """Remove those before a step that are not needed, the manifest first, so that what has one stays complete.

        And values without a manifest, of checkpoints during which a run was killed.
        """
        with suppress(OSError, StorageError):
            before = [path for path in manifests(self._folder) if _step_of(path) <= step]
            for manifest in before[self._keep :]:
                if manifest.name not in self._staying and not _stays(manifest):
                    manifest.unlink()
                    sync(self._folder)
                    manifest.with_suffix(".h5").unlink(missing_ok=True)
                else:
                    self._staying.add(manifest.name)
            for file in self._folder.glob("checkpoint-*.h5"):
                if _step_of(file) < step and not file.with_suffix(".json").exists():
                    file.unlink(missing_ok=True)


def _step_of(path: Path) -> int:
    """The step of the file of a checkpoint."""
    return int(path.stem.rpartition("-")[2])


def _stays(manifest: Path) -> bool:
    """Whether a checkpoint stays for good; one that is damaged does not."""
    try:
        return read_manifest(manifest).stays
    except StorageError:
        return False


def _write_manifest(path: Path, said: Mapping[str, Any]) -> None:
    """Write a manifest, with its own hash, and give it its name for good.

    Raises:
        StorageError: it could not be brought to the disk.
    """
    text = json.dumps(said, indent=1)
    write_whole(path, json.dumps({"hash": text_hash(text), "text": text}).encode(), force=True)
    with naming(path, "give it its name"):
        sync(path.parent)


def manifests(folder: Path) -> list[Path]:
    """Return the manifests of a folder, the newest first; of a manifest itself that alone.

    Raises:
        StorageError: the folder is there, and cannot be read.
    """
    if MANIFEST.fullmatch(folder.name):
        return [folder]
    with naming(folder, "look into it"):
        try:
            found = [path for path in folder.iterdir() if MANIFEST.fullmatch(path.name)]
        except (FileNotFoundError, NotADirectoryError):
            return []
    return sorted(found, key=_step_of, reverse=True)


def require_manifest(path: Path) -> None:
    """Refuse the name of a manifest that is not there.

    Raises:
        StorageError: with the steps of those that are.
    """
    if not is_file(path):
        steps = ", ".join(str(_step_of(other)) for other in manifests(path.parent)[::-1])
        raise StorageError(f"{path}: no such checkpoint; there are those of the steps {steps or '(none)'}")


def find(comm: MPI.Comm, folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """Return the newest checkpoint of a folder that is whole, and what is wrong with newer ones; collective."""
    doubts: list[str] = []
    for manifest in on_root(comm, lambda: manifests(folder)):
        try:
            checkpoint = on_root(comm, lambda manifest=manifest: read_manifest(manifest))  # type: ignore[misc]
        except StorageError as error:
            doubts.append(str(error))
            continue
        damage = checkpoint.damage(comm)
        if not damage:
            return checkpoint, doubts
        doubts.append(damage)
    return None, doubts


def read_manifest(path: Path) -> Checkpoint:
    """Return what a manifest says.

    Raises:
        StorageError: it cannot be read, or is damaged.
    """
    if not is_file(path):  # to open a pipe would wait for ever
        raise StorageError(f"{path}: no such file")
    with naming(path, "read it"), path.open("rb") as stream:
        data = stream.read(_MOST + 1)
    try:
        outer = json.loads(data)
        if len(data) > _MOST or text_hash(outer["text"]) != outer["hash"]:
            raise ValueError
        said = json.loads(outer["text"])
        if said["kind"] != KIND or said["version"] != VERSION or said["file"] != path.with_suffix(".h5").name:
            raise ValueError
        regions = {name: (int(a), int(n)) for name, (a, n) in said["regions"].items()}
        frames = tuple((int(step), float(time)) for step, time in said["frames"])
        seconds, steps = said.get("spent", (0.0, 0))
        return Checkpoint(
            path, path.with_suffix(".h5"), said["run"], int(said["step"]), float(said["time"]), said["case"]["text"],
            bool(said["case"]["has_arrays"]), dict(said["case"]["inputs"]), said["numbers"], frames, regions,
            said["hashes"], int(said["count"]), bool(said["stays"]), (float(seconds), int(steps)),
        )  # fmt: skip
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise StorageError(f"{path}: damaged, or no manifest of a checkpoint of this version") from None


def remove_checkpoints(folder: Path) -> None:
    """Remove all checkpoints of a folder; what cannot be removed stays."""
    with suppress(OSError):
        for path in sorted(folder.iterdir(), reverse=True):  # .json before .h5
            if OURS.fullmatch(path.name):
                path.unlink(missing_ok=True)


def number_of(value: Any) -> Any:
    """Return NumPy's numbers as Python's, also in lists and tables: as JSON takes them, to the last bit."""
    if isinstance(value, dict):
        return {key: number_of(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [number_of(inner) for inner in value]
    return value.item() if isinstance(value, np.generic) else value
