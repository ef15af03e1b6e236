"""Load of cells ahead, with bands, and alarms before they are busy.

>>> model = make_forecaster("seasonal-level", n_series=281, clock=Clock(3600))   # doctest: +SKIP
>>> model.fit(history)                                                           # doctest: +SKIP
>>> model.update(load)                                                           # doctest: +SKIP
>>> model.predict([1, 24]).upper                                                 # doctest: +SKIP
"""

from qoe.forecast.alarms import Alarm, alarms, busy_threshold, to_tmf642
from qoe.forecast.clock import Clock
from qoe.forecast.model import Forecast, Forecaster
from qoe.forecast.models import DEFAULT, MODELS, make_forecaster
from qoe.forecast.seasonal import SeasonalLevel
from qoe.forecast.table import LoadTable, read_loads

__all__ = [
    "DEFAULT",
    "MODELS",
    "Alarm",
    "Clock",
    "Forecast",
    "Forecaster",
    "LoadTable",
    "SeasonalLevel",
    "alarms",
    "busy_threshold",
    "make_forecaster",
    "read_loads",
    "to_tmf642",
]
