"""The README: its commands run as they stand, and what it names exists."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from tests.commands import PROJECT
from utils.settings.overrides import public_values

README = (PROJECT / "README.md").read_text(encoding="utf-8")
OWN_DATA = README.split("## Your own classes and recordings\n")[1].split("\n## ")[0]  # see test_own_data.py
BLOCKS = re.findall(r"```bash\n(.*?)```", README.replace(OWN_DATA, ""), re.DOTALL)

# Lines that set up a user's shell: the test sets up its own. runme.sh has a test of its own (test_runme.py),
# tests/run.sh is what runs this one, and HomeMix is beside the project only where the team works. torchrun
# and Dask are run by test_ranks.py and test_cluster.py, on ports of their own. TensorBoard would never end.
SET_UP = ("source .venv/bin/activate", "export ")
RUN_ELSEWHERE = (
    "bash runme.sh",
    "bash tests/run.sh",
    "../shared/homemix",
    "torchrun ",
    "dask",
    "requirements-",
    "tensorboard --logdir",
    "benchmarks",
)


def commands_to_run() -> str:
    lines = "\n".join(BLOCKS).splitlines()
    return "\n".join(line for line in lines if not line.startswith(SET_UP) and not is_run_elsewhere(line))


def is_run_elsewhere(line: str) -> bool:
    if line.endswith("--tensorboard") and find_spec("tensorboard") is None:
        return True
    return any(command in line for command in RUN_ELSEWHERE)


def test_readme_commands_run(small, tmp_path):
    for name in ("utils", "pytorch", "metadata"):
        (tmp_path / name).symlink_to(PROJECT / name)
    environment = {
        **small.environment,
        "DATASET_DIR": str(small.dataset_dir),
        "WORKSPACE": str(tmp_path / "workspace"),
        "ITERATIONS": "1",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    commands = commands_to_run()
    assert commands.count("python ") >= 11
    result = subprocess.run(
        ["bash", "-e", "-c", commands],
        cwd=tmp_path,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "F1 of each class" in result.stdout
    assert "Weak audio, clipwise loss" in result.stdout


def test_runme_variables_of_the_readme_are_those_of_the_script():
    section = README.split("These variables can be set")[1].split("## Stages")[0]
    named = set(re.findall(r"`([A-Z_]{4,})`", section))
    script = (PROJECT / "runme.sh").read_text() + (PROJECT / "utils/environment.sh").read_text()
    used = set(re.findall(r"\$\{([A-Z_]+):?-", script)) - {"DEMO", "BASH_SOURCE"}
    assert named - {"SED_CONFIG"} == used - {"SED_CONFIG"}


def test_files_and_links_of_the_readme_exist():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (PROJECT / target).is_file(), target
    for path in re.findall(r"`((?:utils|pytorch|appendixes|tests)/[\w/]+\.\w+)`", README):
        assert (PROJECT / path).is_file(), path
    headings = re.findall(r"^#+ (.*)", README, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    for anchor in re.findall(r"\]\(#([^)]+)\)", README):
        assert anchor in anchors


def test_settings_in_the_readme_are_known(tmp_path):
    from utils import config

    for block in re.findall(r"<<'END'\n(.*?)END", README, re.DOTALL):
        names = re.findall(r"^(\w+) = ", block, re.MULTILINE)
        assert names
        assert set(names) <= public_values(vars(config)).keys()
