#!/bin/sh
# The install steps of the image, in one place: the Dockerfile runs them, and
# tests/deploy/test_image.py replays them.
#
#   install.sh dependencies PREFIX    what the daemon needs, pinned and checked by hash
#   install.sh package PREFIX         the daemon itself, built here, without its dependencies
#
# Run from the folder of the sources. PREFIX becomes a virtual environment without pip; PREFIX-build,
# which has pip and the build tools, stays behind in the build stage.
set -eu

step=$1
prefix=$2
build="$prefix-build"

dependencies() {
  python3 -m venv "$build"
  python3 -m venv --without-pip "$prefix"
  pip install --require-hashes -r deploy/image/build.txt
  pip --python "$prefix/bin/python" install --require-hashes --only-binary :all: \
    -r requirements/runtime.txt
}

package() {
  pip wheel --no-deps --no-build-isolation --wheel-dir "$build/wheels" .
  pip --python "$prefix/bin/python" install --no-deps --no-index "$build"/wheels/cdc_daemon-*.whl
}

pip() {
  "$build/bin/python" -m pip --disable-pip-version-check --no-input "$@"
}

case $step in
  dependencies) dependencies ;;
  package) package ;;
  *)
    echo "install.sh: expected dependencies or package, got $step" >&2
    exit 2
    ;;
esac
