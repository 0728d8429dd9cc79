# SPDX-License-Identifier: Apache-2.0
# mtl_compile_options(TARGET): how our own sources are compiled. Nothing here reaches a user of the library.

include(CheckLinkerFlag)

set(MTL_WARNINGS
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wdouble-promotion -Wstrict-prototypes
  -Wmissing-prototypes -Wold-style-definition -Wcast-qual -Wwrite-strings -Wvla -Wundef -Wformat=2
  -Wimplicit-fallthrough)

function(mtl_compile_options target)
  set_target_properties(${target} PROPERTIES
    C_STANDARD 11 C_STANDARD_REQUIRED ON C_EXTENSIONS OFF
    C_VISIBILITY_PRESET hidden POSITION_INDEPENDENT_CODE ON)
  target_compile_definitions(${target} PRIVATE _POSIX_C_SOURCE=200809L _FILE_OFFSET_BITS=64)
  target_compile_options(${target} PRIVATE ${MTL_WARNINGS} -fno-math-errno -fno-trapping-math -ffp-contract=fast
    -ffunction-sections -fdata-sections)
  if(MTL_WERROR)
    target_compile_options(${target} PRIVATE -Werror)
  endif()
  if(MTL_DEBUG_INFO)
    target_compile_options(${target} PRIVATE -g)
  endif()
  if(MTL_SANITIZE)
    target_compile_options(${target} PRIVATE -fsanitize=${MTL_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
    target_link_options(${target} PRIVATE -fsanitize=${MTL_SANITIZE})
  endif()
  if(MTL_COVERAGE)
    target_compile_options(${target} PRIVATE --coverage -fprofile-update=atomic -O1)
    target_link_options(${target} PRIVATE --coverage)
  endif()
endfunction()

# mtl_link_options(TARGET MAP): how the shared library is linked. A linker without one of the flags goes without it.
function(mtl_link_options target map)
  set(flags "-Wl,-z,relro,-z,now" "-Wl,--gc-sections")
  if(NOT MTL_SANITIZE) # the sanitizers' functions come from the program
    list(APPEND flags "-Wl,--no-undefined")
  endif()
  foreach(flag IN LISTS flags)
    string(MAKE_C_IDENTIFIER "MTL_HAVE${flag}" known)
    check_linker_flag(C "${flag}" ${known})
    if(${known})
      target_link_options(${target} PRIVATE "${flag}")
    endif()
  endforeach()
  if(NOT APPLE AND NOT WIN32)
    target_link_options(${target} PRIVATE "-Wl,--version-script=${map}")
    set_property(TARGET ${target} APPEND PROPERTY LINK_DEPENDS "${map}")
  endif()
endfunction()
