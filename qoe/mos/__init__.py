"""Models of quality of experience: from what a network measures to a mean opinion score (MOS).

========================  ==================================================================================
module                    what it holds
========================  ==================================================================================
:mod:`~.voice`            calls: ``mos_nb`` (ITU-T G.107), ``mos_wb`` (G.107.1), ``mos_fb`` (G.107.2)
:mod:`~.rating`           transmission rating R to MOS and back, per scale; GoB, PoW, TME
:mod:`~.emodel`           the full parameter set of G.107
:mod:`~.codecs`           equipment impairments of speech codecs (G.113)
:mod:`~.loss`             burstiness, jitter-buffer losses, burst and recency effects
:mod:`~.video`            adaptive streaming: P.1203 mode 0, codec extension, stalling models
:mod:`~.p1203`            P.1203.1 and P.1203.2: quality of video and audio segments
:mod:`~.p1203_timeline`   segments and stalls of a session, and its quality per second
:mod:`~.p1203_session`    P.1203.3: integration of a session
:mod:`~.p1203_forest`     the random forest of P.1203.3, for users who hold its trees
:mod:`~.gaming`           cloud gaming (G.1072), games rendered locally
:mod:`~.web`              pages (G.1030), throughput and download models, generic laws
:mod:`~.conference`       video telephony (G.1070)
:mod:`~.monitors`         the scores that well-known monitoring tools report, for comparison
:mod:`~.aggregate`        from many scores to one: mean, fairness, share of satisfied users
:mod:`~.five_qi`          packet delay and loss targets of 5G QoS identifiers
========================  ==================================================================================

Calling convention
    Every model takes scalars or arrays and broadcasts them. Scalars in, a ``float`` out; any array in, a
    float64 array out; NaN in, NaN out. Losses that a Recommendation takes in percent are named
    ``loss_percent``; ``_ratio`` is 0 to 1. Values outside the physical range (a negative delay, a loss
    above 100 %) are clipped; each docstring says so where a model clips further.

Scales
    Narrowband, wideband and fullband speech are judged on different scales (:class:`~.rating.Scale`), and
    P.1203, G.1072 and G.1030 have scales of their own with other end points. A MOS means something only
    together with the model that gave it.

Rights
    The functions implement the formulas of the ITU-T Recommendations and papers that they name; the code
    is our own, and no tables or model files of other implementations are included. Patents are declared
    on some of these Recommendations, among them P.1203 and G.1072 (see the ITU patent-statement database,
    https://www.itu.int/ipr). The licence of this software grants no rights to patents of third parties.
"""
