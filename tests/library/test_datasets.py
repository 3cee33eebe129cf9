"""Data sets: what is listed, and that nothing but the published content is ever written."""

import hashlib
import importlib
import io
import os
import re
import urllib.error
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from latentpk.errors import ArtifactError, InputError, LatentPKError
from latentpk.library import fetch
from latentpk.library.datasets import DataFile, DataSet, find_dataset, list_datasets
from latentpk.library.fetch import data_folder, fetch_dataset
from latentpk.library.workbook import canonical_table, read_workbook
from latentpk.records.courses import read_courses, read_studies
from latentpk.records.particles import read_particles
from latentpk.records.repairs import REPAIRS

CARD = (Path(__file__).parents[2] / "docs" / "nano_tumor.md").read_text(encoding="utf-8")

PARTICLES = "ID,Type,Dose\n1,Gold,1.35e-09\n2,,0.1\n10,Gold,12.0\n"
COURSES = "ID,TIME,Tumor\n1,6.0,1.641248304\n1,24.0,0.0\n2,0.5,3.0\n"
STUDIES = "ID,study_id\n1,1\n"


def data_file(name, text, **others):
    header = tuple(text.split("\n")[0].split(","))
    digest = hashlib.sha256(text.encode()).hexdigest()
    source = f"https://example.org/{name}.xlsx"
    return DataFile(f"{name}.csv", "rows", header, digest, "CC0-1.0", source, **others)


TOY = DataSet(
    "toy",
    "A toy",
    "Nobody 2023",
    "nano",
    (
        data_file("particles", PARTICLES),
        data_file("courses", COURSES, by_position=True),
        replace(data_file("studies", STUDIES, workbook=False), licence="GPL-3.0"),
    ),
)


@pytest.fixture(autouse=True)
def toy(monkeypatch):
    """The toy stands for every data set that is asked for, and there is no network."""
    real = fetch.find_dataset
    monkeypatch.setattr(fetch, "find_dataset", lambda name: TOY if name == "toy" else real(name))
    monkeypatch.setattr(fetch, "_open", no_network)


def no_network(url):
    raise urllib.error.URLError(f"no way to {url}")


@pytest.fixture
def copy(tmp_path):
    """A folder with a copy, as LATENTPK_DATA names one."""
    folder = tmp_path / "data" / "nano"
    folder.mkdir(parents=True)
    for name, text in {"particles": PARTICLES, "courses": COURSES, "studies": STUDIES}.items():
        (folder / f"{name}.csv").write_bytes(text.encode())
    return folder


def workbook(*rows):
    reader = pytest.importorskip("openpyxl")
    book = reader.Workbook()
    for row in rows:
        book.active.append(row)
    book.create_sheet("Notes").append(["not", "read"])
    data = io.BytesIO()
    book.save(data)
    return data.getvalue()


class Answer(io.BytesIO):
    def __init__(self, data, headers=None):
        super().__init__(data)
        self.headers = {"Content-Length": str(len(data))} if headers is None else headers
        self.taken = 0

    def read(self, size=-1):
        chunk = super().read(size)
        self.taken += len(chunk)
        return chunk


# Headers in other cases and another order, a column too many, rows out of order, space around
# text; IDs once for each course and the times of one course turned round.
PARTICLES_BOOK = (
    ("type", " Dose ", "Remark", "ID"), (" Gold", 12, "x", 10), ("Gold ", 1.35e-9, None, 1.0),
    ("NA", 0.1, None, "2"),
)  # fmt: skip
COURSES_BOOK = (
    ("No.", "Time (h)", "%ID"), (2, 0.5, 3), (1, 24, 0), (None, 6, 1.641248304), (None, None, None),
)  # fmt: skip


@pytest.fixture
def answers(monkeypatch):
    """What the network answers, by address."""
    books = {"particles": workbook(*PARTICLES_BOOK), "courses": workbook(*COURSES_BOOK)}
    found = {f"https://example.org/{name}.xlsx": Answer(book) for name, book in books.items()}
    monkeypatch.setattr(fetch, "_open", lambda url: found[url])
    return found


class TestList:
    def test_every_file_is_pinned_and_can_be_checked(self):
        for dataset in list_datasets():
            assert find_dataset(dataset.name) is dataset
            assert dataset.citation
            assert dataset.files[0].columns[0] == "ID"
            for file in dataset.files:
                assert re.fullmatch(r"[0-9a-f]{64}", file.sha256)
                assert re.match(r"https://raw\.githubusercontent\.com/", file.source)
                assert re.search(r"/[0-9a-f]{40}/[^/ ]+\.(xlsx|csv)$", file.source)
                assert file.licence

    def test_an_unknown_name_is_bad_input_that_names_a_near_one(self):
        with pytest.raises(InputError, match="Did you mean nano-tumor"):
            find_dataset("Nano_Tumour")
        with pytest.raises(InputError, match="Name one of nano-tumor"):
            find_dataset("warfarin")


class TestCopy:
    def test_a_copy_is_taken_bit_for_bit(self, copy, tmp_path):
        done = fetch_dataset("toy", tmp_path / "out", local=copy.parent)
        assert [path.name for path in done.files] == ["particles.csv", "courses.csv", "studies.csv"]
        for path in done.files:
            assert path.read_bytes() == (copy / path.name).read_bytes()
        assert done.origin == f"copied from {copy}"
        assert any("studies.csv is under GPL-3.0" in notice for notice in done.notices)

    def test_again_into_the_same_folder_is_fine(self, copy, tmp_path):
        first = fetch_dataset("toy", tmp_path / "out", local=copy.parent)
        assert fetch_dataset("toy", tmp_path / "out", local=copy.parent).files == first.files
        fetch_dataset("toy", copy, local=copy.parent)  # onto itself
        assert (copy / "particles.csv").read_text() == PARTICLES

    @pytest.mark.parametrize("name", ["particles", "courses", "studies"])
    def test_a_copy_that_differs_is_refused_and_nothing_is_written(self, name, copy, tmp_path):
        (copy / f"{name}.csv").write_bytes(b"ID\n1\n")
        with pytest.raises(ArtifactError) as caught:
            fetch_dataset("toy", tmp_path / "out", local=copy.parent)
        expected = next(file.sha256 for file in TOY.files if file.name == f"{name}.csv")
        said = str(caught.value)
        assert expected in said
        assert hashlib.sha256(b"ID\n1\n").hexdigest() in said
        assert "Nothing was written" in said
        assert not (tmp_path / "out").exists()

    def test_studies_that_are_not_there_are_told(self, copy, tmp_path):
        (copy / "studies.csv").unlink()
        done = fetch_dataset("toy", tmp_path / "out", local=copy.parent)
        assert len(done.files) == 2
        assert any("studies.csv is not in" in notice for notice in done.notices)

    def test_a_file_of_other_content_is_not_replaced(self, copy, tmp_path):
        out = tmp_path / "out"
        out.mkdir()
        (out / "courses.csv").write_text("mine")
        with pytest.raises(InputError, match=r"courses\.csv: of other content"):
            fetch_dataset("toy", out, local=copy.parent)
        assert [path.name for path in out.iterdir()] == ["courses.csv"]
        with pytest.raises(InputError, match="Name a folder"):
            fetch_dataset("toy", out / "courses.csv", local=copy.parent)

    def test_the_variable_names_the_folder(self, monkeypatch):
        monkeypatch.setenv("LATENTPK_DATA", "/somewhere")
        assert data_folder() == Path("/somewhere")
        monkeypatch.setenv("LATENTPK_DATA", "")
        assert data_folder() is None
        monkeypatch.delenv("LATENTPK_DATA")
        assert data_folder() is None


class TestDownload:
    def test_the_same_values_give_the_same_bytes(self, answers, tmp_path):
        heard = []
        report = lambda *told: heard.append(told)  # noqa: E731
        done = fetch_dataset("toy", tmp_path / "out", progress=report)
        assert [path.read_text() for path in done.files] == [PARTICLES, COURSES]
        assert "downloaded" in done.origin
        assert any("studies.csv (GPL-3.0) is not downloaded" in notice for notice in done.notices)
        assert {label for _, _, label in heard} == {"particles.csv, KiB", "courses.csv, KiB"}
        assert all(0 < part <= whole for part, whole, _ in heard)

    def test_a_copy_that_is_not_whole_is_no_copy(self, answers, copy, tmp_path):
        (copy / "courses.csv").unlink()
        assert "downloaded" in fetch_dataset("toy", tmp_path / "out", local=copy.parent).origin

    @pytest.mark.parametrize(
        "row", [("Gold", 0.1000000001, None, 2), ("Silica", 0.1, None, 2), (None, 0.1, None, 3)]
    )
    def test_another_value_is_refused_and_nothing_is_written(self, row, answers, tmp_path):
        book = workbook(*PARTICLES_BOOK[:3], row)
        answers[TOY.files[0].source] = Answer(book)
        with pytest.raises(ArtifactError) as caught:
            fetch_dataset("toy", tmp_path / "out")
        found = canonical_table(read_workbook(book, TOY.files[0]), TOY.files[0])
        assert TOY.files[0].sha256 in str(caught.value)
        assert hashlib.sha256(found).hexdigest() in str(caught.value)
        assert "Nothing was written" in str(caught.value)
        assert not (tmp_path / "out").exists()

    def test_what_is_wrong_in_the_last_file_keeps_the_first_from_the_disk(self, answers, tmp_path):
        answers[TOY.files[1].source] = Answer(workbook(*COURSES_BOOK[:3]))
        with pytest.raises(ArtifactError):
            fetch_dataset("toy", tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_a_network_that_fails_is_told_with_the_way_round(self, tmp_path):
        pytest.importorskip("openpyxl")
        with pytest.raises(LatentPKError, match=r"LATENTPK_DATA .* nano/particles\.csv"):
            fetch_dataset("toy", tmp_path / "out")

    def test_too_large_an_answer_is_not_read_to_its_end(self, answers, tmp_path, monkeypatch):
        monkeypatch.setattr(fetch, "MAX_BYTES", 1 << 17)
        answer = answers[TOY.files[0].source] = Answer(bytes(1 << 20), headers={})
        with pytest.raises(ArtifactError, match="is larger than"):
            fetch_dataset("toy", tmp_path / "out")
        assert answer.closed
        assert answer.taken < 1 << 18

    def test_only_https_is_read(self, answers, monkeypatch, tmp_path):
        plain = replace(TOY.files[0], source="http://example.org/particles.xlsx")
        toy = replace(TOY, files=(plain, *TOY.files[1:]))
        monkeypatch.setattr(fetch, "find_dataset", lambda name: toy)
        with pytest.raises(LatentPKError, match="only https is"):
            fetch_dataset("toy", tmp_path / "out")

    def test_a_redirection_is_not_followed(self):
        moved = {"location": "https://elsewhere.org/particles.xlsx"}
        request = fetch.urllib.request.Request(TOY.files[0].source)
        assert fetch._Straight().http_error_302(request, io.BytesIO(), 302, "", moved) is None

    def test_without_a_reader_nothing_is_asked_of_the_network(self, monkeypatch, tmp_path):
        def absent(name):
            raise ModuleNotFoundError(name)

        def asked(url):
            raise AssertionError(url)

        monkeypatch.setattr(importlib, "import_module", absent)
        monkeypatch.setattr(fetch, "_open", asked)
        with pytest.raises(LatentPKError, match=r'pip install "latentpk\[data\]"'):
            fetch_dataset("toy", tmp_path / "out")


class TestWorkbook:
    @pytest.mark.parametrize("data", [b"", b"not a workbook", b"PK\x03\x04" + bytes(100)])
    def test_what_is_no_workbook_is_refused(self, data):
        pytest.importorskip("openpyxl")
        with pytest.raises(ArtifactError, match="cannot be read as a workbook"):
            read_workbook(data, TOY.files[0])

    def test_columns_that_are_missing_are_named(self):
        with pytest.raises(ArtifactError, match=r"columns are missing: Type, Dose\."):
            read_workbook(workbook(("ID", "Dosis"), (1, 2)), TOY.files[0])
        with pytest.raises(ArtifactError, match="it has 2 columns, not 3"):
            read_workbook(workbook(("ID", "Time"), (1, 2)), TOY.files[1])
        with pytest.raises(ArtifactError, match="first sheet is empty"):
            read_workbook(workbook(), TOY.files[0])

    @pytest.mark.parametrize("row", [("a", 1, 2), (1, "noon", 2), (None, 1, 2), ("inf", 1, 2)])
    def test_a_row_that_has_no_place_is_refused(self, row):
        with pytest.raises(ArtifactError, match="a row cannot be placed"):
            canonical_table([row], TOY.files[1])

    @pytest.mark.parametrize(
        ("cell", "text"),
        [
            (18, "18.0"), (0.1 + 0.2, "0.30000000000000004"), ("1.50", "1.5"), (1e-5, "1e-05"),
            (None, ""), ("  Other OM ", "Other OM"), ("NA", ""), (float("nan"), ""), ("-", "-"),
        ],
    )  # fmt: skip
    def test_a_cell_has_one_text(self, cell, text):
        assert (
            canonical_table([(1, cell, 0)], TOY.files[0])
            == f"ID,Type,Dose\n1,{text},0.0\n".encode()
        )


@pytest.fixture
def published():
    """The published tables in LATENTPK_DATA, as frames."""
    folder = Path(os.environ.get("LATENTPK_DATA", "absent")) / "nano"
    if not folder.is_dir():
        pytest.skip("LATENTPK_DATA names no folder with nano/")
    files = find_dataset("nano-tumor").files
    return {file.name: pl.read_csv(folder / file.name, infer_schema=False) for file in files}


class TestPublished:
    def test_the_copy_is_canonical_in_any_order_of_its_rows(self, published):
        for file in find_dataset("nano-tumor").files:
            frame = published[file.name]
            assert tuple(frame.columns) == file.columns
            if file.workbook:
                data = canonical_table(frame.sample(fraction=1, shuffle=True, seed=1).rows(), file)
                assert hashlib.sha256(data).hexdigest() == file.sha256

    def test_the_cards_columns_say_what_is_missing_and_how_often_each_value_is(self, published):
        frame = published["nano_tumor.csv"].join(published["nano_tumor_studies.csv"], on="ID")
        rows = [line for line in CARD.splitlines() if re.match(r"\| \w", line)]
        for column in frame.columns:
            row = next(line for line in rows if re.search(rf"\b{column}\b", line.split("|")[1]))
            assert int(row.split("|")[-2]) == frame[column].null_count()
        for column in ("Type", "Shape", "TM", "MAT", "study_match"):
            for value, count in frame[column].drop_nulls().value_counts().iter_rows():
                assert re.search(rf"{value}`? {count}\b", CARD)

    def test_the_cards_targets_are_the_tables(self, published):
        for name in ("KTRESmax", "KTRES50", "KTRESn", "KTRESrelease", "DE24", "DE168", "Demax"):
            values = published["nano_tumor.csv"][name].cast(pl.Float64).to_numpy()
            low, mid, high = np.percentile(values, [5, 50, 95])
            row = f"| {values.min():g} | {low:.3g} | {mid:.3g} | {high:.3g} | {values.max():g} |"
            assert re.search(rf"^\| {name}\b[^|]*{re.escape(row)}$", CARD, re.MULTILINE)

    def test_the_cards_courses_and_studies_are_the_tables(self, published):
        known = read_particles(published["nano_tumor.csv"])
        courses = read_courses(published["nano_tumor_timecourse.csv"], known)
        groups = read_studies(published["nano_tumor_studies.csv"], known).groups
        sizes = np.bincount(groups)
        count = courses.count
        assert f"{count.min()} to {count.max()} measurements of each" in CARD
        assert f"{count.sum()} measurements" in CARD
        assert f"**Studies:** {len(sizes)}; {(sizes == 1).sum()} have one particle" in CARD
        assert f"{known.complete.sum()} complete rows come from " in CARD
        assert f"from {len(set(groups[known.complete]))}. Particles" in CARD
        zero = [one for one, row in zip(known.ids, courses.censored, strict=True) if row.any()]
        assert "IDs {}, {} and {} are 0 at 120 h".format(*zero) in CARD

    def test_the_courses_under_another_id_are_as_the_card_says(self, published):
        known = read_particles(published["nano_tumor.csv"])
        courses = read_courses(published["nano_tumor_timecourse.csv"], known)
        highest = np.where(courses.measured, courses.tumor, 0).max(axis=1)
        demax = published["nano_tumor.csv"]["Demax"].cast(pl.Float64).to_numpy()  # unrepaired
        told = CARD.split("not of its own: ")[1].split(". Over")[0]
        as_published, reversed_ = [], []
        for first, last in re.findall(r"(\d+)-(\d+)", told):
            rows = np.arange(int(first) - 1, int(last))
            delivery = np.log(demax[rows])
            as_published += [*np.abs(np.log(highest[rows]) - delivery)]
            reversed_ += [*np.abs(np.log(highest[rows[::-1]]) - delivery)]
        assert f"these {len(reversed_)} particles" in CARD
        assert f"is {np.mean(as_published):.2f} as published" in CARD
        assert f"and {np.mean(reversed_):.2f} reversed" in CARD


def test_the_card_names_every_rule_with_its_rows():
    for rule in REPAIRS:
        row = next(line for line in CARD.splitlines() if line.startswith(f"| {rule.name} |"))
        assert re.search(rf"\b{rule.row}\b", row)
