import os

from isthmus.core import machine
from isthmus.core.machine import usable_cores


def test_a_container_quota_counts(monkeypatch, tmp_path):
    quota = tmp_path / "cpu.max"
    monkeypatch.setattr(machine, "_CPU_QUOTA", quota)
    without = usable_cores()
    assert 1 <= without <= (os.cpu_count() or 1)
    quota.write_text("max 100000\n")
    assert usable_cores() == without
    quota.write_text("50000 100000\n")
    assert usable_cores() == 1


def test_a_system_without_affinity_is_counted(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "_CPU_QUOTA", tmp_path / "none")
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert usable_cores() == os.cpu_count()
