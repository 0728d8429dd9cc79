# SPDX-License-Identifier: Apache-2.0
# Install rules: headers, libraries, libmtl.pc and the CMake package. Everything is found relative to where it lies, so
# that an installed tree can be moved.

include(CMakePackageConfigHelpers)

set(mtl_package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/mtl")

install(DIRECTORY "${PROJECT_SOURCE_DIR}/include/mtl" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
  COMPONENT development FILES_MATCHING PATTERN "*.h")
install(FILES "${PROJECT_BINARY_DIR}/include/mtl/version.h" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/mtl"
  COMPONENT development)

foreach(kind IN ITEMS shared static)
  if(TARGET mtl_${kind})
    install(TARGETS mtl_${kind} EXPORT mtl_${kind}
      LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT runtime NAMELINK_COMPONENT development
      ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT development
      RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}" COMPONENT runtime)
    install(EXPORT mtl_${kind} FILE mtl-${kind}.cmake NAMESPACE mtl:: DESTINATION "${mtl_package_dir}"
      COMPONENT development)
  endif()
endforeach()

configure_package_config_file("${PROJECT_SOURCE_DIR}/pkgconfig/mtlConfig.cmake.in"
  "${PROJECT_BINARY_DIR}/mtlConfig.cmake" INSTALL_DESTINATION "${mtl_package_dir}")
# Before 1.0 a minor version may break what the one before it promised; from 1.0 on this becomes SameMajorVersion.
write_basic_package_version_file("${PROJECT_BINARY_DIR}/mtlConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/mtlConfig.cmake" "${PROJECT_BINARY_DIR}/mtlConfigVersion.cmake"
  "${PROJECT_SOURCE_DIR}/cmake/MtlDependencies.cmake" DESTINATION "${mtl_package_dir}" COMPONENT development)

# libmtl.pc. CBLAS is written out, not required by name: openblas.pc asks a static link for libgfortran, which a program
# that links libmtl.a with the shared OpenBLAS does not need and usually does not have.
file(RELATIVE_PATH mtl_pc_to_prefix "/prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/prefix")
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}" OR IS_ABSOLUTE "${CMAKE_INSTALL_INCLUDEDIR}")
  set(mtl_pc_prefix "${CMAKE_INSTALL_PREFIX}")
  set(mtl_pc_libdir "${CMAKE_INSTALL_FULL_LIBDIR}")
  set(mtl_pc_includedir "${CMAKE_INSTALL_FULL_INCLUDEDIR}")
else()
  string(REGEX REPLACE "/$" "" mtl_pc_to_prefix "${mtl_pc_to_prefix}")
  set(mtl_pc_prefix "\${pcfiledir}/${mtl_pc_to_prefix}")
  set(mtl_pc_libdir "\${prefix}/${CMAKE_INSTALL_LIBDIR}")
  set(mtl_pc_includedir "\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}")
endif()
list(JOIN MTL_CBLAS_LINK " " mtl_pc_cblas)
set(mtl_pc_system "${mtl_pc_cblas} ${CMAKE_THREAD_LIBS_INIT} -lm")
string(REGEX REPLACE " +" " " mtl_pc_system "${mtl_pc_system}")
if(TARGET mtl_shared)
  set(mtl_pc_libs "-lmtl")
  set(mtl_pc_private "Requires.private: libutf8proc\nLibs.private: ${mtl_pc_system}\nCflags.private: -DMTL_STATIC")
  set(mtl_pc_cflags "")
else()
  set(mtl_pc_libs "-lmtl ${mtl_pc_system}")
  set(mtl_pc_private "Requires: libutf8proc")
  set(mtl_pc_cflags " -DMTL_STATIC")
endif()
configure_file("${PROJECT_SOURCE_DIR}/pkgconfig/libmtl.pc.in" "${PROJECT_BINARY_DIR}/libmtl.pc" @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/libmtl.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig" COMPONENT development)
