"""Statements of Wikidata to the tables of a snapshot, and what is done with snapshots.

`sources` reads statements, `timelines` makes them spans, `changes` and `memberships` compare two days, `questions` puts
the changes into words; `build` runs these in order. `snapshots` writes and checks the folder, `incremental` reads one
again with what changed since, `publishing` and `exchange` hand it on. `storage` lies under all of them.
"""
