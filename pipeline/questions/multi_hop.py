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
Leaves out: rendering (`pipeline.questions.direct`).
"""

from __future__ import annotations

import math

import duckdb

from chronofacts.pipeline.questions.settings import QuestionSettings

__all__ = ["create_chosen_hops"]

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


def create_chosen_hops(connection: duckdb.DuckDBPyConnection, settings: QuestionSettings, edits: int) -> None:
    """Create `chosen_hops`, one row per multi-hop question, and add to `question_rejections`.

    Columns: edit_id, hops, start, day (that the first fact names, or null), path (relations, joined by /), fact_ids
    (walked at as_of), facts_before (walked at since), answer_id, answer_kind, before_id. Works through the `edits`
    edits a part at a time.
    """
    connection.execute(CANDIDATES)
    connection.execute(LEADERS)
    connection.execute("SET VARIABLE per_hop = $1::INTEGER", [settings.hops_per_edit])
    connection.execute("SET VARIABLE ways_in = $1::INTEGER", [max(LEAST_WAYS_IN, settings.hops_per_edit)])
    parts = max(1, -(-edits // EDITS_AT_ONCE))
    connection.execute("SET VARIABLE parts = $1::UBIGINT", [parts])
    for part in range(parts):
        connection.execute("SET VARIABLE part = $1::INTEGER", [part])
        for step in (START, *(extension(level) for level in (1, 2, 3)), PREFIXES, CHAINS, PATHS, JOINED, CHECKED, KEEP):
            connection.execute(step)
    connection.execute(REJECTED)
    per_path = max(settings.hops_per_path, round(edits * settings.path_share))
    connection.execute(CAPPED, [settings.hops_per_subject, per_path])
    offered = connection.execute(OFFERED).fetchall()
    allowed = _within_shares({shared: (share, times) for shared, share, times in offered})
    for shared, times in allowed.items():
        connection.execute(CUT, [shared, times])
    for table in ("candidates", "hop_verdicts", "walks", "steps", "prefixes", "chains", "joined", "checked"):
        connection.execute(f"DROP TABLE {table}")


def _within_shares(offered: dict[str | None, tuple[float | None, int]]) -> dict[str, int]:
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


CANDIDATES = """
CREATE OR REPLACE TEMP TABLE candidates (edit_id VARCHAR, hops INTEGER, start VARCHAR, day DATE, path VARCHAR,
    fact_ids INTEGER[], facts_before INTEGER[], answer_id VARCHAR, answer_kind VARCHAR, before_id VARCHAR,
    draw UBIGINT, shared VARCHAR, share DOUBLE);
CREATE OR REPLACE TEMP TABLE hop_verdicts (edit_id VARCHAR, reason VARCHAR, times BIGINT)
"""

# An office and what its holder leads by it: the Prime Minister of Redland and Redland, with one head before and after.
LEADERS = """
CREATE OR REPLACE TEMP TABLE leaders AS
SELECT o.subject AS office, p.subject AS place, p.relation
FROM facts o JOIN relation_facts r ON r.relation = o.relation AND r.of_offices
JOIN moves m ON m.relation = o.relation
JOIN facts p ON p.relation = m.other AND p.after = o.after AND p.before IS NOT DISTINCT FROM o.before
JOIN relation_facts led ON led.relation = p.relation AND NOT led.of_offices
WHERE o.object_kind = 'item' AND p.object_kind = 'item' AND o.day IS NULL AND p.day IS NULL
"""

# The edited fact itself. words: names that must not stand in the question, besides the subject's.
START = """
CREATE OR REPLACE TEMP TABLE walks AS
SELECT a.edit_id, 0 AS level, [f.fact_id] AS facts_after, [f.fact_id] AS facts_before,
    a.new_object AS node_after, a.old_object AS node_before, a.object_kind AS kind,
    [a.subject, a.new_object] AS nodes_after, [a.subject, a.old_object] AS nodes_before,
    [n.words, o.words] AS words, a.relation AS path, a.relation AS last
FROM accepted a
JOIN facts f ON f.edit_id = a.edit_id
JOIN names n ON n.id = a.new_object AND n.kind = a.object_kind
JOIN names o ON o.id = a.old_object AND o.kind = a.object_kind
WHERE a.draw % getvariable('parts') = getvariable('part')
"""


def extension(level: int) -> str:
    """One more fact on both walks, by the same joined relation; converged and circular walks end here."""
    return f"""
    CREATE OR REPLACE TEMP TABLE steps AS
    SELECT w.edit_id, {level} AS level, list_append(w.facts_after, fa.fact_id) AS facts_after,
        list_append(w.facts_before, fb.fact_id) AS facts_before,
        fa.after AS node_after, fb.before AS node_before, fa.object_kind AS kind,
        list_append(w.nodes_after, fa.after) AS nodes_after, list_append(w.nodes_before, fb.before) AS nodes_before,
        w.words, concat(w.path, '/', fa.relation) AS path, fa.relation AS last,
        CASE WHEN fa.after = fb.before THEN 'hop_unchanged'
            WHEN list_contains(w.nodes_after, fa.after) OR list_contains(w.nodes_before, fb.before) THEN 'hop_loop'
        END AS verdict
    FROM walks w
    JOIN joins j ON j.relation = w.last
    JOIN facts fa ON fa.subject = w.node_after AND fa.relation = j.next AND fa.alive_after AND fa.day IS NULL
    JOIN facts fb ON fb.subject = w.node_before AND fb.relation = fa.relation AND fb.alive_before
        AND fb.day IS NULL AND fb.object_kind = fa.object_kind AND fb.before IS NOT NULL
    WHERE w.level = {level - 1} AND w.kind = 'item';
    INSERT INTO hop_verdicts SELECT edit_id, verdict, count(*) FROM steps WHERE verdict IS NOT NULL GROUP BY ALL;
    INSERT INTO walks BY NAME
    SELECT s.* EXCLUDE (verdict) REPLACE (list_concat(s.words, [n.words, o.words]) AS words)
    FROM (
        SELECT * FROM steps WHERE verdict IS NULL
        QUALIFY row_number() OVER (PARTITION BY edit_id ORDER BY drawn(concat(edit_id, path)), path)
            <= {WAYS_ON[level - 1]}
    ) s
    JOIN names n ON n.id = s.node_after AND n.kind = s.kind
    JOIN names o ON o.id = s.node_before AND o.kind = s.kind
    """


PREFIXES = """
CREATE OR REPLACE TEMP TABLE prefixes AS
WITH goals AS (
    SELECT DISTINCT subject, relation FROM accepted WHERE draw % getvariable('parts') = getvariable('part')
),
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
    FROM accepted WHERE draw % getvariable('parts') = getvariable('part')
    UNION ALL
    SELECT a.edit_id, n.subject, 1, [n.fact_id], [n.subject], concat(n.relation, '/'), n.day
    FROM accepted a JOIN few_near n ON n.after = a.subject AND n.next = a.relation
    WHERE n.nameable AND a.draw % getvariable('parts') = getvariable('part')
    UNION ALL
    SELECT a.edit_id, f.subject, 2, [f.fact_id, n.fact_id], [f.subject, n.subject],
        concat(f.relation, '/', n.relation, '/'), f.day
    FROM accepted a JOIN few_near n ON n.after = a.subject AND n.next = a.relation AND n.day IS NULL
    JOIN few_far f ON f.after = n.subject AND f.next = n.relation
    WHERE f.nameable AND f.subject <> a.subject AND a.draw % getvariable('parts') = getvariable('part')
)
SELECT w.*, s.words AS start_words, s.is_office AS from_office,
    links_in(s.label) AS start_links,
    CASE level WHEN 0 THEN [] WHEN 1 THEN [g.words] ELSE [g.words, b.words] END AS bridge_words
FROM ways w JOIN accepted a USING (edit_id)
JOIN names s ON s.id = w.start AND s.kind = 'item'
JOIN names g ON g.id = a.subject AND g.kind = 'item'
LEFT JOIN names b ON w.level = 2 AND b.id = w.nodes[2] AND b.kind = 'item'
"""

CHAINS = """
CREATE OR REPLACE TEMP TABLE chains AS
SELECT w.edit_id, CAST(p.level + w.level + 1 AS INTEGER) AS hops, p.start, p.day, concat(p.path, w.path) AS path,
    list_concat(p.fact_ids, w.facts_after) AS fact_ids, list_concat(p.fact_ids, w.facts_before) AS facts_before,
    w.node_after AS answer_id, w.kind AS answer_kind, w.node_before AS before_id,
    p.start_words, p.from_office, p.start_links, list_concat(p.bridge_words, w.words) AS hidden_words
FROM walks w JOIN prefixes p ON p.edit_id = w.edit_id
WHERE p.level + w.level BETWEEN 1 AND 3
    AND NOT list_has_any(p.nodes, w.nodes_after) AND NOT list_has_any(p.nodes, w.nodes_before)
"""

# What a path of relations makes of a question, once for all chains along it. An office is asked for what offices have:
# nobody asks for the country of a minister's post.
PATHS = """
CREATE OR REPLACE TEMP TABLE paths AS
WITH told AS (SELECT DISTINCT path, hops FROM chains),
steps AS (
    SELECT path, hops, unnest(string_split(path, '/')) AS relation,
        generate_subscripts(string_split(path, '/'), 1) AS place
    FROM told
)
SELECT path, max(part) AS share, max(relation) FILTER (part IS NOT NULL) AS shared,
    sum(CASE place WHEN 1 THEN links_named WHEN hops THEN links_asked ELSE links_noun END) AS links,
    bool_or(place = 1 AND r.of_offices) AS of_offices, max(relation) FILTER (place = 1) AS first,
    coalesce(bool_or(place = 2 AND r.of_leaders), false) AS of_leaders
FROM (
    SELECT s.*, f.*, CASE place WHEN 1 THEN start_share WHEN hops THEN end_share END AS part,
        coalesce(j.leaders_only, false) AS of_leaders
    FROM (SELECT *, lag(relation) OVER (PARTITION BY path, hops ORDER BY place) AS previous FROM steps) s
    JOIN (SELECT relation, * EXCLUDE (relation) FROM relation_facts) f USING (relation)
    LEFT JOIN joins j ON j.relation = s.previous AND j.next = s.relation
) r
GROUP BY path, hops
HAVING count(part) < 2 AND min(longest_chain) >= hops
    -- "the party that the leader of the country that X lives in belongs to" is past reading
    AND sum(CASE place WHEN 1 THEN CAST(closed_named AS INTEGER) WHEN hops THEN 0
        ELSE CAST(closed_noun AS INTEGER) END) < 2
"""

JOINED = f"""
CREATE OR REPLACE TEMP TABLE joined AS
WITH drawn_chains AS (
    SELECT c.*, p.shared, p.share, drawn(concat(edit_id, start, path, CAST(day AS VARCHAR))) AS draw
    FROM chains c JOIN paths p USING (path)
    ANTI JOIN leaders l ON l.place = c.start AND l.relation = p.first
    WHERE p.links + c.start_links <= {MOST_LINKS} AND c.from_office = p.of_offices
        AND (NOT p.of_leaders OR c.start IN (SELECT office FROM leaders))
)
-- Each path has its turn before any has a second; a few more than wanted, since names may forbid some.
SELECT * FROM (
    SELECT *, row_number() OVER (PARTITION BY edit_id, hops, path ORDER BY draw) AS turn FROM drawn_chains
)
QUALIFY row_number() OVER (PARTITION BY edit_id, hops, shared ORDER BY turn, draw) <= {SPARE} * getvariable('per_hop')
"""

CHECKED = """
CREATE OR REPLACE TEMP TABLE checked AS
SELECT j.* FROM joined j
JOIN names n ON n.id = j.answer_id AND n.kind = j.answer_kind
JOIN names o ON o.id = j.before_id AND o.kind = j.answer_kind
WHERE len(list_filter(hidden_words, lambda w: contains(start_words, w))) = 0 AND NOT same_name(n, o)
"""

KEEP = """
INSERT INTO hop_verdicts
SELECT edit_id, 'hop_over_cap', count(*) - getvariable('per_hop') FROM checked GROUP BY edit_id, hops
HAVING count(*) > getvariable('per_hop');
INSERT INTO candidates
SELECT edit_id, hops, start, day, path, fact_ids, facts_before, answer_id, answer_kind, before_id, draw, shared,
    share
FROM checked
-- A relation that has only its share gives way to any other.
QUALIFY row_number() OVER (PARTITION BY edit_id, hops ORDER BY shared IS NOT NULL, turn, draw)
    <= getvariable('per_hop')
"""

REJECTED = """
INSERT INTO question_rejections
SELECT 'hops', v.reason, a.subject, a.relation, [v.edit_id], concat(sum(v.times), ' chains through the edit')
FROM hop_verdicts v JOIN accepted a USING (edit_id) GROUP BY v.reason, a.subject, a.relation, v.edit_id
"""

# Popular starting points and common paths take their share and no more.
CAPPED = """
CREATE OR REPLACE TEMP TABLE chosen_hops AS
WITH by_start AS (
    SELECT * FROM candidates
    QUALIFY row_number() OVER (PARTITION BY start ORDER BY shared IS NOT NULL, draw, path, day) <= $1::INTEGER
)
SELECT * FROM by_start
QUALIFY row_number() OVER (PARTITION BY path ORDER BY draw, start, day) <= $2::INTEGER
"""

OFFERED = "SELECT shared, max(share), count(*) FROM chosen_hops GROUP BY shared ORDER BY shared"

CUT = """
DELETE FROM chosen_hops WHERE (edit_id, path, start, coalesce(day, DATE '0001-01-01')) IN (
    SELECT (edit_id, path, start, coalesce(day, DATE '0001-01-01')) FROM chosen_hops WHERE shared = $1
    QUALIFY row_number() OVER (ORDER BY draw, edit_id, path, start, day) > $2::BIGINT
)
"""
