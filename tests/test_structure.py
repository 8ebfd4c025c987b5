"""What holds for the code as a whole."""

import subprocess
import sys

from tests.commands import PROJECT


def test_utils_never_imports_torch():
    """The commands before the training start in a second, which importing torch alone would take."""
    paths = [path.relative_to(PROJECT) for path in (PROJECT / "utils").rglob("*.py")]
    modules = [".".join(path.with_suffix("").parts) for path in paths if path.stem != "__init__"]
    assert len(modules) > 15
    program = f"import sys, {', '.join(modules)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=PROJECT).returncode == 0
