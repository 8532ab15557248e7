"""Statements from Wikidata's JSON dump.

`files` finds the parts and their day, `checksums` checks them, `lines` streams and filters, `entities` decodes a line,
`parts` reads one part to Parquet, `progress` tells how far it has come, `source` answers from what the parts wrote.
"""
