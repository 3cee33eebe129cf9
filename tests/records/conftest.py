from textwrap import dedent

import pytest

from latentpk.errors import InputError
from latentpk.records import read_nonmem


@pytest.fixture
def read(tmp_path):
    """Read a table given as text."""

    def _read(text, **options):
        path = tmp_path / "data.csv"
        path.write_text(dedent(text).lstrip("\n"))
        return read_nonmem(path, **options)

    return _read


@pytest.fixture
def problems(read):
    """The problems of a table given as text."""

    def _problems(text, **options):
        with pytest.raises(InputError) as caught:
            read(text, **options)
        return caught.value.problems

    return _problems
