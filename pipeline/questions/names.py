"""Names: what each entity and each literal is called, and whether that name may stand in a question.

A name is unusable when it is an id, too long, or holds control characters, brackets or letters of a script that is not
the language's. An office is not asked by a name of another language. An alias that is unusable, or made of the
questions' own words, is dropped.
Leaves out: whether two entities share a name (`pipeline.questions.facts`, where it is known what is asked).
"""

from __future__ import annotations

from chronofacts.pipeline.questions.steps import creates
from chronofacts.pipeline.questions.templates import OFFICE

__all__ = ["NAMED_VALUES", "NAMES"]

MOST_ALIASES = 8
SHORTEST_TELLING_WORD = 4
"""A shared word shorter than this gives nothing away: "of", "the", "von"."""

NAMED_VALUES = creates("named_values", reads="values_since values_as_of timelines changes members")("""
WITH all_values AS (SELECT * FROM values_since UNION ALL SELECT * FROM values_as_of),
spans AS (
    SELECT object, object_kind FROM timelines SEMI JOIN (
        SELECT relation, subject FROM changes UNION SELECT relation, subject FROM members) USING (relation, subject)
)
SELECT DISTINCT id, kind FROM (
    SELECT subject AS id, 'item' AS kind FROM all_values
    UNION ALL SELECT object, object_kind FROM all_values
    UNION ALL SELECT subject, 'item' FROM changes
    UNION ALL SELECT old_object, object_kind FROM changes
    UNION ALL SELECT new_object, object_kind FROM changes
    UNION ALL SELECT object, object_kind FROM spans
    UNION ALL SELECT subject, 'item' FROM members
    UNION ALL SELECT object_unit, 'item' FROM changes WHERE object_kind = 'quantity'
) WHERE id IS NOT NULL AND kind IN ('item', 'string', 'quantity', 'year')
""")

# One row per (id, kind). reason: no_label, unusable_label, foreign_title or null. fell_back: the label is neither in
# the language nor in `mul`. aliases count as right answers; asked_aliases: those that a question may use as a name.
# words, alias_words: as plain words; telling: words of the label that would give an answer away. shown: the label with
# its article.
NAMES = creates(
    "names",
    reads="named_values values_since values_as_of timelines relation_facts entities",
    drops="named_values",
)(f"""
WITH offices AS (
    SELECT DISTINCT subject AS id FROM (SELECT subject, relation FROM values_since UNION ALL
        SELECT subject, relation FROM values_as_of UNION ALL SELECT subject, relation FROM timelines)
    SEMI JOIN (SELECT relation FROM relation_facts WHERE of_offices) USING (relation)
    UNION SELECT qid FROM entities WHERE list_contains(types, '{OFFICE}')
),
numbers AS (
    SELECT id, kind, TRY_CAST(ltrim(id, '+') AS DECIMAL(38, 6)) AS number FROM named_values WHERE kind = 'quantity'
),
-- Where an office is: said with its name when the name does not say it.
placed AS (
    SELECT subject AS id, min_by(e.label, preference) AS place,
        min_by(list_transform(list_prepend(e.label, coalesce(e.aliases, [])), lambda a: plain_words(a)), preference)
            AS place_names
    FROM (
        SELECT *, concat(CASE relation WHEN 'jurisdiction' THEN 0 ELSE 1 END, late) AS preference
        FROM (SELECT *, 0 AS late FROM values_since UNION ALL SELECT *, 1 FROM values_as_of)
        WHERE relation IN ('jurisdiction', 'country') AND certainty = 'certain'
    ) v JOIN entities e ON e.qid = v.object
    WHERE len(trim(e.label)) > 0
    GROUP BY subject
),
places AS (SELECT id, place_names, listed_name(place) AS place FROM placed),
-- Worked out here what the next query names several times: it would be worked out at each place.
described AS (
    SELECT n.id, n.kind, e.* EXCLUDE (qid), o.id IS NOT NULL AS is_office,
        CASE WHEN o.id IS NOT NULL THEN p.place END AS place,
        CASE WHEN o.id IS NOT NULL THEN p.place_names END AS place_names,
        CASE WHEN o.id IS NOT NULL AND p.id IS NOT NULL THEN plain_words(e.label) END AS label_words,
        without_slips(e.label) AS own_label
    FROM named_values n LEFT JOIN entities e ON e.qid = n.id
    LEFT JOIN offices o ON o.id = n.id LEFT JOIN places p ON p.id = n.id
    WHERE n.kind = 'item'
),
labelled AS (
    SELECT id, kind,
        CASE WHEN place IS NOT NULL AND NOT names_place(label, label_words, place_names)
            THEN office_in(own_label, place) ELSE own_label END AS label,
        place_names, is_office,
        -- Those in the questions' language sort first.
        list_transform(coalesce(aliases, []), lambda a, i: {{
            'foreign': coalesce(alias_languages[i] NOT IN (getvariable('language'), 'mul'), false), 'name': a,
            'words': plain_words(a)
        }}) AS all_aliases,
        coalesce(label_language NOT IN (getvariable('language'), 'mul'), false) AS fell_back,
        coalesce(list_contains(types, 'Q5'), false) AS human,
        sitelinks, ended_earliest, coalesce(ended_kind, 'absent') AS ended_kind
    FROM described
    UNION ALL
    SELECT id, kind, id, NULL, false, [], false, false, NULL, NULL, 'absent' FROM named_values
    WHERE kind IN ('string', 'year')
    UNION ALL
    SELECT id, kind,
        number_phrase(number), NULL, false,
        -- The bare digits count as right too.
        CASE WHEN abs(number) >= 1000 AND number = trunc(number)
            THEN [{{'foreign': false, 'name': CAST(CAST(number AS HUGEINT) AS VARCHAR),
                'words': concat(' ', CAST(CAST(number AS HUGEINT) AS VARCHAR), ' ')}}] ELSE [] END,
        false, false, NULL, NULL, 'absent'
    FROM numbers
),
-- Apart from what is made of them below: an expression that is named is worked out anew wherever its name stands.
worded AS (SELECT *, plain_words(label) AS words FROM labelled),
usable AS (
    SELECT * EXCLUDE (all_aliases),
        list_sort(list_distinct(list_filter(all_aliases, lambda a: a.name IS NOT NULL AND length(a.name) >= 2
            AND NOT unusable(a.name) AND a.words <> words
            -- "Agriculture Secretary" is an office of many places.
            -- CASE, since OR would work out both sides for every alias.
            AND CASE WHEN place_names IS NULL THEN true ELSE names_place(a.name, a.words, place_names) END
            AND NOT speaks_of_holder(a.words, words)
            AND NOT list_has_all(getvariable('vocabulary'), string_split(trim(a.words), ' '))
            )))[1:{MOST_ALIASES}] AS usable_aliases
    FROM worded
),
cleaned AS (
    SELECT * EXCLUDE (usable_aliases), list_transform(usable_aliases, lambda a: a.name) AS aliases,
        list_transform(usable_aliases, lambda a: a.words) AS alias_words,
        list_filter(usable_aliases, lambda a: NOT a.foreign) AS own_aliases,
        CASE WHEN label IS NULL OR trim(label) = '' THEN 'no_label'
            WHEN unusable(label) OR length(trim(words)) = 0 THEN 'unusable_label'
            -- A title is a word of a language as much as the question's own.
            WHEN is_office AND fell_back THEN 'foreign_title' END AS reason
    FROM usable
)
SELECT c.id, c.kind, c.label, c.reason, c.fell_back, c.aliases,
    -- Not the label with an article, a surname alone, nor "Minister-president" where nothing says of what.
    list_transform(list_filter(c.own_aliases, lambda a: without_article(a.name) <> without_article(c.label)
        AND (contains(a.name, ' ') OR NOT c.human)
        -- "Toulouse" is first of all a town, and not the club Toulouse FC.
        AND (contains(a.name, ' ') OR NOT contains(c.words, a.words)) AND NOT (c.is_office
        AND c.place_names IS NULL AND is_generic_office(a.name)
        AND NOT regexp_matches(a.name, ' \\p{{Ll}}+ (\\p{{Ll}}+ )?\\p{{Lu}}'))), lambda a: a.name) AS asked_aliases,
    c.alias_words, c.words, c.human, c.sitelinks, c.ended_earliest, c.ended_kind,
    list_distinct(list_filter(string_split(trim(c.words), ' '),
        lambda w: length(w) >= {SHORTEST_TELLING_WORD} AND NOT list_contains(getvariable('vocabulary'), w))) AS telling,
    c.is_office,
    CASE WHEN c.human OR c.kind <> 'item' THEN c.label WHEN c.is_office THEN with_the(c.label)
        ELSE listed_name(c.label) END AS shown
FROM cleaned c
""")
