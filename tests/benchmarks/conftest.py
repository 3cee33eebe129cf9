"""The benchmarks are a package of the repository's root, outside the installed one."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
