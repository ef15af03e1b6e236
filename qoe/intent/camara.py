"""Temporary boosts as CAMARA Quality-On-Demand sessions, and the catalogue of their QoS profiles.

A session is an intent that expires. Its profile, one of the intents file's, says what it is promised; its
device becomes a subscriber. It begins as REQUESTED, is AVAILABLE from the first interval in which it is met,
and ends UNAVAILABLE: because its time is over (DURATION_EXPIRED), its owner asked (DELETE_REQUESTED), or the
network could not keep it (NETWORK_TERMINATED). Each change is one CloudEvent for the session's sink.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import math
import uuid
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from qoe.config import CellsConfig
from qoe.errors import ConfigError
from qoe.intent.judging import Outcome, State
from qoe.intent.model import Intent, IntentsFile, Profile, Target, Who
from qoe.intent.terms import rfc3339
from qoe.toml import convert, suggestion

EVENT_TYPE: Final = "org.camaraproject.quality-on-demand.v1.qos-status-changed"
SOURCE: Final = "/quality-on-demand/v1/sessions"
GRACE_S: Final = 60.0
"""A session that was not met for so long is ended by the network."""

_RATE_UNITS: Final = ((1e12, "Tbps"), (1e9, "Gbps"), (1e6, "Mbps"), (1e3, "kbps"), (1.0, "bps"))
_MOST_RATE: Final = 1024  # of a unit, by the catalogue's schema


class _Ipv4(msgspec.Struct):
    public: str = msgspec.field(name="publicAddress", default="")
    private: str = msgspec.field(name="privateAddress", default="")
    port: int | None = msgspec.field(name="publicPort", default=None)


class _Device(msgspec.Struct):
    phone: str = msgspec.field(name="phoneNumber", default="")
    identifier: str = msgspec.field(name="networkAccessIdentifier", default="")
    ipv4: _Ipv4 = msgspec.field(name="ipv4Address", default_factory=_Ipv4)
    ipv6: str = msgspec.field(name="ipv6Address", default="")


class _Request(msgspec.Struct):
    server: dict[str, str] = msgspec.field(name="applicationServer")
    profile: str = msgspec.field(name="qosProfile")
    duration_s: int = msgspec.field(name="duration")
    device: _Device = msgspec.field(default_factory=_Device)
    sink: str = ""


@dataclass(slots=True)
class Session:
    """One session, and where it stands.

    Attributes
    ----------
    session_id : str
        A UUID.
    request : dict
        As it came.
    device : dict
        The one identifier of the device that was used.
    subscriber : str
        Whom it boosts.
    profile : Profile
        What it is promised.
    requested_s : float
        When it was asked for, in seconds since 1970.
    duration_s : int
        Granted length.
    status : str
        ``REQUESTED``, ``AVAILABLE`` or ``UNAVAILABLE``.
    status_info : str
        Why it is unavailable; else empty.
    started_s, ended_s : float
        When it became available, and unavailable; NaN: not yet.
    """

    session_id: str
    request: dict[str, Any]
    device: dict[str, Any]
    subscriber: str
    profile: Profile
    requested_s: float
    duration_s: int
    status: str = "REQUESTED"
    status_info: str = ""
    started_s: float = math.nan
    ended_s: float = math.nan
    _met_s: float = field(default=math.nan)

    @property
    def name(self) -> str:
        """Name of its intent."""
        return f"session {self.session_id}"

    @property
    def expires_s(self) -> float:
        """When it ends unless something ends it before, in seconds since 1970."""
        return (self.requested_s if math.isnan(self.started_s) else self.started_s) + self.duration_s

    def intent(self) -> Intent:
        """Give the intent that stands for it, valid while it is."""
        end = self.expires_s if math.isnan(self.ended_s) else self.ended_s
        span = (self.requested_s, max(end, self.requested_s + 1e-3))
        start_at, end_at = (dt.datetime.fromtimestamp(t, dt.UTC) for t in span)
        return Intent(
            name=self.name,
            target=self.profile.target,
            who=Who(subscriber=self.subscriber),
            what=self.profile.what,
            priority=self.profile.priority,
            valid_from=start_at,
            expires=end_at,
        )

    def update(self, at_s: float, outcome: Outcome | None = None) -> dict[str, Any] | None:
        """Take one interval into account.

        Parameters
        ----------
        at_s : float
            Now, in seconds since 1970.
        outcome : Outcome, optional
            Of its intent, from `Fulfilment.add`; None: nobody it concerns was there.

        Returns
        -------
        dict or None
            A CloudEvent if its status changed.
        """
        if self.status == "UNAVAILABLE":
            return None
        if at_s >= self.expires_s:
            return self._end(self.expires_s, "DURATION_EXPIRED")
        if outcome is None or outcome.state is State.NOT_APPLICABLE:
            return None
        if outcome.state is State.MET:
            self._met_s = at_s
            if self.status == "REQUESTED":
                self.status, self.started_s = "AVAILABLE", at_s
                return self._event(at_s)
            return None
        since = self.requested_s if math.isnan(self._met_s) else self._met_s
        return self._end(at_s, "NETWORK_TERMINATED") if at_s - since >= GRACE_S else None

    def delete(self, at_s: float) -> dict[str, Any] | None:
        """End it at its owner's request; gives the event, None if it has ended before."""
        return None if self.status == "UNAVAILABLE" else self._end(at_s, "DELETE_REQUESTED")

    def extend(self, additional_s: int) -> None:
        """Make it longer, up to what its profile allows.

        Raises
        ------
        ConfigError
            It is not available, or the time to add is not positive.
        """
        if self.status != "AVAILABLE":
            raise ConfigError(
                f"session {self.session_id} is {self.status}: only an available one can be extended"
            )
        if additional_s < 1:
            raise ConfigError(f"must be 1 or more, not {additional_s}", "$.requestedAdditionalDuration")
        self.duration_s = min(self.duration_s + additional_s, self.profile.max_duration_s)

    def info(self) -> dict[str, Any]:
        """Write its ``SessionInfo``."""
        found: dict[str, Any] = {
            key: self.request[key]
            for key in ("applicationServer", "devicePorts", "applicationServerPorts", "qosProfile", "sink")
            if key in self.request
        }
        if self.device:
            found["device"] = self.device
        found |= {"sessionId": self.session_id, "duration": self._duration_s(), "qosStatus": self.status}
        if not math.isnan(self.started_s):
            found["startedAt"] = rfc3339(self.started_s)
        if self.status != "REQUESTED":
            found["expiresAt"] = rfc3339(self.expires_s if math.isnan(self.ended_s) else self.ended_s)
        return found | ({"statusInfo": self.status_info} if self.status_info else {})

    def _duration_s(self) -> int:
        if math.isnan(self.ended_s) or math.isnan(self.started_s):
            return self.duration_s
        return max(1, round(self.ended_s - self.started_s))

    def _end(self, at_s: float, why: str) -> dict[str, Any]:
        self.status, self.status_info, self.ended_s = "UNAVAILABLE", why, at_s
        return self._event(at_s)

    def _event(self, at_s: float) -> dict[str, Any]:
        data = {"sessionId": self.session_id, "qosStatus": self.status}
        return {
            "id": str(uuid.uuid5(uuid.UUID(self.session_id), f"{self.status} {at_s}")),
            "source": f"{SOURCE}/{self.session_id}",
            "specversion": "1.0",
            "type": EVENT_TYPE,
            "time": rfc3339(at_s),
            "datacontenttype": "application/json",
            "data": data | ({"statusInfo": self.status_info} if self.status_info else {}),
        }


def create_session(
    request: dict[str, Any],
    file: IntentsFile,
    at_s: float,
    *,
    cells: CellsConfig | None = None,
    session_id: str | None = None,
) -> Session:
    """Make a session of a ``CreateSession``.

    Parameters
    ----------
    request : dict
        As JSON gives it.
    file : IntentsFile
        Whose profiles are on offer.
    at_s : float
        Now, in seconds since 1970.
    cells : CellsConfig, optional
        Whose subscribers' addresses tell whom a device serves; a phone number or identifier is a subscriber's
        name.
    session_id : str, optional
        A UUID; default a new one.

    Returns
    -------
    Session

    Raises
    ------
    ConfigError
        The request is malformed, its profile is not on offer, or its device is nobody's.
    """
    read = convert(request, _Request)
    if read.profile not in file.profiles:
        hint = (
            suggestion(read.profile, tuple(file.profiles))
            or f"add [profile.{read.profile}] to the intents file"
        )
        raise ConfigError(f"no QoS profile {read.profile!r}; {hint}", "$.qosProfile")
    profile = file.profiles[read.profile]
    if not 1 <= read.duration_s <= profile.max_duration_s:
        raise ConfigError(f"must be 1 to {profile.max_duration_s} s, not {read.duration_s}", "$.duration")
    device, subscriber = _subscriber(read.device, request.get("device", {}), cells)
    return Session(
        session_id or str(uuid.uuid4()), request, device, subscriber, profile, at_s, read.duration_s
    )


def _subscriber(
    device: _Device, raw: dict[str, Any], cells: CellsConfig | None
) -> tuple[dict[str, Any], str]:
    """Find whom a device serves, by the first of its identifiers that tells."""
    addresses = (
        ("ipv4Address", device.ipv4.private),
        ("ipv4Address", device.ipv4.public),
        ("ipv6Address", device.ipv6),
    )
    for key, text in addresses:
        name = _owner(text, f"$.device.{key}", cells) if text else None
        if name is not None:
            return {key: raw[key]}, name
    known = {s.name for _, _, s in cells.subscribers()} if cells is not None else None
    for key, text in (("phoneNumber", device.phone), ("networkAccessIdentifier", device.identifier)):
        if text and (known is None or text in known):
            return {key: text}, text
    given = ", ".join(raw) or "nothing"
    raise ConfigError(
        f"whose device it is cannot be told from {given}; name one of the cells file's", "$.device"
    )


def _owner(text: str, path: str, cells: CellsConfig | None) -> str | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise ConfigError(f"{text!r} is no IP address", path) from None
    if cells is None:
        return text
    found = [
        (network.prefixlen, subscriber.name)
        for _, _, subscriber in cells.subscribers()
        for network in subscriber.networks()
        if address in network
    ]
    return max(found)[1] if found else None


def write_profiles(file: IntentsFile) -> list[dict[str, Any]]:
    """Write the profiles on offer as CAMARA ``QosProfile`` objects.

    Raises
    ------
    ConfigError
        A name is none that CAMARA allows.
    """
    return [_profile(name, profile) for name, profile in file.profiles.items()]


def _profile(name: str, profile: Profile) -> dict[str, Any]:
    plain = name.replace("_", "").replace(".", "").replace("-", "")
    if not (3 <= len(name) <= 256 and plain.isascii() and plain.isalnum()):
        raise ConfigError("a profile's name is 3 to 256 letters, digits, _, . or -", f"$.profile.{name}")
    found: dict[str, Any] = {
        "name": name,
        "description": str(profile.target),
        "status": "ACTIVE",
        "priority": profile.priority,
        "minDuration": {"value": 1, "unit": "Seconds"},
        "maxDuration": {"value": profile.max_duration_s, "unit": "Seconds"},
    }
    if profile.target.rate_at_least_bps is not None:
        found["targetMinDownstreamRate"] = _rate(profile.target)
    return found


def _rate(target: Target) -> dict[str, Any]:
    """Write a rate as a whole number up to 1024 of the largest unit that holds it exactly, or nearly."""
    bps = float(target.rate_at_least_bps or 0.0)
    fitting = [(scale, unit) for scale, unit in _RATE_UNITS if bps / scale <= _MOST_RATE]
    scale, unit = next(((s, u) for s, u in fitting if (bps / s).is_integer()), fitting[-1])
    return {"value": round(bps / scale), "unit": unit}
