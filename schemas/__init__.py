"""What a row, a date and a relation is: the contract on which everything else agrees.

`tables` has the schema of every table, `dates` the arithmetic of uncertain days, `promises` and `reasons` the closed
lists, `manifest` what a snapshot says of itself. `catalogue` reads `data/relations.toml`, by the types of
`catalogue_entries` and the rules of `catalogue_checks`. What every room needs stands here too: `files` written whole
and locks, `ids` of others, secrets taken out of texts (`redact`), texts made harmless (`plain_text`).
"""
