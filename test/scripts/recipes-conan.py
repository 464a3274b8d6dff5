# SPDX-License-Identifier: MIT
#
# recipes-conan.py RECIPE DIRECTORY COMPILER NAME=VALUE...: what Conan does with a
# recipe and its test_package, as far as ours asks it. Values: shared, libuv_shared
# (True, False), os. All is made in DIRECTORY. A class has what Conan's has and our
# recipe uses, and nothing else.

import fnmatch
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import types
import urllib.request

recipe_folder, top, compiler = (os.path.abspath(a) if i < 2 else a
                                for i, a in enumerate(sys.argv[1:4]))
values = dict(a.split("=") for a in sys.argv[4:])
shared = values.get("shared") == "True"
libuv_shared = values.get("libuv_shared") == "True"


class ConanException(Exception):
  pass


class ConanInvalidConfiguration(ConanException):
  pass


class Settings:
  def __init__(self):
    self.os = values.get("os", "Linux")
    self.arch = self.compiler = "any"
    self.build_type = "Release"

  def rm_safe(self, name):
    assert name in ("compiler.cppstd", "compiler.libcxx"), name


class Options:
  def __init__(self, declared, defaults):
    for name, value in defaults.items():
      assert value in declared[name]
    self.__dict__.update(defaults)
    self.shared = shared
    self.libuv = types.SimpleNamespace(shared=libuv_shared)

  def rm_safe(self, name):
    delattr(self, name)

  def __getitem__(self, name):
    assert name == "libuv"
    return self.libuv


class CppInfo:
  def __init__(self):
    self.libs, self.requires, self.system_libs = [], [], []
    self.properties = {}

  def set_property(self, name, value):
    self.properties[name] = value


class Conf:
  def get(self, name, check_type):
    assert name == "tools.gnu:pkg_config" and check_type is str


class ConanFile:
  conan_data = None
  conf = Conf()

  def run(self, command, env):
    assert env == "conanrun"
    subprocess.check_call(
        command, env=dict(os.environ, LD_LIBRARY_PATH=package + "/lib"))

  def requires(self, reference, **traits):
    for trait in traits:
      assert trait in ("transitive_headers", "transitive_libs"), trait
    self.required = getattr(self, "required", []) + [reference]

  def tool_requires(self, reference):
    self.requires(reference)


def cmake_layout(conanfile, src_folder="."):
  conanfile.source_folder = os.path.normpath(
      os.path.join(conanfile.base, src_folder))
  conanfile.build_folder = os.path.join(conanfile.base, "build")
  conanfile.cpp = types.SimpleNamespace(
      build=types.SimpleNamespace(bindir=conanfile.build_folder))


def copy(conanfile, pattern, src, dst):
  found = False
  for folder, _, files in os.walk(src):
    for file in files:
      name = os.path.relpath(os.path.join(folder, file), src)
      if fnmatch.fnmatch(name, pattern):
        found = True
        target = os.path.join(dst, name)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copy(os.path.join(folder, file), target)
  assert found, pattern


def get(conanfile, url, sha256, strip_root):
  assert strip_root
  data = urllib.request.urlopen(url).read()
  if hashlib.sha256(data).hexdigest() != sha256:
    raise ConanException("sha256 signature failed")
  archive = os.path.join(top, "archive")
  with open(archive, "wb") as file:
    file.write(data)
  with tarfile.open(archive) as tar:
    tar.extractall(top + "/unpacked")
  (name,) = os.listdir(top + "/unpacked")
  os.rename(os.path.join(top, "unpacked", name), conanfile.source_folder)


def rmdir(conanfile, path):
  shutil.rmtree(path)


class CMakeToolchain:
  def __init__(self, conanfile):
    self.conanfile = conanfile
    self.cache_variables = {}

  def generate(self):
    self.conanfile.toolchain = self


class PkgConfigDeps:
  def __init__(self, conanfile):
    pass

  def generate(self): # the system's libuv has both files
    pass


class CMake:
  def __init__(self, conanfile):
    self.conanfile = conanfile

  def cmake(self, *arguments):
    subprocess.check_call(("cmake",) + arguments)

  def configure(self):
    toolchain = getattr(self.conanfile, "toolchain", None)
    variables = dict(toolchain.cache_variables) if toolchain else {}
    variables.update(
        BUILD_SHARED_LIBS="ON" if shared else "OFF",
        CMAKE_C_COMPILER=compiler,
        CMAKE_INSTALL_LIBDIR="lib",
        CMAKE_INSTALL_PREFIX=package,
        CMAKE_PREFIX_PATH=top + "/deps")
    self.cmake("-S", self.conanfile.source_folder,
               "-B", self.conanfile.build_folder,
               *("-D%s=%s" % item for item in variables.items()))

  def build(self):
    self.cmake("--build", self.conanfile.build_folder, "-j", "2")

  def install(self):
    self.cmake("--install", self.conanfile.build_folder)


def module(name, **contents):
  result = types.ModuleType(name)
  result.__dict__.update(contents)
  sys.modules[name] = result


module("conan", ConanFile=ConanFile)
module("conan.errors", ConanException=ConanException,
       ConanInvalidConfiguration=ConanInvalidConfiguration)
module("conan.tools")
module("conan.tools.build", can_run=lambda conanfile: True)
module("conan.tools.cmake", CMake=CMake, CMakeToolchain=CMakeToolchain,
       cmake_layout=cmake_layout)
module("conan.tools.files", copy=copy, get=get, rmdir=rmdir)
module("conan.tools.gnu", PkgConfigDeps=PkgConfigDeps)


def load(folder, base):
  spec = importlib.util.spec_from_file_location(
      "conanfile", os.path.join(folder, "conanfile.py"))
  loaded = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(loaded)
  (cls,) = (c for c in vars(loaded).values() if isinstance(c, type)
            and issubclass(c, ConanFile) and c is not ConanFile)
  conanfile = cls()
  conanfile.recipe_folder = folder
  conanfile.base = base
  conanfile.settings = Settings()
  return conanfile


def conandata(file): # the one form that tools/recipes writes
  lines = [line.strip().strip('"') for line in open(file)]
  assert lines[0] == "sources:"
  pairs = (line.split(": ", 1) for line in lines[2:])
  return {"sources": {lines[1].strip('":'):
                      {name: value.strip('"') for name, value in pairs}}}


def cmake_deps(info):
  """What CMakeDeps would make of package_info()."""
  assert info.requires == ["libuv::libuv"]
  name = info.properties["cmake_target_name"]
  folder = "%s/deps/lib/cmake/%s" % (top, info.properties["cmake_file_name"])
  os.makedirs(folder)
  with open("%s/%sConfig.cmake" % (folder, os.path.basename(folder)), "w") as file:
    file.write("""
find_package(PkgConfig REQUIRED)
pkg_check_modules(LIBUV REQUIRED IMPORTED_TARGET %s)
find_library(library %s PATHS "%s/lib" NO_DEFAULT_PATH REQUIRED)
add_library(%s UNKNOWN IMPORTED)
set_target_properties(%s PROPERTIES IMPORTED_LOCATION "${library}"
  INTERFACE_INCLUDE_DIRECTORIES "%s/include"
  INTERFACE_LINK_LIBRARIES "PkgConfig::LIBUV;%s")
""" % ("libuv" if recipe.options["libuv"].shared else "libuv-static",
        info.libs[0], package, name, name, package, ";".join(info.system_libs)))


package = os.path.join(top, "package")
recipe = load(recipe_folder, os.path.join(top, "recipe"))
recipe.options = Options(recipe.options, recipe.default_options)
if os.path.exists(recipe_folder + "/conandata.yml"):
  recipe.conan_data = conandata(recipe_folder + "/conandata.yml")
recipe.export_sources_folder = recipe.base
recipe.package_folder = package
recipe.cpp_info = CppInfo()
os.makedirs(recipe.base)

recipe.configure()
if values.get("graph") == "static": # what another package has asked for
  recipe.options["libuv"].shared = False
recipe.requirements()
recipe.build_requirements()
recipe.dependencies = {
    "libuv": types.SimpleNamespace(options=recipe.options["libuv"])}
recipe.validate()
recipe.export_sources()
recipe.layout()
recipe.source()
recipe.generate()
recipe.build()
recipe.package()
recipe.package_info()

# The program of test_package.
cmake_deps(recipe.cpp_info)
program = load(recipe_folder + "/test_package", recipe_folder + "/test_package")
program.tested_reference_str = "%s/%s" % (recipe.name, recipe.version)
program.requirements()
program.layout()
program.build_folder = program.cpp.build.bindir = top + "/test_package"
program.build()
program.test()
