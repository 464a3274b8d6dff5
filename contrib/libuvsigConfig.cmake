# SPDX-License-Identifier: MIT
#
# find_package(libuvsig CONFIG) gives the targets
#
#   libuvsig::uvsig         the shared library, or the static one if there is no
#                           other, or if libuvsig_USE_STATIC_LIBS is set
#   libuvsig::uvsig_static  the static library, where it is installed
#
# It looks beside itself, so that an installed tree may be moved.

include(CMakeFindDependencyMacro)
find_dependency(Threads)
find_dependency(PkgConfig)
pkg_check_modules(libuvsig_UV QUIET IMPORTED_TARGET GLOBAL libuv>=1.41.0)
if(NOT libuvsig_UV_FOUND)
  set(libuvsig_FOUND FALSE)
  set(libuvsig_NOT_FOUND_MESSAGE "libuvsig needs libuv 1.41 or later")
  return()
endif()

get_filename_component(_uvsig_libdir "${CMAKE_CURRENT_LIST_DIR}/../.." ABSOLUTE)
set(_uvsig_shared
    "${_uvsig_libdir}/${CMAKE_SHARED_LIBRARY_PREFIX}uvsig${CMAKE_SHARED_LIBRARY_SUFFIX}")
set(_uvsig_static "${_uvsig_libdir}/libuvsig.a")
# lib, lib64, or the library directory of an architecture: lib/x86_64-linux-gnu.
find_path(libuvsig_INCLUDE_DIR uvsig.h
  PATHS "${_uvsig_libdir}/../include" "${_uvsig_libdir}/../../include"
  NO_DEFAULT_PATH)

function(_uvsig_add name location)
  if(TARGET ${name} OR NOT EXISTS "${location}")
    return()
  endif()
  add_library(${name} UNKNOWN IMPORTED)
  set_target_properties(${name} PROPERTIES
    IMPORTED_LOCATION "${location}"
    INTERFACE_INCLUDE_DIRECTORIES "${libuvsig_INCLUDE_DIR}"
    INTERFACE_LINK_LIBRARIES "PkgConfig::libuvsig_UV;Threads::Threads")
endfunction()

_uvsig_add(libuvsig::uvsig_static "${_uvsig_static}")
if(libuvsig_USE_STATIC_LIBS)
  _uvsig_add(libuvsig::uvsig "${_uvsig_static}")
endif()
_uvsig_add(libuvsig::uvsig "${_uvsig_shared}")
_uvsig_add(libuvsig::uvsig "${_uvsig_static}")
if(NOT TARGET libuvsig::uvsig OR NOT libuvsig_INCLUDE_DIR)
  set(libuvsig_FOUND FALSE)
  set(libuvsig_NOT_FOUND_MESSAGE "no libuvsig in ${_uvsig_libdir}")
endif()
