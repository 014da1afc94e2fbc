"""The preferred units of a request apply to metrics of the same kind."""

from __future__ import annotations

from api.read.bodies import Window
from api.read.units import UnitPreference, converted
from tributary.model import catalogue, units
from tributary.model.units import SAME

CATALOGUE = catalogue.parse('[t]\nunit = "degC"\n[v]\nunit = "km/h"\n[rpm]\nunit = "rpm"')


def test_a_preference_does_not_apply_to_other_kinds_of_units():
    preference = UnitPreference(["degF", "m/s"], CATALOGUE)
    assert preference.for_metric("t")[0] == "degF"
    assert preference.for_metric("v")[0] == "m/s"
    assert preference.for_metric("rpm") == ("rpm", SAME)
    assert preference.for_metric("unknown") == (None, SAME)
    assert preference.convert("t", None) is None


def test_the_offset_of_a_unit_does_not_apply_to_a_standard_deviation():
    conversion = units.conversion("degC", "degF")
    assert conversion is not None
    found = Window(2, 10.0, 10.0, None, 20.0, "from", "to")
    assert converted(found, conversion) == Window(2, 50.0, 18.0, None, 68.0, "from", "to")
