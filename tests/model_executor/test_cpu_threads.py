"""Counting the cores that a process may compute with."""

from __future__ import annotations

from pathlib import Path

import pytest

from sglang.srt.model_executor.cpu_threads import count_cores


def make_topology(folder: Path, cores: list[tuple[int, int]]) -> Path:
    for cpu, (package, core) in enumerate(cores):
        place = folder / f"cpu{cpu}" / "topology"
        place.mkdir(parents=True)
        (place / "physical_package_id").write_text(f"{package}\n")
        (place / "core_id").write_text(f"{core}\n")
    return folder


def test_two_hardware_threads_of_a_core_count_once(tmp_path):
    topology = make_topology(tmp_path, [(0, 0), (0, 1), (0, 0), (0, 1)])
    assert count_cores({0, 1, 2, 3}, topology=topology, cgroup=tmp_path) == 2


def test_equal_numbers_in_two_packages_are_two_cores(tmp_path):
    topology = make_topology(tmp_path, [(0, 0), (1, 0)])
    assert count_cores({0, 1}, topology=topology, cgroup=tmp_path) == 2


def test_cpus_outside_of_the_affinity_do_not_count(tmp_path):
    topology = make_topology(tmp_path, [(0, 0), (0, 1), (0, 2)])
    assert count_cores({2}, topology=topology, cgroup=tmp_path) == 1


@pytest.mark.parametrize(("quota", "expected"), [("150000 100000", 2), ("50000 100000", 1)])
def test_the_quota_of_a_container_is_a_limit(tmp_path, quota, expected):
    topology = make_topology(tmp_path, [(0, i) for i in range(8)])
    (tmp_path / "cpu.max").write_text(f"{quota}\n")
    assert count_cores(range(8), topology=topology, cgroup=tmp_path) == expected


def test_no_quota_is_no_limit(tmp_path):
    topology = make_topology(tmp_path, [(0, i) for i in range(8)])
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert count_cores(range(8), topology=topology, cgroup=tmp_path) == 8


def test_without_a_known_topology_every_cpu_is_a_core(tmp_path):
    assert count_cores({0, 5, 9}, topology=tmp_path, cgroup=tmp_path) == 3
