"""The dashboard of the service: traffic, latency, errors, log, registry, process."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import units

from deploy.grafana.parts import GREEN, RED, YELLOW, Bars, Group, Lines, Number, Query, board

_QUANTILES: Final = ("p50", "p95", "p99")

_NOW: Final = Group(
    "Now",
    (
        Number(
            "Replicas", "Replicas that Prometheus reaches, and those with a verified bundle.",
            units.Short,
            (Query("sum(up{@ours})", "up"), Query("sum(crimeguard_ready{@ours})", "ready")),
            width=4, height=5, steps={0: RED, 1: GREEN},
        ),
        Number(
            "Requests", "Requests a second over five minutes, probes and scrapes not counted.",
            units.RequestsPerSecond,
            (Query("sum(job:crimeguard_http_requests:rate5m{@ours})"),),
            width=4, height=5,
        ),
        Number(
            "Errors", "Share of requests answered with a 5xx status within five minutes.",
            units.PercentUnit, (Query("max(job:crimeguard_http_errors:ratio_rate5m{@ours})"),),
            width=4, height=5, low=0, steps={0.01: YELLOW, 0.05: RED},
        ),
        Number(
            "Available", "Share of the last day's requests answered without a 5xx status.",
            units.PercentUnit,
            (Query("min(job:crimeguard_http_availability:ratio_rate1d{@ours})"),),
            width=4, height=5, high=1, steps={0: RED, 0.99: YELLOW, 0.999: GREEN},
        ),
        Number(
            "One prediction, p99", "Time within which 99 of 100 single predictions are answered.",
            units.Seconds,
            (Query("max(job_route:crimeguard_http_request_seconds:p99_rate5m"
                   '{@ours, route="/predict"})'),),
            width=4, height=5, low=0, steps={0.05: YELLOW, 0.1: RED},
        ),
        Number(
            "Version", "Version of the program; two while it is rolled out.", units.NoUnit,
            (Query("count by (version) (crimeguard_build_info{@ours})", "{{version}}"),),
            width=4, height=5, name=True, history=False,
        ),
    ),
)  # fmt: skip

_TRAFFIC: Final = Group(
    "Traffic and errors",
    (
        Lines(
            "Requests by route", "Requests a second; probes and scrapes are not counted.",
            units.RequestsPerSecond,
            (Query("sum by (route) (rate(crimeguard_http_requests_total{@ours, @api}[@rate]))",
                   "{{route}}"),),
            stacked=True, low=0, width=6,
        ),
        Lines(
            "Refused and failed", "Requests a second answered with a 4xx status (the caller's "
            "mistake) or 5xx (ours), by status; 499 is a caller who went away.",
            units.RequestsPerSecond,
            (Query("sum by (status) (rate(crimeguard_http_requests_total"
                   '{@ours, @api, status=~"[45].."}[@rate]))',
                   "{{status}}"),),
            low=0, width=6,
        ),
        Lines(
            "Requests in progress", "Requests that are not answered yet, by replica.", units.Short,
            (Query("crimeguard_http_requests_in_progress{@ours}", "{{instance}}"),), low=0, width=6,
        ),
        Lines(
            "Availability", "Share of the requests of five minutes answered without a 5xx status; "
            "nothing while nobody asks.", units.PercentUnit,
            (Query("min(job:crimeguard_http_availability:ratio_rate5m{@ours})", "available"),),
            high=1, width=6,
        ),
    ),
)  # fmt: skip

_LATENCY: Final = Group(
    "Latency",
    (
        Lines(
            "One prediction", "From the request to the end of its answer, logged prediction "
            "included. Quantiles are as exact as the buckets of the histogram.", units.Seconds,
            tuple(
                Query(f"job_route:crimeguard_http_request_seconds:{name}_rate5m"
                      '{@ours, route="/predict"}', name)
                for name in _QUANTILES
            ),
            width=12, low=0, steps={0.1: RED},
        ),
        Lines(
            "p95 by route", "95 of 100 requests take no longer. A batch may take its time.",
            units.Seconds,
            (Query("job_route:crimeguard_http_request_seconds:p95_rate5m{@ours}", "{{route}}"),),
            width=12, low=0,
        ),
    ),
)  # fmt: skip

_LOG: Final = Group(
    "Prediction log",
    (
        Lines(
            "Predictions answered and logged", "Every answer is in the log before it leaves, so "
            "the two lines lie on each other.", units.CountsPerSecond,
            (
                Query("sum(job:crimeguard_predictions:rate5m{@ours})", "answered"),
                Query("sum(rate(crimeguard_log_rows_total{@ours}[5m]))", "logged"),
            ),
            low=0,
        ),
        Lines(
            "Commit", "Time of a transaction (p99), and the age of the oldest prediction that "
            "waits for one.", units.Seconds,
            (
                Query("job:crimeguard_log_commit_seconds:p99_rate5m{@ours}", "commit, p99"),
                Query("max(crimeguard_log_lag_seconds{@ours})", "lag"),
            ),
            low=0, steps={5: RED},
        ),
        Lines(
            "Waiting and failed", "Predictions that wait for their commit, and transactions that "
            "failed within five minutes.", units.Short,
            (
                Query("sum(crimeguard_log_waiting_rows{@ours})", "waiting"),
                Query("sum(increase(crimeguard_log_failures_total{@ours}[5m]))", "failed"),
            ),
            low=0,
        ),
    ),
)  # fmt: skip

_REGISTRY: Final = Group(
    "Model registry",
    (
        Lines(
            "Replicas by state", "How the registry is followed. A replica that serves one bundle "
            "for good follows none.", units.Short,
            (Query("sum by (state) (crimeguard_registry_state{@ours})", "{{state}}"),),
            stacked=True, low=0,
        ),
        Lines(
            "Since the last answer", "Time since the registry answered, by replica.", units.Seconds,
            (Query("time() - crimeguard_registry_last_success_timestamp_seconds{@ours}",
                   "{{instance}}"),),
            low=0, steps={300: RED},
        ),
        Lines(
            "Failures", "Looks without an answer, and bundles that did not verify, within five "
            "minutes.", units.Short,
            (Query("sum by (reason) (increase(crimeguard_registry_failures_total{@ours}[5m]))",
                   "{{reason}}"),),
            low=0,
        ),
    ),
)  # fmt: skip

_PROCESS: Final = Group(
    "Process",
    (
        Lines(
            "Processor", "Cores in use, by replica.", units.Short,
            (Query("rate(process_cpu_seconds_total{@ours}[@rate])", "{{instance}}"),),
            low=0, width=6,
        ),
        Lines(
            "Memory", "Resident memory, by replica.", units.BytesIEC,
            (Query("process_resident_memory_bytes{@ours}", "{{instance}}"),), low=0, width=6,
        ),
        Lines(
            "Open files", "Share of the file descriptors that the process may open.",
            units.PercentUnit,
            (Query("process_open_fds{@ours} / process_max_fds{@ours}", "{{instance}}"),),
            low=0, high=1, width=6, steps={0.8: RED},
        ),
        Bars(
            "Running since", "Time since each replica was started.", units.Seconds,
            (Query("time() - process_start_time_seconds{@ours}", "{{instance}}"),), width=6,
        ),
    ),
)  # fmt: skip


_WORKERS: Final = Group(
    "Workers and keys",
    (
        Lines(
            "Workers", "Processes that answer requests, by replica, and those that took the place "
            "of one that had died within five minutes.", units.Short,
            (
                Query("crimeguard_workers{@ours}", "{{instance}}"),
                Query("sum(increase(crimeguard_worker_restarts_total{@ours}[5m]))", "restarted"),
            ),
            low=0, width=12,
        ),
        Lines(
            "Held up", "Requests a second refused because their API key had used up its rate, by "
            "the key's name.", units.RequestsPerSecond,
            (Query("sum by (key) (rate(crimeguard_requests_held_up_total{@ours}[@rate]))",
                   "{{key}}"),),
            low=0, width=12,
        ),
    ),
)  # fmt: skip

_EXPERIMENT: Final = Group(
    "Experiment",
    (
        Lines(
            "Experiment by state", "How the experiment goes in each replica, and looks that failed "
            "within five minutes.", units.Short,
            (
                Query("sum by (state) (crimeguard_experiment_state{@ours})", "{{state}}"),
                Query("sum by (reason) "
                      "(increase(crimeguard_experiment_failures_total{@ours}[5m]))", "{{reason}}"),
                Query("max by (mode) (crimeguard_experiment_running{@ours})", "{{mode}} runs"),
            ),
            low=0, width=6,
        ),
        Lines(
            "Share", "Share of incidents that the challenger answers.", units.PercentUnit,
            (Query("max(crimeguard_experiment_share{@ours})", "challenger"),),
            low=0, high=1, width=6,
        ),
        Lines(
            "Labelled", "Predictions and labels so far by variant, and labels that lack to the "
            "horizon.", units.Short,
            (
                Query("max by (variant) (crimeguard_experiment_predictions{@ours})",
                      "{{variant}} predicted"),
                Query("max by (variant) (crimeguard_experiment_labelled{@ours})",
                      "{{variant}} labelled"),
                Query("max(crimeguard_experiment_missing_labels{@ours})", "missing"),
            ),
            low=0, width=6,
        ),
        Lines(
            "Evidence", "Natural logarithm of the evidence that the challenger is better or worse; "
            "at the threshold it decides.", units.Short,
            (
                Query("max by (direction) (crimeguard_experiment_log_evidence{@ours})",
                      "{{direction}}"),
                Query("max(crimeguard_experiment_log_evidence_threshold{@ours})", "threshold"),
            ),
            width=6,
        ),
    ),
)  # fmt: skip


def service() -> models.Dashboard:
    """Return the dashboard of the service."""
    return board(
        "crimeguard-service", "CrimeGuard service",
        "Traffic, latency and errors of the API, its prediction log, registry, experiment and "
        "processes.",
        (_NOW, _TRAFFIC, _LATENCY, _LOG, _REGISTRY, _EXPERIMENT, _WORKERS, _PROCESS), (),
        since="now-1h",
    )  # fmt: skip
