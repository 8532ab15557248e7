"""DuckDB and Parquet underneath everything: how a session is opened, how tables are written that need not fit in
memory.

`session` opens DuckDB, `parquet_stream` writes and reads rows in bounded pieces, `early_days` holds days before year 1,
`rejections` makes the rows of what is left out.
"""
