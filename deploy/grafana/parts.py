"""Panels, variables and annotations as our dashboards use them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from grafana_foundation_sdk.builders import bargauge, common, dashboard, stat, timeseries
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as looks
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

SOURCE: Final = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
# What every query chooses by. Where targets have no namespace, "all" is none as well.
OURS: Final = 'job="$job", namespace=~"$namespace"'
API: Final = 'route!~"/livez|/readyz|/health|/metrics|/v2/health/.*"'
GREEN: Final = "green"
YELLOW: Final = "yellow"
RED: Final = "red"
_HEIGHT: Final = 8


@dataclass(frozen=True, slots=True)
class Query:
    """A query in PromQL, and what its series are called (`{{label}}` stands for its value).

    In the query `@ours` stands for the choice of the dashboard, `@api` for the routes that are
    neither probed nor scraped, `@rate` for the range that suits a rate.
    """

    expr: str
    legend: str = ""

    @property
    def promql(self) -> str:
        """The query as Grafana sends it but for its own variables."""
        return (
            self.expr.replace("@ours", OURS).replace("@api", API)
            .replace("@rate", "$__rate_interval")
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Panel:
    """What every kind of panel has.

    `steps` maps the values from which on a colour holds to that colour.
    """

    title: str
    about: str
    unit: str
    queries: Sequence[Query]
    width: int = 8
    height: int = _HEIGHT
    low: float | None = None
    high: float | None = None
    steps: Mapping[float, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Lines(Panel):
    """Values over time.

    `dashed` maps series that are drawn as a dashed line to their colour, `bands` upper ends of
    areas to their lower ends.
    """

    stacked: bool = False
    dashed: Mapping[str, str] = field(default_factory=dict)
    bands: Mapping[str, str] = field(default_factory=dict)

    def made(self) -> Builder[models.Panel]:
        """Return the panel for Grafana."""
        panel = (
            timeseries.Panel()
            .legend(
                common.VizLegendOptions().display_mode(looks.LegendDisplayMode.LIST)
                .placement(looks.LegendPlacement.BOTTOM).show_legend(True)
            )
            .tooltip(
                common.VizTooltipOptions().mode(looks.TooltipDisplayMode.MULTI)
                .sort(looks.SortOrder.DESCENDING)
            )
            .line_width(1)
            .show_points(looks.VisibilityMode.NEVER)
            .fill_opacity(25 if self.stacked else 0)
        )  # fmt: skip
        if self.stacked:
            panel = panel.stacking(common.StackingConfig().mode(looks.StackingMode.NORMAL))
        if self.steps:
            panel = panel.thresholds(_thresholds(self.steps)).thresholds_style(
                common.GraphThresholdsStyleConfig().mode(looks.GraphTresholdsStyleMode.DASHED)
            )
        for name, colour in self.dashed.items():
            panel = panel.override_by_name(name, _dashes(colour))
        for upper, lower in self.bands.items():
            panel = panel.override_by_name(upper, _band(lower))
            panel = panel.override_by_name(
                lower, [models.DynamicConfigValue("custom.lineWidth", 0)]
            )
        return _common(panel, self)


@dataclass(frozen=True, slots=True)
class Number(Panel):
    """One value as it is now, coloured by `steps`; with `name` the series' name instead."""

    name: bool = False
    history: bool = True

    def made(self) -> Builder[models.Panel]:
        """Return the panel for Grafana."""
        graph = looks.BigValueGraphMode.AREA if self.history else looks.BigValueGraphMode.NONE
        text = looks.BigValueTextMode.NAME if self.name else looks.BigValueTextMode.VALUE_AND_NAME
        panel = (
            stat.Panel()
            .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
            .graph_mode(graph)
            .color_mode(looks.BigValueColorMode.VALUE)
            .text_mode(text if self.name or len(self.queries) > 1 else looks.BigValueTextMode.VALUE)
            .thresholds(_thresholds(self.steps))
        )
        return _common(panel, self, instant=not self.history)


@dataclass(frozen=True, slots=True)
class Bars(Panel):
    """One bar a series as it is now, coloured by `steps`."""

    def made(self) -> Builder[models.Panel]:
        """Return the panel for Grafana."""
        panel = (
            bargauge.Panel()
            .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
            .orientation(looks.VizOrientation.HORIZONTAL)
            .display_mode(looks.BarGaugeDisplayMode.BASIC)
            .thresholds(_thresholds(self.steps))
        )
        return _common(panel, self, instant=True)


@dataclass(frozen=True, slots=True)
class Group:
    """A row: its title, and the panels below."""

    title: str
    panels: Sequence[Lines | Number | Bars]


class Event(models.AnnotationQuery):
    """An annotation with a title of its own, which the SDK's has not."""

    title: str = ""

    def to_json(self) -> dict[str, object]:
        """Return what Grafana reads."""
        return {**super().to_json(), "titleFormat": self.title}


class _Made(Builder[models.AnnotationQuery]):
    def __init__(self, event: Event) -> None:
        self._event = event

    def build(self) -> models.AnnotationQuery:
        return self._event


def events(name: str, title: str, query: Query) -> Builder[models.AnnotationQuery]:
    """Mark the times at which a query begins to have a value."""
    event = Event(name=name, datasource=SOURCE, enable=True, icon_color="purple",
                  expr=query.promql)  # fmt: skip
    event.title = title
    return _Made(event)


def board(
    uid: str, title: str, about: str, groups: Sequence[Group],
    annotations: Sequence[Builder[models.AnnotationQuery]], *, since: str,
) -> models.Dashboard:  # fmt: skip
    """Put a dashboard together; it shows what happened `since` (now-1h)."""
    made = (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(about)
        .tags(["crimeguard"])
        .readonly()
        .refresh("30s")
        .time(since, "now")
        .timezone("browser")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .annotations(list(annotations))
        .link(
            dashboard.DashboardLink("CrimeGuard").type(models.DashboardLinkType.DASHBOARDS)
            .tags(["crimeguard"]).include_vars(True).keep_time(True)
        )
    )  # fmt: skip
    for variable in _variables():
        made = made.with_variable(variable)
    numbers = iter(range(1, 1_000))
    for group in groups:
        made = made.with_row(dashboard.Row(group.title).id(next(numbers)))
        for panel in group.panels:
            built = panel.made().build()
            built.id_val = next(numbers)
            made = made.with_panel(_Built(built))
    return made.build()


class _Built(Builder[models.Panel]):
    def __init__(self, panel: models.Panel) -> None:
        self._panel = panel

    def build(self) -> models.Panel:
        return self._panel


def _variables() -> Iterator[Builder[models.VariableModel]]:
    yield dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")
    yield (
        dashboard.QueryVariable("job").label("Job").datasource(SOURCE)
        .query("label_values(crimeguard_build_info, job)")
        .refresh(models.VariableRefresh.ON_DASHBOARD_LOAD)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .current(models.VariableOption(selected=True, text="crimeguard", value="crimeguard"))
    )  # fmt: skip
    yield (
        dashboard.QueryVariable("namespace").label("Namespace").datasource(SOURCE)
        .query('label_values(crimeguard_build_info{job="$job"}, namespace)')
        .refresh(models.VariableRefresh.ON_DASHBOARD_LOAD)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .include_all(True).all_value(".*")
        .current(models.VariableOption(selected=True, text="All", value="$__all"))
    )  # fmt: skip


_Kinds = timeseries.Panel | stat.Panel | bargauge.Panel


def _common(panel: _Kinds, asked: Panel, *, instant: bool = False) -> Builder[models.Panel]:
    panel = (
        panel.title(asked.title).description(asked.about).unit(asked.unit).datasource(SOURCE)
        .span(asked.width).height(asked.height)
    )  # fmt: skip
    if asked.low is not None:
        panel = panel.min(asked.low)
    if asked.high is not None:
        panel = panel.max(asked.high)
    for place, query in enumerate(asked.queries):
        target = (
            Dataquery().expr(query.promql).legend_format(query.legend or "__auto")
            .ref_id(chr(ord("A") + place)).datasource(SOURCE)
            .format(PromQueryFormat.TIME_SERIES)
        )  # fmt: skip
        panel = panel.with_target(target.instant() if instant else target.range())
    return panel


def _thresholds(steps: Mapping[float, str]) -> dashboard.ThresholdsConfig:
    """Colours from values on; what lies below all of them is green."""
    first = [models.Threshold(value=None, color=GREEN)]
    others = [models.Threshold(value=value, color=colour) for value, colour in steps.items()]
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(first + others)


def _dashes(colour: str) -> list[models.DynamicConfigValue]:
    return [
        models.DynamicConfigValue("custom.lineStyle", {"fill": "dash", "dash": [8, 6]}),
        models.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": colour}),
    ]


def _band(lower: str) -> list[models.DynamicConfigValue]:
    return [
        models.DynamicConfigValue("custom.fillBelowTo", lower),
        models.DynamicConfigValue("custom.fillOpacity", 15),
        models.DynamicConfigValue("custom.lineWidth", 0),
    ]
