"""Files are on the disk whole or not at all: writes that fail, processes that are killed, bits that flip."""

import errno
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

from equishare.files import written_whole
from equishare.problems.network.checkpoint import Checkpoint

pytestmark = pytest.mark.filterwarnings("error")


def write(path, content="new"):
    with written_whole(path) as temporary:
        temporary.write_text(content)


def fails(error):
    def write(path):
        with written_whole(path) as temporary:
            temporary.write_text("half")
            raise error

    return write


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), r"\[Errno 28\] No space left on device: '.*d\.txt'"),
        (OSError(errno.EDQUOT, None), r"\[Errno 122\] .*: '.*d\.txt'"),
        (OSError("disk full"), r"d\.txt: disk full"),
        (KeyboardInterrupt(), None),
        (MemoryError(), None),
    ],
)
def test_a_write_that_fails_names_the_file_and_leaves_what_was_there(tmp_path, error, message):
    write(tmp_path / "d.txt", "old")
    with pytest.raises(type(error), match=message):
        fails(error)(tmp_path / "d.txt")
    assert (tmp_path / "d.txt").read_text() == "old"
    assert os.listdir(tmp_path) == ["d.txt"]


def test_errors_of_other_files_keep_their_names(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"No such file or directory: 'other\.txt'"):
        fails(FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "other.txt"))(tmp_path / "d.txt")


def test_a_folder_where_a_file_should_be_written(tmp_path):
    (tmp_path / "d.txt").mkdir()
    with pytest.raises(IsADirectoryError, match=r"is a folder, and a file of this name is to be written: '.*d\.txt'"):
        write(tmp_path / "d.txt")
    with pytest.raises(FileNotFoundError, match=r"'.*none'"):
        write(tmp_path / "none" / "d.txt")
    assert os.listdir(tmp_path) == ["d.txt"]


def test_content_and_name_are_synced(tmp_path, monkeypatch):
    synced = []
    sync = os.fsync

    def recorded(descriptor):
        sync(descriptor)
        path = os.readlink(f"/proc/self/fd/{descriptor}") if os.path.isdir("/proc/self/fd") else None
        synced.append((path, os.path.exists(tmp_path / "d.txt")))

    monkeypatch.setattr(os, "fsync", recorded)
    write(tmp_path / "d.txt")
    # The content before the rename, the folder after it.
    assert [is_named for _, is_named in synced] == [False, True]
    if synced[0][0] is not None:
        assert os.path.basename(synced[0][0]).startswith(".d-") and synced[1][0] == str(tmp_path)


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_a_disk_that_fails_late_is_told(tmp_path, monkeypatch, code):
    def fail(descriptor):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match=r"'.*d\.txt'"):
        write(tmp_path / "d.txt")
    assert os.listdir(tmp_path) == []


KILLED = """
import os, signal, sys
from equishare.files import written_whole
with written_whole(sys.argv[1]) as temporary:
    temporary.write_text("half")
    if sys.argv[2] == "waits":
        print("writing", flush=True)
        sys.stdin.read()
    else:
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_temporary_files_of_killed_processes_are_swept(tmp_path):
    path, other = tmp_path / "d.npz", tmp_path / ".d-notes.npz"
    other.write_text("not ours")
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", KILLED, path, "dies"], check=False)
        assert done.returncode == -signal.SIGKILL
    left = [name for name in os.listdir(tmp_path) if name != other.name]
    assert len(left) == 1  # the second process swept what the first one left
    # What a living process writes stays.
    command = [sys.executable, "-c", KILLED, path, "waits"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "writing\n"
        write(path)
        assert len(os.listdir(tmp_path)) == 3
        process.communicate("")
        assert process.returncode == 0
    assert path.read_text() == "half"
    assert sorted(os.listdir(tmp_path)) == [other.name, path.name]


def test_every_flipped_bit_of_a_checkpoint_is_told(tmp_path):
    path = tmp_path / "search.pt"
    kept = Checkpoint(path, "about")
    kept.keep("stage", {"loss": torch.rand(40), "steps": 12})
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for position in rng.integers(0, 8 * len(whole), 300).tolist():
        flipped = bytearray(whole)
        flipped[position // 8] ^= 1 << position % 8
        path.write_bytes(flipped)
        with pytest.raises(ValueError, match=r"search\.pt' is no checkpoint of a search, or it is damaged"):
            Checkpoint(path, "about")
    for keep in rng.integers(0, len(whole), 20).tolist():
        path.write_bytes(whole[:keep])
        with pytest.raises(ValueError, match="is no checkpoint of a search, or it is damaged"):
            Checkpoint(path, "about")
    path.write_bytes(whole)
    assert Checkpoint(path, "about").get("stage")["steps"] == 12


@pytest.mark.skipif(sys.platform == "win32", reason="no limits of processes on this system")
def test_a_full_disk_ends_a_search_with_the_name_of_the_checkpoint(tmp_path):
    import resource

    path = tmp_path / "search.pt"
    kept = Checkpoint(path, "about")
    kept.keep("one", torch.ones(3))
    before = path.read_bytes()
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))  # no file may grow beyond: writes fail
    try:
        with pytest.raises(OSError, match=r"the checkpoint could not be written, is the disk full\?: '.*search\.pt'"):
            kept.keep("two", torch.ones(1_000_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["search.pt"]


@pytest.mark.parametrize("letter", ["a", "ä"])
def test_names_may_be_as_long_as_the_system_takes(tmp_path, letter):
    path = tmp_path / (letter * (250 // len(letter.encode())) + ".txt")
    with written_whole(path) as temporary:
        temporary.write_text("whole")
    assert path.read_text() == "whole"
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
