# Sourced by runme.sh and tests/run.sh. Sets PYTHON to an interpreter that has the packages needed: the
# caller's own PYTHON where it is set, else that of .venv, which is made and filled when something is missing.

project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

find_python() { # the first Python that is new enough
    local candidate
    for candidate in python3.11 python3 python3.12 python3.13 python; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            echo "$candidate"
            return
        fi
    done
    echo "error: no Python 3.11 or newer found; install one, or set PYTHON to an interpreter" >&2
    return 1
}

prepare_python() { # prepare_python REQUIREMENTS_FILE ...   (paths relative to the project)
    if [ -n "${PYTHON:-}" ]; then
        command -v "$PYTHON" >/dev/null && return # with the packages; utils/__init__.py says where some are missing
        echo "error: PYTHON=$PYTHON: there is no such program; name a Python, or leave it out for one in .venv" >&2
        exit 2
    fi
    local venv="$project/.venv" file record base
    for file in "$@"; do
        record="$venv/installed/${file//\//_}"
        cmp -s "$project/$file" "$record" && continue
        if [ ! -x "$venv/bin/python" ]; then
            base=$(find_python) || return
            echo "Making .venv with $("$base" --version)"
            "$base" -m venv "$venv" || return
        fi
        echo "Installing $file into .venv (a few minutes, once)"
        "$venv/bin/python" -m pip install --quiet --quiet --disable-pip-version-check -r "$project/$file" || return
        mkdir -p "$venv/installed"
        cp "$project/$file" "$record"
    done
    PYTHON="$venv/bin/python"
}
