"""Builds eclose._native: the sources of libeclose and the module around them, in one shared object.

Needs a C compiler and the development files of libbson, libyaml, libpcre2 and Intel's decimal library (README.md names
the packages). The sources come from the repository around this folder; a source distribution carries its own copy.
"""

import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.sdist import sdist

HERE = Path(__file__).resolve().parent
COPY = HERE / 'libeclose'
TOP = COPY if COPY.is_dir() else HERE.parents[1]
FOLDERS = ['base', 'bson', 'text', 'mql', 'project', 'upgrade', 'store', 'run', 'backfill', 'migrate', 'api']  # all but the drivers


def relative(path):
    return os.path.relpath(path, HERE)


def prebuilt():
    """ECLOSE_BUILD is a folder in which meson built eclose: its archive is taken, and only the module is compiled."""
    folder = os.environ.get('ECLOSE_BUILD')
    return [str(Path(folder).resolve() / 'src' / 'api' / 'libeclose.a')] if folder else []


def sources():
    if prebuilt():
        return sorted(map(relative, (HERE / 'native').glob('*.c')))
    found = [path for folder in FOLDERS for path in (TOP / 'src' / folder).rglob('*.c')]
    if not found:
        raise SystemExit(f'the sources of libeclose are not in {TOP}')
    return sorted(map(relative, [*found, *(HERE / 'native').glob('*.c')]))


def version():
    text = (TOP / 'include' / 'eclose' / 'version.h').read_text()
    return re.search(r'ECLOSE_VERSION "([^"]+)"', text).group(1)


def pkg_config(what, *packages):
    try:
        return subprocess.run([os.environ.get('PKG_CONFIG', 'pkg-config'), what, *packages], check=True, text=True,
                              stdout=subprocess.PIPE).stdout.split()
    except (OSError, subprocess.CalledProcessError) as e:
        raise SystemExit(f'cannot build eclose without pkg-config and {", ".join(packages)}: {e}') from e


class Build(build_ext):
    """Compiles the files of the extension on all cores: setuptools does only whole extensions at once."""

    def finalize_options(self):
        super().finalize_options()
        # The object of ../../src/x.c lies two folders above this one: so it stays within the folder for such things.
        self.build_temp = os.path.join(self.build_temp, 'bindings', 'python')

    def build_extension(self, ext):
        one = self.compiler.compile
        packages = ('libbson-1.0', 'yaml-0.1', 'libpcre2-8')
        # Their headers warn where ours must not.
        flags = [flag.replace('-I', '-isystem', 1) for flag in pkg_config('--cflags', *packages)]
        ext.extra_compile_args += flags
        ext.extra_link_args += [*prebuilt(), *pkg_config('--libs', *packages), '-lbidgcc000', '-lm', '-lpthread']

        def compile_all(sources, **options):
            # Folders are made by the first, so that no two make the same.
            first = one(sources[:1], **options)
            with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
                rest = pool.map(lambda source: one([source], **options), sources[1:])
                return first + [target for targets in rest for target in targets]

        self.compiler.compile = compile_all
        try:
            super().build_extension(ext)
        finally:
            self.compiler.compile = one


class Sdist(sdist):
    """Puts the sources of libeclose into the archive."""

    def make_release_tree(self, base_dir, files):
        # Sources from outside of this folder would be put outside of the archive's.
        super().make_release_tree(base_dir, [file for file in files if not file.startswith('..')])
        target = Path(base_dir) / COPY.name
        for folder in ('include', *(f'src/{f}' for f in FOLDERS)):
            shutil.copytree(TOP / folder, target / folder, dirs_exist_ok=True)
        for name in ('LICENSE',):
            shutil.copy(TOP / name, target / name)


setup(
    version=version(),
    cmdclass={'build_ext': Build, 'sdist': Sdist},
    ext_modules=[Extension(
        'eclose._native',
        sources(),
        include_dirs=[relative(TOP / 'src'), relative(TOP / 'include')],
        define_macros=[('_GNU_SOURCE', None)],
        extra_compile_args=['-std=gnu11', '-O2', '-fvisibility=hidden', '-Wno-missing-field-initializers'],
        # Only the module's entry is visible: nothing of ours or of the archives meets another library's names.
        extra_link_args=['-Wl,--version-script=' + str(HERE / 'native' / 'exports.map')],
        py_limited_api=True,
    )],
    options={'bdist_wheel': {'py_limited_api': 'cp310'}},
)
