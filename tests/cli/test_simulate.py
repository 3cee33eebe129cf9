import polars as pl
import pytest


def run(latentpk, tmp_path, *more, name="cohort.csv"):
    out = tmp_path / name
    return out, latentpk("simulate", "theophylline", "--subjects", 3, "--out", out, *more)


def test_the_cohort_is_written_and_named_last(latentpk, tmp_path):
    out, result = run(latentpk, tmp_path, "--seed", 4)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == str(out)
    assert pl.read_csv(out)["ID"].unique().to_list() == [1, 2, 3]


def test_the_same_seed_gives_the_same_bytes(latentpk, tmp_path):
    first, _ = run(latentpk, tmp_path, "--seed", 4, name="a.csv")
    again, _ = run(latentpk, tmp_path, "--seed", 4, name="b.csv")
    other, _ = run(latentpk, tmp_path, "--seed", 5, name="c.csv")
    assert first.read_bytes() == again.read_bytes()
    assert first.read_bytes() != other.read_bytes()


def test_quiet_prints_nothing(latentpk, tmp_path):
    out, result = run(latentpk, tmp_path, "--quiet")
    assert (result.stdout, result.stderr) == ("", "")
    assert out.is_file()


def test_units_are_converted_and_named_in_the_file(latentpk, tmp_path):
    plain, _ = run(latentpk, tmp_path, name="plain.csv")
    other, result = run(latentpk, tmp_path, "--units", "TIME=min,AMT=g,DV=umol/L", name="o.csv")
    assert result.exit_code == 0
    text = other.read_text()
    assert text.startswith("# units: TIME=min,AMT=g,DV=umol/L")
    there, here = pl.read_csv(other, comment_prefix="#"), pl.read_csv(plain)
    assert (there["TIME"] / 60 - here["TIME"]).abs().max() < 1e-9
    assert (there["AMT"] * 1000 - here["AMT"]).abs().max() < 1e-9
    assert (there["DV"] * 0.18016 - here["DV"]).abs().max() < 1e-9


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("theophyline",), "theophylline"),
        (("theophylline", "--subjects", 0), "subjects"),
        (("theophylline", "--units", "DV=furlong"), "furlong"),
    ],
)
def test_bad_input_is_exit_2_and_leaves_nothing(latentpk, tmp_path, arguments, said):
    result = latentpk("simulate", *arguments, "--out", tmp_path / "x.csv")
    assert result.exit_code == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_cannot_be_is_said_before_any_work(latentpk, tmp_path):
    for out in (tmp_path, tmp_path / "missing" / "x.csv"):
        result = latentpk("simulate", "theophylline", "--out", out)
        assert result.exit_code == 2
        assert str(out) in result.stderr.replace("\n", "")
