"""The dashboard and its surroundings in examples/monitoring, and the table in the documentation."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from sglang.srt.metrics.catalog import METRICS
from sglang.srt.metrics.documentation import renewed

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "monitoring"
DASHBOARD: dict[str, Any] = json.loads((EXAMPLE / "grafana.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = [target["expr"] for panel in PANELS for target in panel["targets"]]

LABELS = {metric.name: set(metric.labels) for metric in METRICS}
SAMPLES = {
    **{metric.name: metric for metric in METRICS if metric.kind != "histogram"},
    **{
        metric.name + suffix: metric
        for metric in METRICS
        if metric.kind == "histogram"
        for suffix in ("_bucket", "_sum", "_count")
    },
}
PROCESS = {"process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds"}


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_uses_metrics_that_exist(query: str) -> None:
    names = set(re.findall(r"\b(?:sglang:|process_)\w+", query))
    assert names
    assert names <= SAMPLES.keys() | PROCESS


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_uses_labels_that_its_metrics_have(query: str) -> None:
    known = {"le", "instance", "job"}
    for name in re.findall(r"sglang:\w+", query):
        known |= set(SAMPLES[name].labels)
    selectors = re.findall(r"\{(.*?)\}", query)
    used = {label for selector in selectors for label in re.findall(r"(\w+)\s*=", selector)}
    for grouping in re.findall(r"by\s*\((.*?)\)", query):
        used |= set(re.findall(r"\w+", grouping))
    assert used <= known


def test_counters_are_shown_as_rates() -> None:
    counters = [metric.name for metric in METRICS if metric.kind == "counter"]
    for query in QUERIES:
        for name in counters:
            assert name not in query or re.search(rf"(rate|increase)\({name}\b", query), query


def test_every_documented_gauge_and_histogram_is_on_the_dashboard() -> None:
    text = " ".join(QUERIES)
    for name in ("time_to_first_token", "e2e_request_latency", "time_per_output_token"):
        assert f"sglang:{name}_seconds_bucket" in text
    for name in ("num_running_reqs", "num_queue_reqs", "gen_throughput", "token_usage"):
        assert f"sglang:{name}" in text


def test_panels_have_ids_and_places_of_their_own() -> None:
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in DASHBOARD["panels"]}
    assert len(places) == len(DASHBOARD["panels"])


def test_prometheus_reads_the_servers_default_address() -> None:
    config = yaml.safe_load((EXAMPLE / "prometheus.yaml").read_text())
    (job,) = config["scrape_configs"]
    assert job["static_configs"][0]["targets"] == ["127.0.0.1:30000"]
    assert job.get("metrics_path", "/metrics") == "/metrics"


def test_both_documented_names_start_the_same_services() -> None:
    compose = yaml.safe_load((EXAMPLE / "compose.yaml").read_text())
    assert set(compose["services"]) == {"prometheus", "grafana"}
    assert yaml.safe_load((EXAMPLE / "docker-compose.yaml").read_text()) == {
        "include": ["compose.yaml"]
    }


def test_what_compose_mounts_is_there() -> None:
    compose = yaml.safe_load((EXAMPLE / "compose.yaml").read_text())
    mounts = [mount for service in compose["services"].values() for mount in service["volumes"]]
    sources = [mount.split(":")[0] for mount in mounts if mount.startswith("./")]
    assert sources
    assert all((EXAMPLE / source).exists() for source in sources)


def test_the_table_in_the_documentation_is_current() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    assert renewed(page) == page, (
        "run: python -m sglang.srt.metrics.documentation docs/operations.md"
    )
