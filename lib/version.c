/* SPDX-License-Identifier: MIT
 *
 * The version, as configure.ac has it. Runs anywhere.
 */

#include "base.h"

unsigned uvsig_version(void) {
  return UVSIG_VERSION_MAJOR << 16 | UVSIG_VERSION_MINOR << 8 |
         UVSIG_VERSION_PATCH;
}

const char* uvsig_version_string(void) {
  return PACKAGE_VERSION;
}
