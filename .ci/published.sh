#!/bin/sh
# Builds environments with the published programs, for the live tests:
#
#     .ci/published.sh DIR
#     COCAINED_PUBLISHED=DIR COCAINED_LIVE=1 \
#         python -m twisted.trial cocained.test.live.test_published
#
# DIR/framework  Python 3 (3.11 at least) with the framework `cocaine`, unmodified
# DIR/shim       what that Python must be told first; on PYTHONPATH
# DIR/tool       Python 2.7 with `cocaine-tools` and the framework
# DIR/tool.missing  the reason, if there is no Python 2.7 on this machine
#
# What is there already is kept, so DIR can be cached.  PYTHON and PYTHON27
# name interpreters other than those that are found.
set -eu

here=${1:?usage: $0 DIR}
mkdir -p "$here"
here=$(cd "$here" && pwd)

python=${PYTHON:-}
for each in python3.11 python3.12 python3.13 python3; do
    [ -n "$python" ] && break
    if "$each" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
    then python=$each; fi
done
[ -n "$python" ] || { echo "Python 3.11 or later is needed" >&2; exit 1; }

install() {
    # $1 is an environment, the others are what goes into it.
    environment=$1; shift
    "$here/$environment/bin/python" -m pip install -q --disable-pip-version-check "$@"
}

if [ ! -e "$here/framework/done" ]; then
    echo "The framework, on $("$python" --version)"
    rm -rf "$here/framework"
    "$python" -m venv "$here/framework"
    # The old distributions are built here, and know nothing newer.
    install framework 'setuptools<80' wheel
    install framework --no-build-isolation --no-deps \
        cocaine==0.12.14.5 tornado==4.5.3 msgpack==0.5.6 six==1.10.0
    touch "$here/framework/done"
fi

mkdir -p "$here/shim"
cat > "$here/shim/sitecustomize.py" <<'SHIM'
"""Names that were in the standard library when the framework was written."""

import collections
import collections.abc
import inspect

for _name in collections.abc.__all__:
    if not hasattr(collections, _name):
        setattr(collections, _name, getattr(collections.abc, _name))

if not hasattr(inspect, "getargspec"):

    def _getargspec(function):
        spec = inspect.getfullargspec(function)
        return inspect.ArgSpec(*spec[:4])

    inspect.ArgSpec = collections.namedtuple("ArgSpec", "args varargs keywords defaults")
    inspect.getargspec = _getargspec
SHIM

find_python27() {
    for each in ${PYTHON27:-} python2.7 "$HOME"/.pyenv/versions/2.7.*/bin/python2.7; do
        if "$each" -c 'import sys; sys.exit(sys.version_info[:2] != (2, 7))' 2>/dev/null
        then command -v "$each"; return; fi
    done
}

if [ ! -e "$here/tool/done" ]; then
    python27=$(find_python27)
    if [ -z "$python27" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        # Debian 11 was the last to have it; later ones may offer no candidate.
        apt-get update -qq >/dev/null 2>&1 || true
        apt-get install -qq -y python2.7 >/dev/null 2>&1 || true
        python27=$(find_python27)
    fi
    rm -rf "$here/tool" "$here/tool.missing"
    if [ -z "$python27" ]; then
        reason="cocaine-tools needs Python 2.7, and this machine has none and no package of it"
        echo "$reason" | tee "$here/tool.missing"
        exit 0
    fi
    echo "The tool, on $("$python27" --version 2>&1)"
    # 20.21 was the last to make environments of Python 2.7.
    if [ ! -e "$here/virtualenv/done" ]; then
        rm -rf "$here/virtualenv"
        "$python" -m venv "$here/virtualenv"
        "$here/virtualenv/bin/python" -m pip install -q --disable-pip-version-check \
            'virtualenv==20.21.1'
        touch "$here/virtualenv/done"
    fi
    "$here/virtualenv/bin/virtualenv" -q -p "$python27" "$here/tool"
    install tool \
        cocaine-tools==0.12.13.6 cocaine==0.12.14.5 tornado==4.5.3 msgpack==0.5.6 \
        msgpack-python==0.5.6 six==1.10.0 click==6.7 PyYAML==3.13 Cerberus==0.9.1 \
        2>/dev/null
    touch "$here/tool/done"
fi
