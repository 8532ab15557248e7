"""The folder of a snapshot: written, checked, read and stored.

`gate` sets aside what breaks a promise and lets `write` make the folder, with `card`, `card_sections` and `croissant`
beside the tables. `verify` asks the queries of `invariants` and `set_invariants`. `summary`, `entity_report`,
`live_check` and `compare` answer a reader's questions; `store` and `store_lock` keep snapshots by their day.
"""
