"""What holds for the code as a whole."""

import subprocess
import sys

from tests.commands import PROJECT


def test_utils_never_imports_torch():
    modules = [f"utils.{path.stem}" for path in (PROJECT / "utils").glob("*.py")]
    assert len(modules) > 15
    program = f"import sys, {', '.join(modules)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=PROJECT).returncode == 0
