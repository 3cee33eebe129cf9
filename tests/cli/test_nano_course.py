import polars as pl
import pytest


@pytest.fixture(scope="module")
def folder(nano_joined, tmp_path_factory):
    place = tmp_path_factory.mktemp("joined") / "model"
    nano_joined.save(place)
    return place


@pytest.fixture
def table(nano_table, tmp_path):
    path = tmp_path / "particles.csv"
    nano_table.head(2).write_csv(path)
    return path


@pytest.mark.long
def test_courses_are_written(latentpk, folder, table, tmp_path):
    out, early = tmp_path / "course.csv", tmp_path / "early.csv"
    early.write_text("ID,TIME,TUMOR\n1000,1,0.5\n")
    result = latentpk(
        "nano", "course", folder, table, "--observed", early, "--times", "0:24:12", "--out", out
    )
    assert result.exit_code == 0, result.stderr
    found = pl.read_csv(out)
    assert found["TIME"].to_list() == [0.0, 12.0, 24.0] * 2
    assert found["MEASUREMENTS"].to_list() == [1] * 3 + [0] * 3
    assert "Only the tumor was fitted" in result.stdout


@pytest.mark.parametrize("times", ["a", "5:1:1", "0:10:0", "0:200:1", "0:1:nan", ""])
def test_bad_times_are_exit_2_and_write_nothing(latentpk, folder, table, tmp_path, times):
    out = tmp_path / "course.csv"
    result = latentpk("nano", "course", folder, table, "--times", times, "--out", out)
    assert result.exit_code == 2
    assert "--times" in result.stderr
    assert not out.exists()


def test_a_model_without_courses_is_exit_2(latentpk, nano_folder, table, tmp_path):
    result = latentpk("nano", "course", nano_folder, table, "--out", tmp_path / "c.csv")
    assert result.exit_code == 2
    assert "--timecourse" in result.stderr
