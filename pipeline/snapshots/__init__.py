"""The folder of a snapshot: written, checked, read and stored.

`write` makes the folder, with `card`, `card_sections` and `croissant` beside the tables. `verify` asks the queries of
`invariants` and `set_invariants`, and `gate` sets aside what breaks one. `summary`, `entity_report`,
`live_check` and `compare` answer a reader's questions; `store` and `store_lock` keep snapshots by their day.
"""
