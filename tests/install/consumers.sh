#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs the built library into a fresh folder and uses it from there as other programs do, in C and C++.
# Usage: consumers.sh WAY ROOT BUILD WORK CMAKE CC CXX; WAY is one of
#   pkgconfig-shared pkgconfig-static find-package make subdirectory moved destdir
set -eu
way=$1
root=$2
build=$3
work=$4
cmake=$5
cc=$6
cxx=${7:-}
here=$root/tests/install

[ -n "$cxx" ] || { echo "skipped: no C++ compiler"; exit 77; }
rm -rf "$work"
mkdir -p "$work"
prefix=$work/prefix
export OPENBLAS_NUM_THREADS=1
export CC="$cc" CXX="$cxx"

install_to() { "$cmake" --install "$build" --prefix "$1" >"$work/install.log" || { cat "$work/install.log"; exit 1; }; }

libdir_of() { dirname "$(dirname "$(find "$1" -name libmtl.pc)")"; }

# Which libmtl a program runs with: a shared one below $2, or none.
expect_shared() { ldd "$1" | grep "libmtl\.so.*=> $2/" || { ldd "$1"; echo "$1 does not use the libmtl.so below $2"; exit 1; }; }
expect_static() { if ldd "$1" | grep libmtl; then echo "$1 uses a shared libmtl"; exit 1; fi; }

pkgconfig() { # pkgconfig PREFIX [--static]
    export PKG_CONFIG_PATH="$(libdir_of "$1")/pkgconfig"
    flags=$(pkg-config ${2:-} --cflags --libs libmtl)
    case "$flags" in *"$prefix"*) [ "$1" = "$prefix" ] || { echo "libmtl.pc of $1 still names $prefix"; exit 1; } ;; esac
    set -- "$1" $flags "-Wl,-rpath,$(libdir_of "$1")"
    shift
    "$cc" -O1 -Wall -Werror -o "$work/c" "$here/consumer.c" "$@"
    "$cxx" -O1 -Wall -Werror -std=c++17 -o "$work/cpp" "$here/consumer.cpp" "$@"
    "$work/c"
    "$work/cpp"
}

find_package() { # find_package PREFIX shared|static
    "$cmake" -S "$here/find_package" -B "$work/find-$2" -DCMAKE_PREFIX_PATH="$1" -DKIND="$2" >"$work/configure.log" 2>&1 ||
        { cat "$work/configure.log"; exit 1; }
    "$cmake" --build "$work/find-$2" >"$work/build.log" 2>&1 || { cat "$work/build.log"; exit 1; }
    "$work/find-$2/consumer_c"
    "$work/find-$2/consumer_cpp"
    "expect_$2" "$work/find-$2/consumer_c" "$1"
    "expect_$2" "$work/find-$2/consumer_cpp" "$1"
}

case $way in
pkgconfig-shared)
    install_to "$prefix"
    pkgconfig "$prefix"
    expect_shared "$work/c" "$prefix"
    [ "$(pkg-config --modversion libmtl)" = "$(sed -n 's/^project(mtl VERSION \([0-9.]*\) .*/\1/p' "$root/CMakeLists.txt")" ]
    # The manifest: nothing more and nothing less is installed.
    find "$prefix" ! -type d | sed "s#^$prefix/##; s#^lib/[^/]*-linux-gnu[^/]*/#lib/#; s#^lib64/#lib/#" | LC_ALL=C sort >"$work/manifest"
    sed '/^#/d' "$here/manifest.txt" | diff - "$work/manifest" || { echo "not what tests/install/manifest.txt lists"; exit 1; }
    ;;
pkgconfig-static)
    install_to "$prefix"
    find "$prefix" -name 'libmtl.so*' -exec rm {} +
    pkgconfig "$prefix" --static
    expect_static "$work/c"
    expect_static "$work/cpp"
    ;;
find-package)
    install_to "$prefix"
    find_package "$prefix" shared
    find_package "$prefix" static
    ;;
make)
    install_to "$prefix"
    mkdir "$work/make"
    make -C "$work/make" -f "$here/make/Makefile" PREFIX="$prefix" LIBDIR="$(libdir_of "$prefix")" SOURCE="$here" \
        CC="$cc" CXX="$cxx"
    "$work/make/consumer_c"
    "$work/make/consumer_cpp"
    expect_shared "$work/make/consumer_c" "$prefix"
    ;;
subdirectory)
    "$cmake" -S "$here/subdirectory" -B "$work/sub" -DMTL_SOURCE="$root" -DCMAKE_BUILD_TYPE=Debug \
        -DMTL_BLAS="${MTL_BLAS:-openblas}" >"$work/configure.log" 2>&1 || { cat "$work/configure.log"; exit 1; }
    "$cmake" --build "$work/sub" --parallel 2 >"$work/build.log" 2>&1 || { cat "$work/build.log"; exit 1; }
    for program in consumer_c_shared consumer_c_static consumer_cpp_shared consumer_cpp_static; do
        "$work/sub/$program"
    done
    expect_shared "$work/sub/consumer_c_shared" "$work/sub"
    expect_static "$work/sub/consumer_c_static"
    ;;
moved)
    install_to "$prefix"
    mkdir "$work/elsewhere"
    mv "$prefix" "$work/elsewhere/tree"
    pkgconfig "$work/elsewhere/tree"
    expect_shared "$work/c" "$work/elsewhere/tree"
    find_package "$work/elsewhere/tree" shared
    find_package "$work/elsewhere/tree" static
    if grep -rlIF "$work/prefix" "$work/elsewhere/tree"; then echo "these files name the folder they were installed to"; exit 1; fi
    if grep -rlIF "$build" "$work/elsewhere/tree"; then echo "these files name the build folder"; exit 1; fi
    ;;
destdir)
    DESTDIR="$work/stage" "$cmake" --install "$build" --prefix /opt/mtl >"$work/install.log"
    [ -e "$work/stage/opt/mtl/include/mtl/mtl.h" ] || { echo "DESTDIR is not obeyed"; cat "$work/install.log"; exit 1; }
    pkgconfig "$work/stage/opt/mtl"
    find_package "$work/stage/opt/mtl" shared
    ;;
*)
    echo "consumers.sh: unknown way '$way'" >&2
    exit 2
    ;;
esac
# What passed needs no space.
rm -rf "$work"
