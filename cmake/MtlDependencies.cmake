# SPDX-License-Identifier: Apache-2.0
# The libraries that libmtl stands on, as the targets mtl::cblas and mtl::utf8proc. Used twice: by the build, and (it is
# installed) by mtlConfig.cmake when a program takes the static library. Reads MTL_BLAS; sets MTL_CBLAS_LINK, what a
# linker is told for CBLAS, and MTL_BLAS_RPATH, the folder that the reference CBLAS must be loaded from.

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)

if(NOT TARGET mtl::utf8proc)
  pkg_check_modules(MTL_UTF8PROC REQUIRED libutf8proc)
  add_library(mtl::utf8proc INTERFACE IMPORTED GLOBAL)
  target_include_directories(mtl::utf8proc INTERFACE ${MTL_UTF8PROC_INCLUDE_DIRS})
  target_link_libraries(mtl::utf8proc INTERFACE ${MTL_UTF8PROC_LINK_LIBRARIES})
endif()

if(NOT TARGET mtl::cblas)
  if(MTL_BLAS STREQUAL "openblas")
    pkg_check_modules(MTL_CBLAS REQUIRED openblas)
    set(MTL_CBLAS_LINK ${MTL_CBLAS_LDFLAGS})
    set(mtl_cblas_libraries ${MTL_CBLAS_LINK_LIBRARIES})
    set(mtl_cblas_includes ${MTL_CBLAS_INCLUDE_DIRS})
  elseif(MTL_BLAS STREQUAL "reference")
    # Debian lets every BLAS call itself libblas.so.3 and chooses one for the machine; the reference one keeps a folder
    # and a header of its own. We name both, or we should be testing whatever the machine prefers.
    pkg_search_module(MTL_CBLAS REQUIRED blas-netlib cblas blas)
    find_library(MTL_REFERENCE_CBLAS NAMES cblas blas REQUIRED
      HINTS ${MTL_CBLAS_LIBRARY_DIRS} ${MTL_CBLAS_LIBDIR} PATH_SUFFIXES blas netlib NO_DEFAULT_PATH)
    find_file(MTL_REFERENCE_CBLAS_HEADER NAMES cblas-netlib.h cblas.h REQUIRED
      HINTS ${MTL_CBLAS_INCLUDE_DIRS} ${MTL_CBLAS_INCLUDEDIR})
    mark_as_advanced(MTL_REFERENCE_CBLAS MTL_REFERENCE_CBLAS_HEADER)
    get_filename_component(MTL_BLAS_RPATH "${MTL_REFERENCE_CBLAS}" DIRECTORY)
    get_filename_component(mtl_cblas_name "${MTL_REFERENCE_CBLAS}" NAME_WE)
    string(REGEX REPLACE "^lib" "-l" mtl_cblas_name "${mtl_cblas_name}")
    set(MTL_CBLAS_LINK "-L${MTL_BLAS_RPATH}" "-Wl,-rpath,${MTL_BLAS_RPATH}" ${mtl_cblas_name})
    set(mtl_cblas_libraries "${MTL_REFERENCE_CBLAS}")
    set(mtl_cblas_includes "${CMAKE_CURRENT_BINARY_DIR}/cblas")
    file(CONFIGURE OUTPUT "${CMAKE_CURRENT_BINARY_DIR}/cblas/cblas.h"
      CONTENT "/* SPDX-License-Identifier: Apache-2.0 */\n#include \"@MTL_REFERENCE_CBLAS_HEADER@\"\n" @ONLY)
  else()
    message(FATAL_ERROR "MTL_BLAS is '${MTL_BLAS}'; it must be openblas or reference")
  endif()
  add_library(mtl::cblas INTERFACE IMPORTED GLOBAL)
  target_include_directories(mtl::cblas INTERFACE ${mtl_cblas_includes})
  target_link_libraries(mtl::cblas INTERFACE ${mtl_cblas_libraries})
endif()
