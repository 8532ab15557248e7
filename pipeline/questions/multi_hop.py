"""Chains of two to four facts through an edited one: the answer moves because a fact on the way moved.

A chain starts at an entity that the question names, or at what somebody left on a day that it names, walks stable
facts up to the edited one (the prefix) and goes on from both its old and its new object by the same relations (the
suffix). Both walks use `facts` alone, so that each hop is certain, every changed hop is itself an edit, and the chain
holds under all edits at once (the fault that MQuAKE-Remastered found in a third of MQuAKE).
Two facts follow each other only where the catalogue joins their relations, so that a person would ask it and no fact
is asked as two; a question bears three "of" at most. What a chain begins or ends with too often is cut to its share.
Who leads a country is asked for by the title, where the office is known; the holder of any other office is asked for
little beyond the party, since nobody asks when a minister was born.
No walk can explode: a subject has one value per relation, and the ways that lead to an entity are capped
before they are joined.
"""

from __future__ import annotations

import math

import duckdb

from chronofacts.pipeline.questions.steps import Step, adds_to, creates, run

__all__ = ["CAP", "LEAST_WAYS_IN", "SAMPLE", "SHARE", "START", "choose_chains", "limit_to_shares"]

LEAST_WAYS_IN = 4
"""Facts that lead to an entity, kept for the prefix of each edit and again for each of these; more if more
questions per edit are wanted."""
WAYS_ON = (5, 6, 4)
"""Walks kept per edit after one, two and three facts beyond the edited one."""
EDITS_AT_ONCE = 100_000
"""Each part reads all facts once more; each edit may have some hundred chains in memory."""
MOST_LINKS = 3
"""Times that "of" may stand in one question: the fourth is lost on the reader."""
LEAST_SHARED = 1
"""Chains that a relation with a share may have in a set that is too small for its share to be one."""
SPARE = 3
"""How many times the wanted number is drawn before names are looked at."""


def choose_chains(connection: duckdb.DuckDBPyConnection, edits: int) -> None:
    """Create `chosen_chains`, one row per multi-hop question, and add to `rejections`.

    edits: how many there are; they are worked through a part at a time.
    """
    parts = max(1, -(-edits // EDITS_AT_ONCE))
    connection.execute("SET VARIABLE chain_parts = $1::UBIGINT", [parts])
    run(connection, START)
    for part in range(parts):
        connection.execute("SET VARIABLE chain_part = $1::UBIGINT", [part])
        run(connection, SAMPLE)
    run(connection, CAP)
    offered = connection.execute(
        "SELECT shared, max(share), count(*) FROM capped_chains GROUP BY shared ORDER BY shared"
    ).fetchall()
    limits = limit_to_shares({shared: (share, times) for shared, share, times in offered})
    connection.execute("SET VARIABLE shared = $1::VARCHAR[]", [list(limits)])
    connection.execute("SET VARIABLE limits = $1::BIGINT[]", [list(limits.values())])
    run(connection, SHARE)


def limit_to_shares(offered: dict[str | None, tuple[float | None, int]]) -> dict[str, int]:
    """How many of the offered chains each relation with a share may have: the most that keep all to their shares.

    offered: (share, chains) by relation; None: the chains without such a relation.
    """
    free = offered.get(None, (None, 0))[1]
    allowed = {name: times for name, (_, times) in offered.items() if name is not None}
    while True:
        total = free + sum(allowed.values())
        cut = {
            name: min(times, max(LEAST_SHARED, math.floor((offered[name][0] or 0) * total)))
            for name, times in allowed.items()
        }
        if cut == allowed:
            return allowed
        allowed = cut


# An office and what its holder leads by it: the Prime Minister of Redland and Redland, with one head before and after.
LEADERS = creates("leaders", reads="facts relation_facts moves")("""
SELECT o.subject AS office, p.subject AS led, p.relation
FROM facts o JOIN relation_facts r ON r.relation = o.relation AND r.of_offices
JOIN moves m ON m.relation = o.relation
JOIN facts p ON p.relation = m.other AND p.after = o.after AND p.before IS NOT DISTINCT FROM o.before
JOIN relation_facts led ON led.relation = p.relation AND NOT led.of_offices
WHERE o.object_kind = 'item' AND p.object_kind = 'item' AND o.day IS NULL AND p.day IS NULL
""")

# path: relations, joined by /. fact_ids: walked at as_of; facts_before: walked at since. day: that the first fact
# names, or null. shared: the relation with a share of which the chain takes.
CANDIDATES = creates("candidates")("""
SELECT '' AS edit_id, 0 AS hops, '' AS start, NULL::DATE AS day, '' AS path, []::INTEGER[] AS fact_ids,
    []::INTEGER[] AS facts_before, '' AS answer_id, '' AS answer_kind, '' AS before_id, 0::UBIGINT AS draw,
    '' AS shared, 0::DOUBLE AS share LIMIT 0
""")

VERDICTS = creates("verdicts")("SELECT '' AS edit_id, '' AS reason, 0::BIGINT AS times LIMIT 0")

IN_PART = "a.draw % getvariable('chain_parts') = getvariable('chain_part')"
"""Whether the edit `a` is in the part that is worked through."""

# The edited fact itself. words: names that must not stand in the question, besides the subject's.
WALKS_0 = creates("walks_0", reads="edits facts names")(f"""
SELECT a.edit_id, 0 AS level, [f.fact_id] AS facts_after, [f.fact_id] AS facts_before,
    a.new_object AS node_after, a.old_object AS node_before, a.object_kind AS kind,
    [a.subject, a.new_object] AS nodes_after, [a.subject, a.old_object] AS nodes_before,
    [n.words, o.words] AS words, a.relation AS path, a.relation AS last
FROM edits a
JOIN facts f ON f.edit_id = a.edit_id
JOIN names n ON n.id = a.new_object AND n.kind = a.object_kind
JOIN names o ON o.id = a.old_object AND o.kind = a.object_kind
WHERE {IN_PART}
""")


def walk_on(level: int) -> tuple[Step, Step]:
    """One more fact on both walks, by the same joined relation; converged and circular walks end here."""
    extended = creates(f"extended_{level}", reads=f"walks_{level - 1} joins facts")(f"""
SELECT w.edit_id, {level} AS level, list_append(w.facts_after, fa.fact_id) AS facts_after,
    list_append(w.facts_before, fb.fact_id) AS facts_before,
    fa.after AS node_after, fb.before AS node_before, fa.object_kind AS kind,
    list_append(w.nodes_after, fa.after) AS nodes_after, list_append(w.nodes_before, fb.before) AS nodes_before,
    w.words, concat(w.path, '/', fa.relation) AS path, fa.relation AS last,
    CASE WHEN fa.after = fb.before THEN 'hop_unchanged'
        WHEN list_contains(w.nodes_after, fa.after) OR list_contains(w.nodes_before, fb.before) THEN 'hop_loop'
    END AS verdict
FROM walks_{level - 1} w
JOIN joins j ON j.relation = w.last
JOIN facts fa ON fa.subject = w.node_after AND fa.relation = j.next AND fa.alive_after AND fa.day IS NULL
JOIN facts fb ON fb.subject = w.node_before AND fb.relation = fa.relation AND fb.alive_before
    AND fb.day IS NULL AND fb.object_kind = fa.object_kind AND fb.before IS NOT NULL
WHERE w.kind = 'item'
""")
    walks = creates(f"walks_{level}", reads=f"extended_{level} names")(f"""
SELECT e.* EXCLUDE (verdict) REPLACE (list_concat(e.words, [n.words, o.words]) AS words)
FROM (
    SELECT * FROM extended_{level} WHERE verdict IS NULL
    QUALIFY row_number() OVER (PARTITION BY edit_id ORDER BY draw_for(concat(edit_id, path)), path)
        <= {WAYS_ON[level - 1]}
) e
JOIN names n ON n.id = e.node_after AND n.kind = e.kind
JOIN names o ON o.id = e.node_before AND o.kind = e.kind
""")
    return extended, walks


EXTENDED = "extended_1 extended_2 extended_3"
WALK_VERDICTS = adds_to("verdicts", reads=EXTENDED, drops=EXTENDED)("""
SELECT edit_id, verdict AS reason, count(*) AS times FROM (SELECT edit_id, verdict FROM extended_1
    UNION ALL SELECT edit_id, verdict FROM extended_2 UNION ALL SELECT edit_id, verdict FROM extended_3)
WHERE verdict IS NOT NULL GROUP BY edit_id, verdict
""")

PREFIXES = creates("prefixes", reads="edits joins facts names")(f"""
WITH goals AS (SELECT DISTINCT subject, relation FROM edits a WHERE {IN_PART}),
-- The hub's ways in are cut to a few before anything is joined to them; relations take turns.
near AS (
    SELECT f.*, g.relation AS next
    FROM goals g JOIN joins j ON j.next = g.relation JOIN facts f ON f.after = g.subject AND f.relation = j.relation
    WHERE f.edit_id IS NULL AND f.object_kind = 'item' AND f.alive_after AND f.subject <> f.after
    QUALIFY row_number() OVER (PARTITION BY f.after, next, f.relation ORDER BY f.draw) <= getvariable('ways_in')
),
few_near AS (
    SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY after, next, relation ORDER BY draw) AS turn FROM near)
    QUALIFY row_number() OVER (PARTITION BY after, next ORDER BY turn, draw) <= getvariable('ways_in')
),
bridges AS (SELECT DISTINCT subject, relation FROM few_near WHERE day IS NULL),
far AS (
    SELECT f.*, b.relation AS next
    FROM bridges b JOIN joins j ON j.next = b.relation JOIN facts f ON f.after = b.subject AND f.relation = j.relation
    WHERE f.edit_id IS NULL AND f.object_kind = 'item' AND f.alive_after AND f.subject <> f.after
    QUALIFY row_number() OVER (PARTITION BY f.after, next, f.relation ORDER BY f.draw) <= getvariable('ways_in')
),
few_far AS (
    SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY after, next, relation ORDER BY draw) AS turn FROM far)
    QUALIFY row_number() OVER (PARTITION BY after, next ORDER BY turn, draw) <= 2
),
ways AS (
    SELECT edit_id, subject AS start, 0 AS level, []::INTEGER[] AS fact_ids, []::VARCHAR[] AS nodes, '' AS path,
        NULL::DATE AS day
    FROM edits a WHERE {IN_PART}
    UNION ALL
    SELECT a.edit_id, n.subject, 1, [n.fact_id], [n.subject], concat(n.relation, '/'), n.day
    FROM edits a JOIN few_near n ON n.after = a.subject AND n.next = a.relation
    WHERE n.nameable AND {IN_PART}
    UNION ALL
    SELECT a.edit_id, f.subject, 2, [f.fact_id, n.fact_id], [f.subject, n.subject],
        concat(f.relation, '/', n.relation, '/'), f.day
    FROM edits a JOIN few_near n ON n.after = a.subject AND n.next = a.relation AND n.day IS NULL
    JOIN few_far f ON f.after = n.subject AND f.next = n.relation
    WHERE f.nameable AND f.subject <> a.subject AND {IN_PART}
)
SELECT w.*, s.words AS start_words, s.is_office AS from_office,
    count_links(s.label) AS start_links,
    CASE level WHEN 0 THEN [] WHEN 1 THEN [g.words] ELSE [g.words, b.words] END AS bridge_words
FROM ways w JOIN edits a USING (edit_id)
JOIN names s ON s.id = w.start AND s.kind = 'item'
JOIN names g ON g.id = a.subject AND g.kind = 'item'
LEFT JOIN names b ON w.level = 2 AND b.id = w.nodes[2] AND b.kind = 'item'
""")

WALKS = "walks_0 walks_1 walks_2 walks_3 prefixes"
CHAINS = creates("chains", reads=WALKS, drops=WALKS)("""
WITH walks AS (
    FROM walks_0 UNION ALL BY NAME FROM walks_1 UNION ALL BY NAME FROM walks_2 UNION ALL BY NAME FROM walks_3
)
SELECT w.edit_id, CAST(p.level + w.level + 1 AS INTEGER) AS hops, p.start, p.day, concat(p.path, w.path) AS path,
    list_concat(p.fact_ids, w.facts_after) AS fact_ids, list_concat(p.fact_ids, w.facts_before) AS facts_before,
    w.node_after AS answer_id, w.kind AS answer_kind, w.node_before AS before_id,
    p.start_words, p.from_office, p.start_links, list_concat(p.bridge_words, w.words) AS hidden_words
FROM walks w JOIN prefixes p ON p.edit_id = w.edit_id
WHERE p.level + w.level BETWEEN 1 AND 3
    AND NOT list_has_any(p.nodes, w.nodes_after) AND NOT list_has_any(p.nodes, w.nodes_before)
""")

# What a path of relations makes of a question, once for all chains along it. An office is asked for what offices have:
# nobody asks for the country of a minister's post.
PATHS = creates("paths", reads="chains relation_facts joins")("""
WITH walked AS (SELECT DISTINCT path, hops FROM chains),
hops AS (
    SELECT path, hops, unnest(string_split(path, '/')) AS relation,
        generate_subscripts(string_split(path, '/'), 1) AS position
    FROM walked
)
SELECT path, max(own_share) AS share, max(relation) FILTER (own_share IS NOT NULL) AS shared,
    sum(CASE position WHEN 1 THEN links_named WHEN hops THEN links_asked ELSE links_noun END) AS links,
    bool_or(position = 1 AND r.of_offices) AS of_offices, max(relation) FILTER (position = 1) AS first,
    coalesce(bool_or(position = 2 AND r.of_leaders), false) AS of_leaders
FROM (
    SELECT h.*, f.*, CASE position WHEN 1 THEN start_share WHEN hops THEN end_share END AS own_share,
        coalesce(j.leaders_only, false) AS of_leaders
    FROM (SELECT *, lag(relation) OVER (PARTITION BY path, hops ORDER BY position) AS previous FROM hops) h
    JOIN (SELECT relation, * EXCLUDE (relation) FROM relation_facts) f USING (relation)
    LEFT JOIN joins j ON j.relation = h.previous AND j.next = h.relation
) r
GROUP BY path, hops
HAVING count(own_share) < 2 AND min(longest_chain) >= hops
    -- "the party that the leader of the country that X lives in belongs to" is past reading
    AND sum(CASE position WHEN 1 THEN CAST(closed_named AS INTEGER) WHEN hops THEN 0
        ELSE CAST(closed_noun AS INTEGER) END) < 2
""")

DRAWN_CHAINS = creates("drawn_chains", reads="chains paths leaders", drops="chains paths")(f"""
WITH readable AS (
    SELECT c.*, p.shared, p.share, draw_for(concat(edit_id, start, path, CAST(day AS VARCHAR))) AS draw
    FROM chains c JOIN paths p USING (path)
    ANTI JOIN leaders l ON l.led = c.start AND l.relation = p.first
    WHERE p.links + c.start_links <= {MOST_LINKS} AND c.from_office = p.of_offices
        AND (NOT p.of_leaders OR c.start IN (SELECT office FROM leaders))
)
-- Each path has its turn before any has a second; a few more than wanted, since names may forbid some.
SELECT * FROM (
    SELECT *, row_number() OVER (PARTITION BY edit_id, hops, path ORDER BY draw) AS turn FROM readable
)
QUALIFY row_number() OVER (PARTITION BY edit_id, hops, shared ORDER BY turn, draw)
    <= {SPARE} * getvariable('hops_per_edit')
""")

SAYABLE_CHAINS = creates("sayable_chains", reads="drawn_chains names", drops="drawn_chains")("""
SELECT c.* FROM drawn_chains c
JOIN names n ON n.id = c.answer_id AND n.kind = c.answer_kind
JOIN names o ON o.id = c.before_id AND o.kind = c.answer_kind
WHERE len(list_filter(hidden_words, lambda w: contains(start_words, w))) = 0 AND NOT same_name(n, o)
""")

CAP_VERDICTS = adds_to("verdicts", reads="sayable_chains")("""
SELECT edit_id, 'hop_over_cap' AS reason, count(*) - getvariable('hops_per_edit') AS times
FROM sayable_chains GROUP BY edit_id, hops HAVING count(*) > getvariable('hops_per_edit')
""")

KEPT_CANDIDATES = adds_to("candidates", reads="sayable_chains", drops="sayable_chains")("""
SELECT edit_id, hops, start, day, path, fact_ids, facts_before, answer_id, answer_kind, before_id, draw, shared, share
FROM sayable_chains
-- A relation that has only its share gives way to any other.
QUALIFY row_number() OVER (PARTITION BY edit_id, hops ORDER BY shared IS NOT NULL, turn, draw)
    <= getvariable('hops_per_edit')
""")

CHAIN_REJECTIONS = adds_to("rejections", reads="verdicts edits", drops="verdicts")("""
SELECT 'hops' AS stage, v.reason, a.subject, a.relation, [v.edit_id] AS ids,
    concat(sum(v.times), ' chains through the edit') AS detail
FROM verdicts v JOIN edits a USING (edit_id) GROUP BY v.reason, a.subject, a.relation, v.edit_id
""")

# Popular starting points and common paths take their share and no more.
CAPPED_CHAINS = creates("capped_chains", reads="candidates", drops="candidates")("""
WITH by_start AS (
    SELECT * FROM candidates
    QUALIFY row_number() OVER (PARTITION BY start ORDER BY shared IS NOT NULL, draw, path, day)
        <= getvariable('hops_per_subject')
)
SELECT * FROM by_start
QUALIFY row_number() OVER (PARTITION BY path ORDER BY draw, start, day) <= getvariable('hops_per_path')
""")

CHOSEN_CHAINS = creates("chosen_chains", reads="capped_chains", drops="capped_chains")("""
SELECT * FROM capped_chains WHERE shared IS NULL
UNION ALL
SELECT * FROM capped_chains WHERE shared IS NOT NULL
QUALIFY row_number() OVER (PARTITION BY shared ORDER BY draw, edit_id, path, start, day)
    <= getvariable('limits')[list_position(getvariable('shared'), shared)]
""")

START = (LEADERS, CANDIDATES, VERDICTS)
SAMPLE = (
    WALKS_0, *walk_on(1), *walk_on(2), *walk_on(3), WALK_VERDICTS, PREFIXES, CHAINS, PATHS, DRAWN_CHAINS,
    SAYABLE_CHAINS, CAP_VERDICTS, KEPT_CANDIDATES,
)  # fmt: skip
"""What is done for each part of the edits."""
CAP = (CHAIN_REJECTIONS, CAPPED_CHAINS)
SHARE = (CHOSEN_CHAINS,)
