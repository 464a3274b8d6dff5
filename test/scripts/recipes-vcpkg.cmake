# SPDX-License-Identifier: MIT
#
# What vcpkg does for a port, as far as ours asks it: cmake -P with PORT_DIR,
# PREFIX (where all is made), LINKAGE (static or dynamic), COMPILER, and BUILD_TYPE,
# which may be "release" to leave out what is built for debugging. A function knows
# the arguments that vcpkg's knows, and no others.

set(PORT libuvsig)
file(READ "${PORT_DIR}/vcpkg.json" manifest)
string(REGEX MATCH "\"version\": \"([^\"]*)\"" _ "${manifest}")
set(VERSION "${CMAKE_MATCH_1}")
set(VCPKG_LIBRARY_LINKAGE ${LINKAGE})
set(VCPKG_BUILD_TYPE ${BUILD_TYPE})
set(CURRENT_PORT_DIR "${PORT_DIR}")
set(CURRENT_PACKAGES_DIR "${PREFIX}/packages")
set(CURRENT_BUILDTREES_DIR "${PREFIX}/buildtrees")

macro(arguments options values lists)
  cmake_parse_arguments(arg "${options}" "${values}" "${lists}" ${ARGN})
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "unknown arguments: ${arg_UNPARSED_ARGUMENTS}")
  endif()
endmacro()

function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE status)
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "status ${status} of: ${ARGN}")
  endif()
endfunction()

function(vcpkg_download_distfile out)
  arguments("" "FILENAME;SHA512" "URLS" ${ARGN})
  file(DOWNLOAD "${arg_URLS}" "${PREFIX}/downloads/${arg_FILENAME}"
       EXPECTED_HASH SHA512=${arg_SHA512})
  set(${out} "${PREFIX}/downloads/${arg_FILENAME}" PARENT_SCOPE)
endfunction()

function(vcpkg_extract_source_archive out)
  arguments("" "ARCHIVE" "" ${ARGN})
  set(dir "${CURRENT_BUILDTREES_DIR}/src")
  file(MAKE_DIRECTORY "${dir}")
  file(ARCHIVE_EXTRACT INPUT "${arg_ARCHIVE}" DESTINATION "${dir}")
  file(GLOB top "${dir}/*")
  set(${out} "${top}" PARENT_SCOPE)
endfunction()

function(vcpkg_find_acquire_program name)
  if(NOT name STREQUAL PKGCONFIG)
    message(FATAL_ERROR "${name} is not wanted")
  endif()
  find_program(found pkg-config REQUIRED)
  set(PKGCONFIG "${found}" PARENT_SCOPE)
endfunction()

function(vcpkg_cmake_configure)
  arguments("" "SOURCE_PATH" "OPTIONS" ${ARGN})
  set(shared OFF)
  if(VCPKG_LIBRARY_LINKAGE STREQUAL dynamic)
    set(shared ON)
  endif()
  foreach(build rel dbg)
    set(type Release)
    set(prefix "${CURRENT_PACKAGES_DIR}")
    if(build STREQUAL dbg)
      if(VCPKG_BUILD_TYPE STREQUAL release)
        break()
      endif()
      set(type Debug)
      set(prefix "${CURRENT_PACKAGES_DIR}/debug")
    endif()
    run("${CMAKE_COMMAND}" -S "${arg_SOURCE_PATH}"
        -B "${CURRENT_BUILDTREES_DIR}/${build}" "-DCMAKE_INSTALL_PREFIX=${prefix}"
        -DCMAKE_INSTALL_LIBDIR=lib -DCMAKE_BUILD_TYPE=${type}
        -DCMAKE_C_FLAGS_RELEASE=-O0 -DBUILD_SHARED_LIBS=${shared}
        "-DCMAKE_C_COMPILER=${COMPILER}" ${arg_OPTIONS})
  endforeach()
endfunction()

function(vcpkg_cmake_install)
  arguments("" "" "" ${ARGN})
  foreach(build rel dbg)
    if(EXISTS "${CURRENT_BUILDTREES_DIR}/${build}")
      run("${CMAKE_COMMAND}" --build "${CURRENT_BUILDTREES_DIR}/${build}" -j 2)
      run("${CMAKE_COMMAND}" --install "${CURRENT_BUILDTREES_DIR}/${build}")
    endif()
  endforeach()
endfunction()

function(vcpkg_cmake_config_fixup)
  arguments("" "CONFIG_PATH" "" ${ARGN})
  file(MAKE_DIRECTORY "${CURRENT_PACKAGES_DIR}/share")
  file(RENAME "${CURRENT_PACKAGES_DIR}/${arg_CONFIG_PATH}"
       "${CURRENT_PACKAGES_DIR}/share/${PORT}")
  file(REMOVE_RECURSE "${CURRENT_PACKAGES_DIR}/lib/cmake"
                      "${CURRENT_PACKAGES_DIR}/debug/lib/cmake")
endfunction()

function(vcpkg_fixup_pkgconfig)
  arguments("" "" "" ${ARGN})
  if(NOT EXISTS "${CURRENT_PACKAGES_DIR}/lib/pkgconfig/libuvsig.pc")
    message(FATAL_ERROR "there is no lib/pkgconfig/libuvsig.pc")
  endif()
endfunction()

function(vcpkg_install_copyright)
  arguments("" "" "FILE_LIST" ${ARGN})
  file(INSTALL ${arg_FILE_LIST}
       DESTINATION "${CURRENT_PACKAGES_DIR}/share/${PORT}" RENAME copyright)
endfunction()

include("${PORT_DIR}/portfile.cmake")
