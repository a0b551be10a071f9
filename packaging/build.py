"""`make package`: freezes the program with installer.spec and tries the result. Run with the virtual environment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = ROOT / "dist" / "stopline" / ("stopline.exe" if sys.platform == "win32" else "stopline")


def main() -> int:
    """Exit code 0 when the frozen program was built and works."""
    build = [sys.executable, "-m", "PyInstaller", "--noconfirm", "--log-level", "ERROR", "installer.spec"]
    print("Freezing the program (a minute or two) ...", flush=True)
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"{done.stdout}{done.stderr}", file=sys.stderr)
        return done.returncode
    size = sum(path.lstat().st_size for path in PROGRAM.parent.rglob("*") if not path.is_symlink())
    print(f"{PROGRAM.relative_to(ROOT)}: {size / 1e6:,.0f} MB", flush=True)
    return subprocess.run([sys.executable, str(ROOT / "packaging" / "smoke.py"), str(PROGRAM)], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
