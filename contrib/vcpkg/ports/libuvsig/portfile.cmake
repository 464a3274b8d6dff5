# SPDX-License-Identifier: MIT
#
# The port of a checkout or of an unpacked tarball packages the source that it lies
# in. tools/recipes makes the port of a release, which downloads it.

set(archive_url "@URL@")
set(archive_sha512 "@SHA512@")
if(NOT archive_sha512 MATCHES "^@")
  vcpkg_download_distfile(ARCHIVE
    URLS "${archive_url}"
    FILENAME "libuvsig-${VERSION}.tar.xz"
    SHA512 "${archive_sha512}")
  vcpkg_extract_source_archive(SOURCE_PATH ARCHIVE "${ARCHIVE}")
else()
  get_filename_component(SOURCE_PATH "${CURRENT_PORT_DIR}/../../../.." ABSOLUTE)
  if(NOT EXISTS "${SOURCE_PATH}/lib/libuvsig.map")
    message(FATAL_ERROR "This port knows no release, and no source is around it: "
                        "make it with tools/recipes of libuvsig.")
  endif()
endif()

# libuv's port has another pkg-config file where it is static.
set(libuv libuv)
if(VCPKG_LIBRARY_LINKAGE STREQUAL "static")
  set(libuv libuv-static)
endif()
vcpkg_find_acquire_program(PKGCONFIG)
vcpkg_cmake_configure(
  SOURCE_PATH "${SOURCE_PATH}"
  OPTIONS
    "-DPKG_CONFIG_EXECUTABLE=${PKGCONFIG}"
    "-DUVSIG_LIBUV=${libuv}")
vcpkg_cmake_install()
vcpkg_cmake_config_fixup(CONFIG_PATH lib/cmake/libuvsig)
vcpkg_fixup_pkgconfig()
file(REMOVE_RECURSE "${CURRENT_PACKAGES_DIR}/debug/include")

file(INSTALL "${CMAKE_CURRENT_LIST_DIR}/usage"
     DESTINATION "${CURRENT_PACKAGES_DIR}/share/${PORT}")
vcpkg_install_copyright(FILE_LIST "${SOURCE_PATH}/LICENSE")
