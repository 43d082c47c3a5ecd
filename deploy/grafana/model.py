"""The dashboard of the model: what it answers, whether it drifts, how right it is."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import units

from deploy.grafana.parts import (
    GREEN,
    RED,
    YELLOW,
    Bars,
    Group,
    Lines,
    Number,
    Query,
    board,
    events,
)

# As in params.yaml, for colours only; the thresholds that hold are drawn as lines.
_SCORE: Final = {0.3: YELLOW, 0.5: RED}

_NOW: Final = Group(
    "Now",
    (
        Number(
            "Bundle", "Version of the bundle in service; two while one follows the other.",
            units.NoUnit,
            (Query("count by (version) (crimeguard_bundle_info{@ours})", "{{version}}"),),
            width=4, height=5, name=True, history=False,
        ),
        Number(
            "Verdict", "What the monitor said last.", units.NoUnit,
            (Query("max by (status) (crimeguard_verdict_status{@ours}) == 1", "{{status}}"),),
            width=4, height=5, name=True, history=False,
        ),
        Number(
            "Verdict's age", "Time since the monitor looked last.", units.Seconds,
            (Query("time() - max(crimeguard_verdict_timestamp_seconds{@ours})"),),
            width=4, height=5, steps={86400: YELLOW, 129600: RED},
        ),
        Number(
            "Drift score", "The largest of all components: 0 is no movement, above the critical "
            "threshold the model is not made for what it sees.", units.NoUnit,
            (Query("max(crimeguard_drift_overall{@ours})"),),
            width=4, height=5, low=0, high=1, steps=_SCORE,
        ),
        Number(
            "Estimated accuracy", "What the probabilities promise, without labels.",
            units.PercentUnit,
            (Query('min(crimeguard_accuracy{@ours, kind="estimated"})'),),
            width=4, height=5, low=0, high=1,
        ),
        Number(
            "Realised accuracy", "What the labels say; nothing while there are fewer than 100.",
            units.PercentUnit, (Query('min(crimeguard_accuracy{@ours, kind="realised"})'),),
            width=4, height=5, low=0, high=1,
        ),
    ),
)  # fmt: skip

_PREDICTIONS: Final = Group(
    "Predictions",
    (
        Lines(
            "By category", "Predictions a second by predicted category.", units.CountsPerSecond,
            (Query("sum by (category) (rate(crimeguard_predictions_total{@ours}[@rate]))",
                   "{{category}}"),),
            stacked=True, low=0, width=12, height=10,
        ),
        Lines(
            "Shares", "Share of each category in the predictions of an hour; a shift is seen here "
            "before a verdict is made.", units.PercentUnit,
            (Query("sum by (category) (increase(crimeguard_predictions_total{@ours}[1h])) / "
                   "scalar(sum(increase(crimeguard_predictions_total{@ours}[1h])) > 0)",
                   "{{category}}"),),
            low=0, high=1, width=12, height=10,
        ),
        Lines(
            "By information level", "Predictions a second by what was known of the incident.",
            units.CountsPerSecond,
            (Query("sum by (level) (rate(crimeguard_predictions_total{@ours}[@rate]))",
                   "{{level}}"),),
            stacked=True, low=0, width=6,
        ),
        Lines(
            "By variant", "Predictions a second by the model that answered.",
            units.CountsPerSecond,
            (Query("sum by (variant) (rate(crimeguard_predictions_total{@ours}[@rate]))",
                   "{{variant}}"),),
            stacked=True, low=0, width=6,
        ),
        Lines(
            "Incidents in a batch", "Mean over five minutes, and batches a minute.", units.Short,
            (
                Query("sum(increase(crimeguard_batch_rows_sum{@ours}[5m])) / "
                      "(sum(increase(crimeguard_batch_rows_count{@ours}[5m])) > 0)", "incidents"),
                Query("60 * sum(rate(crimeguard_batch_rows_count{@ours}[5m]))", "batches a minute"),
            ),
            low=0, width=6,
        ),
        Lines(
            "Labels received", "Labels that came over HTTP within an hour; `unchanged` were known.",
            units.Short,
            (Query("sum by (outcome) (increase(crimeguard_labels_total{@ours}[1h]))",
                   "{{outcome}}"),),
            low=0, width=6,
        ),
    ),
)  # fmt: skip

_DRIFT: Final = Group(
    "Drift",
    (
        Bars(
            "Components now", "Drift scores in the newest verdict that said something, the "
            "fifteen largest.", units.NoUnit,
            (Query("sort_desc(topk(15, max by (component) (crimeguard_drift_score{@ours})))",
                   "{{component}}"),),
            low=0, high=1, width=12, height=12, steps=_SCORE,
        ),
        Lines(
            "Components over time", "The ten that are largest at each moment, and the thresholds.",
            units.NoUnit,
            (
                Query("topk(10, max by (component) (crimeguard_drift_score{@ours}))",
                      "{{component}}"),
                *(
                    Query(f'max(crimeguard_drift_threshold{{@ours, severity="{name}"}})', name)
                    for name in ("warning", "critical")
                ),
            ),
            low=0, high=1, width=12, height=12, dashed={"warning": YELLOW, "critical": RED},
        ),
    ),
)  # fmt: skip


def _accuracy(kind: str) -> tuple[Query, Query, Query]:
    chosen = f'@ours, kind="{kind}"'
    return (
        Query(f"min(crimeguard_accuracy{{{chosen}}})", kind),
        Query(f"min(crimeguard_accuracy_low{{{chosen}}})", f"{kind}, low"),
        Query(f"min(crimeguard_accuracy_high{{{chosen}}})", f"{kind}, high"),
    )


_ACCURACY: Final = Group(
    "Accuracy",
    (
        Lines(
            "Expected, estimated, realised", "Expected: of the hold-out, at the mix of levels "
            "that is asked for. Estimated: from the probabilities. Realised: from labels. Areas "
            "are 95 % intervals.", units.PercentUnit,
            (
                Query('min(crimeguard_accuracy{@ours, kind="expected"})', "expected"),
                *_accuracy("estimated"), *_accuracy("realised"),
            ),
            width=16, height=10, high=1, dashed={"expected": GREEN},
            bands={"estimated, high": "estimated, low", "realised, high": "realised, low"},
        ),
        Lines(
            "Incidents and labels in the verdict", "What the newest verdict was made on.",
            units.Short,
            (
                Query("max(crimeguard_verdict_rows{@ours})", "incidents"),
                Query("max(crimeguard_verdict_labels{@ours})", "labels"),
            ),
            width=8, height=10, low=0,
        ),
    ),
)  # fmt: skip

_BUNDLES: Final = Query(
    "count by (version) (crimeguard_bundle_info{@ours}) unless "
    "count by (version) (crimeguard_bundle_info{@ours} offset 2m)"
)


def model() -> models.Dashboard:
    """Return the dashboard of the model."""
    return board(
        "crimeguard-model", "CrimeGuard model",
        "What the model answers, how far the data have moved, how right it is.",
        (_NOW, _PREDICTIONS, _DRIFT, _ACCURACY),
        (events("New bundle", "bundle {{version}}", _BUNDLES),), since="now-24h",
    )  # fmt: skip
