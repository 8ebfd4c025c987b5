"""What holds for the code as a whole."""

import subprocess
import sys

from tests.commands import PROJECT


def test_only_the_batches_of_utils_need_torch():
    """The commands before the training start in a second, which importing torch alone would take."""
    modules = [
        f"utils.{path.stem}" for path in (PROJECT / "utils").glob("*.py") if path.stem != "data_generator"
    ]
    assert len(modules) > 15
    program = f"import sys, {', '.join(modules)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=PROJECT).returncode == 0
