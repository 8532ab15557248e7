"""DuckDB and Parquet, under every stage.

`session` opens DuckDB, `parquet_stream` writes and reads tables that need not fit in memory, `columns` replaces
columns, `early_days` holds days before year 1, `rejections` makes the rows of what is left out.
"""
