"""All that is written out: results, tables, pictures, flow records.

=====================  ==================================================================================
module                 what it holds
=====================  ==================================================================================
:mod:`~.result`        what a replay found, as structs; also its JSON
:mod:`~.tables`        the same for people, in 80 columns of text
:mod:`~.html`          the same as one self-contained page, with pictures from :mod:`~.charts`
:mod:`~.rows`          the writer of flow records; which columns there are says :mod:`~.columns`
:mod:`~.csv`           CSV and
:mod:`~.parquet`       Parquet, straight from the kernel's records, by the plan of :mod:`~.layout`
:mod:`~.json`          JSON, by the Arrow columns of :mod:`~.flows` (these import pyarrow)
=====================  ==================================================================================
"""
