"""All that is written out: results, tables, pictures, flow records.

=====================  ==================================================================================
module                 what it holds
=====================  ==================================================================================
:mod:`~.result`        what a replay found, as structs; also its JSON
:mod:`~.tables`        the same for people, in 80 columns of text
:mod:`~.html`          the same as one self-contained page, with pictures from :mod:`~.charts`
:mod:`~.flows`         flow records as Arrow columns (imports pyarrow)
:mod:`~.rows`          their writers: CSV, JSON, Parquet (imports pyarrow)
=====================  ==================================================================================
"""
