"""What a file means, from the command line: bad input is refused whole, good rows are answered."""

import io

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

HEAD = "ID,TIME,EVID,MDV,CMT,AMT,RATE,ADDL,II,SS,DV,WT"
ROWS = (
    "1,0,1,1,1,300,300,0,0,0,.,70",
    "1,2,0,0,1,.,.,.,.,.,5,70",
    "1,11,0,0,1,.,.,.,.,.,2,70",
    "2,0,1,1,1,300,300,0,0,0,.,80",
    "2,2,0,0,1,.,.,.,.,.,4,80",
)
GOOD = "\n".join([HEAD, *ROWS]) + "\n"
DOSE, LEVEL = "subject 1, record 1 (line 2)", "subject 1, record 2 (line 3)"


def line(number, text):
    """GOOD with another text in one line, counted from 1."""
    lines = GOOD.splitlines()
    lines[number - 1] = text
    return "\n".join(lines) + "\n"


def without(*columns):
    return pl.read_csv(io.StringIO(GOOD), infer_schema=False).drop(columns).write_csv()


def rows(*kept):
    return "\n".join([HEAD, *(ROWS[i] for i in kept)]) + "\n"


LLOQ = "\n".join([f"{HEAD},LLOQ", *(f"{row},50" for row in ROWS)]) + "\n"

# file, what the message names (place, column, a word of the mend)
BAD = {
    "no DV column": (without("DV"), ("column DV", "missing")),
    "text in a number": (line(2, "1,0,1,1,1,lots,300,0,0,0,.,70"), (DOSE, "AMT", "'lots'")),
    "negative dose": (line(2, "1,0,1,1,1,-3,0,0,0,0,.,70"), (DOSE, "AMT", "not negative")),
    "infinite dose": (line(2, "1,0,1,1,1,inf,0,0,0,0,.,70"), (DOSE, "AMT", "finite")),
    "negative level": (line(3, "1,2,0,0,1,.,.,.,.,.,-5,70"), (LEVEL, "DV", "MDV=1")),
    "infinite level": (line(3, "1,2,0,0,1,.,.,.,.,.,inf,70"), (LEVEL, "DV", "finite")),
    "negative weight": (line(2, "1,0,1,1,1,300,300,0,0,0,.,-70"), (DOSE, "WT", "above 0")),
    "infinite weight": (line(2, "1,0,1,1,1,300,300,0,0,0,.,inf"), (DOSE, "WT", "finite")),
    "times decrease": (
        line(4, "1,1,0,0,1,.,.,.,.,.,2,70"),
        ("subject 1, record 3 (line 4)", "TIME", "EVID=3"),
    ),
    "duplicate record": (
        line(4, "1,2,0,0,1,.,.,.,.,.,5,70"),
        ("subject 1, record 3 (line 4)", "copy", "Drop"),
    ),
    "unknown EVID": (line(3, "1,2,7,0,1,.,.,.,.,.,5,70"), (LEVEL, "EVID", "3 reset")),
    "ADDL without II": (line(2, "1,0,1,1,1,300,300,3,0,0,.,70"), (DOSE, "ADDL", "Give II")),
    "SS with II 0": (line(2, "1,0,1,1,1,300,300,0,0,1,.,70"), (DOSE, "SS", "Give II")),
    "infusion longer than its interval": (
        line(2, "1,0,1,1,1,300,10,3,12,0,.,70"),
        (DOSE, "II", "every 12 h", "Correct RATE"),
    ),
    "no doses": (rows(1, 2, 4), ("dose", "EVID=1")),
    "subject in two places": (rows(0, 3, 1), ("subject 1", "stand together", "Sort by ID")),
    "covariate missing for a subject": (
        line(5, "2,0,1,1,1,300,300,0,0,0,.,.").replace("4,80", "4,."),
        ("subject 2", "WT", "impute"),
    ),
    "empty file": ("", ("empty",)),
    "header alone": (HEAD + "\n", ("records: there are none", "Add records")),
    "wrong encoding": (GOOD.replace("5,70", "5,70 \u00e9").encode("latin-1"), ("UTF-8",)),
    "binary file": (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(range(256)), ("binary",)),
}
BAD_FIT = {
    "no levels": (rows(0, 3), (), ("level", "EVID=0")),
    "levels of one subject": (rows(0, 1, 2, 3), (), ("two subjects",)),
    "all levels below LLOQ": (LLOQ, (), ("LLOQ", "below its limit")),
    "unknown covariate": (GOOD, ("--covariates", "WT,AGE"), ("AGE", "missing", "WT")),
    "constant covariate": (
        GOOD.replace(",80\n", ",70\n"),
        ("--covariates", "WT"),
        ("WT", "70 everywhere", "Leave it out"),
    ),
    "constant covariate unasked, subject without it": (
        line(5, "2,0,1,1,1,300,300,0,0,0,.,x"),
        (),
        ("subject 2, record 1 (line 5)", "WT", "'x'"),
    ),
    "unknown structure": (GOOD, ("--structure", "4c-iv"), ("4c-iv", "2c-iv")),
}


def latentpk(*arguments):
    from latentpk.cli.main import app

    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def workplace(tmp_path):
    """An empty folder with one file, and what is in it now."""

    def write(content):
        data = content.encode() if isinstance(content, str) else content
        (tmp_path / "data.csv").write_bytes(data)
        return tmp_path / "data.csv"

    write.folder = tmp_path
    write.listing = lambda: sorted(path.name for path in tmp_path.iterdir())
    return write


def refused(result, words, workplace):
    text = " ".join(result.stderr.split())
    assert result.exit_code == 2, result.output
    assert "Error:" in text
    for word in words:
        assert word.lower() in text.lower()
    assert workplace.listing() == ["data.csv"]


@pytest.mark.parametrize("case", BAD)
def test_fit_refuses_a_bad_file_and_leaves_nothing_behind(case, workplace):
    content, words = BAD[case]
    path = workplace(content)
    result = latentpk("fit", path, "--out", workplace.folder / "m", "--covariates", "WT")
    refused(result, words, workplace)


@pytest.mark.parametrize("case", BAD)
def test_forecast_refuses_a_bad_file_and_leaves_nothing_behind(case, workplace, fitted_folder):
    content, words = BAD[case]
    path = workplace(content)
    out = workplace.folder / "forecast.csv"
    plots = workplace.folder / "plots"
    refused(
        latentpk("forecast", fitted_folder, path, "--out", out, "--plots", plots), words, workplace
    )


@pytest.mark.parametrize("case", BAD_FIT)
def test_fit_refuses_what_it_cannot_learn_from(case, workplace):
    content, options, words = BAD_FIT[case]
    path = workplace(content)
    refused(latentpk("fit", path, "--out", workplace.folder / "m", *options), words, workplace)


def test_several_problems_are_told_at_once(workplace):
    content = line(2, "1,0,1,1,1,-3,0,0,0,0,.,70").replace(",4,80", ",oops,80")
    result = latentpk("fit", workplace(content), "--out", workplace.folder / "m")
    refused(result, ("2 problems", "not negative", "'oops'"), workplace)


def test_a_missing_covariate_is_imputed_where_asked(workplace):
    content = (
        GOOD.replace("80\n", ".\n") + "3,0,1,1,1,300,300,0,0,0,.,90\n3,2,0,0,1,.,.,.,.,.,4,90\n"
    )
    from latentpk import read_nonmem

    cohort = read_nonmem(workplace(content), impute="median", covariates=["WT"])
    assert cohort[1].covariates.tolist() == [[80.0]]


@pytest.mark.parametrize("damage", ["absent", "foreign", "damaged"])
def test_forecast_refuses_a_bad_model(damage, workplace, fitted_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "m"
    if damage != "absent":
        folder.mkdir()
        (folder / "readme.txt").write_text("my thesis")
    if damage == "damaged":
        (folder / "readme.txt").unlink()
        for path in fitted_folder.iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
        (arrays,) = folder.glob("arrays*.safetensors")
        arrays.write_bytes(arrays.read_bytes()[:-1] + b"\xff")
    out = workplace.folder / "f.csv"
    refused(latentpk("forecast", folder, workplace(GOOD), "--out", out), (str(folder),), workplace)


@pytest.fixture(scope="module")
def answered(fitted_folder, patients, tmp_path_factory):
    """One forecast from the command line of every kind of row, and the table behind it."""
    folder = tmp_path_factory.mktemp("answered")
    frame = patients.with_columns(DVID=1).cast({"DV": pl.String})
    extra = pl.DataFrame(
        {
            "ID": [1, 1, 3],
            "TIME": [30.0, 40.0, 40.0],
            "EVID": [2, 0, 2],
            "MDV": [1, 1, 1],
            "DV": ["99999", None, "."],
        }
    ).with_columns(CMT=pl.lit(1), AMT=0.0, RATE=0.0, DVID=0)
    extra = extra.cast({"EVID": pl.Int64, "MDV": pl.Int64, "CMT": pl.Int64, "DVID": pl.Int64})
    whole = pl.concat([frame, extra.cast({"DVID": pl.Int32})], how="diagonal_relaxed")
    whole = whole.sort("ID", "TIME", maintain_order=True).with_columns(
        pl.col("WT").forward_fill().over("ID")
    )
    # a level a thousand times too high is no file error
    absurd = (pl.col("ID") == 2) & (pl.col("EVID") == 0) & (pl.col("TIME") < 5)
    whole = whole.with_columns(DV=pl.when(absurd).then(pl.lit("25000")).otherwise(pl.col("DV")))
    path, out = folder / "data.csv", folder / "forecast.csv"
    whole.write_csv(path)
    result = latentpk("forecast", fitted_folder, path, "--out", out, "--ties", "pre")
    assert result.exit_code == 0, result.output
    return whole, pl.read_csv(out), result


COLUMNS = [
    *("ID", "TIME", "CMT", "DVID", "DV", "PRED", "PRED_MEDIAN", "IPRED", "LO", "HI"),
    *("PI_LO", "PI_HI", "PARETO_K", "ESS", "METHOD", "VERDICT", "REASON"),
]
VALUES = ("PRED", "PRED_MEDIAN", "IPRED", "LO", "HI", "PI_LO", "PI_HI")


def test_one_row_for_each_level_and_prediction_time_in_input_order(answered):
    data, table, _ = answered
    asked = data.filter(pl.col("EVID") != 1)
    assert table.columns == COLUMNS
    assert table["ID"].to_list() == asked["ID"].to_list()
    assert table["TIME"].to_list() == asked["TIME"].to_list()
    assert table["CMT"].to_list() == [1] * len(asked)
    assert table["DVID"].to_list() == asked["DVID"].to_list()


def test_dv_is_copied(answered):
    data, table, _ = answered
    asked = data.filter(pl.col("EVID") != 1)["DV"].cast(pl.Float64, strict=False)
    assert table["DV"].cast(pl.Float64).to_list() == asked.to_list()
    assert 99999 in table["DV"].to_list()


def test_every_number_is_finite_and_in_order(answered):
    _, table, _ = answered
    values = table.select(VALUES).to_numpy()
    assert np.isfinite(values).all()
    assert (values >= 0).all()
    for low, middle, high in (("LO", "IPRED", "HI"), ("PI_LO", "IPRED", "PI_HI")):
        assert (table[low] <= table[middle]).all()
        assert (table[middle] <= table[high]).all()
    assert (table["PI_HI"] >= table["HI"] - 1e-9).mean() > 0.9
    assert table["PARETO_K"].is_finite().all()
    assert (table["ESS"] > 0).all()


def test_the_last_columns_belong_to_the_subject(answered):
    _, table, _ = answered
    per_subject = table.group_by("ID").agg(
        pl.col("PARETO_K", "ESS", "METHOD", "VERDICT", "REASON").n_unique()
    )
    assert (per_subject.drop("ID").to_numpy() == 1).all()
    assert set(table["METHOD"]) <= {"is", "adaptive", "nuts"}
    assert set(table["VERDICT"]) <= {"ok", "caution", "refuse"}


@pytest.mark.long
def test_an_implausible_subject_harms_nobody_else(answered, forecast, patients):
    _, table, _ = answered
    alone = forecast(patients.filter(pl.col("ID") == 4), ties="pre")
    mine = table.filter(pl.col("ID") == 4)
    # a block of one is another compiled program than a block of many
    np.testing.assert_allclose(alone["IPRED"], mine["IPRED"], rtol=1e-8)


def test_every_choice_is_printed(answered):
    _, _, result = answered
    assert "Equal times:" in result.stdout
    assert "infusions" in result.stdout
