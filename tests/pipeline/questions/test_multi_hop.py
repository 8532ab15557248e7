"""Chains: every hop certain, true under all edits, without loops or giveaways, and bounded."""

from __future__ import annotations

import functools
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from chronofacts.pipeline.questions.build import QuestionTables
from tests.pipeline.questions.question_world import World, small_country, world


def chains(made: QuestionTables) -> list[dict]:
    return [row for row in made.questions.to_pylist() if row["kind"] == "multi_hop"]


def captains() -> World:
    """A side whose old and new captain play for two clubs in two stadiums."""
    told = world().named("Q1", "Redland Eleven").person("Q2", "Ada Bell").person("Q3", "Bea Hill")
    clubs = (("Greytown FC", "Oak Park", "Oak Bank"), ("Whitby Town", "Elm Lane", "Elm Trust"))
    for place, (club, venue, owner) in enumerate(clubs, start=1):
        told.named(f"Q{place}1", club).named(f"Q{place}2", venue).named(f"Q{place}3", owner)
        told.held("club", f"Q{place + 1}", f"Q{place}1", "2019-01-01").held("venue", f"Q{place}1", f"Q{place}2")
        told.held("owner", f"Q{place}2", f"Q{place}3")
    return told.changed("captain", "Q1", "Q2", "Q3")


@functools.cache
def all_chains() -> list[dict]:
    return chains(small_country().held("capital_of", "Q90", "Q142").questions(hops_per_edit=9))


def test_chains_have_two_facts_or_as_many_as_stay_readable_and_three_wordings() -> None:
    found = all_chains()
    assert {row["hops"] for row in found} == {2}
    (longest,) = (row["question"] for row in chains(captains().questions()) if row["hops"] == 3)
    assert longest == "What is the home venue of the club that the captain of Redland Eleven plays for?"
    assert all(len({row["question"], *row["phrasings"]}) == 3 for row in found)


def test_a_chain_through_the_new_holder_reads_well() -> None:
    questions = {row["question"]: row for row in all_chains()}
    row = questions["Where was the head of government of France born?"]
    assert (row["answer_before"], row["answer"]) == ("Vernon", "Prades")
    assert "Who is the head of government of the country whose capital is Paris?" in questions


def test_a_chain_names_its_start_and_hides_its_bridges() -> None:
    for row in all_chains():
        for text in (row["question"], *row["phrasings"]):
            assert row["subject_label"] in text
            for link in row["chain"]:
                assert link["object_label"] not in text


def test_a_chain_whose_answer_stays_is_not_asked() -> None:
    told = small_country().named("Q40", "Oak University").named("Q41", "University of Vernon")
    told.held("educated_at", "Q5001", "Q40").held("educated_at", "Q5002", "Q40")
    made = told.questions(hops_per_edit=20)
    assert all(row["answer_id"] != row["answer_before_id"] for row in chains(made))
    assert "hop_unchanged" in made.rejections["reason"].to_pylist()


def test_a_chain_over_an_uncertain_fact_is_not_asked() -> None:
    told = small_country().held("party", "Q5002", None, "2020-01-01")  # somebody unknown blocks the party
    assert all(link["relation"] != "party" for row in chains(told.questions(hops_per_edit=20)) for link in row["chain"])


def test_a_chain_does_not_return_to_an_entity() -> None:
    told = small_country().held("spouse", "Q5002", "Q5005").held("spouse", "Q5005", "Q5002")
    told.held("spouse", "Q5001", "Q5006").held("spouse", "Q5006", "Q5001")
    for row in chains(told.questions(hops_per_edit=20)):
        nodes = [row["subject"], *(link["object"] for link in row["chain"])]
        assert len(nodes) == len(set(nodes))


def test_a_hub_gives_no_more_chains_than_the_caps_allow() -> None:
    told = small_country()
    for i in range(500):
        told.person(f"Q9{i:03}", f"Citizen Number{i}").held("citizenship", f"Q9{i:03}", "Q142")
    found = chains(told.questions(hops_per_edit=3, hops_per_subject=2))
    assert max(Counter(row["hops"] for row in found).values()) <= 3
    assert max(Counter(row["subject"] for row in found).values()) <= 2


def test_a_chosen_chain_names_the_facts_that_it_walks_on_both_dates() -> None:
    told = captains()
    facts = {row["fact_id"]: (row["relation"], row["before"], row["after"]) for row in told.chosen("facts")}
    by_path = {row["path"]: row for row in told.chosen("chosen_chains")}
    assert set(by_path) == {"captain/club", "captain/club/venue"}
    longest = by_path["captain/club/venue"]
    assert (longest["start"], longest["hops"], longest["before_id"], longest["answer_id"]) == ("Q1", 3, "Q12", "Q22")
    edit = ("captain", "Q2", "Q3")
    assert [facts[i] for i in longest["fact_ids"]] == [edit, ("club", "Q21", "Q21"), ("venue", "Q22", "Q22")]
    assert [facts[i] for i in longest["facts_before"]] == [edit, ("club", "Q11", "Q11"), ("venue", "Q12", "Q12")]


def test_the_chains_that_become_no_question_are_counted_by_reason() -> None:
    told = small_country().named("Q40", "Oak University")
    told.held("educated_at", "Q5001", "Q40").held("educated_at", "Q5002", "Q40")
    rejections = told.chosen("rejections", hops_per_edit=1)
    # One way ends at the same university, and of birthplace and party one is asked.
    assert sorted((row["reason"], row["detail"]) for row in rejections) == [
        ("hop_over_cap", "1 chains through the edit"), ("hop_unchanged", "1 chains through the edit"),
    ]  # fmt: skip


def web(links: list[tuple[int, int, int]], changes: list[tuple[int, int, int]]) -> World:
    """Countries 0 to 4 and persons 0 to 9, with invented ties between them."""
    told = world()
    for i in range(5):
        told.named(f"Q{10 + i}", f"Land{i}")
    for i in range(10):
        told.person(f"Q{20 + i}", f"Ada{i} Bell{i}")
    for country, old, new in {link[0]: link for link in changes}.values():
        if old != new:
            told.changed("head_of_state", f"Q{10 + country}", f"Q{20 + old}", f"Q{20 + new}")
    seen = set()
    for relation, subject, object_ in links:
        name = ("spouse", "citizenship", "birthplace")[relation]
        if (name, subject) not in seen and not (name == "spouse" and subject == object_):
            seen.add((name, subject))
            told.held(name, f"Q{20 + subject}", f"Q{20 + object_}" if name == "spouse" else f"Q{10 + object_ % 5}")
    return told


numbers = st.integers(0, 9)


@settings(max_examples=5, deadline=None)
@given(
    links=st.lists(st.tuples(st.integers(0, 2), numbers, numbers), min_size=5, max_size=30),
    changes=st.lists(st.tuples(st.integers(0, 4), numbers, numbers), min_size=1, max_size=5),
)
def test_walking_the_world_after_all_edits_gives_every_chains_answer(
    links: list[tuple[int, int, int]], changes: list[tuple[int, int, int]]
) -> None:
    told = web(links, changes)
    after = {(s["subject"], s["relation"]): s["object"] for s in told.spans if s["valid_to_kind"] == "open"}
    before = after | {(c["subject"], c["relation"]): c["old_object"] for c in told.changes}
    for row in chains(told.questions()):
        now = then = row["subject"]
        for link in row["chain"]:
            now, then = after[now, link["relation"]], before[then, link["relation"]]
            assert now == link["object"]
        assert (now, then) == (row["answer_id"], row["answer_before_id"])
