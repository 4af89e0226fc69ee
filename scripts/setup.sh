# Sourced by the commands beside it: `set_up NAME` makes .venv in the repository's root ready.
#
# All that is said goes to stderr, so that results on stdout stay clean (--json). pip's own words go
# to .setup.log, which is also the lock: two commands started at once make one .venv between them.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
venv=$root/.venv
python=$venv/bin/python
setup_log=$root/.setup.log

say() { echo "robust: $*" >&2; }

# set_up NAME: NAME is `run`, or `test` for what the tests need as well.
set_up() {
    if is_ready "$1" && { [ -e "$venv/.weights" ] || [ ! -w "$venv" ]; }; then return; fi
    local base
    base=$(find_python) || return
    if ! { : >>"$setup_log"; } 2>/dev/null; then
        say "error: cannot write to $root; set-up makes .venv there"
        return 2
    fi
    # The lock belongs to descriptor 9 and ends with the subshell, however that ends.
    (
        trap 'say "set-up interrupted; the next run starts it afresh"; exit 130' INT
        if ! lock LOCK_NB; then
            say "another command is setting up .venv; waiting for it"
            lock LOCK_EX || { say "error: cannot lock $setup_log"; exit 2; }
        fi
        is_ready "$1" || make_ready "$1" || exit
        [ -e "$venv/.weights" ] || get_weights
    ) 9>>"$setup_log"
}

# What .venv is made from. The path counts too, as the installed commands hold it.
wanted() { echo "$root" && cat "$root/pyproject.toml"; }

# The stamp .ready-NAME comes last in a set-up; a Python that was upgraded or removed loses its pip.
is_ready() { wanted | cmp -s - "$venv/.ready-$1" && works; }
works() { "$python" -I -c 'import pip' >/dev/null 2>&1; }

lock() { "$base" -c "import fcntl; fcntl.flock(9, fcntl.LOCK_EX | fcntl.$1)" 2>/dev/null; }

find_python() {
    local name
    for name in python3.11 python3.12 python3.13 python3.14 python3 python; do
        if "$name" -c 'import sys, venv, ensurepip, fcntl; sys.exit(sys.version_info < (3, 11))' \
            >/dev/null 2>&1; then
            echo "$name"
            return
        fi
    done
    say "error: found no Python 3.11 or newer with venv on PATH;" \
        "install one (on Debian and Ubuntu: apt install python3 python3-venv)"
    return 2
}

# .unfinished stands while pip works: a .venv that has it may hold half of a package, and pip would
# take that for a whole one, so such a .venv is made anew.
make_ready() {
    local fresh="" extras=""
    if [ "$1" = test ]; then extras="[test]"; fi
    : >"$setup_log"
    if [ -e "$venv/.unfinished" ] || ! works; then
        fresh=yes
        say "setting up .venv: PyTorch and its CUDA packages are a download of about 6 GB," \
            "1-3 minutes on a fast line (log: $setup_log)"
        rm -rf "$venv" && "$base" -m venv "$venv" >>"$setup_log" 2>&1 || { failed; return 1; }
    else
        say "bringing .venv up to date with pyproject.toml (log: $setup_log)"
    fi
    rm -f "$venv"/.ready-*
    wanted >"$venv/.unfinished" || { failed; return 1; }
    if ! "$python" -m pip install --no-input --disable-pip-version-check \
        --editable "$root$extras" >>"$setup_log" 2>&1; then
        # An update that fails in order is taken back by pip: a wrong line in pyproject.toml must
        # not cost the whole download.
        if [ -z "$fresh" ]; then rm -f "$venv/.unfinished"; fi
        failed
        return 1
    fi
    if [ "$1" = test ]; then cp "$venv/.unfinished" "$venv/.ready-test"; fi
    mv "$venv/.unfinished" "$venv/.ready-run"
}

# Says what it fetches and how large that is; where a cache has it, nothing. The stamp .weights means
# that it was tried: without a network that is not waited for again at each command.
get_weights() {
    local weights="vgg16 lpips-alex lpips-vgg"
    if ! "$python" -I -m robust weights get $weights >>"$setup_log" 9>&-; then
        say "set-up goes on without these weights: losses use the embedded network;" \
            "later: scripts/robust weights get $weights"
    fi
    : >"$venv/.weights"
}

failed() {
    local cause
    cause=$(grep -i '^error' "$setup_log" | tail -n 1)
    say "error: set-up failed${cause:+ ($cause)}; pip's log: $setup_log"
}
