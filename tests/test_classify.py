"""Verdicts: thresholds, hysteresis, states and hints, with models made by hand; the shipped one."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qoe.flows import Engine
from qoe.schema import AppClass, Burst, Evidence, Option, State
from qoe.tools.synth import busy_cell
from qoe.train.forest import N_DECIDED, NODE_DTYPE, Forest
from qoe.train.generated import burst
from qoe.train.traces import Session, bursts

NO_HINTS = Option.NO_PORT_HINT | Option.NO_PROTOCOL_HINT
EXAMPLES = Path(__file__).parents[1] / "examples"
N_PACKETS = 0


def staged_model(*stages: tuple[float, list[float]], min_confidence: float = 0.4) -> bytes:
    """Make a model that says, up to so many packets, these probabilities of class 1 to 6."""
    nodes = []
    for k, (up_to, _) in enumerate(stages[:-1]):
        at = 2 * k
        nodes.append((up_to, N_PACKETS, at + 1, at + 2))
        nodes.append((0, -1, k, 0))
    nodes.append((0, -1, len(stages) - 1, 0))
    leaves = np.array([stage[1] for stage in stages], np.float32)
    assert leaves.shape == (len(stages), N_DECIDED)
    forest = Forest(np.zeros(1, np.uint32), np.array(nodes, NODE_DTYPE), leaves)
    return forest.to_bytes(min_confidence, 1.0)


def packets(n: int = 70, ports: tuple[int, int] = (40_000, 443), payload: bytes = b"") -> Burst:
    """Make one UDP flow of `n` packets; `payload` replaces the first bytes of each."""
    sizes = np.where(np.arange(n) % 3 == 2, -120, 110)
    sizes[0] = 400
    (one,) = bursts([Session("s", np.arange(n) * 20_000, sizes)])
    head_bytes = int(one.packets["captured_len"][0])
    heads = one.data.reshape(n, head_bytes).copy()
    up = sizes > 0
    for rows, (src, dst) in ((up, ports), (~up, ports[::-1])):
        heads[rows, 34:38] = [src >> 8, src & 255, dst >> 8, dst & 255]
    if payload:
        heads = np.hstack([heads, np.tile(np.frombuffer(payload, np.uint8), (n, 1))])
    one.packets["offset"] = np.arange(n) * heads.shape[1]
    one.packets["captured_len"] = heads.shape[1]
    return Burst(heads.reshape(-1), one.packets)


def said(model: bytes, flow: Burst, options: int = NO_HINTS, min_confidence: float = 0.0) -> np.ndarray:
    """Return the verdicts on every packet of a flow."""
    engine = Engine(max_flows=64, model=model, options=options, min_confidence=min_confidence)
    return engine.process(flow)


def test_below_the_threshold_it_stays_unknown():
    """A likeliest class below the model's threshold is not named; the caller's own threshold wins."""
    model = staged_model((0, [0.3, 0.2, 0.2, 0.1, 0.1, 0.1]), min_confidence=0.4)
    verdicts = said(model, packets())
    assert set(verdicts["app_class"]) == {AppClass.UNKNOWN}
    assert set(verdicts["state"]) == {State.INSPECTING}
    bold = said(model, packets(), min_confidence=0.25)
    assert bold["app_class"][-1] == AppClass.VIDEO
    assert bold["confidence"][-1] == pytest.approx(0.3, abs=1 / 255)


def test_stages_and_states():
    """Inspecting until the first decision at 4 packets, partial, and final from 32 on."""
    verdicts = said(staged_model((0, [0, 0.9, 0.1, 0, 0, 0])), packets())
    assert list(verdicts["app_class"][:3]) == [0, 0, 0]
    assert set(verdicts["app_class"][3:]) == {AppClass.VOIP}
    assert list(verdicts["state"][[2, 3, 30, 31]]) == [
        State.INSPECTING, State.PARTIAL, State.PARTIAL, State.FINAL,
    ]  # fmt: skip


def test_a_narrow_lead_does_not_turn_a_verdict():
    """A standing class stays unless clearly beaten; then the verdict is revised and says so."""
    model = staged_model(
        (6, [0.55, 0.45, 0, 0, 0, 0]),
        (40, [0.48, 0.52, 0, 0, 0, 0]),
        (1e9, [0.2, 0.8, 0, 0, 0, 0]),
    )
    verdicts = said(model, packets())
    assert set(verdicts["app_class"][3:63]) == {AppClass.VIDEO}
    assert set(verdicts["app_class"][63:]) == {AppClass.VOIP}
    assert verdicts["state"][62] == State.FINAL
    assert verdicts["state"][63] == State.REVISED


def test_decided_after_packets_names_the_standing_verdict():
    """The export says after how many packets the class it names was settled on."""
    model = staged_model((6, [0.9, 0.1, 0, 0, 0, 0]), (1e9, [0, 1, 0, 0, 0, 0]))
    engine = Engine(max_flows=64, model=model, options=NO_HINTS)
    engine.process(packets())
    assert engine.snapshot()["decided_after_packets"] == [8]


FLAT = staged_model((0, [1 / 6] * 6), min_confidence=0.5)
RTP = b"\x80\x60\0\1\0\0\0\1\0\0\0\1"


@pytest.mark.parametrize(
    ("ports", "app_class"),
    [((40_000, 5060), AppClass.VOIP), ((123, 123), AppClass.OTHER), ((5060, 40_000), AppClass.VOIP)],
)
def test_port_hints_can_be_switched_off(ports, app_class):
    """A registered port tips an undecided model, on either side, and only when allowed."""
    verdict = said(FLAT, packets(ports=ports), options=0)[-1]
    assert verdict["app_class"] == app_class
    assert verdict["evidence"] & Evidence.PORT
    verdict = said(FLAT, packets(ports=ports), options=NO_HINTS)[-1]
    assert verdict["app_class"] == AppClass.UNKNOWN
    assert verdict["evidence"] == Evidence.MODEL


def rtp_flow() -> Burst:
    """Make a flow of RTP packets in sequence, one source a direction."""
    flow = packets(payload=RTP)
    rows = flow.data.reshape(len(flow.packets), -1).copy()
    up = rows[:, 26] == 10
    rows[:, 45] = np.where(up, up.cumsum(), (~up).cumsum())
    rows[:, 50] = up  # each direction is a source of its own
    return Burst(rows.reshape(-1), flow.packets)


def test_framing_hints_can_be_switched_off():
    """RTP framing tips an undecided model to a call, and only when allowed."""
    undecided = staged_model((0, [1 / 6] * 6), min_confidence=0.3)
    verdict = said(undecided, rtp_flow(), options=Option.NO_PORT_HINT)[-1]
    assert verdict["app_class"] == AppClass.VOIP
    assert verdict["evidence"] & Evidence.RTP
    assert said(undecided, rtp_flow(), options=NO_HINTS)[-1]["app_class"] == AppClass.UNKNOWN


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 65535),
    st.integers(1, 65535),
    st.binary(min_size=4, max_size=4),
    st.binary(min_size=12, max_size=12),
)
def test_features_know_no_port_address_or_payload(source_port, destination_port, address, payload):
    """The same sizes and times give the same features, whatever addresses, ports and bytes they carry."""
    plain, other = packets(payload=bytes(12)), packets(ports=(source_port, destination_port), payload=payload)
    rows = other.data.reshape(len(other.packets), -1).copy()
    client = rows[0, 26:30].copy()
    for at in (26, 30):
        mine = (rows[:, at : at + 4] == client).all(axis=1)
        rows[mine, at : at + 4] = np.frombuffer(address, np.uint8)
    features = []
    for flow in (plain, Burst(rows.reshape(-1), other.packets)):
        engine = Engine(max_flows=64, model=None, options=Option.TRACE_FEATURES)
        engine.process(flow)
        features.append(engine.decisions()["features"])
    np.testing.assert_array_equal(*features)


def test_the_shipped_model_on_the_example():
    """Most flows of 20 packets or more of the example are what the generator says: sanity, not a score."""
    recording = busy_cell()
    truth = {(flow["src_port"], flow["dst_port"]): flow["class"] for flow in recording.truth["flows"]}
    engine = Engine(max_flows=4096)
    engine.process(burst(recording.batch))
    flows = engine.snapshot()
    long = flows[flows["packets_forward"] + flows["packets_reverse"] >= 20]
    right = [AppClass(flow["app_class"]).name.lower() == _true_class(truth, flow) for flow in long]
    assert len(right) > 30
    assert np.mean(right) > 0.7


def _true_class(truth: dict[tuple[int, int], str], flow: np.void) -> str | None:
    ports = int(flow["src_port"]), int(flow["dst_port"])
    return truth.get(ports) or truth.get(ports[::-1])


def test_the_card_describes_the_shipped_model():
    """The card's digest is the model's, its features are the kernel's, and it names no path."""
    import hashlib
    from importlib.resources import files

    from qoe_native.engine import FEATURE_NAMES, FEATURE_SCHEMA

    folder = files("qoe_native.models")
    text = (folder / "flows.card.json").read_text()
    card = json.loads(text)
    assert card["model"]["sha256"] == hashlib.sha256((folder / "flows.qoemodel").read_bytes()).hexdigest()
    assert card["model"]["feature_schema"] == f"{FEATURE_SCHEMA:08x}"
    assert tuple(card["model"]["features"]) == FEATURE_NAMES
    assert "/home" not in text
    assert ".." not in text
