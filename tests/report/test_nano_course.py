import numpy as np
import polars as pl
import pytest

from latentpk.records.particles import read_particles
from latentpk.report.nano_course import draw_courses
from latentpk.workflows.nano.course import course


@pytest.mark.long
def test_each_particle_has_its_picture(nano_joined, nano_table, tmp_path):
    particles = read_particles(nano_table.head(2))
    early = pl.DataFrame({"ID": ["1000", "1000"], "TIME": [1.0, 4.0], "TUMOR": [0.5, 0.0]})
    table, _ = course(nano_joined, particles, np.linspace(0, 48, 9), observed=early)
    paths = draw_courses(table, particles, tmp_path / "plots", observed=early)
    assert [path.name for path in paths] == ["001-1000.png", "002-1001.png"]
    assert all(path.stat().st_size > 10_000 for path in paths)
