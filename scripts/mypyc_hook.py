"""Build hook of hatch: the modules that pyproject.toml names, compiled into the wheel by mypyc, beside their
source.

Off unless asked for (HATCH_BUILD_HOOK_ENABLE_CUSTOM=1), so that an ordinary build and an editable install
need no compiler, and leave the tree as it is: what is made lies in build/mypyc. scripts/wheel calls it;
docs/compiled.md says what code in these modules keeps to.
"""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import chdir
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from mypyc.build import mypycify
from setuptools import Distribution
from setuptools.command.build_ext import build_ext

LIBRARY = "cxmyd"  # the shared library that holds all of them is named after it


class OnAllCores(build_ext):
    """Compiles the sources of one library side by side: they are many, and the libraries few."""

    def build_extensions(self) -> None:
        one_after_the_other = self.compiler.compile

        def compile_(sources: list[str], **how: Any) -> list[str]:
            with ThreadPoolExecutor(os.cpu_count()) as threads:
                made = threads.map(partial(one_after_the_other, **how), ([source] for source in sources))
                return list(chain.from_iterable(made))

        self.compiler.compile = compile_
        super().build_extensions()


class CompiledBuildHook(BuildHookInterface):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        made = root / "build" / "mypyc"
        modules = modules_of(root, self.config["modules"])
        with chdir(root):
            extensions = mypycify(
                modules,
                opt_level=self.config["opt-level"],
                debug_level="0",
                multi_file=True,  # what has changed alone is compiled again
                group_name=LIBRARY,
                target_dir=str(made / "c"),
            )
            command = OnAllCores(Distribution({"name": LIBRARY, "ext_modules": extensions}))
            shutil.rmtree(made / "lib", ignore_errors=True)  # of modules that are not named any more
            command.build_lib, command.build_temp = str(made / "lib"), str(made / "temp")
            command.ensure_finalized()
            command.run()
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        for library in sorted((made / "lib").rglob("*.so")):
            build_data["force_include"][str(library)] = str(library.relative_to(made / "lib"))


def modules_of(root: Path, patterns: list[str]) -> list[str]:
    """The files that the patterns name; each has to name one at least."""
    found: list[str] = []
    for pattern in patterns:
        files = sorted(path for path in root.glob(pattern) if path.name != "__init__.py")
        if not files:
            raise SystemExit(f"cxmyd: pyproject.toml: modules: {pattern}: there is no such file")
        found += [str(path.relative_to(root)) for path in files]
    return found
