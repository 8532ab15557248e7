"""Which values a written answer names, and what that makes of a question with several answers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronofacts.editing.scoring.answer_match import normalise
from chronofacts.editing.scoring.answer_sets import Role, Value, judge_set, named

EU = ("European Union", "EU")
NATO = ("NATO", "North Atlantic Treaty Organization")
UN = ("United Nations", "UN")


@pytest.mark.parametrize(
    "text",
    [
        "the European Union and NATO",
        "NATO and the European Union",
        "NATO, the EU",
        "NATO,EU",
        "EU; NATO",
        "EU / NATO",
        "- EU - NATO",
        "1. EU 2. NATO",
        "EU. NATO.",
        "the eu and nato",
        "THE EU AND NATO",
        "de NAVO, NATO en de EU",
        "Both the EU and NATO",
        "It is a member of the EU and, since 2023, of NATO.",
        "the European Union (EU) and the North Atlantic Treaty Organization (NATO)",
    ],
)
def test_values_are_named_in_any_order_under_any_name_and_with_any_mark_between(text: str) -> None:
    assert named(text, [EU, NATO, UN]) == [True, True, False]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("DR Congo", "Congo"),
        ("dr congo", "congo"),
        ("the Democratic Republic of the Congo", "Congo"),
        ("Republic of Congo", "Congo"),
        ("Congo-Brazzaville", "Congo"),
        ("Guinea-Bissau", "Guinea"),
        ("New York Knicks", "New York"),
        ("Bank of England", "Bank"),
        ("AS Roma", "Roma"),
        ("St. Louis", "Louis"),
        ("Rio de Janeiro", "Janeiro"),
        ("Nigeria", "Niger"),
        ("14.2.1", "14.2"),
        ("142", "14.2"),
        ("New, York", "New York"),
        ("", "the"),
    ],
)
def test_a_part_of_a_longer_name_is_not_named(text: str, name: str) -> None:
    assert named(text, [[name]]) == [False]
    assert named(f"Norway, {text} and Chad" if text else "", [["Norway"], [name]]) == [bool(text), False]


def test_a_name_inside_another_is_named_where_it_also_stands_by_itself() -> None:
    both = [["Congo", "Republic of the Congo"], ["DR Congo", "Democratic Republic of the Congo"]]
    assert named("DR Congo", both) == [False, True]
    assert named("Chad, DR Congo and Congo", both) == [True, True]
    assert named("the Republic of the Congo and Chad", both) == [True, False]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Netherlands", "the Netherlands"),
        ("The Netherlands and Chad", "Netherlands"),
        ("Chad, the Hague", "The Hague"),
        ("Bosnia and Herzegovina, Chad", "Bosnia and Herzegovina"),
        ("Chad and Jean Luc Dehaene", "Jean-Luc Dehaene"),
        ("Washington, D.C. and Chad", "Washington, D.C."),
        ("Washington DC", "Washington, D.C."),
        ("AC/DC and Chad", "AC/DC"),
        ("ACDC", "AC/DC"),
        ("Côte d’Ivoire, Chad", "Cote d'Ivoire"),
        ("14.2 and 15", "14.2"),
        ("Chad and !!!", "Chad"),
        ("!!!", "!!!"),
    ],
)
def test_one_name_in_two_spellings_is_named(text: str, name: str) -> None:
    assert named(text, [[name]]) == [True]


WORDS = st.text("abcdefghikélmnoprstuü", min_size=2, max_size=6).filter(
    lambda word: word not in ("the", "an", "de", "het", "een", "en", "and", "or", "as", "ook", "also", "plus", "both")
)
NAMES = st.one_of(
    st.lists(WORDS.map(str.capitalize), min_size=1, max_size=3).map(" ".join),
    WORDS,
    st.builds("{}.{}".format, st.integers(1, 30), st.integers(0, 12)),
)
SEVERAL = st.lists(NAMES, min_size=1, max_size=7, unique_by=normalise)
CAPITALS = st.lists(WORDS.map(str.capitalize), min_size=1, max_size=3).map(" ".join)


def listed(names: list[str], mark: str, last: str, article: str) -> str:
    told = [article + name for name in names]
    return last.join([mark.join(told[:-1]), told[-1]]) if len(told) > 1 else told[0]


@given(
    SEVERAL,
    st.lists(NAMES, max_size=4),
    st.sampled_from([", ", "; ", " / ", ","]),
    st.sampled_from([" and ", ", and ", " en ", " & ", ", "]),
    st.sampled_from(["", "the ", "The ", "de "]),
    st.randoms(use_true_random=False),
)
def test_of_a_list_exactly_what_is_listed_is_named(
    names: list[str], others: list[str], mark: str, last: str, article: str, chance: object
) -> None:
    if mark == ",":  # between numbers a comma without a space is a point
        names = [name for name in names if not name[0].isdigit()] or ["Norway"]
    told = {normalise(name) for name in names}
    others = [name for name in others if normalise(name) not in told]
    shuffled = list(names)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    found = named(listed(shuffled, mark, last, article), [[name] for name in [*names, *others]])
    assert found == [True] * len(names) + [False] * len(others)


@given(
    st.lists(CAPITALS, min_size=1, max_size=5, unique_by=normalise), st.sampled_from([" today.", ".", " since 1995"])
)
def test_names_in_a_sentence_are_named(names: list[str], end: str) -> None:
    text = f"Norway is now a member of the {listed(names, ', ', ' and the ', '')}{end}"
    assert all(named(text, [[name] for name in names]))


@given(
    CAPITALS, st.sampled_from(["DR {}", "Republic of the {}", "{}-Bissau", "{} Town", "University of {}", "{} of York"])
)
def test_what_makes_a_name_longer_makes_it_another(name: str, longer: str) -> None:
    text = longer.format(name)
    if normalise(name) not in normalise(longer.format("")):
        assert named(f"Norway and {text}", [[name]]) == [False]


def value(role: Role, *names: str) -> Value:
    return Value(names, role)


FINLAND = [value("joined", *NATO), value("stays", *EU), value("stays", *UN)]
BRITAIN = [value("left", *EU), value("stays", *NATO), value("stays", *UN)]
MOVED = [value("joined", *NATO), value("left", "Warsaw Pact"), value("stays", *UN)]
KEPT = [value("stays", *EU), value("stays", *UN)]


@pytest.mark.parametrize(
    ("text", "values", "right", "stale", "share"),
    [
        ("NATO, the EU and the UN", FINLAND, True, False, 1.0),
        ("NATO", FINLAND, True, False, 1.0),
        ("the EU and the UN", FINLAND, False, True, 0.0),
        ("the EU", FINLAND, False, False, 0.0),
        ("", FINLAND, False, False, 0.0),
        ("NATO and the UN", BRITAIN, True, False, 1.0),
        ("NATO", BRITAIN, True, False, 0.5),
        ("NATO, the EU and the UN", BRITAIN, False, True, 1.0),
        ("nothing", BRITAIN, False, False, 0.0),
        ("", BRITAIN, False, False, 0.0),
        ("NATO and the UN", MOVED, True, False, 1.0),
        ("NATO and the Warsaw Pact", MOVED, False, True, 1.0),
        ("the UN", MOVED, False, True, 0.0),
        ("the EU and the UN", KEPT, True, None, 1.0),
        ("the EU, NATO and the UN", KEPT, True, None, 1.0),
        ("the UN", KEPT, False, None, 0.5),
        ("NATO", [value("joined", *NATO)], True, None, 1.0),
    ],
)
def test_a_set_is_judged_by_what_joined_left_and_stays(
    text: str, values: list[Value], right: bool, stale: bool | None, share: float
) -> None:
    verdict = judge_set(text, values)
    assert (verdict.right, verdict.stale, verdict.share) == (right, stale, share)


@given(
    st.lists(
        st.tuples(NAMES, st.sampled_from(["joined", "stays", "left"])), max_size=6, unique_by=lambda p: normalise(p[0])
    ),
    st.data(),
)
def test_no_answer_is_right_and_out_of_date(several: list[tuple[str, Role]], data: st.DataObject) -> None:
    told = data.draw(st.lists(st.sampled_from([name for name, _ in several]), max_size=6)) if several else []
    verdict = judge_set(", ".join(told), [value(role, name) for name, role in several])
    assert not (verdict.right and verdict.stale)
    assert 0 <= verdict.share <= 1
    new = [name for name, role in several if role != "left"]
    if any(role == "joined" for _, role in several) or new:
        assert judge_set(", ".join(new), [value(role, name) for name, role in several]).right


AWKWARD = [
    "Organisation for Security and Co-operation in Europe",
    "Council of Europe",
    "Bosnia and Herzegovina",
    "Yahoo!",
    "Apple Inc.",
    "al-Qaeda",
    "iOS 17.2.1",
    "St. Louis",
    "AC/DC",
    "Dwayne “The Rock” Johnson",
    "非洲联盟",
    "الاتحاد الأفريقي",
]


@given(st.permutations(AWKWARD), st.sampled_from([" and ", " en "]), st.sampled_from(["", "the ", "de "]))
def test_names_with_marks_and_small_words_in_them_are_named_in_the_list_of_all(
    names: list[str], last: str, article: str
) -> None:
    text = listed(names, ", ", last, article)
    assert named(text, [[name] for name in names]) == [True] * len(names)
    for name in names:
        others = [other for other in names if other != name]
        assert named(listed(others, ", ", last, article), [[name], *([other] for other in others)])[0] is False
