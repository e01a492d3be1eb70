# shellcheck shell=bash
# What the scripts share. They source it from the top of the repository.

# Colours only where somebody looks at them.
if [[ -t 1 && ${TERM:-dumb} != dumb ]]; then bold=$'\e[1m' plain=$'\e[0m'; else bold='' plain=''; fi

say() { printf '%s==> %s%s\n' "$bold" "$*" "$plain"; }

die() {
  printf 'error: %s\n' "$1" >&2
  shift
  (($# == 0)) || printf '       %s\n' "$@" >&2
  exit 1
}

# Runs a command as root: directly, or through sudo.
as_root() {
  if ((EUID == 0)); then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "this needs root, and there is no sudo: $*"
  fi
}

# Runs a command as a user who may start a server: initdb and postgres refuse to be root. Paths must be absolute:
# that user may have no right to be in this folder.
as_server_user() {
  if ((EUID == 0)); then
    (cd / && exec runuser -u postgres -- "$@")
  else
    "$@"
  fi
}

# Python's tools for `make lint`, in an environment of their own beside what cargo builds.
python_tools=${CARGO_TARGET_DIR:-target}/python-tools

# The major version of a pg_config: 15.
pg_major() { "$1" --version | sed -E 's/^[^0-9]*([0-9]+).*/\1/'; }

# The value of a line `name = "value"` or `name = "=value"` of Cargo.toml, so that versions are in one place.
manifest() { sed -nE "s/^$1 = \"=?([^\"]+)\".*/\1/p" Cargo.toml | head -n 1; }
