"""Makes the plan of a file: which columns are device, time, quantity, value and metrics. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from tributary.errors import Misconfigured, did_you_mean
from tributary.load import device_role, long_role, metric_role, names, time_role, unit_role
from tributary.load.evidence import Evidence
from tributary.load.plan import NoMetrics, Options, Plan, Time
from tributary.load.table import Form
from tributary.model import reading
from tributary.model.catalogue import Catalogue


def plan(form: Form, evidence: Evidence, options: Options, stem: str, metrics: Catalogue) -> Plan:
    """The plan for a file.

    Args:
        form: its layout, with all columns.
        evidence: what its cells show.
        options: of the user.
        stem: its name without ending, for `--device-from-filename`.
        metrics: the catalogue whose units are stored.

    Raises:
        Misconfigured: something is doubtful; the message names the option that resolves it.
    """
    _refuse_empty(evidence)
    long = long_role.columns(evidence, options, metrics)
    _check(evidence, options, is_long=long is not None)
    taken = {name for name in (long or ()) if name is not None}
    taken |= (mapped := set(options.names))
    device = device_role.choose(evidence, options, stem, taken)
    taken |= {device.column} if device.column else set()
    time = time_role.choose(evidence, options, taken)
    taken |= set(time.columns) if time else set()
    if time:
        _refuse_zone(form, time)
        if not long:
            device_role.refuse_mixture(device, time, evidence, options)
    others = [name for name in evidence.columns if name in mapped or name not in taken]
    marks = metric_role.Marks(evidence, form, options)
    if long is not None:
        table = long_role.read(long, evidence, options, metrics, marks)
        columns = long_role.beside(others, evidence, options, metrics, marks)
        value = metric_role.plain(evidence.columns[long[1]], marks)
        found = Plan(form, device, time, (value._replace(metric=value.name), *columns), table)
    else:
        columns = metric_role.columns(others, form, evidence, options, metrics, marks)
        bare = Plan(form, device, time, columns)
        found = unit_role.with_unit_columns(bare, evidence, options, metrics)
    if not found.metrics:
        raise NoMetrics(_nothing(found))
    return found._replace(missing=long_role.missing(options), oldest_ms=options.oldest_ms)


def _refuse_empty(evidence: Evidence) -> None:
    if not evidence.rows:
        raise NoMetrics("there are no rows below the line of column names")
    if not any(c.share(metric_role.is_measurement) for c in evidence.columns.values()):
        raise NoMetrics(
            "no column becomes a metric: none of its cells is a number; if the columns are "
            "wrong, give --delimiter, --skip-lines or --columns"
        )


def _refuse_zone(form: Form, time: Time) -> None:
    if form.zone and time.zone.is_default:
        raise Misconfigured(
            f"the times state no zone, but the line {form.zone!r} above them does; give --timezone"
        )


def _nothing(plan: Plan) -> str:
    left_out = "; ".join(f"{c.name}: {c.left_out}" for c in plan.columns[:5] if c.left_out)
    return (
        f"no column becomes a metric ({left_out or 'there is none beside device and time'}); if the "
        "columns are wrong, give --delimiter, --skip-lines or --columns; or --map COLUMN=METRIC"
    )


def _check(evidence: Evidence, options: Options, *, is_long: bool) -> None:
    time_columns = () if options.time_columns == ("none",) else options.time_columns
    named: Iterable[tuple[str, str | None]] = (
        ("--device-column", options.device_column),
        *(("--time-column", column) for column in time_columns),
        ("--metric-column", options.metric_column),
        ("--value-column", options.value_column),
        ("--unit-column", options.unit_column),
        *(("--map", column) for column in options.names if not is_long),
    )
    for option, column in named:
        if column is not None and column not in evidence.columns:
            remedy = did_you_mean(column, evidence.columns) or "the file has no columns"
            raise Misconfigured(f"{option} {column}: no such column; {remedy}")
    for column, metric in options.names.items():
        if metric and not reading.is_metric(metric):
            raise Misconfigured(
                f"--map {column}={metric}: not a valid metric name; use {reading.METRIC_RULE}"
            )
    if names.device(options.device or "x") != (options.device or "x"):
        raise Misconfigured(
            f"--device {options.device!r} is not a valid name; use {reading.DEVICE_RULE}, "
            f"such as {names.device(options.device or '') or 'sensor-1'}"
        )
