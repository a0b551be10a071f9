"""Makes a fresh checkout run: `python3 packaging/set_up.py run|test`. Called by make; standard library only.

Three steps, each with a stamp in `.venv` so that a second call returns at once: the virtual environment, the packages
of the lock file (with hashes, from whatever index the user's pip is set to), and the system libraries that Qt loads.
What is missing there is found by asking the dynamic linker, not by a list of distributions. Runs on Python 3.10 too,
far enough to look for a newer one.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
LOCKS = {"run": ROOT / "requirements.lock", "test": ROOT / "tests" / "requirements.lock"}
OLDEST, NEWEST = (3, 11), (3, 14)

QT_FILES = (
    "lib/libQt6WebEngineWidgets.so.6",
    "lib/libQt6Svg.so.6",
    "libexec/QtWebEngineProcess",
    "plugins/platforms/libqxcb.so",
    "plugins/platforms/libqoffscreen.so",
    "plugins/platforms/libqwayland.so",
    "plugins/xcbglintegrations/libqxcb-egl-integration.so",
    "plugins/xcbglintegrations/libqxcb-glx-integration.so",
)
"""What the program loads of Qt, below `PySide6/Qt`. Whatever the linker cannot find for these is missing."""

PACKAGES = {
    "libEGL.so.1": "libegl1",
    "libGL.so.1": "libgl1",
    "libGLX.so.0": "libglx0",
    "libX11-xcb.so.1": "libx11-xcb1",
    "libX11.so.6": "libx11-6",
    "libXcomposite.so.1": "libxcomposite1",
    "libXdamage.so.1": "libxdamage1",
    "libXext.so.6": "libxext6",
    "libXfixes.so.3": "libxfixes3",
    "libXrandr.so.2": "libxrandr2",
    "libXrender.so.1": "libxrender1",
    "libXtst.so.6": "libxtst6",
    "libasound.so.2": "libasound2",
    "libbrotlidec.so.1": "libbrotli1",
    "libdbus-1.so.3": "libdbus-1-3",
    "libdrm.so.2": "libdrm2",
    "libexpat.so.1": "libexpat1",
    "libfontconfig.so.1": "libfontconfig1",
    "libfreetype.so.6": "libfreetype6",
    "libgbm.so.1": "libgbm1",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libgobject-2.0.so.0": "libglib2.0-0",
    "libgthread-2.0.so.0": "libglib2.0-0",
    "libgssapi_krb5.so.2": "libgssapi-krb5-2",
    "libnspr4.so": "libnspr4",
    "libnss3.so": "libnss3",
    "libnssutil3.so": "libnss3",
    "libplc4.so": "libnspr4",
    "libplds4.so": "libnspr4",
    "libsmime3.so": "libnss3",
    "libudev.so.1": "libudev1",
    "libwayland-client.so.0": "libwayland-client0",
    "libwayland-cursor.so.0": "libwayland-cursor0",
    "libwayland-egl.so.1": "libwayland-egl1",
    "libwayland-server.so.0": "libwayland-server0",
    "libxcb-cursor.so.0": "libxcb-cursor0",
    "libxcb-dri3.so.0": "libxcb-dri3-0",
    "libxcb-glx.so.0": "libxcb-glx0",
    "libxcb-icccm.so.4": "libxcb-icccm4",
    "libxcb-image.so.0": "libxcb-image0",
    "libxcb-keysyms.so.1": "libxcb-keysyms1",
    "libxcb-randr.so.0": "libxcb-randr0",
    "libxcb-render-util.so.0": "libxcb-render-util0",
    "libxcb-render.so.0": "libxcb-render0",
    "libxcb-shape.so.0": "libxcb-shape0",
    "libxcb-shm.so.0": "libxcb-shm0",
    "libxcb-sync.so.1": "libxcb-sync1",
    "libxcb-util.so.1": "libxcb-util1",
    "libxcb-xfixes.so.0": "libxcb-xfixes0",
    "libxcb-xinerama.so.0": "libxcb-xinerama0",
    "libxcb-xkb.so.1": "libxcb-xkb1",
    "libxcb.so.1": "libxcb1",
    "libxkbcommon-x11.so.0": "libxkbcommon-x11-0",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libxkbfile.so.1": "libxkbfile1",
    "libzstd.so.1": "libzstd1",
}
"""Which Debian and Ubuntu package holds a shared library."""

T64 = {"libasound2", "libglib2.0-0"}
"""Called `...t64` since Debian 13 and Ubuntu 24.04 (64-bit time)."""


class SetUpFailed(Exception):
    """What is missing and what to do, in words."""


def say(text: str) -> None:
    """One line of progress."""
    print(text, file=sys.stderr, flush=True)


def find_python() -> str:
    """A Python that the program runs on: this one, else the newest of the supported ones on the path."""
    if OLDEST <= sys.version_info[:2] <= NEWEST:
        return sys.executable
    for minor in range(NEWEST[1], OLDEST[1] - 1, -1):
        found = shutil.which(f"python3.{minor}")
        if found:
            return found
    running = ".".join(map(str, sys.version_info[:2]))
    raise SetUpFailed(
        f"Stopline needs Python 3.11 to 3.14; python3 here is {running}. Install python3.11 and try again."
    )


def venv_python() -> Path:
    """The interpreter of the virtual environment."""
    return VENV / "bin" / "python"


def answers(command: list[str]) -> bool:
    """Whether a command runs and exits 0."""
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def make_venv() -> None:
    """The virtual environment with pip in it; one whose interpreter is gone is made again."""
    python = venv_python()
    supported = f"import sys; sys.exit(not {OLDEST} <= sys.version_info[:2] <= {NEWEST})"
    if not answers([str(python), "-c", supported]):
        base = find_python()
        say(f"Making the virtual environment .venv with {base} ...")
        made = subprocess.run([base, "-m", "venv", "--clear", str(VENV)], capture_output=True, text=True, check=False)
        if made.returncode:
            raise SetUpFailed(
                f"{made.stdout}{made.stderr}\n"
                "The virtual environment could not be made. On Debian and Ubuntu: sudo apt-get install python3-venv"
            )
    if not answers([str(python), "-m", "pip", "--version"]):
        subprocess.run([str(python), "-m", "ensurepip", "--default-pip"], check=True, stdout=subprocess.DEVNULL)


def install_packages(kind: str) -> None:
    """The pinned packages of a lock file. The test lock holds everything that the other one does."""
    say(f"Installing the pinned packages of {LOCKS[kind].relative_to(ROOT)} (a few minutes the first time) ...")
    command = [str(venv_python()), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*command, "--require-hashes", "-r", str(LOCKS[kind])], cwd=ROOT, check=False)
    if done.returncode:
        raise SetUpFailed("pip could not install the packages; its words are above. Mend that and try again.")


def stamp_value(kind: str) -> str:
    """What a stamp must say for the packages to count as installed."""
    version = subprocess.run([str(venv_python()), "-VV"], capture_output=True, text=True, check=True).stdout.strip()
    return f"{version} {hashlib.sha256(LOCKS[kind].read_bytes()).hexdigest()}\n"


def ensure_packages(kind: str) -> None:
    """Packages installed and stamped; a changed lock is installed again."""
    stamp = VENV / f".stopline-packages-{kind}"
    if stamp.exists() and stamp.read_text() == stamp_value(kind):
        return
    (VENV / ".stopline-system").unlink(missing_ok=True)
    install_packages(kind)
    stamp.write_text(stamp_value(kind))
    if kind == "test":
        (VENV / ".stopline-packages-run").write_text(stamp_value("run"))


def missing_libraries() -> set[str]:
    """Shared libraries that the linker does not find for the parts of Qt that are used."""
    where = "import PySide6, pathlib; print(pathlib.Path(PySide6.__file__).parent / 'Qt')"
    qt = Path(
        subprocess.run([str(venv_python()), "-c", where], capture_output=True, text=True, check=True).stdout.strip()
    )
    missing: set[str] = set()
    for name in QT_FILES:
        file = qt / name
        if not file.exists():
            continue
        told = subprocess.run(["ldd", str(file)], capture_output=True, text=True, check=False).stdout
        missing.update(line.split()[0] for line in told.splitlines() if "not found" in line and "=>" in line)
    return missing


def has_fonts() -> bool:
    """Whether any outline font is installed; without one a window shows boxes."""
    homes = (Path("/usr/share/fonts"), Path("/usr/local/share/fonts"), Path.home() / ".fonts")
    return any(path.suffix.lower() in {".ttf", ".otf", ".ttc"} for home in homes for path in home.rglob("*"))


def wanted_packages(kind: str) -> tuple[list[str], list[str]]:
    """(packages to install, libraries that no package is known for)."""
    missing = missing_libraries()
    packages = {PACKAGES[name] for name in missing if name in PACKAGES}
    if not has_fonts():
        packages.add("fonts-dejavu-core")
    if kind == "test" and not shutil.which("Xvfb"):
        packages.add("xvfb")
    return sorted(packages), sorted(name for name in missing if name not in PACKAGES)


def is_t64_system() -> bool:
    """Debian 13, Ubuntu 24.04 or later, or a relative that knows their package names."""
    if answers(["sh", "-c", "apt-cache show libasound2t64 | grep -q ."]):
        return True
    release = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    name, version = release.get("ID", "").strip('"'), release.get("VERSION_ID", "0").strip('"')
    first = {"debian": 13.0, "ubuntu": 24.04}.get(name)
    return first is not None and float(version or 99) >= first


def privileged() -> list[str] | None:
    """What to put before a command to run it as root; None when that is not allowed here."""
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") and answers(["sudo", "-n", "true"]):
        return ["sudo", "-n"]
    return None


def install_system(packages: list[str]) -> None:
    """Installs by apt, or says what to type."""
    names = [f"{name}t64" if name in T64 and is_t64_system() else name for name in packages]
    by_hand = f"sudo apt-get install -y --no-install-recommends {' '.join(names)}"
    prefix = privileged()
    if prefix is None or not shutil.which("apt-get"):
        raise SetUpFailed(f"Some system packages are missing. Run this, then try again:\n  {by_hand}")
    say(f"Installing system packages: {' '.join(names)}")
    base = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "-o", "Dpkg::Use-Pty=0"]
    subprocess.run([*base, "update"], check=False, stdout=subprocess.DEVNULL)
    command = [*base, "install", "-y", "--no-install-recommends", *names]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SetUpFailed(
            f"{done.stdout}{done.stderr}\nThe system packages could not be installed. By hand:\n  {by_hand}"
        )


def try_qt() -> None:
    """Starts Qt for a moment without a screen: what the linker cannot tell shows here."""
    start = "from PySide6.QtWidgets import QApplication; from PySide6 import QtWebEngineWidgets; QApplication([])"
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    tried = subprocess.run(
        [str(venv_python()), "-c", start], env=environment, capture_output=True, text=True, check=False
    )
    if tried.returncode:
        raise SetUpFailed(f"Qt does not start on this machine:\n{tried.stderr.strip()}")


def ensure_system(kind: str) -> None:
    """System libraries there, checked by trying, and stamped."""
    stamp = VENV / ".stopline-system"
    if stamp.exists() and kind in stamp.read_text().split():
        return
    if sys.platform.startswith("linux"):
        packages, unknown = wanted_packages(kind)
        if packages:
            install_system(packages)
            left, unknown = wanted_packages(kind)
            unknown += left
        if unknown:
            raise SetUpFailed(f"These are still missing on this machine: {', '.join(unknown)}")
    try_qt()
    stamp.write_text("run test" if kind == "test" else "run")


def check_display() -> None:
    """A window needs a screen: said before anything is downloaded."""
    sys.path.insert(0, str(ROOT))
    from app.cli.display import why_no_display

    reason = why_no_display(os.environ, sys.platform)
    if reason:
        raise SetUpFailed(reason)


def main() -> int:
    """Exit code 0 when everything is there, else 1 and the reason."""
    parser = argparse.ArgumentParser(description="Sets up what Stopline needs to run or to be tested.")
    parser.add_argument("kind", choices=["run", "test"])
    parser.add_argument("--display", action="store_true", help="first make sure that a window can be opened")
    asked = parser.parse_args()
    try:
        if asked.display:
            check_display()
        make_venv()
        ensure_packages(asked.kind)
        ensure_system(asked.kind)
    except SetUpFailed as failed:
        say(str(failed))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
