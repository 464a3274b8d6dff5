# SPDX-License-Identifier: MIT
#
# The recipe of a checkout or of an unpacked tarball packages the source that it
# lies in. tools/recipes makes the recipe of a release: it adds a conandata.yml,
# which says where the release is.

import os

from conan import ConanFile
from conan.errors import ConanException, ConanInvalidConfiguration
from conan.tools.cmake import CMake, CMakeToolchain, cmake_layout
from conan.tools.files import copy, get, rmdir
from conan.tools.gnu import PkgConfigDeps

required_conan_version = ">=2.0"


class LibuvsigConan(ConanFile):
    name = "libuvsig"
    version = "0.2.0"
    description = (
        "Unix signals for libuv programs: none is lost, and a server ends in order "
        "and on time"
    )
    license = "MIT"
    topics = ("signals", "libuv", "shutdown", "reload", "server")
    package_type = "library"
    settings = "os", "arch", "compiler", "build_type"
    options = {"shared": [True, False], "fPIC": [True, False]}
    default_options = {"shared": False, "fPIC": True}

    def export_sources(self):
        if self.conan_data:
            return
        top = os.path.join(self.recipe_folder, "..", "..")
        if not os.path.exists(os.path.join(top, "lib", "libuvsig.map")):
            raise ConanException(
                "this recipe knows no release, and no source is around it: "
                "make it with tools/recipes of libuvsig"
            )
        for pattern in (
            "CMakeLists.txt", "LICENSE", "Makefile.am", "configure.ac",
            "libuvsig.pc.in", "contrib/*.in", "include/*.h", "include/*.hpp",
            "lib/*.c", "lib/*.h", "lib/*.map",
        ):
            copy(self, pattern, top, self.export_sources_folder)

    def configure(self):
        if self.options.shared:
            self.options.rm_safe("fPIC")
            # A static one would be there twice: in libuvsig, and in the program.
            self.options["libuv"].shared = True
        self.settings.rm_safe("compiler.cppstd")
        self.settings.rm_safe("compiler.libcxx")

    def layout(self):
        cmake_layout(self, src_folder="src" if self.conan_data else ".")

    def requirements(self):
        # Programs that use libuvsig use libuv, too.
        self.requires("libuv/[>=1.41.0 <2]", transitive_headers=True,
                      transitive_libs=True)

    def build_requirements(self):
        if not self.conf.get("tools.gnu:pkg_config", check_type=str):
            self.tool_requires("pkgconf/[>=2.0 <3]")

    def _shared_libuv(self):
        return bool(self.dependencies["libuv"].options.shared)

    def validate(self):
        if self.settings.os == "Windows":
            raise ConanInvalidConfiguration("libuvsig is for Unix alone")
        if self.options.shared and not self._shared_libuv():
            raise ConanInvalidConfiguration(
                "a shared libuvsig needs a shared libuv: -o libuv/*:shared=True"
            )

    def source(self):
        if self.conan_data:
            get(self, **self.conan_data["sources"][self.version], strip_root=True)

    def generate(self):
        toolchain = CMakeToolchain(self)
        toolchain.cache_variables["UVSIG_LIBUV"] = (
            "libuv" if self._shared_libuv() else "libuv-static"
        )
        toolchain.generate()
        PkgConfigDeps(self).generate()

    def build(self):
        cmake = CMake(self)
        cmake.configure()
        cmake.build()

    def package(self):
        copy(self, "LICENSE", self.source_folder,
             os.path.join(self.package_folder, "licenses"))
        CMake(self).install()
        # Conan makes its own.
        rmdir(self, os.path.join(self.package_folder, "lib", "cmake"))
        rmdir(self, os.path.join(self.package_folder, "lib", "pkgconfig"))

    def package_info(self):
        self.cpp_info.libs = ["uvsig"]
        self.cpp_info.requires = ["libuv::libuv"]
        self.cpp_info.set_property("cmake_file_name", "libuvsig")
        self.cpp_info.set_property("cmake_target_name", "libuvsig::uvsig")
        self.cpp_info.set_property("pkg_config_name", "libuvsig")
        if self.settings.os in ("Linux", "FreeBSD"):
            self.cpp_info.system_libs = ["pthread", "rt"]
