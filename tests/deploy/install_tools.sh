#!/bin/sh
# Installs what tests/deploy needs beyond Python: helm (built from its Go module, whose checksum Go
# verifies) and promtool (from Debian's package prometheus, unpacked, so that no server is set up).
# They stay outside the repository: $CDC_DAEMON_TOOLS, by default ~/.cache/cdc-daemon/tools.
# About 3 minutes the first time on 2 cores, then nothing. Needs Go 1.26 and apt.
set -eu

helm_version=v4.3.1
tools=${CDC_DAEMON_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/cdc-daemon/tools}
mkdir -p "$tools"

# A helm built this way does not know its own patch version, but Go does.
if ! go version -m "$tools/helm" 2>/dev/null | grep -q "helm.sh/helm/v4.*$helm_version"; then
  echo "building helm $helm_version in $tools (about 3 minutes)" >&2
  GOBIN=$tools CGO_ENABLED=0 go install "helm.sh/helm/v4/cmd/helm@$helm_version"
fi

if ! [ -x "$tools/promtool" ]; then
  echo "unpacking promtool in $tools" >&2
  folder=$(mktemp -d)
  trap 'rm -rf "$folder"' EXIT
  # apt reads as its own user.
  chmod 755 "$folder"
  if ! apt-cache show prometheus >/dev/null 2>&1; then
    apt-get update -q
  fi
  (cd "$folder" && apt-get download -q prometheus && dpkg -x prometheus_*.deb unpacked)
  install -m 755 "$folder/unpacked/usr/bin/promtool" "$tools/promtool"
fi
