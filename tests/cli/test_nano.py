"""`latentpk nano`: fit, predict and evaluate by the command line, and what is refused."""

import json
import re
import shutil

import numpy as np
import polars as pl
import pytest

from latentpk import NanoModel
from latentpk.cli.nano.main import EVALUATE, FIT, PREDICT
from latentpk.workflows.nano import evaluate as evaluation
from latentpk.workflows.nano import model as modelling
from latentpk.workflows.nano import shipped
from latentpk.workflows.nano.table import TARGETS


def plain(text):
    return re.sub(r"\s+", " ", re.sub(r"\x1b\[[0-9;]*m|[│┃]", "", text))


@pytest.fixture
def files(nano_table, nano_studies, tmp_path):
    """The table and its studies as files."""
    nano_table.write_csv(tmp_path / "table.csv")
    nano_studies.write_csv(tmp_path / "studies.csv")
    return tmp_path / "table.csv", tmp_path / "studies.csv"


@pytest.fixture
def quickly(nano_settings, monkeypatch):
    """Fits of the command line take a second."""
    monkeypatch.setattr(modelling, "EnsembleSettings", lambda: nano_settings)


@pytest.fixture
def unchanged(tmp_path):
    """That nothing was written, and nothing changed."""
    before = {}

    def look():
        return {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}

    def _unchanged():
        if not before:
            before.update(look())
        assert look() == before
        return True

    return _unchanged


class TestFit:
    def test_a_model_is_written_and_its_r2_and_warnings_told(
        self, latentpk, files, quickly, nano_model, nano_table, tmp_path
    ):
        table, studies = files
        out = tmp_path / "ours.model"
        done = latentpk("nano", "fit", table, "--studies", studies, "--out", out)
        assert done.exit_code == 0, done.stderr
        shown = plain(done.stdout)
        assert "52 particles, weights and intervals judged on 48" in shown
        assert "Intervals are calibrated on folds that keep studies together" in shown
        for target, unit in TARGETS.items():
            r2 = nano_model.card["r2"]["ensemble"][target]
            assert f"{target} [{unit}] {r2:.2f}" in shown
        assert done.stdout.splitlines()[-1] == str(out)
        for sign in nano_model.warnings:
            assert f"Warning: {sign}" in done.stderr
        # the command line and Python are one
        assert NanoModel.load(out).predict(nano_table).equals(nano_model.predict(nano_table))

    def test_quiet_prints_nothing(self, latentpk, files, quickly, tmp_path):
        done = latentpk("nano", "fit", files[0], "--out", tmp_path / "m", "--quiet")
        assert (done.exit_code, done.stdout, done.stderr) == (0, "", "")

    def test_a_model_in_its_place_is_replaced_and_that_is_told(
        self, latentpk, files, quickly, nano_folder, tmp_path
    ):
        out = tmp_path / "old.model"
        shutil.copytree(nano_folder, out)
        done = latentpk("nano", "fit", files[0], "--out", out, "--seed", 5)
        assert "it stays until this fit is done" in done.stdout
        assert NanoModel.load(out).card["seed"] == 5

    @pytest.mark.parametrize("kind", ["file", "foreign", "nowhere"])
    def test_an_out_that_could_not_become_a_model_is_refused_first(
        self, latentpk, files, tmp_path, kind, unchanged
    ):
        out = {"file": files[0], "foreign": tmp_path / "full", "nowhere": tmp_path / "no" / "m"}
        (tmp_path / "full").mkdir()
        (tmp_path / "full" / "thesis.txt").write_text("mine")
        unchanged()
        refused = latentpk("nano", "fit", files[0], "--out", out[kind])
        assert refused.exit_code == 2
        assert "--out" in refused.stderr
        assert unchanged()

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (lambda t: t.head(1), "1 rows. A fit needs at least 20 particles"),
            (lambda t: t.drop("KTRES50"), "column KTRES50: absent"),
            (lambda t: t.with_columns(Shape=pl.lit("Cube")), "'Cube'. SHAPE is one of Spherical"),
            (lambda t: t.with_columns(KTRESn=pl.lit(-1.0)), "column KTRESN: -1"),
        ],
    )
    def test_a_bad_table_is_bad_input(
        self, latentpk, files, nano_table, tmp_path, change, said, unchanged
    ):
        change(nano_table).write_csv(files[0])
        unchanged()
        refused = latentpk("nano", "fit", files[0], "--out", tmp_path / "m")
        assert refused.exit_code == 2
        assert said in refused.stderr
        assert unchanged()

    def test_studies_that_cannot_be_read_are_bad_input(self, latentpk, files, tmp_path):
        (tmp_path / "studies.csv").write_text("ID,MAT\n1000,Gold\n")
        refused = latentpk("nano", "fit", files[0], "--studies", files[1], "--out", tmp_path / "m")
        assert refused.exit_code == 2
        assert "STUDY_ID or STUDY" in refused.stderr


class TestPredict:
    def test_verdicts_and_what_is_unknown_are_counted(
        self, latentpk, files, nano_folder, nano_model, nano_table, tmp_path
    ):
        out = tmp_path / "p.csv"
        done = latentpk("nano", "predict", nano_folder, files[0], "--out", out)
        assert done.exit_code == 0, done.stderr
        found = nano_model.predict(nano_table)
        counts = dict(found["VERDICT"].value_counts().iter_rows())
        first, *others = done.stdout.splitlines()
        assert first == (
            f"{files[0]}: 52 particles: {counts.get('ok', 0)} ok, {counts['caution']} caution, "
            "0 refuse"
        )
        assert "  MAT is not known of 52; the model was trained with it" in others
        assert "  ZP_SIGNED is not known of 52; the model was trained with it" in others
        assert others[-1] == str(out)
        written = pl.read_csv(out, schema_overrides={"ID": pl.String})
        assert written.columns == found.columns
        np.testing.assert_array_equal(written["DE24"], found["DE24"])
        assert written["VERDICT"].to_list() == found["VERDICT"].to_list()

    def test_without_a_model_the_shipped_one_answers(
        self, latentpk, files, nano_folder, tmp_path, monkeypatch
    ):
        monkeypatch.setattr(shipped, "FOLDER", nano_folder)
        shipped.shipped_model.cache_clear()
        one, other = tmp_path / "one.csv", tmp_path / "other.csv"
        assert latentpk("nano", "predict", files[0], "--out", one).exit_code == 0
        assert latentpk("nano", "predict", nano_folder, files[0], "--out", other).exit_code == 0
        assert one.read_bytes() == other.read_bytes()
        shipped.shipped_model.cache_clear()

    def test_an_installation_without_one_says_so(self, latentpk, files, tmp_path, monkeypatch):
        monkeypatch.setattr(shipped, "FOLDER", tmp_path / "absent")
        shipped.shipped_model.cache_clear()
        failed = latentpk("nano", "predict", files[0], "--out", tmp_path / "p.csv")
        assert failed.exit_code == 1
        assert "holds no shipped model" in failed.stderr
        assert "latentpk nano fit" in failed.stderr
        assert not (tmp_path / "p.csv").exists()

    def test_a_table_of_one_row_is_fine(self, latentpk, files, nano_table, nano_folder, tmp_path):
        nano_table.head(1).write_csv(files[0])
        done = latentpk("nano", "predict", nano_folder, files[0], "--out", tmp_path / "p.csv")
        assert done.exit_code == 0, done.stderr
        assert "1 particle: " in done.stdout
        assert len(pl.read_csv(tmp_path / "p.csv")) == 1

    def test_a_name_that_a_spreadsheet_would_run_is_text(
        self, latentpk, files, nano_table, nano_folder, tmp_path
    ):
        nano_table.head(2).with_columns(ID=pl.Series(["=1+1", "b"])).write_csv(files[0])
        done = latentpk("nano", "predict", nano_folder, files[0], "--out", tmp_path / "p.csv")
        assert done.exit_code == 0
        assert (tmp_path / "p.csv").read_text().splitlines()[1].startswith("'=1+1,")

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"CT": "Spleen"}, r"row 1, column CT: 'Spleen'. CT is one of Brain"),
            ({"MAT": "Unobtainium"}, r"row 1, column MAT: 'Unobtainium'. MAT is one of Polymeric"),
            ({"HD": -10.0}, r"row 1, column HD: -10.0. HD is a number in nm, above 0"),
            ({"HD": 1e9}, r"column HD: 1e9|column HD: 1000000000.0"),
            ({"Zeta": 101.0}, r"column ZETA: 101.0. ZETA is a number in mV, at least -100"),
            ({"Zeta": -101.0}, r"column ZETA: -101.0"),
            ({"TW": 0.0}, r"column TW: 0.0. TW is a number in g, above 0"),
            ({"ID": "1001"}, r"row 2, column ID: 1001 stands in row 1 already"),
            ({"HD": "large"}, r"column HD: large"),
        ],
    )
    def test_a_bad_cell_is_bad_input_with_its_place(
        self, latentpk, files, nano_table, nano_folder, tmp_path, change, said, unchanged
    ):
        rows = [row | (change if k == 0 else {}) for k, row in enumerate(nano_table.to_dicts())]
        pl.DataFrame(
            [{k: str(v) for k, v in r.items() if v is not None} for r in rows[:3]]
        ).write_csv(files[0])
        unchanged()
        refused = latentpk("nano", "predict", nano_folder, files[0], "--out", tmp_path / "p.csv")
        assert refused.exit_code == 2
        assert re.search(said, refused.stderr), refused.stderr
        assert unchanged()

    def test_every_problem_comes_at_once(self, latentpk, files, nano_table, nano_folder, tmp_path):
        bad = nano_table.head(3).with_columns(HD=pl.lit(-1.0), TW=pl.lit(0.0))
        bad.drop("Shape").write_csv(files[0])
        refused = latentpk("nano", "predict", nano_folder, files[0], "--out", tmp_path / "p.csv")
        assert "column SHAPE: absent" in refused.stderr
        bad.write_csv(files[0])
        refused = latentpk("nano", "predict", nano_folder, files[0], "--out", tmp_path / "p.csv")
        assert "6 problems" in refused.stderr

    def test_a_row_without_any_value_is_bad_input(
        self, latentpk, files, nano_table, nano_folder, tmp_path, unchanged
    ):
        empty = [pl.lit("").alias(name) for name in nano_table.columns if name != "ID"]
        nano_table.head(2).with_columns(empty).write_csv(files[0])
        unchanged()
        refused = latentpk("nano", "predict", nano_folder, files[0], "--out", tmp_path / "p.csv")
        assert refused.exit_code == 2
        assert "row 1: every value is missing" in refused.stderr
        assert unchanged()

    @pytest.mark.long
    @pytest.mark.parametrize("damage", ["kind", "bytes", "empty", "absent"])
    def test_what_is_no_model_is_bad_input(
        self, latentpk, files, nano_folder, fitted_folder, tmp_path, damage
    ):
        model = tmp_path / "m.model"
        if damage == "kind":
            shutil.copytree(fitted_folder, model)
        if damage == "bytes":
            shutil.copytree(nano_folder, model)
            arrays = next(model.glob("arrays-*"))
            arrays.write_bytes(arrays.read_bytes()[:-1] + b"x")
        if damage == "empty":
            model.mkdir()
        refused = latentpk("nano", "predict", model, files[0], "--out", tmp_path / "p.csv")
        assert refused.exit_code == 2
        said = {"kind": "model of patients", "bytes": "altered or cut short"}
        assert said.get(damage, "A model is a folder" if damage == "absent" else "manifest") in (
            refused.stderr
        )
        assert not (tmp_path / "p.csv").exists()

    def test_folders_and_files_in_the_wrong_order_or_number_are_told(
        self, latentpk, files, nano_folder, tmp_path
    ):
        out = ("--out", tmp_path / "p.csv")
        alone = latentpk("nano", "predict", nano_folder, *out)
        swapped = latentpk("nano", "predict", files[0], nano_folder, *out)
        many = latentpk("nano", "predict", nano_folder, files[0], files[1], *out)
        for refused in (alone, swapped):
            assert refused.exit_code == 2
            assert "is a folder, where a table of particles is needed" in refused.stderr
        assert many.exit_code == 2
        assert "[MODEL] TABLE.csv" in many.stderr

    def test_the_table_itself_is_not_written_over(self, latentpk, files, nano_folder):
        refused = latentpk("nano", "predict", nano_folder, files[0], "--out", files[0])
        assert refused.exit_code == 2
        assert "is the input itself" in refused.stderr

    def test_units_are_checked_not_ignored(self, latentpk, files, nano_folder, tmp_path):
        ask = ("nano", "predict", nano_folder, files[0], "--out", tmp_path / "p.csv", "--units")
        assert latentpk(*ask, "HD=nm,Dose=mg/kg").exit_code == 0
        (tmp_path / "p.csv").unlink()
        refused = latentpk(*ask, "HD=um")
        assert refused.exit_code == 2
        assert "HD is read in nm" in refused.stderr
        assert not (tmp_path / "p.csv").exists()


class TestEvaluate:
    @pytest.fixture
    def result(self):
        scores = {"r2": 0.25, "r2_sd": 0.01, "coverage90": 0.9}
        best = scores | {"r2": 0.3, "coverage90": None}
        models = {"ridge": best, "network": best | {"r2": None}, "ensemble": scores}
        meta = {"scheme": "study", "rows": 52, "notices": ["read"], "warnings": ["look out"]}
        return {"meta": meta, "targets": {"DE24": models}}

    @pytest.fixture
    def asked(self, monkeypatch, result):
        """What cross-validation was asked for, instead of running it."""
        seen = {}

        def stand_in(library, settings, *, threads, progress):
            seen.update(library=library, settings=settings, threads=threads)
            progress(1, 1, "outer folds")
            return result

        monkeypatch.setattr(evaluation, "evaluate", stand_in)
        return seen

    def test_options_reach_the_cross_validation(self, latentpk, files, asked, result, tmp_path):
        out = tmp_path / "r.json"
        done = latentpk(
            "nano", "evaluate", files[0], "--studies", files[1], "--folds", "tumor_model",
            "--repeats", 2, "--seed", 9, "--out", out,
        )  # fmt: skip
        assert done.exit_code == 0, done.stderr
        settings = asked["settings"]
        assert (settings.scheme, settings.repeats, settings.folds) == ("tumor_model", 2, 5)
        assert (settings.seed, asked["threads"]) == (9, 1)
        assert asked["library"].studies is not None
        assert json.loads(out.read_text()) == result
        assert "DE24 0.25 (SD 0.01) 0.30 (ridge) 0.90" in plain(done.stdout)
        assert "Warning: look out" in done.stderr
        assert done.stdout.splitlines()[-1] == str(out)

    def test_without_folds_studies_are_left_out(self, latentpk, files, asked, tmp_path):
        ask = ("nano", "evaluate", files[0], "--out", tmp_path / "r.json", "--quiet")
        assert latentpk(*ask, "--studies", files[1]).stdout == ""
        assert (asked["settings"].scheme, asked["settings"].repeats) == ("study", 5)

    def test_a_small_cross_validation_from_end_to_end(
        self, latentpk, files, nano_settings, monkeypatch, tmp_path
    ):
        real = evaluation.EvaluateSettings
        monkeypatch.setattr(
            evaluation,
            "EvaluateSettings",
            lambda **own: real(**own, folds=2, ensemble=nano_settings),
        )
        out = tmp_path / "r.json"
        done = latentpk(
            "nano", "evaluate", files[0], "--folds", "random", "--repeats", 1, "--out", out
        )
        assert done.exit_code == 0, done.stderr
        found = json.loads(out.read_text())
        assert found["meta"]["scheme"] == "random"
        assert "network+xgboost" in found["targets"]["DE24"]

    def test_a_model_is_judged_on_another_table(
        self, latentpk, nano_folder, nano_model, particles_of, tmp_path
    ):
        table, studies = particles_of(9, 5)
        table.write_csv(tmp_path / "other.csv")
        studies.write_csv(tmp_path / "more.csv")
        out = tmp_path / "r.json"
        done = latentpk(
            "nano", "evaluate", "--model", nano_folder, "--test", tmp_path / "other.csv",
            "--studies", tmp_path / "more.csv", "--out", out,
        )  # fmt: skip
        assert done.exit_code == 0, done.stderr
        found = json.loads(out.read_text())
        assert found["meta"]["rows"] == 9
        whole = table.join(studies.drop("study_id"), on="ID")
        off = np.log10(nano_model.predict(whole)["DEmax"] / table["Demax"])
        assert found["targets"]["DEmax"]["ensemble"]["mae"] == pytest.approx(np.abs(off).mean())
        assert "independent set, 9 particles" in plain(done.stdout)

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ((), "Nothing to evaluate"),
            (("{table}", "--model", "{model}"), "a model is judged on --test"),
            (("{table}", "--test", "{table}"), "a model is judged on --test"),
            (("--model", "{model}"), "--test OTHER.csv is missing"),
            (("--test", "{table}"), "--model MODEL is missing"),
            (("--model", "{model}", "--test", "{table}", "--folds", "study"), "Leave them out"),
            (("--model", "{model}", "--test", "{table}", "--repeats", "2"), "Leave them out"),
            (("{table}",), "Add --studies STUDIES.csv, or write --folds random"),
            (("{table}", "--folds", "material"), "Add --studies STUDIES.csv"),
            (("{table}", "--folds", "weekday"), "'weekday' is not one of"),
            (("--studies", "{table}"), "Nothing to evaluate"),
        ],
    )
    def test_what_makes_no_sense_is_refused_with_what_to_write(
        self, latentpk, files, nano_folder, tmp_path, arguments, said, unchanged
    ):
        unchanged()
        given = [one.format(table=files[0], model=nano_folder) for one in arguments]
        refused = latentpk("nano", "evaluate", *given, "--out", tmp_path / "r.json")
        assert refused.exit_code == 2
        assert said in plain(refused.stderr)
        assert unchanged()


class TestShow:
    def test_a_models_card_is_printed(self, latentpk, nano_folder, nano_model):
        shown = latentpk("show", nano_folder)
        assert shown.exit_code == 0, shown.stderr
        text = plain(shown.stdout)
        for part in ("particles 52", "judged on 48", "studies 13", "unseen studies"):
            assert part in text
        for target, unit in TARGETS.items():
            assert f"{target} {unit}" in text
        own = nano_model.card["r2"]["random_forest"]
        assert "random forest " + " ".join(f"{value:.2f}" for value in own.values()) in text
        assert "weights of the members" in text
        for sign in nano_model.warnings:
            assert plain(sign) in text

    def test_a_damaged_one_is_bad_input(self, latentpk, nano_folder, tmp_path):
        copy = tmp_path / "m"
        shutil.copytree(nano_folder, copy)
        next(copy.glob("arrays-*")).unlink()
        refused = latentpk("show", copy)
        assert refused.exit_code == 2
        assert "arrays" in refused.stderr


def test_verbs_of_patients_say_which_verb_is_meant(nano_folder, clinic, tmp_path):
    from typer.testing import CliRunner

    from latentpk.cli.main import app

    out = tmp_path / "out"
    for arguments in (
        ("forecast", nano_folder, clinic, "--out", out),
        ("exposure", nano_folder, clinic, "--metric", "auc24", "--out", out),
        ("fit", clinic, "--start-from", nano_folder, "--out", out),
    ):
        refused = CliRunner().invoke(app, [str(one) for one in arguments])
        assert refused.exit_code == 2, refused.stdout
        assert "use `latentpk nano predict`" in refused.stderr
        assert not out.exists()


@pytest.mark.parametrize(
    ("verb", "example"), [("fit", FIT), ("predict", PREDICT), ("evaluate", EVALUATE)]
)
def test_help_has_an_example_and_every_verbs_options(latentpk, verb, example):
    shown = plain(latentpk("nano", verb, "--help").stdout)
    assert f"Example: {example}" in shown
    for option in ("--out", "--quiet", "--seed", "--threads", "--units"):
        assert option in shown
    assert verb in latentpk("nano", "--help").stdout
