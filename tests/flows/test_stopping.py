"""Ctrl-C and SIGTERM at any moment: one line, no traceback, what is finished is kept, and the same command goes on.

The installed program is stopped where it is, by a signal that it gets when it imports a module, opens a file or says a
line. That it loses nothing at moments drawn by chance is `benchmarks.soak`'s.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.editing.invented_world import write_invented
from tests.flows.tiny_runs import TINY

ROOT = Path(__file__).resolve().parents[2]
INSTALLED = str(Path(sysconfig.get_path("scripts")) / "chronofacts")
AGAIN = "; the same command again goes on from what is done"
SET = [word for key, value in TINY.items() for word in ("--set", f"{key}={value}")]
STOP_AT = """
import os, signal, sys
event, _, part, number = os.environ["STOP_AT"].split(" ")
def hook(name, given):
    global part
    if part and name == event and part in str(given[0]):
        part = ""
        os.kill(os.getpid(), int(number))
if part:
    sys.addaudithook(hook)
"""


def run(at: Path, *words: str, stop_at: str = "", by: signal.Signals = signal.SIGINT) -> tuple[int, list[str]]:
    """The exit code, and the lines on standard error. stop_at: `open run.json` or `import torch`; else nothing stops
    it."""
    event, _, part = stop_at.partition(" ")
    (at / "site").mkdir(parents=True, exist_ok=True)
    (at / "site" / "sitecustomize.py").write_text(STOP_AT)
    own = {"PYTHONPATH": f"{ROOT}:{at / 'site'}", "HOME": str(at), "OMP_NUM_THREADS": "1", "TMPDIR": str(at)}
    environment = {**os.environ, **own, "STOP_AT": f"{event} at {part} {int(by)}"}
    done = subprocess.run(words, cwd=at, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr.splitlines()


def stop_at_line(at: Path, words: list[str], line: str, by: signal.Signals) -> tuple[int, list[str]]:
    """As `run`; stopped when it says a line."""
    own = {"PYTHONPATH": str(ROOT), "HOME": str(at), "OMP_NUM_THREADS": "1", "TMPDIR": str(at)}
    said = list[str]()
    with subprocess.Popen(words, cwd=at, env={**os.environ, **own}, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for told in process.stderr:
            said.append(told.rstrip("\n"))
            if line in told:
                process.send_signal(by)
                line = "\0"
        code = process.wait(timeout=60)
    assert not any("Traceback" in told for told in said)
    return code, said


@pytest.mark.parametrize(
    ("stages", "finished"),
    [
        (("pretraining: at most", "probes to be read"), []),
        (("lora: editing", "memory: editing"), ["lora"]),
    ],
)
def test_an_experiment_that_is_stopped_at_every_stage_goes_on_to_its_end(
    tmp_path: Path, stages: tuple[str, str], finished: list[str]
) -> None:
    snapshot = write_invented(tmp_path / "S", facts=8, edits=2, people=6)
    words = [INSTALLED, "experiment", str(snapshot), "--editor", "none,lora,memory", "--out", "R", *SET]
    for stage, by in zip(stages, (signal.SIGINT, signal.SIGTERM), strict=True):
        code, said = stop_at_line(tmp_path, words, stage, by)
        name = "Ctrl-C" if by == signal.SIGINT else "SIGTERM"
        assert code == 128 + by and said[-1] == f"chronofacts experiment: stopped by {name}{AGAIN}", stage
        assert not (tmp_path / "R").exists()
    code, said = run(tmp_path, *words)
    assert code == 0 and [path.name for path in tmp_path.glob("*R*")] == ["R"]
    assert [line.split(": ")[0].split()[-1] for line in said if "finished before" in line] == finished


def test_an_experiment_that_is_stopped_before_its_first_and_at_its_last_moment_goes_on(tmp_path: Path) -> None:
    snapshot = write_invented(tmp_path / "S", facts=8, edits=2, people=6)
    words = [INSTALLED, "experiment", str(snapshot), "--editor", "none,lora,memory", "--out", "R", *SET]
    for stage, by in (("import torch", signal.SIGTERM), ("open run.json", signal.SIGINT)):
        code, said = run(tmp_path, *words, stop_at=stage, by=by)
        assert code == 128 + by and said[-1].endswith(AGAIN), stage
        assert not (tmp_path / "R").exists()
    code, said = run(tmp_path, *words)
    assert code == 0 and [path.name for path in tmp_path.glob("*R*")] == ["R"]
    assert [line.split(": ")[0].split()[-1] for line in said if "finished before" in line] == ["lora", "memory"]


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("module", ["typer", "urllib.request"])
def test_a_signal_while_the_program_is_loaded_is_one_line(tmp_path: Path, module: str, by: signal.Signals) -> None:
    program = [sys.executable, "-c", "from chronofacts.flows.program import main; main()", "editors"]
    code, said = run(tmp_path, *program, stop_at=f"import {module}", by=by)
    assert code == 128 + by and len(said) == 1 and said[0].startswith("chronofacts: stopped by ")


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        ("while True:\n   try: time.sleep(60)\n   except KeyboardInterrupt: pass", True),  # swallowed
        ("try: time.sleep(60)\n  except KeyboardInterrupt: raise AttributeError('half imported')", False),
        ("hashlib.pbkdf2_hmac('sha256', b'', b'', (1 << 31) - 1)", True),  # one call of C for half an hour
    ],
)
def test_what_does_not_end_by_itself_is_ended_with_its_line(tmp_path: Path, body: str, seconds: bool) -> None:
    code = (
        "import hashlib, os, signal, sys, threading, time\n"
        "from chronofacts.flows.stopping import Stopped, leave, listen, stoppable\n"
        "listen()\n"
        "threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM)).start()\n"
        f"try:\n with stoppable(lambda by: f'forced by {{by}}'):\n  {body}\n"
        "except Stopped as stop: print(stop.name, file=sys.stderr); leave(stop.exit_code)\n"
    )
    ended, said = run(tmp_path, sys.executable, "-c", code)
    assert (ended, said) == (128 + signal.SIGTERM, ["forced by SIGTERM" if seconds else "SIGTERM"])


def test_a_library_that_calls_the_commands_keeps_its_own_handlers(tmp_path: Path) -> None:
    code = (
        "import signal\n"
        "from chronofacts.flows.stopping import stoppable\n"
        "before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)\n"
        "with stoppable(str): assert signal.getsignal(signal.SIGINT) != before[0]\n"
        "assert before == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))\n"
        "assert signal.set_wakeup_fd(-1) == -1\n"
    )
    assert run(tmp_path, sys.executable, "-c", code) == (0, [])
