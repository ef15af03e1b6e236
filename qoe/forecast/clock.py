"""From the number of an interval to its place in the day and the week."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

from qoe.errors import ForecastError

DAY_S = 86400


@dataclass(frozen=True)
class Clock:
    """When intervals begin, and what the clock on the wall says then.

    People follow the clock on the wall, so seasons do: where `timezone` is given, the hour that a clock
    change skips stays empty in its day, and of the hour that comes twice the second one is kept.

    Parameters
    ----------
    step_s : int
        Length of an interval in s: 1 to 86400, a divisor of the day.
    start_s : float
        Begin of interval 0, in s since 1970-01-01 UTC.
    timezone : str or None
        IANA name such as ``Europe/Rome``; None takes the times as they are.

    Raises
    ------
    ForecastError
        If the step does not divide the day, or the time zone is unknown.
    """

    step_s: int
    start_s: float = 0.0
    timezone: str | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.step_s <= DAY_S or DAY_S % self.step_s:
            raise ForecastError(
                f"step_s: {self.step_s} s does not divide the day: give a divisor of 86400, such as 60"
            )
        _ = self.zone

    @property
    def n_slots(self) -> int:
        """Intervals in a day."""
        return DAY_S // self.step_s

    @cached_property
    def zone(self) -> ZoneInfo | None:
        """The time zone, if one is named."""
        if self.timezone is None:
            return None
        try:
            return ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            message = f"timezone: {self.timezone!r} is not known: give an IANA name such as Europe/Rome"
            raise ForecastError(message) from None

    def time_s(self, interval: int) -> float:
        """Begin of an interval, in s since 1970-01-01 UTC."""
        return self.start_s + interval * self.step_s

    def iso(self, interval: int) -> str:
        """Begin of an interval in ISO 8601, in the clock's time zone (UTC if it has none)."""
        return datetime.fromtimestamp(self.time_s(interval), self.zone or UTC).isoformat(timespec="seconds")

    def wall(self, intervals: NDArray[np.int64]) -> NDArray[np.int64]:
        """Count the intervals on the wall's clock from 1970-01-01 00:00 to the begin of each.

        Parameters
        ----------
        intervals : ndarray of int64, shape (n,)
            Numbers of intervals.

        Returns
        -------
        ndarray of int64, shape (n,)
            Divided by `n_slots`: the day, and the remainder: the slot in that day.
        """
        times = self.start_s + intervals * self.step_s
        if self.zone is not None:
            times = times + np.array([self._offset_s(time) for time in times.tolist()])
        return np.floor(times / self.step_s + 1e-6).astype(np.int64)

    def _offset_s(self, time_s: float) -> float:
        offset = datetime.fromtimestamp(time_s, self.zone).utcoffset()
        return 0.0 if offset is None else offset.total_seconds()
