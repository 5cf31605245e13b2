#!/usr/bin/env bash
# Set up this checkout on a machine that has Python 3.11 or newer: .venv from uv.lock, Java, Kafka's jars, and what the tests
# check e-invoices, PDF/A and Prometheus' rules with.
# Says what it does, one line a step; does nothing and says nothing when all is there. Safe to run again at any time.
set -euo pipefail
cd "$(dirname "$0")/../.."

uv_version=$(sed -nE 's/^uv==([0-9.]+).*/\1/p' deploy/local/uv/requirements.txt)
kafka=.cache/kafka-4.3.1
rules=.cache/invoice-rules-2026.5
pdfa=.cache/verapdf-1.28.2
focus=.cache/focus-validator-2.2.1
prometheus=.cache/prometheus
prometheus_packages=(prometheus prometheus-alertmanager)
plugin=org.apache.maven.plugins:maven-dependency-plugin:3.8.1
java=${JAVA_HOME:+$JAVA_HOME/bin/}java
packages_updated=

say() { echo "setup: $*"; }
fail() { echo "setup: $*" >&2; exit 1; }
key() { cat "$@" | cksum; }
is_done() { [ -f "$1" ] && [ "$(<"$1")" = "$2" ]; }

main() {
    local python_key
    mkdir -p .cache
    exec 9>.cache/setup.lock
    if command -v flock >/dev/null; then flock 9; fi
    python_key=$(key uv.lock pyproject.toml)
    if ! is_done .cache/python.key "$python_key" || [ ! -x .venv/bin/plafond ] || ! .venv/bin/python -c ''; then
        python_packages
        echo "$python_key" >.cache/python.key
    fi
    command -v "$java" >/dev/null || java_runtime
    jars "Kafka's jars" deploy/local/kafka/pom.xml "$kafka"
    jars "the rules of e-invoices" deploy/local/rules/pom.xml "$rules"
    jars "veraPDF" deploy/local/pdfa/pom.xml "$pdfa"
    focus_validator
    prometheus_tools
}

python_packages() {
    local python
    python=$(find_python)
    if [ "$(.cache/uv/bin/uv --version 2>/dev/null | cut -d' ' -f2)" != "$uv_version" ]; then
        "$python" -c 'import ensurepip, venv' 2>/dev/null || system_packages "$(basename "$(readlink -f "$python")")-venv"
        say "uv $uv_version into .cache/uv"
        rm -rf .cache/uv
        "$python" -m venv .cache/uv
        .cache/uv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r deploy/local/uv/requirements.txt
    fi
    say "the packages of uv.lock into .venv, with $("$python" --version)"
    env -u VIRTUAL_ENV UV_PROJECT_ENVIRONMENT=.venv UV_PYTHON_DOWNLOADS=never \
        .cache/uv/bin/uv sync --quiet --frozen --compile-bytecode --python "$python"
    .venv/bin/python -m compileall -q services schemas
}

focus_validator() { # wants a newer Python than we do; without one its tests say that they are left out
    local python="" name key
    key=$(key deploy/local/focus/requirements.txt)
    if is_done "$focus/key" "$key"; then return; fi
    for name in python3.14 python3.13 python3.12 python3 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[2-9]*/bin/python3; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then python=$name && break; fi
    done
    [ -n "$python" ] || return 0
    say "the validator of FOCUS into $focus, with $("$python" --version)"
    rm -rf "$focus"
    .cache/uv/bin/uv venv --quiet --python "$("$python" -c 'import sys; print(sys._base_executable)')" "$focus"
    VIRTUAL_ENV=$focus .cache/uv/bin/uv pip sync --quiet --require-hashes deploy/local/focus/requirements.txt
    echo "$key" >"$focus/key"
}

prometheus_tools() { # taken out of Debian's packages: installing these would start servers
    local package key
    key=$(key <<<"${prometheus_packages[*]}")
    if is_done "$prometheus/key" "$key" && [ -x "$prometheus/promtool" ] && [ -x "$prometheus/amtool" ]; then return; fi
    rm -rf "$prometheus" && mkdir -p "$prometheus/packages"
    if command -v promtool >/dev/null && command -v amtool >/dev/null; then
        ln -s "$(command -v promtool)" "$(command -v amtool)" "$prometheus"
    elif command -v apt-get >/dev/null; then
        say "promtool and amtool, out of the system's packages, into $prometheus"
        download || { update_packages && download; } || fail "apt-get can't download ${prometheus_packages[*]}"
        for package in "$prometheus"/packages/*.deb; do dpkg-deb -x "$package" "$prometheus/packages"; done
        mv "$prometheus"/packages/usr/bin/{promtool,amtool} "$prometheus"
    else
        say "promtool and amtool are missing: tests of Prometheus' rules will fail until both are on PATH and this is run again"
        return
    fi
    rm -rf "$prometheus/packages"
    echo "$key" >"$prometheus/key"
}

download() { # as root apt-get would warn that its own user may not write here
    (cd "$prometheus/packages" && apt-get download -qq -o APT::Sandbox::User=root "${prometheus_packages[@]}") >/dev/null 2>&1
}

find_python() {
    local name
    for name in .venv/bin/python python3.13 python3.12 python3.11 python3; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            "$name" -c 'import sys; print(sys._base_executable)'
            return
        fi
    done
    fail "Python 3.11 or newer is needed: install python3.11 (or newer) and run this again"
}

java_runtime() {
    [ "$(java_version)" -lt 17 ] || return 0
    [ -z "${JAVA_HOME:-}" ] || fail "JAVA_HOME is $JAVA_HOME, which has no Java 17 or newer: set it to one, or unset it"
    system_packages openjdk-17-jre-headless openjdk-21-jre-headless default-jre-headless
    hash -r
    [ "$(java_version)" -ge 17 ] || fail "Java 17 or newer is needed, and \`java\` is older: make a newer one the default"
}

java_version() {
    local version
    version=$("$java" -version 2>&1 | sed -nE 's/.*version "([0-9]+).*/\1/p' | head -n 1) || true
    echo "${version:-0}"
}

jars() { # what a pom names, into a folder's libs
    local what=$1 pom=$2 folder=$3 output
    if is_done "$folder/key" "$(key "$pom")" && [ -d "$folder/libs" ]; then return; fi
    java_runtime
    command -v mvn >/dev/null || system_packages maven
    say "$what by Maven into $folder/libs"
    rm -rf "$folder"
    output=$(mvn --quiet --batch-mode -Dstyle.color=never --file "$pom" "$plugin:copy-dependencies" \
        -DincludeScope=runtime "-DoutputDirectory=$PWD/$folder/libs.new" </dev/null 2>&1) || fail "Maven failed: $output"
    mv "$folder/libs.new" "$folder/libs"
    key "$pom" >"$folder/key"
}

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }

update_packages() {
    if [ -z "$packages_updated" ]; then
        as_root apt-get update -qq
        packages_updated=yes
    fi
}

system_packages() { # the first of the named Debian packages that there is
    local names=$* name
    if ! command -v apt-get >/dev/null || ! as_root true 2>/dev/null; then
        fail "please install ${names// / or }, then run this again (it can't be done from here without root)"
    fi
    update_packages
    for name; do
        if [[ $(apt-cache policy "$name") == *"Candidate: "[0-9]* ]]; then
            say "the system's package $name"
            as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$name" >/dev/null
            return
        fi
    done
    fail "this system has no package ${names// / or }: install it in another way, then run this again"
}

main
