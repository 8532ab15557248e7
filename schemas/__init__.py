"""What a row, a date and a relation is: the contract on which everything else agrees.

`tables` has the schema of every table, `dates` the arithmetic of uncertain days, `catalogue` and `catalogue_checks`
what `data/relations.toml` may say, `promises` and `reasons` the closed lists, `manifest` what a snapshot says of
itself. What every room needs stands here too: `files` written whole and locks, `ids` of others, secrets taken out of
texts (`redact`), texts made harmless (`plain_text`).
"""
