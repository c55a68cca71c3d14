"""Generated code on every major of protobuf that the SDK supports, and on the oldest version."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SDK = Path(__file__).parents[1]
ROOT = SDK.parents[1]
EXAMPLE = ROOT / "examples" / "incrementor" / "python"
MATRIX = ROOT / "sdk-gen" / "tests" / "matrix"

_USE = """
import asyncio, importlib, pathlib, sys
import google.protobuf
from google.protobuf.message import Message
from callboard.testing import TestKit
from counter import Incrementor
from gen.incrementor_pb2 import AddRequest

modules = sorted(pathlib.Path("matrix").rglob("*.py"))
assert len(modules) > 15, modules
for path in modules:
    module = importlib.import_module(".".join(path.with_suffix("").parts))
    for name, kind in vars(module).items():
        if isinstance(kind, type) and issubclass(kind, Message) and kind.__module__[:6] != "google":
            kind().MergeFromString(kind().SerializePartialToString())
            assert kind.__module__.startswith(("matrix", "callboard")), kind

async def main():
    kit = TestKit(Incrementor)
    assert (await kit.ref.add(AddRequest(amount=2))).total == 2
    assert kit.state.additions == 1

asyncio.run(main())
print(google.protobuf.__version__)
"""


def _callboard() -> Path:
    """The command line; built if it is not there."""
    given = os.environ.get("CALLBOARD")
    if given:
        return Path(given)
    subprocess.run(["cargo", "build", "--quiet", "-p", "callboard-cli"], cwd=ROOT, check=True)
    return Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug" / "callboard"


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the counter and everything of the generator's matrix."""
    folder = tmp_path_factory.mktemp("generated")
    shutil.copytree(EXAMPLE / "gen", folder / "gen")
    shutil.copy(EXAMPLE / "counter.py", folder)
    protos = [str(path) for path in sorted(MATRIX.rglob("*.proto"))]
    command = [str(_callboard()), "gen", "--lang", "python", "-I", str(MATRIX)]
    subprocess.run([*command, "--out", str(folder / "matrix"), *protos], check=True)
    return folder


@pytest.mark.parametrize("version", ["==4.25.0", "<5", "<6", "<7", "<8"])
def all_generated_code_runs_on_protobuf(version: str, generated: Path, tmp_path: Path) -> None:
    environment = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    python = environment / "bin" / "python"
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    variables = {**os.environ}
    if version == "<8":  # once as users install it, which shows what the package leaves out
        subprocess.run([*pip, str(SDK), f"protobuf{version}"], check=True)
    else:
        subprocess.run([*pip, "grpcio", f"protobuf{version}"], check=True)
        variables["PYTHONPATH"] = str(SDK / "src")
    done = subprocess.run(
        [python, "-W", "error", "-c", _USE],
        cwd=generated,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def all_generated_code_passes_mypy_strict(generated: Path) -> None:
    command = [sys.executable, "-m", "mypy", "--strict", "--explicit-package-bases", "matrix"]
    config = generated / "mypy.ini"
    config.write_text(
        f"[mypy]\nmypy_path = {SDK / 'src'}\n[mypy-grpc.*]\nignore_missing_imports = True\n"
    )
    done = subprocess.run(
        [*command, "--config-file", str(config)], cwd=generated, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
