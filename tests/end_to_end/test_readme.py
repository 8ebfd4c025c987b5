"""README and pages: their commands run as they stand, and what they name exists."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.commands import PROJECT, python_that_forks
from utils.settings.overrides import public_values

# The commands run in this order, as a reader would give them; appendixes/own_data.md has test_own_data.py.
IN_ORDER = [PROJECT / "README.md", PROJECT / "appendixes/commands.md"]
OWN_DATA = PROJECT / "appendixes/own_data.md"
PAGES = [*IN_ORDER, *sorted(set((PROJECT / "appendixes").glob("*.md")) - {*IN_ORDER})]
README = IN_ORDER[0].read_text(encoding="utf-8")

# Lines that set up a user's shell: the test sets up its own. runme.sh has a test of its own (test_runme.py),
# tests/run.sh is what runs this one, HomeMix and the published Cnn14 have to be downloaded, and the
# experiment on fine-tuning takes an hour. torchrun and Dask are run by test_distributed.py and
# test_cluster.py. TensorBoard would never end. arecord needs a microphone: test_live.py sends a stream.
SET_UP = ("source .venv/bin/activate", "export ", "unset ")
RUN_ELSEWHERE = (
    "bash runme.sh",
    "bash tests/run.sh",
    "utils/homemix.py",
    "workspace/homemix",
    "git clone ",
    "torchrun ",
    "dask",
    "requirements-",
    "tensorboard --logdir",
    "arecord",
    "benchmarks",
    "Cnn14",
    "finetune_homemix.sh",
)


def bash_blocks(page: Path) -> list[str]:
    """The commands of a page, block by block."""
    return re.findall(r"```bash\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def commands_to_run() -> str:
    """The commands of all pages; one that several pages have is run where it first stands."""
    blocks = [block for page in PAGES if page != OWN_DATA for block in bash_blocks(page)]
    lines: list[str] = []
    for line in "\n".join(blocks).splitlines():
        is_repeated = line.startswith("python ") and line in lines
        if not line.startswith(SET_UP) and not is_run_elsewhere(line) and not is_repeated:
            lines.append(line)
    return "\n".join(lines)


def is_run_elsewhere(line: str) -> bool:
    if line.endswith("--tensorboard") and find_spec("tensorboard") is None:
        return True
    if "export.py onnx" in line and find_spec("onnxruntime") is None:
        return True
    if "--scores_dir" in line and find_spec("sed_scores_eval") is None:
        return True
    return any(command in line for command in RUN_ELSEWHERE)


def test_commands_of_readme_and_pages_run(small, tmp_path):
    for name in ("utils", "pytorch", "metadata"):
        (tmp_path / name).symlink_to(PROJECT / name)
    (tmp_path / "demo_dataset").symlink_to(small.dataset_dir)
    commands = commands_to_run()
    assert commands.count("python ") >= 20
    (tmp_path / "bin").mkdir()
    with python_that_forks(tmp_path / "bin") as folder:
        environment = {
            **small.environment,
            "DATASET_DIR": str(small.dataset_dir),
            "WORKSPACE": str(tmp_path / "workspace/demo"),
            "ITERATIONS": "1",
            "PATH": f"{folder}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
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


def test_readme_is_short():
    assert len(README.splitlines()) <= 200


def test_runme_variables_of_the_pages_are_those_of_the_script():
    text = (PROJECT / "appendixes/commands.md").read_text(encoding="utf-8")
    section = text.split("These variables can be set")[1].split("\n## ")[0]
    named = set(re.findall(r"`([A-Z_]{4,})`", section))
    script = (PROJECT / "runme.sh").read_text() + (PROJECT / "utils/environment.sh").read_text()
    used = set(re.findall(r"\$\{([A-Z_]+):?-", script)) - {"DEMO", "BASH_SOURCE"}
    assert named - {"SED_CONFIG", "CUDA_VISIBLE_DEVICES"} == used - {"SED_CONFIG"}


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives a page's headings."""
    headings = re.findall(r"^#+ (.*)", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_and_links_of_a_page_exist(page):
    text = page.read_text(encoding="utf-8")
    for target, anchor in re.findall(r"\]\(([^)#\s]*)#?([^)\s]*)\)", text):
        if not target.startswith("https://"):
            linked = page.parent / target if target else page
            assert linked.is_file(), target
            assert not anchor or anchor in anchors(linked), f"{target}#{anchor}"
    for path in re.findall(r"`((?:utils|pytorch|appendixes|tests)/[\w/]+\.\w+)`", text):
        assert (PROJECT / path).is_file(), path


def test_every_page_is_linked_from_the_readme():
    assert {str(page.relative_to(PROJECT)) for page in PAGES[1:]} <= set(
        re.findall(r"\]\(([^)#]+)\)", README)
    )


def test_source_map_names_every_file():
    section = README.split("## Source map\n")[1].split("\n## ")[0]
    named = re.findall(r"^\| `([\w/]+\.py)`", section, re.MULTILINE)
    for folder, files in re.findall(r"^\| `([\w/]+/)` .*\|(.*)\|$", section, re.MULTILINE):
        named += [f"{folder}{name}.py" for name in re.findall(r"`(\w+)`", files)]
    there = [path for folder in ("utils", "pytorch") for path in (PROJECT / folder).rglob("*.py")]
    assert sorted(named) == sorted(
        str(path.relative_to(PROJECT)) for path in there if path.name != "__init__.py"
    )


def test_settings_in_the_pages_are_known():
    from utils import config

    texts = [page.read_text(encoding="utf-8") for page in PAGES]
    blocks = re.findall(r"<<'END'\n(.*?)END", "\n".join(texts), re.DOTALL)
    assert len(blocks) >= 2
    for block in blocks:
        names = re.findall(r"^(\w+) = ", block, re.MULTILINE)
        assert names
        assert set(names) <= public_values(vars(config)).keys()
