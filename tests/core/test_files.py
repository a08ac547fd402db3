"""Atomic writing: links stay, devices and pipes stay what they are, folders are refused."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from twofold.errors import ResultError
from twofold.files import remove_file, require_writable, write_atomically, write_text

pytestmark = pytest.mark.skipif(os.name == "nt", reason="links, devices and modes of POSIX")
NULL_DEVICE = os.stat(os.devnull).st_rdev


def null_device(folder: Path) -> Path:
    """A device of our own, as /dev/null is one: were it replaced, nobody else would be hurt."""
    path = folder / "null"
    try:
        os.mknod(path, 0o666 | stat.S_IFCHR, NULL_DEVICE)
        path.write_bytes(b"")  # a mount may forbid the use of devices
    except OSError:
        pytest.skip("only root makes devices")
    return path


@pytest.mark.parametrize("way", ["absolute", "relative", "chain", "into another folder"])
def test_a_link_stays_and_its_target_is_written(way: str, tmp_path: Path) -> None:
    target, link = tmp_path / "there" / "target.json", tmp_path / "link.json"
    target.parent.mkdir()
    target.write_bytes(b"before")
    if way == "absolute":
        link.symlink_to(target)
    elif way == "relative":
        link.symlink_to(Path("there") / "target.json")
    elif way == "chain":
        (tmp_path / "middle").symlink_to(target)
        link.symlink_to("middle")
    else:
        (tmp_path / "folder").symlink_to("there")
        link = tmp_path / "folder" / "target.json"
    was_link = link.is_symlink()
    write_atomically(link, b"after")
    assert link.is_symlink() == was_link
    assert not target.is_symlink()
    assert target.read_bytes() == link.read_bytes() == b"after"
    assert [entry.name for entry in target.parent.iterdir()] == ["target.json"]


def test_a_link_to_nothing_makes_its_target(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("later/target")
    write_atomically(link, b"new")
    assert link.is_symlink()
    assert (tmp_path / "later" / "target").read_bytes() == b"new"


def test_a_link_to_itself_is_refused(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("link")
    with pytest.raises(OSError, match="symbolic links"):
        write_atomically(link, b"new")
    assert link.is_symlink()


def test_a_device_is_written_to_and_stays(tmp_path: Path) -> None:
    device = null_device(tmp_path)
    link = tmp_path / "link"
    link.symlink_to(device)
    for path in (device, link, Path(os.devnull)):
        require_writable("--json", path)
        write_atomically(path, b"lost")
        assert path.read_bytes() == b""
    assert stat.S_ISCHR(device.lstat().st_mode)
    assert device.lstat().st_rdev == NULL_DEVICE
    assert stat.S_ISCHR(os.lstat(os.devnull).st_mode)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["link", "null"]


def test_only_files_are_removed_and_links_stay(tmp_path: Path) -> None:
    target, link, pipe = (tmp_path / name for name in ("target", "link", "pipe"))
    target.write_text("text")
    link.symlink_to(target)
    os.mkfifo(pipe)
    for path in (link, link, pipe, tmp_path, tmp_path / "absent"):
        remove_file(path)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["link", "pipe"]


def test_a_full_device_is_an_error_of_the_system() -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full here")
    with pytest.raises(ResultError, match=r"/dev/full: cannot be written: No space left"):
        write_text(full, "text")


def test_a_named_pipe_is_written_to_and_stays(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    require_writable("--json", pipe)
    write_atomically(pipe, b"through the pipe")
    reader.join(30)
    assert read == [b"through the pipe"]
    assert stat.S_ISFIFO(pipe.lstat().st_mode)


def test_sockets_folders_and_disks_are_refused_and_stay(tmp_path: Path) -> None:
    bound = socket.socket(socket.AF_UNIX)
    bound.bind(str(tmp_path / "socket"))
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    cases = {"socket": "this is a socket", "folder": "this is a folder", "link": "this is a folder"}
    try:
        os.mknod(tmp_path / "disk", 0o600 | stat.S_IFBLK, os.makedev(7, 200))
        cases["disk"] = "this is a disk"
    except OSError:
        pass  # only root makes devices
    try:
        for name, words in cases.items():
            path = tmp_path / name
            before = path.lstat()
            with pytest.raises(ResultError, match=rf"{name}: cannot be written: {words}"):
                write_text(path, "text")
            with pytest.raises(ResultError, match=rf"--json: .*{name} given: {words}.*; allowed"):
                require_writable("--json", path)
            assert (path.lstat().st_mode, path.lstat().st_ino) == (before.st_mode, before.st_ino)
    finally:
        bound.close()


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o777])
def test_a_file_keeps_its_mode(mode: int, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")
    path.chmod(mode)
    write_atomically(path, b"after")
    assert path.read_bytes() == b"after"
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_new_file_has_the_mode_that_the_mask_gives(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "file", b"new")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root")
def test_root_gives_a_file_back_to_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")
    os.chown(path, 12345, 23456)
    write_atomically(path, b"after")
    assert (path.stat().st_uid, path.stat().st_gid) == (12345, 23456)


def test_what_may_not_be_written_to_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answers of `os.access` are simulated: root may write everywhere."""
    path = tmp_path / "file"
    path.write_bytes(b"protected")
    monkeypatch.setattr("os.access", lambda asked, _: Path(asked) != path)
    with pytest.raises(ResultError, match="this file may not be written to"):
        require_writable("--out", path)
    with pytest.raises(ResultError, match="this file may not be written to"):
        write_text(path, "text")
    assert path.read_bytes() == b"protected"
    monkeypatch.setattr("os.access", lambda asked, _: Path(asked) != tmp_path)
    with pytest.raises(ResultError, match="nothing may be written in its folder"):
        require_writable("--out", tmp_path / "other")


def test_a_folder_that_does_not_exist_is_told_before_any_work(tmp_path: Path) -> None:
    require_writable("--out", None)
    require_writable("--out", tmp_path / "file")
    for path in (tmp_path / "absent" / "file", tmp_path / "link"):
        (tmp_path / "link").unlink(missing_ok=True)
        (tmp_path / "link").symlink_to("absent/file")
        with pytest.raises(ResultError, match=r"no such folder; allowed is a file in a folder"):
            require_writable("--out", path)


WRITES = """
import sys
from pathlib import Path
from twofold.files import require_writable
from twofold.results.json_files import write_json
print("first")
require_writable("--json", Path(sys.argv[1]))
write_json(sys.argv[1], {"schema": "twofold.test/1"})
print("last")
"""


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "link to /dev/stdout"])
@pytest.mark.parametrize("into", ["pipe", "file"])
def test_an_open_file_is_written_to_in_its_order(name: str, into: str, tmp_path: Path) -> None:
    """A shell's `> file` must keep what is printed before and after the result."""
    if name.startswith("link"):
        (tmp_path / "link").symlink_to("/dev/stdout")
        name = str(tmp_path / "link")
    command = [sys.executable, "-c", WRITES, name]
    if into == "pipe":
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    else:
        with (tmp_path / "out").open("w") as out:
            subprocess.run(command, stdout=out, check=True)
        text = (tmp_path / "out").read_text()
    first, *result, last = text.splitlines()
    assert (first, last) == ("first", "last")
    assert json.loads("\n".join(result)) == {"schema": "twofold.test/1"}


def test_a_number_that_is_not_open_is_refused() -> None:
    with pytest.raises(ResultError, match="Bad file descriptor"):
        require_writable("--json", Path("/dev/fd/987"))
