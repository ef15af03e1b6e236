"""Packet delay and loss targets of 5G QoS identifiers (3GPP TS 23.501 Table 5.7.4-1)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final


class ResourceType(Enum):
    """How capacity is set aside for a flow."""

    GBR = "GBR"
    NON_GBR = "Non-GBR"
    DELAY_CRITICAL_GBR = "DC-GBR"


@dataclass(frozen=True, slots=True)
class FiveQi:
    """Characteristics of one standardised 5QI.

    Attributes
    ----------
    value : int
        The 5QI.
    resource_type : ResourceType
        GBR, non-GBR or delay-critical GBR.
    priority : int
        Default priority level; lower is served first.
    delay_budget_ms : float
        Packet delay budget between the terminal and the N6 interface of the UPF; not end to end.
    loss_ratio : float
        Packet error rate that must not be exceeded.
    max_burst_bytes : int or None
        Default maximum data burst volume; None unless delay-critical.
    example : str
        A service it is meant for.
    verified : bool
        The numbers agree with a second implementation of the table. Where False, look them up in
        TS 23.501 before relying on them.
    """

    value: int
    resource_type: ResourceType
    priority: int
    delay_budget_ms: float
    loss_ratio: float
    max_burst_bytes: int | None
    example: str
    verified: bool

    @property
    def averaging_window_ms(self) -> float | None:
        """Default averaging window of the rate; None for non-GBR, which has none."""
        return None if self.resource_type is ResourceType.NON_GBR else 2000.0


_GBR, _NON, _CRI = ResourceType.GBR, ResourceType.NON_GBR, ResourceType.DELAY_CRITICAL_GBR

_ROWS: Final = (
    FiveQi(1, _GBR, 20, 100.0, 1e-2, None, "conversational voice", True),
    FiveQi(2, _GBR, 40, 150.0, 1e-3, None, "conversational video", True),
    FiveQi(3, _GBR, 30, 50.0, 1e-3, None, "real-time gaming, V2X messages", True),
    FiveQi(4, _GBR, 50, 300.0, 1e-6, None, "buffered streaming with a guaranteed rate", True),
    FiveQi(65, _GBR, 7, 75.0, 1e-2, None, "mission-critical push-to-talk voice", True),
    FiveQi(66, _GBR, 20, 100.0, 1e-2, None, "push-to-talk voice", True),
    FiveQi(67, _GBR, 15, 100.0, 1e-3, None, "mission-critical video", True),
    FiveQi(71, _GBR, 56, 150.0, 1e-6, None, "live uplink streaming", False),
    FiveQi(72, _GBR, 56, 300.0, 1e-4, None, "live uplink streaming", False),
    FiveQi(73, _GBR, 56, 300.0, 1e-8, None, "live uplink streaming", False),
    FiveQi(74, _GBR, 56, 500.0, 1e-8, None, "live uplink streaming", False),
    FiveQi(76, _GBR, 56, 500.0, 1e-4, None, "live uplink streaming", False),
    FiveQi(5, _NON, 10, 100.0, 1e-6, None, "IMS signalling", True),
    FiveQi(6, _NON, 60, 300.0, 1e-6, None, "buffered video, web, mail, downloads", True),
    FiveQi(7, _NON, 70, 100.0, 1e-3, None, "voice, live video, interactive gaming", True),
    FiveQi(8, _NON, 80, 300.0, 1e-6, None, "as 6, premium subscribers", True),
    FiveQi(9, _NON, 90, 300.0, 1e-6, None, "as 6, default bearer", True),
    FiveQi(10, _NON, 90, 1100.0, 1e-6, None, "as 6, over satellite", False),
    FiveQi(69, _NON, 5, 60.0, 1e-6, None, "mission-critical signalling", True),
    FiveQi(70, _NON, 55, 200.0, 1e-6, None, "mission-critical data", True),
    FiveQi(79, _NON, 65, 50.0, 1e-2, None, "V2X messages", True),
    FiveQi(80, _NON, 68, 10.0, 1e-6, None, "low-latency broadband, augmented reality", True),
    FiveQi(82, _CRI, 19, 10.0, 1e-4, 255, "discrete automation", True),
    FiveQi(83, _CRI, 22, 10.0, 1e-4, 1354, "discrete automation, vehicle platooning", True),
    FiveQi(84, _CRI, 24, 30.0, 1e-5, 1354, "intelligent transport systems", True),
    FiveQi(85, _CRI, 21, 5.0, 1e-5, 255, "electricity distribution, remote driving", True),
    FiveQi(86, _CRI, 18, 5.0, 1e-4, 1354, "advanced driving", False),
    FiveQi(87, _CRI, 25, 5.0, 1e-3, 500, "interactive service, motion tracking", False),
    FiveQi(88, _CRI, 25, 10.0, 1e-3, 1125, "interactive service, motion tracking", False),
    FiveQi(89, _CRI, 25, 15.0, 1e-4, 17000, "split rendering", False),
    FiveQi(90, _CRI, 25, 20.0, 1e-4, 63000, "split rendering", False),
)
FIVE_QI: Final[dict[int, FiveQi]] = {row.value: row for row in _ROWS}
"""The table by 5QI."""
