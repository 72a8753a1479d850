"""The Firestore emulator for tests: one per test run, shared by its processes, stopped after the last of them.

`emulator(run_id)` returns its address. If FIRESTORE_EMULATOR_HOST is set, that emulator is used; otherwise the gcloud
SDK's component `cloud-firestore-emulator` is started with Java. The processes of a run share a directory named after
`run_id`:

    leases   every process that uses the emulator holds a shared lock until it exits
    start    locked exclusively by the process that finds or starts the emulator
    address  "host:port" of the running emulator
    log      the emulator's output

A supervisor process waits for an exclusive lock on `leases`. It acquires it when no user is left, and stops the
emulator. The kernel also releases locks of killed processes.

In a shell, `python -m memory.testing.emulator [port]` runs one in the foreground.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

MAIN_CLASS = "com.google.cloud.datastore.emulator.firestore.CloudFirestore"
"""The main class of the component's launcher; the jar's manifest has none."""

START_SECONDS = 60.0
"""The time limit of the start, which takes 3 to 6 s on an idle machine."""

_held_leases: list[int] = []  # descriptors, kept open until the process exits


class EmulatorUnavailable(RuntimeError):
    """The emulator is unavailable; the message names the missing requirement."""


def find_jar() -> Path:
    """The emulator's jar inside the SDK of the `gcloud` on PATH.

    Raises `EmulatorUnavailable` if gcloud, its component or Java is missing.
    """
    gcloud = shutil.which("gcloud")
    if gcloud is None:
        raise EmulatorUnavailable("gcloud is not on PATH; install the Google Cloud SDK or set FIRESTORE_EMULATOR_HOST")
    platform = Path(gcloud).resolve().parent.parent / "platform" / "cloud-firestore-emulator"
    jars = sorted(platform.glob("*.jar"))
    if not jars:
        raise EmulatorUnavailable(
            f"no emulator below {platform}; run `gcloud components install cloud-firestore-emulator` "
            "or install the package google-cloud-cli-firestore-emulator"
        )
    if shutil.which("java") is None:
        raise EmulatorUnavailable("java is not on PATH; the Firestore emulator needs a Java runtime, 17 or newer")
    return jars[-1]


def unavailable_reason() -> str | None:
    """Why the emulator is unavailable, or None if it can be started."""
    if os.environ.get("FIRESTORE_EMULATOR_HOST"):
        return None
    try:
        find_jar()
    except EmulatorUnavailable as error:
        return str(error)
    return None


def emulator(run_id: str) -> str:
    """The address, "host:port", of this run's emulator, which is started if necessary.

    Raises `EmulatorUnavailable` if it cannot be started, or if FIRESTORE_EMULATOR_HOST does not respond.
    """
    if given := os.environ.get("FIRESTORE_EMULATOR_HOST"):
        if not _responds(given):
            raise EmulatorUnavailable(
                f"FIRESTORE_EMULATOR_HOST={given} does not respond; start it or unset the variable"
            )
        return given
    jar = find_jar()
    directory = Path(tempfile.gettempdir()) / f"firestore-emulator-{run_id}"
    _lease(directory)
    with _locked(directory / "start"):
        address_file = directory / "address"
        if address_file.exists() and _responds(address := address_file.read_text()):
            return address
        address = _start(directory, jar)
        address_file.write_text(address)
        return address


def flush(address: str, project: str, database: str = "(default)") -> None:
    """Delete every document of one project's database."""
    url = f"http://{address}/emulator/v1/projects/{project}/databases/{database}/documents"
    request = urllib.request.Request(url, method="DELETE")
    with urllib.request.urlopen(request, timeout=60):  # noqa: S310
        pass


def command(jar: Path, port: int) -> list[str]:
    """The command of the emulator on localhost. Like its launcher, it sets the language to English."""
    jvm = ["java", "-XX:+UseSerialGC", "-Duser.language=en", "-cp", str(jar)]
    return [*jvm, MAIN_CLASS, "--host", "127.0.0.1", "--port", str(port)]


def free_port(maximum: int = 65_535) -> int:
    """A free TCP port on localhost, at most `maximum`."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port <= maximum:
            return port


def _lease(directory: Path) -> None:
    """Acquire a shared lock on `leases`; retry if a supervisor removed the directory."""
    path = directory / "leases"
    while True:
        directory.mkdir(exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            if path.exists() and os.path.samestat(os.fstat(descriptor), path.stat()):
                _held_leases.append(descriptor)
                return
            os.close(descriptor)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _start(directory: Path, jar: Path) -> str:
    port = free_port()
    address = f"127.0.0.1:{port}"
    launched = subprocess.run(  # noqa: S603 - own interpreter, own file
        [sys.executable, __file__, "launch", str(directory), str(jar), str(port)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl+C must not stop it before the tests have cleaned up
        check=True,
    )
    supervisor = int(launched.stdout)
    deadline = time.monotonic() + START_SECONDS
    while not _responds(address):
        if not _is_running(supervisor) or time.monotonic() > deadline:
            tail = (directory / "log").read_text(errors="replace")[-2000:]
            raise EmulatorUnavailable(f"the Firestore emulator did not start on {address}; its output:\n{tail}")
        time.sleep(0.1)
    return address


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _responds(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{address}/", timeout=2):
            return True
    except (urllib.error.URLError, OSError):
        return False


def _supervise(directory: Path, jar: Path, port: int) -> int:
    """Run the emulator until no lease is held. Returns its exit status if it exits by itself."""
    process = subprocess.Popen(command(jar, port))  # noqa: S603
    with (directory / "leases").open("r+") as leases:
        while process.poll() is None:
            try:
                fcntl.flock(leases, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(0.25)
                continue
            (directory / "address").unlink(missing_ok=True)
            process.kill()
            process.wait()
            shutil.rmtree(directory, ignore_errors=True)
            return 0
    return process.returncode


def _launch(directory: Path, jar: Path, port: int) -> int:
    """Fork a detached supervisor and print its process id."""
    if pid := os.fork():
        sys.stdout.write(str(pid))
        return 0
    log = os.open(directory / "log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for stream in (1, 2):
        os.dup2(log, stream)
    return _supervise(directory, jar, port)


def _foreground(port: int) -> NoReturn:
    """Become an emulator, so that it gets the signals that are sent to this process."""
    program, *arguments = command(find_jar(), port)
    sys.stderr.write(f"FIRESTORE_EMULATOR_HOST=127.0.0.1:{port}\n")
    sys.stderr.flush()
    os.execvp(program, [program, *arguments])  # noqa: S606


def main(arguments: list[str]) -> int:
    """`launch DIRECTORY JAR PORT` for the supervisor, else `[PORT]` for a shell; returns the exit status."""
    if arguments[:1] == ["launch"]:
        directory, jar, port = arguments[1:]
        return _launch(Path(directory), Path(jar), int(port))
    try:
        _foreground(int(arguments[0]) if arguments else 8080)
    except EmulatorUnavailable as error:
        sys.stderr.write(f"{error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
