"""Kill -9 at random moments, and a disk that is really full."""

import random
import subprocess
import sys
import time

import numpy as np
import pytest

from latentpk.errors import ArtifactError
from latentpk.storage import read_bundle, write_bundle

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and mounts"),
]

SAVE_FOR_EVER = """
import sys, numpy as np
from latentpk.storage import write_bundle
print("ready", flush=True)
step = int(sys.argv[2])
while True:
    step += 1
    arrays, parts = {"theta": np.full(20_000, float(step))}, {"a.bin": bytes([step % 256])}
    write_bundle(sys.argv[1], kind="toy", schema=1, manifest={"step": step}, arrays=arrays,
                 parts=parts)
"""


def load(folder):
    return read_bundle(folder, kind="toy", schema=1)


def test_a_kill_at_any_moment_leaves_a_whole_bundle(tmp_path):
    folder = tmp_path / "model"
    moments = random.Random(0)
    step = 0
    for _ in range(40):
        command = [sys.executable, "-c", SAVE_FOR_EVER, str(folder), str(step)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
            assert writer.stdout.readline() == b"ready\n"
            time.sleep(moments.uniform(0.0, 0.1))
            writer.kill()
        if step == 0 and not folder.exists():
            continue  # killed before the first save was whole: nothing is there, rightly
        bundle = load(folder)
        assert set(bundle.arrays["theta"]) == {float(bundle.manifest["step"])}
        assert bundle.parts == {"a.bin": bytes([bundle.manifest["step"] % 256])}
        assert bundle.manifest["step"] >= step
        step = bundle.manifest["step"]
    assert step > 40
    # The next whole save sweeps what the killed ones left.
    write_bundle(folder, kind="toy", schema=1, manifest={"step": 0}, arrays={})
    assert len(list(folder.iterdir())) == 2


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    try:
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("a small file system may not be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_leaves_the_earlier_bundle(small_disk):
    folder = small_disk / "model"
    theta = np.random.default_rng(0).normal(size=50_000)  # 0.4 MB
    write_bundle(folder, kind="toy", schema=1, manifest={}, arrays={"theta": theta})
    before = sorted(path.name for path in folder.iterdir())
    for size in (80_000, 90_000, 150_000):
        arrays = {"theta": np.random.default_rng(1).normal(size=size)}
        with pytest.raises(ArtifactError, match="No space left on device"):
            write_bundle(folder, kind="toy", schema=1, manifest={}, arrays=arrays)
        with pytest.raises(ArtifactError, match="No space left on device"):
            write_bundle(small_disk / "other", kind="toy", schema=1, manifest={}, arrays=arrays)
        np.testing.assert_array_equal(load(folder).arrays["theta"], theta)
        assert sorted(path.name for path in folder.iterdir()) == before
        assert [path.name for path in small_disk.iterdir()] == ["model"]
    write_bundle(folder, kind="toy", schema=1, manifest={}, arrays={"theta": theta + 1})
    np.testing.assert_array_equal(load(folder).arrays["theta"], theta + 1)
