"""Versions of software: which statement says what is current.

P348 lists every version ever published, dated by its publication (`pipeline.sources.statements` reads that as the
start). The current version is the newest stable one, so that two kinds of statements are none: pre-releases, by their
version type (P548), and releases of an older branch: a lower number published after a higher one (3.8.19 after 3.12.0)
follows nothing. The rank is no help for a past day: it marks what is current when Wikidata is read.
"""

from __future__ import annotations

import duckdb

__all__ = ["mark_versions"]

_VERSION = "P348"

# beta, alpha, release candidate, pre-release, unstable, daily build, pre-alpha
_PRE_RELEASES = tuple(
    f"P548={qid}" for qid in ("Q3295609", "Q2122918", "Q1072356", "Q51930650", "Q21727724", "Q5209391", "Q23356219")
)


def mark_versions(connection: duckdb.DuckDBPyConnection) -> None:
    """Give `no_release` and `older_branch` to statements of P348; nothing of them holds then.

    Reads `statements` and `relations`.
    """
    row = connection.execute(f"SELECT count(*) FROM oriented SEMI JOIN ({_RELATIONS}) USING (relation)").fetchone()
    if row and row[0]:
        connection.execute(PRE_RELEASES, [list(_PRE_RELEASES)])
        connection.execute(OLDER_BRANCHES)


_RELATIONS = f"SELECT relation FROM relations WHERE property = '{_VERSION}' AND NOT inverse"

PRE_RELEASES = f"""
UPDATE oriented SET reason = 'no_release', holding = NULL
FROM (SELECT statement_id FROM statements WHERE property = '{_VERSION}' AND list_has_any(qualifiers, $1)) s
WHERE oriented.statement_id = s.statement_id AND oriented.holding = 'value'
    AND oriented.relation IN ({_RELATIONS})
"""

OLDER_BRANCHES = f"""
UPDATE oriented SET reason = 'older_branch', holding = NULL
FROM (
    SELECT relation, subject, statement_id,
        list_transform(regexp_extract_all(object, '[0-9]+'), lambda n: TRY_CAST(n AS HUGEINT)) AS number,
        max(number) OVER (PARTITION BY relation, subject ORDER BY start_earliest, number
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS highest
    FROM oriented SEMI JOIN ({_RELATIONS}) USING (relation)
    WHERE holding = 'value' AND start_earliest IS NOT NULL
) v
WHERE oriented.statement_id = v.statement_id AND oriented.relation = v.relation AND v.highest > v.number
"""
