"""evalkit doctor: what it finds on this machine, and on others whose files and rates are made here."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from evalkit import machine
from evalkit.cli import main
from evalkit.diagnosis import facts, hardware, packages, places
from evalkit.diagnosis.facts import Finding, Section
from evalkit.extras import EXTRAS
from tests.test_extras import evalkit_without_extras

tomllib = pytest.importorskip("tomllib" if __import__("sys").version_info >= (3, 11) else "tomli")
ROOT = Path(__file__).resolve().parent.parent.parent
RATES = {"fp32": 1e11, "bf16": 3e11}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, rates that need no measuring, and a machine without other work."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hardware, "rates", lambda device="cpu": RATES)
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    for name in ("EVALKIT_DATA", "EVALKIT_CONFIG", "OMP_NUM_THREADS", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("EVALKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path


def doctor(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Mapping]:
    code = main(["doctor", "--json", *words])
    return code, json.loads(capsys.readouterr().out)


def kinds(findings: list[Finding] | tuple[Finding, ...]) -> list[str]:
    return [finding.kind for finding in findings]


def test_a_sound_machine_is_usable(capsys: pytest.CaptureFixture[str]) -> None:
    code, report = doctor(capsys)
    assert code == 0 and report["usable"]
    assert report["versions"]["packages"]["torch"] == torch.__version__
    assert report["processor"]["fp32"] == 1e11 and report["processor"]["threads"] == torch.get_num_threads()
    assert report["memory"]["total"] > report["memory"]["available"] > 0
    assert "world_qa" in report["data"]["ready"] and "coqa" in report["data"]["missing"]
    assert report["caches"]["evalkit"]["folder"].endswith("cache") and report["caches"]["evalkit"]["writable"]
    assert report["settings"] == {"file": None}


def test_the_text_fits_a_narrow_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.console import Console

    from evalkit.commands import options

    written = io.StringIO()
    monkeypatch.setattr(options, "console", lambda: Console(file=written, width=80))
    assert main(["doctor"]) == 0
    text = written.getvalue()
    assert max(map(len, text.splitlines())) <= 80 and "evalkit can be used here." in text
    assert "AVX" in text or "features" in text


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("EVALKIT_DATA", "nowhere", "EVALKIT_DATA names nowhere, which is not a folder"),
        ("EVALKIT_CACHE", "s3://bucket/x", "the cache is a database"),
        ("EVALKIT_CONFIG", "nowhere.toml", "nowhere.toml: cannot be read"),
    ],
)
def test_what_is_broken_has_exit_code_1_and_a_remedy(
    name: str, value: str, message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    code, report = doctor(capsys)
    broken = [finding for finding in report["findings"] if finding["kind"] == "broken"]
    assert code == 1 and not report["usable"] and len(broken) == 1
    assert message in broken[0]["text"] and broken[0]["remedy"]


def test_a_wrong_file_of_settings_is_broken(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "evalkit.toml").write_text("[run]\nshotz = 1\n")
    code, report = doctor(capsys)
    assert code == 1 and "line 2: run.shotz" in report["findings"][0]["text"]
    (here / "evalkit.toml").write_text("[run]\nshots = 1\n")
    code, report = doctor(capsys)
    assert code == 0 and report["settings"]["run"] == {"shots": 1} and len(report["settings"]["sha256"]) == 64


def test_a_package_that_cannot_be_imported_ends_the_examination(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "NEEDED", {"torch": "torch", "nowhere": "no_such_module"})
    code, report = doctor(capsys)
    assert code == 1 and "nowhere cannot be imported" in report["findings"][0]["text"] and "memory" not in report


def test_an_examination_that_fails_is_a_finding() -> None:
    def fails() -> Section:
        raise RuntimeError("no such device")

    section = facts.examined("devices", fails)
    assert kinds(section.findings) == ["broken"] and "no such device" in section.findings[0].text


def test_the_packages_are_those_of_a_base_install() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    base = {text.partition(">")[0] for text in project["dependencies"] if ";" not in text}
    assert base == packages.NEEDED.keys()
    assert packages.ADDS.keys() == set(EXTRAS.values())


def test_products_of_bf16_without_instructions_are_slow() -> None:
    assert not [f for f in hardware._products(RATES) if "bf16" in f.text]
    slow = hardware._products({"fp32": 1e11, "bf16": 2e10})
    assert slow[0].kind == "slow" and "20% of the rate of fp32" in slow[0].text
    # 2 operations per parameter and token: 1e11 / (2 x 1.56e9) = 32.
    assert "GPT-2 1542M reads at most 32 tokens per second" in slow[-1].text


def test_threads_beyond_the_quota_and_unused_cores_are_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    assert hardware._threads(4, 4) == []
    assert hardware._threads(1.5, 8)[0].remedy == "OMP_NUM_THREADS=1"
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert hardware._threads(4, 1)[0].remedy == "unset OMP_NUM_THREADS"
    monkeypatch.setattr(os, "getloadavg", lambda: (9.0, 0.0, 0.0))
    assert "a load of 9.0 on 4 cores" in hardware._threads(4, 4)[0].text


def write(folder: Path, files: Mapping[str, str]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


def test_limits_of_control_groups_of_version_2(tmp_path: Path) -> None:
    groups = write(
        tmp_path / "groups",
        {
            "a/cpu.max": "50000 100000\n", "a/b/cpu.max": "max 100000\n", "a/memory.max": "max\n",
            "a/b/memory.max": "1073741824\n",
        },
    )  # fmt: skip
    own = write(tmp_path, {"own": "0::/a/b\n"}) / "own"
    assert machine.cores(groups=groups, own=own) == 0.5
    assert machine.memory_limit(groups=groups, own=own) == 1 << 30


def test_limits_of_control_groups_of_version_1(tmp_path: Path) -> None:
    groups = write(
        tmp_path / "groups",
        {
            "cpu/x/cpu.cfs_quota_us": "75000", "cpu/x/cpu.cfs_period_us": "100000",
            "memory/y/memory.limit_in_bytes": "2147483648", "memory/memory.limit_in_bytes": "9223372036854771712",
        },
    )  # fmt: skip
    own = write(tmp_path, {"own": "4:memory:/y\n1:cpu,cpuacct:/x\n"}) / "own"
    assert machine.cores(groups=groups, own=own) == 0.75
    assert machine.memory_limit(groups=groups, own=own) == 2 << 30


@pytest.mark.parametrize(
    ("content", "available"),
    [
        ({"a/memory.max": "4000", "a/memory.current": "3000", "a/memory.stat": "anon 1\ninactive_file 500\n"}, 1500),
        ({"a/memory.max": "4000", "a/memory.current": "5000", "a/memory.stat": "inactive_file 0\n"}, 0),
        ({"a/memory.max": "4000", "a/memory.current": "1000", "memory.max": "3000", "memory.current": "2600"}, 400),
        ({"a/memory.max": "4000"}, 4000),  # its usage cannot be read
        ({"a/memory.max": "max", "a/memory.current": "3000"}, 9000),
        ({"a/memory.max": "99999", "a/memory.current": "3000"}, 9000),  # the machine has less
    ],
)
def test_available_memory_is_what_machine_and_groups_leave(tmp_path, monkeypatch, content, available) -> None:
    monkeypatch.setattr(machine, "memory", lambda: (10_000, 9_000))
    groups, own = write(tmp_path / "groups", content), write(tmp_path, {"own": "0::/a\n"}) / "own"
    assert machine.available_memory(groups=groups, own=own) == available


def test_available_memory_within_groups_of_version_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "memory", lambda: None)
    groups = write(
        tmp_path / "groups",
        {
            "memory/y/memory.limit_in_bytes": "4000", "memory/y/memory.usage_in_bytes": "3000",
            "memory/y/memory.stat": "inactive_file 7\ntotal_inactive_file 900\n",
        },
    )  # fmt: skip
    own = write(tmp_path, {"own": "4:memory:/y\n"}) / "own"
    assert machine.available_memory(groups=groups, own=own) == 1900
    assert machine.available_memory(groups=tmp_path / "none", own=own) is None


def test_without_control_groups_there_is_no_limit(tmp_path: Path) -> None:
    assert machine.memory_limit(groups=tmp_path, own=tmp_path / "none") is None
    assert machine.cores(groups=tmp_path, own=tmp_path / "none") == len(os.sched_getaffinity(0))
    write(tmp_path, {"cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "100000", "memory.max": "damaged"})
    assert machine.memory_limit(groups=tmp_path, own=tmp_path / "none") is None
    assert machine.cores(groups=tmp_path, own=tmp_path / "none") == len(os.sched_getaffinity(0))


def test_a_limit_below_the_machine_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "memory", lambda: (64 << 30, 60 << 30))
    monkeypatch.setattr(machine, "memory_limit", lambda: 2 << 30)
    section = hardware.memory()
    assert kinds(section.findings) == ["note", "note"] and "2.0 GiB" in section.findings[0].text
    assert "GPT-2 1542M does not fit in fp32" in section.findings[1].text


def test_a_gpu_that_torch_cannot_use_is_named(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("torch can use this machine's GPU")
    (tmp_path / "nvidia0").touch()
    assert "a GPU that torch cannot use" in hardware.devices(nodes=tmp_path).findings[0].text
    assert hardware.devices(nodes=tmp_path / "none").findings == []


def test_a_cache_on_a_network_disk_or_turned_off_is_slow(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "cache").mkdir()
    (here / "cache" / "responses.sqlite").write_bytes(b"x" * 3000)
    section = places.caches()
    assert section.findings == [] and section.facts[0].value["bytes"] == 3000
    monkeypatch.setattr(places, "network_disk", lambda folder: "nfs4")
    assert "network disk (nfs4)" in places.caches().findings[0].text
    (here / "file").touch()
    monkeypatch.setenv("EVALKIT_CACHE", str(here / "file"))
    assert places.caches().findings[0].text.endswith("file is a file")
    monkeypatch.setenv("EVALKIT_CACHE", "off")
    section = places.caches()
    assert kinds(section.findings)[0] == "slow" and section.facts[0].value is None


def test_the_models_and_data_of_the_hub_are_not_fetched_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "HF_HUB_OFFLINE" in places.caches().findings[-1].text


def test_a_base_install_is_enough() -> None:
    done = evalkit_without_extras("doctor", "--json")  # some seconds: torch is imported, products are measured
    report = json.loads(done.stdout)
    assert done.returncode == 0 and report["usable"] and not done.stderr
    assert report["versions"]["[report]"]["missing"] == ["matplotlib", "pandas", "sklearn"]
