# Create .venv from a lock file with hashes, unless it is up to date. Source it with LOCK set.
# The packages of the project are part of pyproject.toml, so a change of it counts, too.
# shellcheck shell=sh
lock=${LOCK:?}
stamp=".venv/$lock.installed"
if ! cat "$lock" pyproject.toml | cmp -s - "$stamp"; then
    python=""
    for candidate in "${PYTHON:-python3}" python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            python=$candidate
            break
        fi
    done
    if [ -z "$python" ]; then
        echo "tributary: Python 3.11 or later is required; set PYTHON to its path" >&2
        exit 2
    fi
    echo "tributary: setting up .venv (again only after an update)" >&2
    [ -x .venv/bin/python ] || "$python" -m venv .venv
    # pip keeps one core busy, so two of them install half of the requirements each. Compiling
    # everything takes a fifth of the time; what is imported is compiled then.
    half() {
        awk -v half="$1" '/^[^ #]/ { n++ } n % 2 == half' "$lock"
    }
    install_half="install --quiet --no-compile --disable-pip-version-check --no-deps --require-hashes"
    # shellcheck disable=SC2086 # a list of options
    half 0 | .venv/bin/python -m pip $install_half -r /dev/stdin &
    other=$!
    trap 'kill "$other"; exit 130' INT # a process in the background ignores it
    # shellcheck disable=SC2086
    half 1 | .venv/bin/python -m pip $install_half -r /dev/stdin || { wait "$other"; exit 1; }
    wait "$other"
    trap - INT
    .venv/bin/python -m pip install --quiet --disable-pip-version-check \
        --no-deps --no-build-isolation --no-index --config-settings editable_mode=compat -e .
    cat "$lock" pyproject.toml >"$stamp"
fi
