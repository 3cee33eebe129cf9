"""What is saved is what is read; a failed save changes nothing."""

import errno
import os
import pathlib
import sys
import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from latentpk.errors import ArtifactError, InputError
from latentpk.storage import layout, read_bundle, remove_bundle, write_bundle


def save(folder, value=1.0, parts=None):
    arrays = {"theta": np.full(3, value)}
    return write_bundle(
        folder, kind="toy", schema=1, manifest={"value": value}, arrays=arrays, parts=parts
    )


def load(folder):
    return read_bundle(folder, kind="toy", schema=1)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
ARRAY = npst.arrays(
    st.sampled_from(["?", "<f4", "<f8", ">f8", "<i4", "<i8", "<u1"]),
    npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
)


@given(
    manifest=st.dictionaries(st.text(max_size=8), JSON, max_size=4),
    arrays=st.dictionaries(st.text(min_size=1, max_size=8), ARRAY, max_size=3),
    part=st.binary(max_size=20),
)
def test_everything_comes_back_bit_for_bit(tmp_path_factory, manifest, arrays, part):
    folder = tmp_path_factory.mktemp("bundle") / "model"
    content = {"manifest": manifest, "arrays": arrays, "parts": {"forest.ubj": part}}
    seal = write_bundle(folder, kind="toy", schema=1, **content)
    bundle = load(folder)
    assert bundle.seal == seal
    assert bundle.manifest == manifest
    assert repr(bundle.manifest) == repr(manifest)  # -0.0, True and 1 are told apart
    assert bundle.parts == {"forest.ubj": part}
    assert bundle.arrays.keys() == arrays.keys()
    for name, array in arrays.items():
        assert bundle.arrays[name].shape == array.shape
        assert bundle.arrays[name].dtype == array.dtype.newbyteorder("=")
        assert (
            bundle.arrays[name].tobytes() == array.astype(array.dtype.newbyteorder("<")).tobytes()
        )
        assert bundle.arrays[name].flags.writeable


def test_views_are_stored_as_they_look(tmp_path):
    grid = np.arange(12.0).reshape(3, 4)
    arrays = {"transposed": grid.T, "every_second": grid[:, ::2], "reversed": grid[::-1]}
    write_bundle(tmp_path / "model", kind="toy", schema=1, manifest={}, arrays=arrays)
    for name, array in load(tmp_path / "model").arrays.items():
        np.testing.assert_array_equal(array, arrays[name])


def test_tuples_and_numpy_floats_become_plain_json(tmp_path):
    manifest = {"range": (np.float64(0.5), 2)}
    write_bundle(tmp_path / "model", kind="toy", schema=1, manifest=manifest, arrays={})
    assert repr(load(tmp_path / "model").manifest) == "{'range': [0.5, 2]}"


def test_the_same_content_gives_the_same_files(tmp_path):
    assert save(tmp_path / "a") == save(tmp_path / "b")
    assert save(tmp_path / "c", 2.0) != save(tmp_path / "a")
    for name in names(tmp_path / "a"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_save_replaces_and_leaves_nothing_of_the_old(tmp_path):
    folder = tmp_path / "deep" / "model"
    save(folder, 1.0, {"forest.ubj": b"old", "extra.bin": b"x"})
    save(folder, 2.0, {"forest.ubj": b"new"})
    assert load(folder).manifest == {"value": 2.0}
    assert load(folder).parts == {"forest.ubj": b"new"}
    assert [name.split("-")[0] for name in names(folder)] == ["arrays", "forest", "manifest.json"]
    assert names(folder.parent) == ["model"]


def test_an_empty_folder_may_be_filled(tmp_path):
    (tmp_path / "model").mkdir()
    save(tmp_path / "model")
    assert load(tmp_path / "model").manifest == {"value": 1.0}


@pytest.mark.parametrize("name", ["notes.txt", "manifest.json", "data.csv"])
def test_a_folder_of_something_else_is_not_touched(tmp_path, name):
    (tmp_path / name).write_text('{"name": "a web page"}')
    with pytest.raises(InputError, match=f"other files.*{name}.*Choose another folder"):
        save(tmp_path)
    with pytest.raises(InputError, match="other files"):
        remove_bundle(tmp_path)
    assert names(tmp_path) == [name]


def test_a_file_in_the_way_is_not_touched(tmp_path):
    (tmp_path / "model").write_text("mine")
    with pytest.raises(InputError, match="A model is a folder"):
        save(tmp_path / "model")
    assert (tmp_path / "model").read_text() == "mine"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"manifest": {"a": [float("nan")]}}, r"manifest\.a\[0\]: nan"),
        ({"manifest": {"a": {"b": float("inf")}}}, r"manifest\.a\.b: inf"),
        ({"manifest": {"a": {1: "b"}}}, "manifest.a: the key 1"),
        ({"manifest": {"a": object()}}, "Convert it"),
        ({"manifest": {"a": np.ones(2)}}, "store it as an array"),
        ({"arrays": {"a": np.array(["x"])}}, "array 'a': dtype <U1"),
        ({"arrays": {"a": np.array([None])}}, "dtype object"),
        ({"arrays": {"a": np.array([1j])}}, "dtype complex"),
        ({"parts": {"../evil.bin": b""}}, "cannot be stored"),
        ({"parts": {"Forest.ubj": b""}}, "cannot be stored"),
        ({"parts": {"arrays.safetensors": b""}}, "cannot be stored"),
    ],
)
def test_what_cannot_be_stored_is_refused_before_the_disk(tmp_path, content, message):
    whole = {"manifest": {}, "arrays": {}, **content}
    with pytest.raises(InputError, match=message):
        write_bundle(tmp_path / "model", kind="toy", schema=1, **whole)
    assert names(tmp_path) == []


def test_what_could_not_be_read_back_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr(layout, "FILE_LIMIT", 100)
    with pytest.raises(InputError, match="At most 100 bytes can be read back"):
        save(tmp_path / "model", parts={"forest.ubj": bytes(101)})
    assert names(tmp_path) == []


class FailingDisk:
    """Every step of a save that may fail, in order; the chosen one says the disk is full."""

    STEPS = (
        (os, "open"),
        (os, "fsync"),
        (pathlib.Path, "replace"),
        (pathlib.Path, "rename"),
        (pathlib.Path, "mkdir"),
    )

    def __init__(self, monkeypatch, fail_at):
        self.left = fail_at
        for owner, name in self.STEPS:
            monkeypatch.setattr(owner, name, self.counted(getattr(owner, name)))

    def counted(self, function):
        def step(*arguments, **options):
            self.left -= 1
            if self.left == 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            return function(*arguments, **options)

        return step


@pytest.mark.parametrize("first", [True, False], ids=["first save", "later save"])
def test_a_disk_that_fills_at_any_step_leaves_the_earlier_model(tmp_path, first):
    parts = {"forest.ubj": b"forest"}
    failures = 0
    for step in range(1, 100):
        folder = tmp_path / str(step) / "model"
        if not first:
            save(folder, 1.0, parts)
        with pytest.MonkeyPatch.context() as patch:
            disk = FailingDisk(patch, fail_at=step)
            error = attempt(lambda: save(folder, 2.0, parts | {"extra.bin": b"x"}))  # noqa: B023
        if disk.left > 0:
            break  # no step was left to fail
        if error is not None:
            failures += 1
            assert "No space left" in str(error)
        if error is None or not first:
            assert load(folder).manifest == {"value": 2.0 if error is None else 1.0}
            assert len(names(folder)) == (4 if error is None else 3)
        if folder.parent.exists():
            assert names(folder.parent) == (["model"] if error is None or not first else [])
    assert 10 <= failures < step < 99


def attempt(action):
    try:
        action()
    except ArtifactError as error:
        return error
    return None


@pytest.mark.parametrize("fails", ["before", "after"])
def test_an_interrupt_at_the_rename_leaves_a_whole_bundle(tmp_path, monkeypatch, fails):
    folder = tmp_path / "model"
    save(folder, 1.0)
    replace = pathlib.Path.replace

    def interrupted(path, target):
        if target.name != layout.MANIFEST:
            return replace(path, target)
        if fails == "after":
            replace(path, target)
        raise KeyboardInterrupt

    monkeypatch.setattr(pathlib.Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save(folder, 2.0)
    monkeypatch.undo()
    assert load(folder).manifest == {"value": 1.0 if fails == "before" else 2.0}


def test_a_killed_writers_litter_is_readable_past_and_swept(tmp_path):
    folder = tmp_path / "model"
    save(folder)
    (folder / "arrays-0123456789abcdef.safetensors").write_bytes(b"half")
    (folder / ".manifest.json.0123456789ab.tmp").write_bytes(b"half")
    dead, alive = (tmp_path / f".other.{c * 12}.tmp" for c in "ab")
    for place in (dead, alive):
        place.mkdir()
    os.utime(dead, (1e9, 1e9))
    assert load(folder).manifest == {"value": 1.0}
    save(folder, 2.0)
    assert len(names(folder)) == 2
    save(tmp_path / "other")
    assert names(tmp_path) == [alive.name, "model", "other"]


def test_readers_and_writers_at_once_see_only_whole_bundles(tmp_path):
    folder = tmp_path / "model"
    save(folder, 0.0)
    stop = threading.Event()
    failures = []

    def work(seed):
        value = seed
        while not stop.is_set():
            value += 10
            try:
                save(folder, float(value))
            except Exception as error:  # noqa: BLE001  (whatever it is, the test must fail)
                failures.append(error)
                return

    writers = [threading.Thread(target=work, args=(seed,)) for seed in range(2)]
    for writer in writers:
        writer.start()
    end = time.monotonic() + 1.0
    seen = set()
    try:
        while time.monotonic() < end:
            bundle = load(folder)
            assert set(bundle.arrays["theta"]) == {bundle.manifest["value"]}
            seen.add(bundle.seal)
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    assert not failures
    assert len(seen) > 3
    assert len(names(folder)) == (3 if sys.platform == "win32" else 2)


def test_first_saves_at_once_leave_one_whole_bundle(tmp_path):
    for attempt in range(5):
        folder = tmp_path / str(attempt) / "model"
        threads = [threading.Thread(target=save, args=(folder, float(i))) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert load(folder).manifest["value"] in range(4)
        assert names(folder.parent) == ["model"]
        assert len([name for name in names(folder) if name != layout.LOCK]) == 2


def test_another_writer_may_finish_while_the_place_is_looked_over(tmp_path, monkeypatch):
    vanished = tmp_path / ".model.0123456789ab.tmp"
    monkeypatch.setattr(pathlib.Path, "glob", lambda *_: iter([vanished]))
    assert layout.is_temporary(vanished.name)
    save(tmp_path / "model")
    assert load(tmp_path / "model").manifest["value"] == 1.0


def test_remove_takes_the_bundle_alone(tmp_path):
    save(tmp_path / "model", parts={"forest.ubj": b"x"})
    (tmp_path / "neighbour").write_text("")
    remove_bundle(tmp_path / "model")
    remove_bundle(tmp_path / "model")
    assert names(tmp_path) == ["neighbour"]
