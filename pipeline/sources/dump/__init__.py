"""Statements from Wikidata's JSON dump.

`files` finds the parts and their day, `checksums` checks them, `lines` streams, `filter` chooses, `entities` decodes a
line, `parts` reads one part to Parquet, `progress` says how far it has come, `source` answers from what the parts
wrote.
"""
