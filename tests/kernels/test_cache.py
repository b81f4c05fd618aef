"""Whatever state the cache is in: the right bytes, or none."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import parsolve.kernels.cache as module
from parsolve.kernels.cache import MAGIC, MAX_ENTRIES, find, keep

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = hashlib.sha256(b"key").hexdigest()
OTHER = hashlib.sha256(b"other").hexdigest()
DATA = bytes(range(256)) * 40
NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's directory of caches."""
    path = tmp_path / "caches"
    path.mkdir(0o700)
    monkeypatch.setenv("XDG_CACHE_HOME", str(path))
    return path


def folder(base: Path) -> Path:
    return base / "parsolve" / "kernels"


def entry(base: Path) -> Path:
    return folder(base) / f"{KEY}.kernels"


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def refused(reason: str) -> None:
    """Neither found nor kept, with a warning that says why."""
    with pytest.warns(RuntimeWarning, match=reason):
        assert find(KEY) is None
    with pytest.warns(RuntimeWarning, match=reason):
        keep(KEY, DATA)


def test_what_was_kept_is_found(base: Path) -> None:
    assert find(KEY) is None
    keep(KEY, DATA)
    assert find(KEY) == DATA
    assert find(OTHER) is None
    assert [mode(folder(base)), mode(base / "parsolve"), mode(entry(base))] == [0o700, 0o700, 0o600]


def test_hint_is_part_of_the_name_and_cannot_leave_the_directory(base: Path) -> None:
    keep(KEY, DATA, "../../gray-scott/\n*")
    assert [path.name for path in folder(base).iterdir()] == [f"gray_scott-{KEY}.kernels"]
    assert find(KEY, "../../gray-scott/\n*") == DATA
    keep(OTHER, DATA, "../")
    assert find(OTHER, "") == DATA


def test_missing_directories_are_made_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a" / "b"))
    old = os.umask(0)
    try:
        keep(KEY, DATA)
    finally:
        os.umask(old)
    assert find(KEY) == DATA
    assert [mode(tmp_path / "a"), mode(tmp_path / "a" / "b")] == [0o700, 0o700]


@pytest.mark.parametrize("chosen", [None, "", "relative/path"])
def test_home_is_used_without_an_absolute_xdg_cache_home(
    chosen: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    if chosen is not None:
        monkeypatch.setenv("XDG_CACHE_HOME", chosen)
    keep(KEY, DATA)
    assert entry(tmp_path / ".cache").is_file()


# -- the way to the directory ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["parsolve", "parsolve/kernels"])
def test_link_in_the_place_of_a_directory_is_refused(base: Path, tmp_path: Path, name: str) -> None:
    target = tmp_path / "elsewhere"
    target.mkdir(0o700)
    (base / name).parent.mkdir(0o700, exist_ok=True)
    (base / name).symlink_to(target)
    refused("is a link")
    assert not list(target.iterdir())


def test_file_in_the_place_of_the_directory_is_refused(base: Path) -> None:
    (base / "parsolve").write_text("")
    refused("not a directory")


def test_link_that_the_user_made_to_a_safe_place_is_followed(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to(base)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "link"))
    keep(KEY, DATA)
    assert find(KEY) == DATA
    assert entry(base).is_file()


def test_link_to_an_unsafe_place_is_refused(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "link").symlink_to(base)
    base.chmod(0o777)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "link"))
    refused("other users can write")


@pytest.mark.parametrize("rights", [0o777, 0o770, 0o720, 0o702, 0o1777])
@pytest.mark.parametrize("name", ["parsolve", "parsolve/kernels"])
def test_directory_that_others_can_write_to_is_refused(base: Path, name: str, rights: int) -> None:
    keep(KEY, DATA)
    (base / name).chmod(rights)
    refused("other users can write")


@pytest.mark.parametrize("rights", [0o777, 0o770])
def test_parent_that_others_can_write_to_is_refused(base: Path, rights: int) -> None:
    keep(KEY, DATA)
    base.chmod(rights)
    refused(f"other users can write to {base}")


def test_home_that_others_can_write_to_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    keep(KEY, DATA)
    tmp_path.chmod(0o775)
    refused("other users can write")


def test_directory_of_another_user_is_refused(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(KEY, DATA)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    refused("belongs to user")


@as_root
@pytest.mark.parametrize("name", ["", "parsolve", "parsolve/kernels"])
def test_directory_given_to_another_user_is_refused(base: Path, name: str) -> None:
    keep(KEY, DATA)
    os.chown(base / name, NOBODY, NOBODY)
    refused(f"belongs to user {NOBODY}")


@as_root
def test_sticky_directory_is_passed_only_if_it_is_of_root(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = base / "mine"
    monkeypatch.setenv("XDG_CACHE_HOME", str(inner))
    base.chmod(0o1777)
    keep(KEY, DATA)
    assert find(KEY) == DATA
    os.chown(inner, NOBODY, NOBODY)
    refused("belongs to user")
    os.chown(inner, 0, 0)
    os.chown(base, NOBODY, NOBODY)
    refused("belongs to user")


@as_root
def test_directory_of_root_in_a_sticky_one_is_not_ours(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base.chmod(0o1777)
    (base / "roots").mkdir(0o755)
    monkeypatch.setenv("XDG_CACHE_HOME", str(base / "roots"))
    monkeypatch.setattr(os, "geteuid", lambda: NOBODY)
    refused("(?<!parsolve) belongs to user 0")


@as_root
def test_sticky_directory_of_our_own_is_refused(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base.chmod(0o1777)
    os.chown(base, NOBODY, NOBODY)
    monkeypatch.setattr(os, "geteuid", lambda: NOBODY)
    descriptor = os.open(base, os.O_RDONLY)
    try:
        with pytest.raises(module.UnusableError, match="other users can write"):
            module._check(descriptor, base, ours=False)
    finally:
        os.close(descriptor)


def test_without_a_home_there_is_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(_: object) -> Path:
        raise RuntimeError

    monkeypatch.setattr(Path, "home", classmethod(nowhere))
    refused("no home directory")


def test_cache_that_cannot_be_made_is_refused(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "mkdir", failing(errno.EROFS))
    refused("Read-only")


# -- the entry ---------------------------------------------------------------------------------------------------------


def failing(code: int) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def link(path: Path) -> None:
    good = path.rename(path.with_name("good"))
    path.symlink_to(good)


def directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def of_another_key(path: Path) -> None:
    keep(OTHER, DATA[::-1])
    path.write_bytes(path.with_name(f"{OTHER}.kernels").read_bytes())


def too_large(path: Path) -> None:
    os.truncate(path, module.MAX_BYTES + 1)


BAD = {
    "link": link,
    "dangling link": lambda path: (path.unlink(), path.symlink_to("nowhere")),
    "directory": directory,
    "pipe": pipe,
    "empty": lambda path: path.write_bytes(b""),
    "truncated": lambda path: os.truncate(path, path.stat().st_size - 1),
    "head only": lambda path: os.truncate(path, len(MAGIC) + 32),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "another digest": lambda path: flip(path, len(MAGIC) + 3),
    "another byte": lambda path: flip(path, -1),
    "another format": lambda path: flip(path, 0),
    "bare library": lambda path: path.write_bytes(DATA),
    "of another key": of_another_key,
    "too large": too_large,
    "writable by the group": lambda path: path.chmod(0o620),
    "writable by all": lambda path: path.chmod(0o666),
}


@pytest.mark.parametrize("change", BAD.values(), ids=BAD.keys())
def test_bad_entry_is_removed_and_made_again(base: Path, change: Callable[[Path], object]) -> None:
    keep(KEY, DATA)
    change(entry(base))
    assert find(KEY) is None
    assert not os.path.lexists(entry(base))
    keep(KEY, DATA)
    assert find(KEY) == DATA


@as_root
def test_entry_of_another_user_is_removed(base: Path) -> None:
    keep(KEY, DATA)
    os.chown(entry(base), NOBODY, NOBODY)
    assert find(KEY) is None
    assert not entry(base).exists()


def test_directory_with_something_in_it_is_left_alone(base: Path) -> None:
    entry(base).mkdir(parents=True)
    base.joinpath("parsolve").chmod(0o700)
    folder(base).chmod(0o700)
    (entry(base) / "file").write_text("precious")
    refused("Directory not empty|Is a directory")
    assert (entry(base) / "file").read_text() == "precious"


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.ENOSPC, errno.EDQUOT])
def test_cache_that_is_full_or_read_only_is_read(base: Path, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(KEY, DATA)
    before = sorted(folder(base).iterdir())
    monkeypatch.setattr(os, "rename", failing(code))
    with pytest.warns(RuntimeWarning, match=r"cache .* is not used"):
        keep(OTHER, DATA)
    assert sorted(folder(base).iterdir()) == before  # no temporary file is left
    assert find(KEY) == DATA
    assert find(OTHER) is None


# -- size and races ----------------------------------------------------------------------------------------------------


def test_number_of_entries_is_bounded_and_the_oldest_go(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_ENTRIES == 256
    monkeypatch.setattr(module, "MAX_ENTRIES", 3)
    keys = [hashlib.sha256(bytes([i])).hexdigest() for i in range(6)]
    for i, key in enumerate(keys):
        keep(key, DATA)
        os.utime(folder(base) / f"{key}.kernels", (i, i))
    keep(KEY, DATA)
    assert [find(key) is not None for key in [*keys, KEY]] == [False] * 4 + [True] * 3


def test_what_a_killed_builder_left_goes_after_an_hour(base: Path) -> None:
    keep(KEY, DATA)
    old, young = (folder(base) / f".{letter * 32}.new" for letter in "ab")
    foreign = folder(base) / "notes.txt"
    for path in (old, young, foreign):
        path.write_bytes(b"half")
    for path in (old, foreign):
        os.utime(path, (1, 1))
    keep(OTHER, DATA)
    assert [path.exists() for path in (old, young, foreign)] == [False, True, True]


BUILDER = """
import hashlib, os, sys
import parsolve.kernels.cache as cache
me = int(sys.argv[1])
cache.MAX_ENTRIES = 12                       # so that some remove what others read
name = lambda n: hashlib.sha256(str(n).encode()).hexdigest()
data = lambda n: str(n).encode() * 5000
for turn in range(20):
    for n in (turn % 4, 100 + me):           # a text that all build, and one of its own
        found = cache.find(name(n))
        assert found in (None, data(n)), n
        cache.keep(name(n), data(n))
    if me % 4 == 0:                          # and some damage entries
        place = os.path.join(os.environ["XDG_CACHE_HOME"], "parsolve", "kernels")
        with open(place + "/damaged%d" % me, "wb") as file:
            file.write(data(7))
        os.rename(place + "/damaged%d" % me, place + "/%s.kernels" % name(turn % 4))
"""


def test_concurrent_builders_do_no_harm(base: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", BUILDER]
    builders = [
        subprocess.Popen([*command, str(n)], stderr=subprocess.PIPE, text=True, env=os.environ | {"HOME": str(base)})
        for n in range(18)
    ]
    errors = [(builder.communicate(timeout=60)[1], builder.returncode) for builder in builders]
    assert errors == [("", 0)] * len(builders)
    assert len(list(folder(base).glob("*.kernels"))) <= 12 + len(builders)
    assert not list(folder(base).glob(".*.new"))
