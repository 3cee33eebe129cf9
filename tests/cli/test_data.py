"""`latentpk data`: the list, and a copy or download by the command line."""

import hashlib
import re
from dataclasses import replace

import pytest

from latentpk.cli.main import DATA
from latentpk.library import fetch
from latentpk.library.datasets import find_dataset


@pytest.fixture(autouse=True)
def wide(latentpk, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.delenv("LATENTPK_DATA", raising=False)


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A small copy that counts as the published one."""
    folder = tmp_path / "data" / "nano"
    folder.mkdir(parents=True)
    real = find_dataset("nano-tumor")
    files = []
    for file in real.files:
        content = f"ID\n{file.name}\n".encode()
        (folder / file.name).write_bytes(content)
        files.append(replace(file, sha256=hashlib.sha256(content).hexdigest()))
    small = replace(real, files=tuple(files))
    monkeypatch.setattr(fetch, "find_dataset", lambda name: {"nano-tumor": small}[name])
    monkeypatch.setenv("LATENTPK_DATA", str(folder.parent))
    return folder


@pytest.mark.parametrize("arguments", [(), ("list",)])
def test_every_data_set_is_listed_with_licence_and_citation(latentpk, arguments):
    shown = latentpk("data", *arguments)
    assert shown.exit_code == 0
    lines = [line.strip() for line in shown.stdout.splitlines()]
    assert lines[0] == "latentpk data: 1 data set"
    assert "nano-tumor" in lines
    assert any(line.startswith("nano_tumor.csv (CC0-1.0): 378 particles") for line in lines)
    assert any(line.startswith("nano_tumor_studies.csv (GPL-3.0): ") for line in lines)
    assert "J Control Release 2023;361:53-63" in shown.stdout


def test_a_copy_is_written_and_said(latentpk, copy, tmp_path):
    out = tmp_path / "nano"
    done = latentpk("data", "get", "nano-tumor", "--out", out)
    assert done.exit_code == 0, done.stderr
    for file in find_dataset("nano-tumor").files:
        assert (out / file.name).read_bytes() == (copy / file.name).read_bytes()
        assert str(out / file.name) in done.stdout
    assert f"copied from {copy}" in done.stdout
    assert "nano_tumor_studies.csv is under GPL-3.0" in done.stdout
    assert "Cite Chou W-C" in done.stdout


def test_without_out_the_folder_is_named_as_the_data_set(latentpk, copy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert latentpk("data", "get", "nano-tumor", "--quiet").stdout == ""
    assert (tmp_path / "nano-tumor" / "nano_tumor.csv").is_file()


def test_an_altered_copy_is_a_failure_that_names_both_hashes(latentpk, copy, tmp_path):
    (copy / "nano_tumor.csv").write_bytes(b"ID\n1\n")
    failed = latentpk("data", "get", "nano-tumor", "--out", tmp_path / "out")
    assert failed.exit_code == 1
    assert len(set(re.findall(r"[0-9a-f]{64}", failed.stderr))) == 2
    assert "Nothing was written" in failed.stderr
    assert not (tmp_path / "out").exists()


def test_without_a_copy_or_network_the_failure_says_what_to_do(latentpk, monkeypatch, tmp_path):
    def refuse(url):
        raise TimeoutError("timed out")

    monkeypatch.setattr(fetch, "_open", refuse)
    failed = latentpk("data", "get", "nano-tumor", "--out", tmp_path / "out")
    assert failed.exit_code == 1
    assert re.search("LATENTPK_DATA|pip install", failed.stderr)  # without a reader the second
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("get",), "latentpk data get nano-tumor"),
        (("list", "nano-tumor"), "latentpk data get NAME"),
        (("--out", "nano"), "latentpk data get NAME"),
        (("nano-tumor",), "'nano-tumor' is not one of"),
        (("get", "nano-tumour"), "Did you mean nano-tumor"),
        (("get", "nano-tumor", "--units", "TIME=furlong"), "'furlong' is not a known unit"),
    ],
)
def test_what_is_asked_wrongly_is_bad_input_with_its_mend(latentpk, arguments, said):
    refused = latentpk("data", *arguments)
    assert refused.exit_code == 2
    assert said in refused.stderr


def test_quiet_lists_nothing_and_help_has_an_example_and_every_verbs_options(latentpk):
    assert latentpk("data", "--quiet").stdout == ""
    shown = re.sub(r"\x1b\[[0-9;]*m", "", latentpk("data", "--help").stdout)
    assert f"Example: {DATA}" in shown
    assert "the extra `data`" in shown
    for option in ("--out", "--quiet", "--seed", "--threads", "--units"):
        assert option in shown
