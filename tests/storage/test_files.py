"""One file is replaced whole, or not at all."""

import errno
import os
import subprocess
import sys

import pytest

from latentpk.errors import ArtifactError
from latentpk.storage import replacing, write_file


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_text_and_bytes_arrive_as_given(tmp_path):
    write_file(tmp_path / "new" / "a.csv", "µg\r\n")
    assert (tmp_path / "new" / "a.csv").read_bytes() == "µg\r\n".encode()
    write_file(str(tmp_path / "new" / "a.csv"), b"\x00")
    assert (tmp_path / "new" / "a.csv").read_bytes() == b"\x00"
    assert names(tmp_path / "new") == ["a.csv"]


def test_the_old_file_stays_when_the_block_fails(tmp_path):
    path = tmp_path / "a.csv"
    write_file(path, "old")
    with pytest.raises(TypeError), replacing(path) as file:
        file.writelines([b"half", None])
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.csv"]


def test_nothing_is_visible_before_the_end(tmp_path):
    path = tmp_path / "a.csv"
    with replacing(path) as file:
        file.write(b"half")
        file.flush()
        assert not path.exists()
    assert path.read_bytes() == b"half"


def test_a_folder_in_the_way_is_named(tmp_path):
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(ArtifactError, match=r"a\.csv: not written"):
        write_file(tmp_path / "a.csv", "new")
    assert names(tmp_path) == ["a.csv"]


def test_a_full_disk_is_a_sentence_with_its_cause(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    write_file(tmp_path / "a.csv", "old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ArtifactError, match=r"No space left.*Free space") as caught:
        write_file(tmp_path / "a.csv", "new")
    assert isinstance(caught.value.__cause__, OSError)
    assert (tmp_path / "a.csv").read_text() == "old"
    assert names(tmp_path) == ["a.csv"]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX limits, links, devices and modes")
class TestPosix:
    def test_a_limit_of_the_system_leaves_the_old_file(self, tmp_path):
        write_file(tmp_path / "a.csv", "old")
        code = (
            "import resource, sys\n"
            "from latentpk.errors import ArtifactError\n"
            "from latentpk.storage import write_file\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
            "try: write_file(sys.argv[1], bytes(100_000))\n"
            "except ArtifactError as error: print(error)"
        )
        command = [sys.executable, "-c", code, str(tmp_path / "a.csv")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert "File too large" in done.stdout
        assert (tmp_path / "a.csv").read_text() == "old"
        assert names(tmp_path) == ["a.csv"]

    def test_a_link_stays_a_link(self, tmp_path):
        (tmp_path / "real").mkdir()
        (tmp_path / "link.csv").symlink_to(tmp_path / "real" / "a.csv")
        write_file(tmp_path / "link.csv", "new")
        assert (tmp_path / "link.csv").is_symlink()
        assert (tmp_path / "real" / "a.csv").read_text() == "new"

    def test_a_device_is_written_directly(self):
        write_file("/dev/null", "gone")
        assert not os.path.isfile("/dev/null")  # noqa: PTH113

    def test_others_may_read_as_the_umask_says(self, tmp_path):
        old = os.umask(0o022)
        try:
            write_file(tmp_path / "a.csv", "new")
        finally:
            os.umask(old)
        assert (tmp_path / "a.csv").stat().st_mode & 0o777 == 0o644
