# Installs what Palan needs on a Debian-like machine.  Sourced by ./start and ./check.
#
# Each function does nothing if its work has been done before.  Programs come from the
# distribution, Python packages from the index that pip is configured for.

say() { printf '\033[1m%s\033[0m\n' "== $*"; }

fail() {
    printf '%s\n' "$*" >&2
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif have sudo; then
        sudo "$@"
    else
        fail "This needs root: $*"
    fi
}

# Runs apt-get with the present package lists, and updates the lists only if that fails.
apt() {
    have apt-get || fail "apt-get was not found.  Install these packages yourself: ${*: -1}"
    if ! as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq "$@" >"$apt_log" 2>&1; then
        as_root apt-get -qq update
        as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq "$@" >"$apt_log" 2>&1 ||
            { cat "$apt_log" >&2; fail "apt-get $* failed"; }
    fi
}

# packages PROGRAM=PACKAGE...: installs the packages whose programs are missing.
packages() {
    local missing=() pair
    for pair in "$@"; do
        have "${pair%%=*}" || missing+=("${pair#*=}")
    done
    [ ${#missing[@]} = 0 ] && return
    say "Installing ${missing[*]}"
    apt install --yes --no-install-recommends "${missing[@]}"
}

# program NAME PACKAGE PATH: puts one program of a package into .tools, without installing
# the package, because that would also start its service.
program() {
    have "$1" && return
    say "Fetching $1 from the package $2"
    local work
    work=$(mktemp -d)
    (cd "$work" && chmod 755 . && apt download "$2" && dpkg-deb -x ./"$2"_*.deb unpacked)
    mkdir -p .tools
    cp "$work/unpacked$3" ".tools/$1"
    rm -rf "$work"
}

# The programs that the engine runs (runtimes, monitor, firewall), and busybox for an image.
system_packages() {
    packages runc=runc crun=crun conmon=conmon nft=nftables ip=iproute2
    if ! dpkg-query -W -f '${Status}' busybox-static 2>/dev/null | grep -q 'ok installed'; then
        say "Installing busybox-static"
        apt install --yes --no-install-recommends busybox-static
    fi
}

# virtual_environment [dev]: makes .venv with Palan and, for dev, the packages of its tests.
virtual_environment() {
    local wanted stamp=.venv/.made-for-${1:-use}
    packages python3=python3
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "Palan needs Python 3.11 or newer; python3 is $(python3 -V)."
    if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
        say "Installing python3-venv"
        apt install --yes --no-install-recommends python3-venv
    fi
    wanted=$(python3 -V; pwd; cat pyproject.toml)
    [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && return
    say "Making .venv"
    [ -x .venv/bin/python ] || python3 -m venv .venv
    .venv/bin/python -m pip install --quiet --upgrade pip
    .venv/bin/python -m pip install --quiet --editable '.[speed]'
    # An editable install is not compiled, and the first start would wait for that.
    .venv/bin/python -m compileall -q src/palan
    if [ "${1:-}" = dev ]; then
        .venv/bin/python -m pip install --quiet --group dev
    fi
    printf '%s\n' "$wanted" >"$stamp"
}

# Cached bytecode halves the time that the engine takes to start.
unset PYTHONDONTWRITEBYTECODE
export PATH="$PWD/.tools:$PATH:/usr/sbin:/sbin"
apt_log=$(mktemp)
trap 'rm -f "$apt_log"' EXIT
