"""What exec and the interpreter do for a new process, for one that is forked instead.

A process of Python that runs Tributary spends half a second of CPU time on imports. The fork
server has the modules loaded; a process forked from it has them without that cost. Everything
else is as in a process that was started: its files, its environment, its signals, its group.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import errno
import fcntl
import gc
import inspect
import io
import os
import runpy
import signal
import subprocess
import sys
import threading
import traceback
import types
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
# What the interpreter and libraries read when they are loaded.
_READ_ONCE = ("PYTHON", "LD_", "LC_", "LANG", "TZ", "MALLOC", "OPENBLAS", "OMP")
_COPIES_ABOVE = 200
_STDERR = 2
_NOT_STARTED = 255
_UNFLUSHED = 120  # the exit status of Python when the last output cannot be written
_SIGNATURE = inspect.signature(subprocess.Popen._execute_child)  # type: ignore[attr-defined]


class Child(NamedTuple):
    """How a process begins."""

    words: list[str]  # the command line, the interpreter first
    environ: dict[str, str]
    fds: dict[int, int]  # its file descriptors, and the ones of the parent that they copy
    cwd: str = ""  # empty: that of the parent
    umask: int = -1  # -1: that of the parent
    is_session: bool = False
    group: int = -1  # -1: that of the parent, 0: its own
    ignores_sigint: bool = False


def read_once(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that a forked process cannot have other values of."""
    return {name: value for name, value in environ.items() if name.startswith(_READ_ONCE)}


def is_python(words: object) -> bool:
    """Whether a command runs a module or a program of Python that a forked process can run."""
    if not isinstance(words, list) or words[0] != sys.executable:
        return False
    options = words[1:3] if words[1:2] != ["-P"] else words[2:4]
    return len(options) == 2 and options[0] in ("-m", "-c")


def arguments_of(popen: subprocess.Popen[Any], given: Iterable[Any]) -> dict[str, Any]:
    """The arguments of `Popen._execute_child` by name."""
    return _SIGNATURE.bind(popen, *given).arguments


def is_usual(given: Mapping[str, Any]) -> bool:
    """Whether a process with these arguments can be forked."""
    unsupported = ("shell", "executable", "startupinfo")
    owners = (given["gid"], given["gids"], given["uid"])
    return (
        is_python(given["args"])
        and not any(given[name] for name in unsupported)
        and all(each is None for each in owners)
        and str(given["cwd"] or Path.cwd()) == str(ROOT)
    )


def child(given: Mapping[str, Any]) -> Child:
    """How a process with these arguments begins."""
    standard = (given["p2cread"], given["c2pwrite"], given["errwrite"])
    fds = {number: fd if fd >= 0 else number for number, fd in enumerate(standard)}
    environ = os.environ if given["env"] is None else given["env"]
    return Child(
        list(given["args"]),
        dict(environ),
        fds | {fd: fd for fd in given["pass_fds"]},
        str(given["cwd"] or ""),
        given["umask"],
        given["start_new_session"],
        given["process_group"],
        signal.getsignal(signal.SIGINT) is signal.SIG_IGN,
    )


class ForkingPopen(subprocess.Popen[Any]):
    """Forks this process for commands of Python, as `up` and `jobs` start their processes."""

    def _execute_child(self, *arguments: Any) -> None:
        given = arguments_of(self, arguments)
        if not is_usual(given) or read_once(given["env"] or os.environ) != read_once(os.environ):
            super()._execute_child(*arguments)  # type: ignore[misc]
            return
        self.pid = fork(child(given), given["preexec_fn"])
        self._child_created = True
        names = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        self._close_pipe_fds(*(given[name] for name in names))  # type: ignore[attr-defined]


def fork(child: Child, before_start: Callable[[], object] | None = None) -> int:
    """Run a command of Python in a fork of this process, which has one thread; its pid.

    Raises:
        OSError: as `subprocess.Popen` does.
    """
    problems, report = os.pipe()
    pid = os.fork()
    if pid == 0:
        _run(child, before_start, report)
    os.close(report)
    try:
        problem = os.read(problems, 64)  # empty when the command begins
    finally:
        os.close(problems)
    if problem:
        os.waitpid(pid, 0)
        raise OSError(int(problem), os.strerror(int(problem)))
    return pid


def _run(child: Child, before_start: Callable[[], object] | None, report: int) -> None:
    """Never returns, so the frames below this one keep the objects of the parent alive."""
    gc.freeze()  # nor is anything of the parent collected, which could close a file of this one
    atexit._clear()
    weakref.finalize._registry.clear()  # type: ignore[attr-defined]
    try:
        _reset_signals()
        report = _take_files(child.fds, report)
        _begin(child, before_start)
        os.close(report)
        os._exit(_exit_status(child.words))
    except OSError as error:
        os.write(report, str(error.errno or errno.EINVAL).encode())
    except BaseException:
        traceback.print_exc()
    os._exit(_NOT_STARTED)


def _reset_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)


def _take_files(fds: Mapping[int, int], report: int) -> int:
    """Have these files and no others; the new number of `report`."""
    above = max(_COPIES_ABOVE, *fds, report)
    copies = {to: fcntl.fcntl(fd, fcntl.F_DUPFD, above) for to, fd in fds.items()}
    report = fcntl.fcntl(report, fcntl.F_DUPFD_CLOEXEC, above)
    for to, fd in copies.items():
        os.dup2(fd, to)
    kept = {*fds, report}
    for fd in map(int, [path.name for path in Path("/proc/self/fd").iterdir()]):
        if fd not in kept:
            with contextlib.suppress(OSError):  # the one that listed them
                os.close(fd)
    return report


def _begin(child: Child, before_start: Callable[[], object] | None) -> None:
    """Do what `subprocess` does before exec, and the interpreter before the program."""
    if child.cwd:
        os.chdir(child.cwd)
    if child.umask >= 0:
        os.umask(child.umask)
    if child.is_session:
        os.setsid()
    if child.group >= 0:
        os.setpgid(0, child.group)
    signal.signal(signal.SIGINT, signal.SIG_IGN if child.ignores_sigint else signal.SIG_DFL)
    if before_start is not None:
        before_start()
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(child.environ)
    _open_streams()
    _show(child.words)


def _open_streams() -> None:
    """Open the standard streams as the interpreter did for the fork server."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        of_server = getattr(sys, name)
        raw = io.FileIO(number, "wb" if number else "rb", closefd=False)
        raw.name = f"<{name}>"  # type: ignore[misc]
        is_unbuffered = of_server.write_through
        buffered: Any = raw
        if not is_unbuffered:
            buffered = io.BufferedWriter(raw) if number else io.BufferedReader(raw)
        stream = io.TextIOWrapper(
            buffered,
            of_server.encoding,
            of_server.errors,
            line_buffering=not is_unbuffered and (number == _STDERR or raw.isatty()),
            write_through=is_unbuffered,
        )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def _show(words: Sequence[str]) -> None:
    """Replace the command line that /proc and ps show; the fork server has a long one."""
    stat = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    begin, end = int(stat[45]), int(stat[46])  # arg_start and arg_end in proc(5)
    line = "\0".join(words).encode()[: end - begin - 1]
    ctypes.memmove(begin, line.ljust(end - begin, b"\0"), end - begin)


def _exit_status(words: Sequence[str]) -> int:
    """Run the command; its exit status as the interpreter would return it."""
    status: int = 0
    try:
        _execute(words)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        if status and not isinstance(end.code, int):
            sys.stderr.write(f"{end.code}\n")
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        status = -signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        status = _UNFLUSHED
    if status == -signal.SIGINT:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    return status & 0xFF


def _execute(words: Sequence[str]) -> None:
    option, target, *arguments = words[2:] if words[1] == "-P" else words[1:]
    sys.orig_argv, sys.argv = list(words), [option, *arguments]
    if option == "-m":
        runpy.run_module(target, run_name="__main__", alter_sys=True)
        return
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    exec(compile(target, "<string>", "exec"), module.__dict__)
