"""What the mixed load finds: a loss, a repeat, a growth, and whatever a cloud that has ended has left behind."""

from __future__ import annotations

import fcntl
import os
import random
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"
sys.path.insert(0, str(BENCH))  # its files name one another without a package, as scripts do

from mixed_judges import (  # noqa: E402
    Sample,
    Verdicts,
    find_disorder,
    find_growth,
    find_judged,
    find_missing,
    find_peaks,
    find_repeats,
    find_slope,
    find_steady_growth,
    judge_growth,
)
from mixed_remains import find_files, find_marked, find_remains, read_ports  # noqa: E402

LINUX = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc, which Linux has")
MINUTES = 15
FLAT = {"cloud_mb": 100.0, "functions_mb": 200.0, "environments": 10, "children": 11, "descriptors": 90, "threads": 9}


def take_samples(**grows: float) -> list[Sample]:
    """Fifteen minutes, flat but for what grows by so much a minute after the seventh, and for noise."""
    draw = random.Random(3)
    samples: list[Sample] = []
    for second in range(MINUTES * 60):
        minute = second / 60
        figures = {name: value + grows.get(name, 0.0) * max(0.0, minute - 7.0) for name, value in FLAT.items()}
        figures["cloud_mb"] += draw.gauss(0, 0.3)
        for name in ("environments", "children", "descriptors", "threads"):
            figures[name] = round(figures[name])
        samples.append(Sample(minute=minute, cloud_cpu_s=second * 0.2, **figures))  # pyright: ignore[reportArgumentType]
    return samples


def watch_environments(samples: list[Sample], grows: float = 0.0) -> dict[object, list[tuple[float, float]]]:
    """Three that stay, one that a reload ends, one that comes late and is large."""
    stay = [(each.minute, 15.0 + grows * each.minute) for each in samples]
    return {1: stay, 2: stay, 3: stay, 4: stay[:650], 5: [(minute, mb + 50) for minute, mb in stay[700:]]}


def judge(samples: list[Sample], grows: float = 0.0, minutes: float = MINUTES) -> list[str]:
    verdicts = Verdicts()
    judge_growth(samples, watch_environments(samples, grows), minutes, verdicts)
    return verdicts.failed


def test_a_steady_cloud_holds() -> None:
    """Noise, an environment that ends and one that comes are no growth."""
    assert judge(take_samples()) == []


@pytest.mark.parametrize(
    ("name", "rate", "told"),
    [
        ("cloud_mb", 1.3, "memory of the cloud "),
        ("environments", 1.0, "environments: "),
        ("children", 1.0, "children: "),
        ("descriptors", 8.0, "descriptors: "),
        ("threads", 1.0, "threads: "),
    ],
    ids=["memory", "environments", "children", "descriptors", "threads"],
)
def test_a_growth_is_found(name: str, rate: float, told: str) -> None:
    """Of each figure alone, where it grows by more than it may; half of that is let pass."""
    [failed] = judge(take_samples(**{name: rate}))
    assert failed.startswith(told)
    assert judge(take_samples(**{name: rate / 2})) == []


def test_a_growth_of_functions_is_found_in_those_that_stay() -> None:
    """Three environments that grow by 0.4 MB a minute each are more than a megabyte."""
    [told] = judge(take_samples(), grows=0.4)
    assert told == "memory of 3 environments +1.20 MB a minute, at most +1.00"


def test_memory_without_an_environment_that_stays_is_not_held_to_be_flat() -> None:
    """What cannot be judged is no success."""
    samples, verdicts = take_samples(), Verdicts()
    judge_growth(samples, {}, MINUTES, verdicts)
    assert verdicts.failed == ["memory of 0 environments +0.00 MB a minute, at most +1.00"]


def test_growth_in_the_warm_up_is_not_judged_and_a_short_run_shows_it_only() -> None:
    """Logs fill what is kept of them in the first half; a short run is all warm-up."""
    samples = [each._replace(cloud_mb=100 + min(each.minute, 7.0) * 5) for each in take_samples()]
    assert judge(samples) == []
    assert judge(take_samples(cloud_mb=5.0, environments=2.0), minutes=5) == []
    assert find_growth(take_samples(cloud_mb=5.0)) == pytest.approx(5.0, abs=0.1)


def test_a_leap_moves_no_slope() -> None:
    """A single leap is no growth, a line is its own slope, and one point has none."""
    assert find_slope([(float(at), 100.0 + 60 * (at == 5)) for at in range(20)]) == 0
    assert find_slope([(float(at), 3.0 * at) for at in range(20)]) == pytest.approx(3.0)
    assert find_slope([(1.0, 5.0)]) == 0


def test_short_runs_have_something_to_judge() -> None:
    """The last sample at least, and peaks of it."""
    samples = take_samples(environments=1.0)[-2:]
    assert find_judged(samples) == samples[1:]
    assert find_peaks(samples, "environments") == (18, 18)
    assert find_steady_growth(samples, watch_environments(take_samples()))[1] == 0


def test_a_loss_is_found_by_its_kind() -> None:
    """A call is handled by its function, or in the dead letter queue, or by what hears of failures."""
    acknowledged = {"rest": [1, 2, 3], "queue": [1, 2, 40], "later": [1, 40]}
    evidence = {"rest": Counter([1, 3, 3]), "queue": Counter([1]), "later": Counter([1]), "complained": Counter([40])}
    assert find_missing(acknowledged, evidence, {40}) == {"rest": 1, "queue": 1, "later": 0}
    assert find_missing({"step": [7]}, {}, set()) == {"step": 1}


def test_a_repeat_is_found() -> None:
    """How many numbers came more than once, not how often."""
    assert find_repeats({"rest": Counter([1, 1, 1, 2, 3, 3])}, "rest") == 2
    assert find_repeats({}, "rest") == 0


def test_disorder_of_groups_is_found() -> None:
    """Within a group numbers grow; between groups any order is right; a second time is wrong as well."""
    assert find_disorder([0, 1, 3, 2, 5, 4], 2) == 0
    assert find_disorder([0, 4, 2], 2) == 1
    assert find_disorder([1, 3, 3], 2) == 1


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """As a run has it before its cloud starts."""
    for each in ("app/src", "evidence", "tmp", "home/.cache/sluiceway", "state"):
        (tmp_path / each).mkdir(parents=True)
    return tmp_path


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


@LINUX
def test_a_cloud_that_leaves_nothing_is_found_clean(folder: Path) -> None:
    """What it writes where it may is nothing that is left, nor what was there before."""
    (folder / "app" / "src" / "app.py").write_text("")
    before = find_files(folder)
    assert before == {"app", "app/src", "app/src/app.py"}
    for name in ("state/calls.jsonl", "evidence/rest", "home/.cache/sluiceway/wheel", "keep0"):
        (folder / name).write_text("")
    assert find_remains(folder, set(), (f"TMPDIR={folder}",), before) == {}


@LINUX
@pytest.mark.parametrize("name", ["tmp/sluiceway-x", "app/src/__pycache__", "home/.aws", "elsewhere"])
def test_a_folder_that_is_left_is_found(folder: Path, name: str) -> None:
    """In the folder for temporary files, beside the code, at home, or anywhere else."""
    before = find_files(folder)
    (folder / name).mkdir()
    assert find_remains(folder, set(), ("no such process",), before) == {"files": [name]}


@LINUX
def test_a_socket_that_is_left_is_found(folder: Path, listener: socket.socket) -> None:
    """Whoever listens at one of the ports, of any protocol version; and a socket that has a path."""
    port = listener.getsockname()[1]
    assert port in read_ports([os.getpid()])
    assert find_remains(folder, {port}, ("no such process",), set(find_files(folder))) == {"ports": [port]}
    listener.close()
    before = find_files(folder)
    with socket.socket(socket.AF_UNIX) as named:
        named.bind(str(folder / "tmp" / "s"))
        assert find_remains(folder, {port}, ("no such process",), before) == {"files": ["tmp/s"]}


@LINUX
def test_a_process_that_is_left_is_found(folder: Path) -> None:
    """By a variable of its environment, whole; not by the beginning of another's."""
    mark = f"TMPDIR={folder / 'tmp'}"
    child = subprocess.Popen(["sleep", "60"], env={"TMPDIR": str(folder / "tmp"), "PATH": "/usr/bin:/bin"})
    try:
        assert find_remains(folder, set(), (f"{mark}\0",), find_files(folder)) == {"processes": [child.pid]}
        assert find_marked(f"{mark}/other\0") == []
    finally:
        child.kill()
        child.wait()
    assert find_marked(f"{mark}\0") == []


@LINUX
def test_a_lock_and_a_state_that_says_up_are_found(folder: Path) -> None:
    """A lock that anybody holds in the folder, and the file that says that a cloud runs."""
    before = find_files(folder)
    with (folder / "state" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert find_remains(folder, set(), ("no such process",), before) == {"locks": ["lock"]}
    (folder / "state" / "state.json").write_text("{}")
    assert find_remains(folder, set(), ("no such process",), before) == {"says that it runs": ["state.json"]}
