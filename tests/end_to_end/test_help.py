"""`--help` of every command explains every option, with its default, and shows an example."""

import argparse
import importlib
import shlex
import sys
from subprocess import run
from unittest.mock import patch

import pytest

from tests.commands import PROJECT, run_well

SCRIPTS = sorted(
    str(path.relative_to(PROJECT))
    for folder in ("utils", "pytorch")
    for path in (PROJECT / folder).glob("*.py")
    if "def main()" in path.read_text()
)


def parser_of(script: str) -> argparse.ArgumentParser:
    """The parser that a script's `main` makes."""
    module = importlib.import_module(script.removesuffix(".py").replace("/", "."))
    with patch("utils.system.command_line.run") as run:
        module.main()
    return run.call_args.args[0]


def commands_of(script: str) -> dict[str, argparse.ArgumentParser]:
    """The parsers of a script's commands; of a script without commands, its own."""
    parser = parser_of(script)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return {f"{script} {name}": command for name, command in action.choices.items()}
    return {script: parser}


COMMANDS = {name: parser for script in SCRIPTS for name, parser in commands_of(script).items()}


def test_all_commands_are_looked_at():
    assert len(SCRIPTS) >= 7
    assert {"pytorch/inference.py predict", "pytorch/main.py train", "utils/report.py"} <= COMMANDS.keys()


@pytest.mark.parametrize("script", SCRIPTS)
def test_without_the_packages_a_command_ends_with_one_line_that_says_so(script):
    """As with a Python other than that of .venv."""
    result = run([sys.executable, "-S", PROJECT / script, "--help"], capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stderr.startswith("error: torch is not installed in ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_explained_with_its_default(command):
    for action in COMMANDS[command]._actions:
        name = action.dest
        assert action.help and len(action.help) > 4, name
        assert "%" not in action.help.replace("%%", ""), name
        if action.default not in (None, False, argparse.SUPPRESS):
            is_list = isinstance(action.default, tuple)
            default = ",".join(action.default) if is_list else str(action.default)
            assert f"default {default}" in action.help, name


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_shows_an_example_that_can_be_parsed(command):
    heading, example = COMMANDS[command].epilog.split("\n")
    assert heading == "example:"
    python, *words = shlex.split(example)
    script, *names = command.split()
    assert [python, *words[: 1 + len(names)]] == ["python", script, *names]
    COMMANDS[command].parse_args(words[1 + len(names) :])  # leaves the program where it is wrong
    assert example in COMMANDS[command].format_help()


def test_script_lists_its_commands_and_the_command_its_options():
    listed = run_well("pytorch/inference.py", "--help")
    assert "predict" in listed
    assert "COMMAND --help explains the options of a command." in listed
    shown = run_well("pytorch/inference.py", "predict", "--help")
    assert "--checkpoint_path" in shown
    assert "Exit code: 0 if all recordings were read" in shown
