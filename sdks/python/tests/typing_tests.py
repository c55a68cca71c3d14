"""What type checkers say of code that uses the SDK and generated actors."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
TYPING = HERE / "typing"
EXAMPLE = HERE.parents[2] / "examples" / "incrementor" / "python"


def _mypy(name: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    # A configuration of its own: that of the SDK leaves these files out.
    config = tmp_path / "mypy.ini"
    config.write_text(
        f"[mypy]\nmypy_path = {HERE.parent / 'src'}:{EXAMPLE}\nexplicit_package_bases = True\n"
        "[mypy-grpc.*]\nignore_missing_imports = True\n"
        "[mypy-uvloop.*]\nignore_missing_imports = True\n"
    )
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", str(config)]
    return subprocess.run(
        [*command, "--no-color-output", "--hide-error-context", name],
        cwd=TYPING,
        capture_output=True,
        text=True,
        check=False,
    )


def what_users_write_passes_mypy_strict(tmp_path: Path) -> None:
    done = _mypy("good.py", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def every_mistake_is_found_by_mypy(tmp_path: Path) -> None:
    done = _mypy("bad.py", tmp_path)
    found = "\n".join(line for line in done.stdout.splitlines() if ": note: " not in line)
    expected = TYPING / "bad.expected"
    assert found.strip() == expected.read_text().strip(), found


@pytest.mark.parametrize(("name", "errors"), [("good.py", False), ("bad.py", True)])
def what_mypy_says_pyright_says_too(name: str, errors: bool, tmp_path: Path) -> None:
    shutil.copy(TYPING / name, tmp_path)  # pyright takes only files below its configuration
    config = tmp_path / "pyrightconfig.json"
    config.write_text(
        f'{{"include": ["{name}"], "extraPaths": ["{EXAMPLE}", "{HERE.parent / "src"}"],'
        ' "typeCheckingMode": "standard", "reportMissingModuleSource": false}'
    )
    done = subprocess.run(
        [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "-p", str(config)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ("error:" in done.stdout) is errors, done.stdout + done.stderr
    if errors:
        places = {line.split(":")[1] for line in done.stdout.splitlines() if " - error: " in line}
        assert len(places) >= 12, done.stdout
