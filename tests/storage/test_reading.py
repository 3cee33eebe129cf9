"""A damaged or foreign folder is one clear sentence, never a wrong model."""

import hashlib
import json
import os
import shutil
import sys

import numpy as np
import pytest
from safetensors.numpy import save

from latentpk.errors import ArtifactError
from latentpk.storage import layout, read_bundle, write_bundle


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "model"
    manifest = {"drug": "vancomycin", "omega": [0.25, 0.3]}
    arrays = {"theta": np.array([4.5, 58.4])}
    write_bundle(
        place, kind="toy", schema=3, manifest=manifest, arrays=arrays, parts={"tree.ubj": b"tree"}
    )
    return place


def load(folder):
    return read_bundle(folder, kind="toy", schema=3)


def data_file(folder, stem="arrays"):
    return next(path for path in folder.iterdir() if path.name.startswith(stem))


def rewrite(folder, change):
    """Change the manifest's document and seal it again, as a forger would."""
    path = folder / layout.MANIFEST
    document = json.loads(path.read_text())
    change(document)
    document.pop("seal", None)
    path.write_text(json.dumps({**document, "seal": layout.seal(document)}))


def test_absent_file_or_empty(tmp_path):
    with pytest.raises(ArtifactError, match=r"gone: cannot be opened.*Check the name"):
        load(tmp_path / "gone")
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match="A model is a folder"):
        load(tmp_path / "file")
    with pytest.raises(ArtifactError, match=r"file: not part of a model"):
        load(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ArtifactError, match=r"no manifest\.json"):
        load(tmp_path / "empty")


def test_another_kind_or_version(folder):
    with pytest.raises(ArtifactError, match=r"kind 'toy'.*kind 'nano' is read"):
        read_bundle(folder, kind="nano", schema=3)
    with pytest.raises(ArtifactError, match=r"schema 3.*reads schema 2\. Upgrade LatentPK"):
        read_bundle(folder, kind="toy", schema=2)
    with pytest.raises(ArtifactError, match=r"schema 3.*reads schema 4\. Fit it anew"):
        read_bundle(folder, kind="toy", schema=4)


def test_every_single_byte_matters(folder, tmp_path):
    whole = load(folder)
    for path in list(folder.iterdir()):
        original = path.read_bytes()
        for index in range(0, len(original), max(1, len(original) // 97)):
            damaged = bytearray(original)
            damaged[index] ^= 0x01
            path.write_bytes(damaged)
            try:
                bundle = load(folder)
            except ArtifactError:
                continue
            # A space of the layout may become another space; nothing that is read may change.
            assert path.name == layout.MANIFEST
            assert (bundle.seal, bundle.manifest) == (whole.seal, whole.manifest)
        path.write_bytes(original)
    load(folder)


@pytest.mark.parametrize("stem", ["manifest", "arrays", "tree"])
@pytest.mark.parametrize("keep", [0.0, 0.5, "missing", "longer"])
def test_cut_missing_or_longer_files(folder, stem, keep):
    path = data_file(folder, stem)
    data = path.read_bytes()
    if keep == "missing":
        path.unlink()
    else:
        path.write_bytes(data + b"x" if keep == "longer" else data[: int(len(data) * keep)])
    with pytest.raises(ArtifactError, match=path.name) as caught:
        load(folder)
    assert str(caught.value).count(". ") >= 2  # place and finding, rule, mend


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"format": 1, "format": 2}', "a key occurs twice"),
        ('{"format": NaN}', "NaN is no finite number"),
        ('{"format": -Infinity}', "no finite number"),
        ('{"format": 1e999}', "no finite number"),
        ("[1]", "no JSON object"),
        ("[" * 100_000, "no strict JSON"),
        ("{", "no strict JSON"),
        ("\xff", "no strict JSON"),
        ('{"format": "other"}', "format 'other'.*reads latentpk-bundle-1"),
        ("{}", "format 'None'"),
        ('{"format": "latentpk-bundle-1"}', "fields missing"),
    ],
)
def test_foreign_manifests(folder, text, message):
    (folder / layout.MANIFEST).write_bytes(text.encode("latin-1"))
    with pytest.raises(ArtifactError, match=message):
        load(folder)


def test_a_repeated_key_inside_the_saved_dict(folder):
    path = folder / layout.MANIFEST
    path.write_text(path.read_text().replace('"drug":', '"drug": "aspirin", "drug":'))
    with pytest.raises(ArtifactError, match="a key occurs twice"):
        load(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(schema=True), "wrong type .schema"),
        (lambda d: d.update(schema=3.0), "wrong type .schema"),
        (lambda d: d.update(more=1), "unknown.*more"),
        (lambda d: d["files"].update({"../evil.bin": {"bytes": 1, "sha256": "0" * 64}}), "evil"),
        (lambda d: d["files"]["tree.ubj"].update(bytes=-1), "entry 'tree.ubj'"),
        (lambda d: d["files"]["tree.ubj"].update(bytes=2**60), "entry 'tree.ubj'"),
        (lambda d: d["files"]["tree.ubj"].update(sha256="../" * 21 + "x"), "entry 'tree.ubj'"),
        (lambda d: d["files"]["tree.ubj"].update(sha256="0" * 64), "No such file"),
        (lambda d: d["files"]["tree.ubj"].update(bytes=3), "more than 3 bytes"),
        (lambda d: d["files"].pop("arrays.safetensors"), "A model has arrays"),
        (lambda d: d.update(files=[]), "wrong type .files"),
    ],
)
def test_forged_manifests(folder, change, message):
    rewrite(folder, change)
    with pytest.raises(ArtifactError, match=message):
        load(folder)


def test_an_altered_manifest_is_not_read(folder):
    path = folder / layout.MANIFEST
    path.write_text(path.read_text().replace("0.25", "0.35"))
    with pytest.raises(ArtifactError, match="altered after it was saved"):
        load(folder)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff" * 8,
        (2**40).to_bytes(8, "little"),
        save({"a": np.ones(2)})[:-1],
        b"PK\x03\x04" * 9,
    ],
)
def test_arrays_that_are_none(folder, data):
    digest = hashlib.sha256(data).hexdigest()
    (folder / layout.data_name(layout.ARRAYS, digest)).write_bytes(data)
    entry = {"bytes": len(data), "sha256": digest}
    rewrite(folder, lambda d: d["files"].update({layout.ARRAYS: entry}))
    with pytest.raises(ArtifactError, match="stored as safetensors"):
        load(folder)


@pytest.mark.parametrize("name", ["model.pkl", "arrays.safetensors", "__init__.py", ".hidden"])
def test_an_extra_file_is_refused(folder, name):
    (folder / name).write_bytes(b"")
    with pytest.raises(ArtifactError, match=r"not part of a model.*Move it elsewhere"):
        load(folder)


def test_what_a_desktop_leaves_is_passed_over(folder):
    (folder / ".DS_Store").write_bytes(b"x")
    load(folder)


def test_sizes_are_bounded(folder, monkeypatch):
    monkeypatch.setattr(layout, "MANIFEST_LIMIT", 10)
    with pytest.raises(ArtifactError, match="more than 10 bytes"):
        load(folder)
    monkeypatch.undo()
    monkeypatch.setattr(layout, "TOTAL_LIMIT", 10)
    with pytest.raises(ArtifactError, match="at most 10 bytes"):
        load(folder)
    monkeypatch.undo()
    monkeypatch.setattr(layout, "COUNT_LIMIT", 2)
    with pytest.raises(ArtifactError, match="more than 2 entries"):
        load(folder)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX links and pipes")
@pytest.mark.parametrize("stem", ["manifest", "arrays"])
@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_only_plain_files_are_opened(folder, tmp_path, stem, kind):
    path = data_file(folder, stem)
    elsewhere = tmp_path / "elsewhere"
    shutil.move(path, elsewhere)
    if kind == "link":
        path.symlink_to(elsewhere)
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(ArtifactError, match="a link" if kind == "link" else "no regular file"):
        load(folder)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX links")
def test_the_folder_itself_may_be_a_link(folder, tmp_path):
    (tmp_path / "current").symlink_to(folder)
    seal = load(tmp_path / "current").seal
    write_bundle(tmp_path / "current", kind="toy", schema=3, manifest={}, arrays={})
    assert (tmp_path / "current").is_symlink()
    assert load(folder).seal != seal
