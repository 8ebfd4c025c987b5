#!/usr/bin/env bash
# Lints the code and runs the tests; further arguments go to pytest.
set -u -o pipefail

source "$(dirname "${BASH_SOURCE[0]}")/../utils/environment.sh"
packages=(requirements.txt tests/requirements.txt requirements-cluster.txt requirements-tensorboard.txt)
(prepare_python "${packages[@]}" requirements-psds.txt) ||
    echo "requirements-psds.txt cannot be installed, perhaps for want of a C++ compiler: no tests of PSDS"
(prepare_python "${packages[@]}" requirements-onnx.txt) ||
    echo "requirements-onnx.txt cannot be installed: no tests of ONNX files"
prepare_python "${packages[@]}" || exit
cd "$project" || exit

code=(appendixes pytorch tests utils) # not what a user keeps beside them, such as my_settings.py
"$PYTHON" -m ruff check "${code[@]}" || exit
"$PYTHON" -m ruff format --check "${code[@]}" || exit
unset PYTHONDONTWRITEBYTECODE # the tests start commands by the hundred, and each would compile the code again
# Most tests wait for one command after the other: with three at once, two cores are never idle.
OMP_NUM_THREADS=1 "$PYTHON" -m pytest --numprocesses 3 --dist loadgroup "$@"
