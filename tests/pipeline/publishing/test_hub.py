"""Publishing to a Hub over real HTTP, with the real client, and with faults."""

import datetime
import hashlib
import json
from dataclasses import replace
from pathlib import Path

import huggingface_hub.constants
import pyarrow.parquet as pq
import pytest
from huggingface_hub import HfApi

from chronofacts.pipeline.publishing.download import download_snapshot
from chronofacts.pipeline.publishing.errors import HubUnavailable
from chronofacts.pipeline.publishing.hub import PublishSettings, publish
from chronofacts.pipeline.snapshots.card import configs
from chronofacts.schemas.errors import BadInput, CheckFailed, ChronoFactsError
from chronofacts.schemas.manifest import read_manifest
from tests.pipeline.publishing.local_hub import LocalHub
from tests.pipeline.publishing.sending import NEXT, REPO, TAG, run_datasets, send
from tests.pipeline.publishing.small_snapshot import make_snapshot

ROOT = Path(__file__).resolve().parents[3]


def commits(hub: LocalHub) -> int:
    """Commits beside the one with which a repository begins."""
    return len(hub.repos[REPO].commits) - 1


def sent(hub: LocalHub, method: str, part: str) -> int:
    return sum(1 for verb, path in hub.log if verb == method and part in path)


def test_a_snapshot_becomes_one_commit_under_its_day(hub: LocalHub, snapshot: Path) -> None:
    published = send(hub, snapshot)
    repo = hub.repos[REPO]
    assert repo.tags == {TAG: published.commit} and commits(hub) == 1
    for name, entry in read_manifest(snapshot).files.items():
        assert hashlib.sha256(hub.content(REPO, TAG, name)).hexdigest() == entry.sha256
    assert hub.tokens_at_storage == 0


def test_both_months_load_by_their_tags(hub: LocalHub, snapshot: Path, tmp_path: Path) -> None:
    send(hub, snapshot)
    send(hub, make_snapshot(tmp_path / "next", NEXT, {1: 1, 2: 7, 4: 4, 5: 5}))
    code = (
        "def load(tag, split): return list(load_dataset(REPO, 'edit', revision=tag, split=split)['answer'])\n"
        "tags, splits = ('2025-01-01', '2025-02-01'), ('train', 'test')\n"
        "print(json.dumps([load(tag, split) for tag in tags for split in splits]))\n"
        "print(load_dataset(REPO, split='train+test').num_rows)"
    )
    answers, default = run_datasets(hub, code, tmp_path / "home")
    assert json.loads(answers) == [
        ["Bo Younger 2 2"],
        ["Bo Younger 1 1", "Bo Younger 3 3"],
        ["Bo Younger 2 7", "Bo Younger 4 4"],
        ["Bo Younger 1 1", "Bo Younger 5 5"],
    ]
    assert int(default) == 4  # edits of the newest month


def test_every_config_loads_from_the_hub(hub: LocalHub, part_of_the_sample: Path, tmp_path: Path) -> None:
    send(hub, part_of_the_sample)
    wanted = {
        f"{name} {split}": pq.read_metadata(part_of_the_sample / file).num_rows
        for name, splits in configs(read_manifest(part_of_the_sample)).items()
        for split, file in splits.items()
    }
    code = (
        f"for name, split in {[tuple(key.split()) for key in wanted]!r}:\n"
        f"    print(name, split, load_dataset(REPO, name, revision={TAG!r}, split=split).num_rows)"
    )
    told = dict(line.rsplit(" ", 1) for line in run_datasets(hub, code, tmp_path / "home"))
    assert {key: int(rows) for key, rows in told.items()} == wanted
    assert wanted["multi_hop test"] > 0


def test_publishing_again_asks_three_times_and_writes_nothing(hub: LocalHub, snapshot: Path) -> None:
    send(hub, snapshot)
    hub.log.clear()
    assert send(hub, snapshot).plan.is_no_op
    assert [method for method, _ in hub.log] == ["GET"] * 3


def test_a_published_month_is_still_there_when_it_is_no_longer_the_newest(
    hub: LocalHub, snapshot: Path, tmp_path: Path
) -> None:
    send(hub, snapshot)
    newer = send(hub, make_snapshot(tmp_path / "next", NEXT))
    assert send(hub, snapshot).plan.is_no_op
    assert hub.repos[REPO].branches["main"] == newer.commit
    with pytest.raises(BadInput, match="newer than this snapshot of 2024-12-01"):
        send(hub, make_snapshot(tmp_path / "older", datetime.date(2024, 12, 1)))


def test_a_dry_run_tells_the_plan_and_writes_nothing(hub: LocalHub, snapshot: Path) -> None:
    dry = send(hub, snapshot, dry_run=True)
    assert hub.repos == {} and {method for method, _ in hub.log} == {"GET"}
    done = send(hub, snapshot)
    assert {name: file.sha256 for name, file in dry.plan.add.items()} == {
        name: file.sha256 for name, file in done.plan.add.items()
    }
    for name, file in dry.plan.add.items():
        assert len(hub.content(REPO, TAG, name)) == file.size


def test_a_snapshot_that_is_not_sound_is_not_sent(hub: LocalHub, tmp_path: Path) -> None:
    broken = make_snapshot(tmp_path / "broken")
    path = broken / "edits/edits-test.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(CheckFailed, match="breaks"):
        publish(broken, REPO, PublishSettings(endpoint=hub.url))
    assert hub.log == []


def test_a_repository_made_private_cannot_be_read_without_a_login(hub: LocalHub, snapshot: Path) -> None:
    send(hub, snapshot, private=True)
    with pytest.raises(OSError, match="401"):
        HfApi(endpoint=hub.url, token=False).dataset_info(REPO)


def test_the_card_tells_what_differs_from_the_month_before(hub: LocalHub, snapshot: Path, tmp_path: Path) -> None:
    send(hub, snapshot)
    assert "first snapshot of this repository" in hub.content(REPO, TAG, "README.md").decode()
    send(hub, make_snapshot(tmp_path / "next", NEXT, {1: 1, 2: 7, 4: 4, 5: 5}))
    card = hub.content(REPO, "main", "README.md").decode()
    assert "## Changes since 2025-01-01" in card
    assert "| office_holder | 2 | 1 | 1 |" in card
    assert f'load_dataset("{REPO}", "edits"' in card and "PATH_OR_REPO" not in card


def test_a_hostile_name_stays_text_in_the_changelog(hub: LocalHub, snapshot: Path, tmp_path: Path) -> None:
    send(hub, snapshot)
    send(hub, make_snapshot(tmp_path / "next", NEXT, {8: 8}, surname="<img src=x> | [x](javascript:y)\n# Z"))
    changes = hub.content(REPO, "main", "README.md").decode().partition("## Changes since")[2].partition("## Col")[0]
    row = next(line for line in changes.splitlines() if "img" in line)
    assert "<img" not in row and "](" not in row and row.replace("\\|", "").count("|") == 5
    assert not any(line.startswith("# Z") for line in changes.splitlines())


def test_an_earlier_snapshot_of_another_layout_is_not_compared(hub: LocalHub, snapshot: Path, tmp_path: Path) -> None:
    hub.create(REPO)
    hub.repos[REPO].tags["2024-12-01"] = hub.push(REPO, "edits/edits-test.parquet", b"no parquet at all")
    send(hub, snapshot)
    assert "`2024-12-01` has another layout" in hub.content(REPO, TAG, "README.md").decode()


# ---- faults


def test_a_refused_login_is_told_with_the_mend_and_without_the_token(
    hub: LocalHub, snapshot: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    secret = "hf_aTokenOfSomebodyElse"
    monkeypatch.setenv("HF_TOKEN", secret)
    hub.fault("GET", "/revision/", status=401, message=f"you sent Bearer {secret}, which is revoked")
    with pytest.raises(BadInput, match="hf auth login") as caught:
        send(hub, snapshot)
    assert secret not in str(caught.value) + caplog.text and "\n" not in str(caught.value)
    assert "revoked" in str(caught.value)


def test_without_a_login_nothing_is_asked(hub: LocalHub, snapshot: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(BadInput, match="hf auth login"):
        send(hub, snapshot)
    assert hub.log == []


def test_what_another_committed_meanwhile_is_kept(hub: LocalHub, snapshot: Path) -> None:
    hub.create(REPO)
    hub.fault("POST", "/commit/", run=lambda: hub.push(REPO, "notes.md", b"hello"))
    send(hub, snapshot)
    assert hub.content(REPO, TAG, "notes.md") == b"hello"
    assert commits(hub) == 2


def test_a_repository_that_keeps_changing_is_given_up(hub: LocalHub, snapshot: Path) -> None:
    hub.fault("POST", "/commit/", times=9, status=412)
    with pytest.raises(CheckFailed, match="changed twice"):
        send(hub, snapshot)
    assert sent(hub, "POST", "/commit/") == 2 and hub.repos[REPO].tags == {}


@pytest.mark.parametrize("path", ["/revision/main", "/refs", "/commit/", "/tag/", "/repos/create"])
def test_a_busy_hub_is_asked_again(hub: LocalHub, snapshot: Path, path: str) -> None:
    waits: list[float] = []
    for method in ("GET", "POST"):
        hub.fault(method, path, status=503)
    send(hub, snapshot, waits)
    assert waits == [1.0] and commits(hub) == 1 and TAG in hub.repos[REPO].tags


def test_a_hub_that_stays_busy_is_given_up_after_four_attempts(hub: LocalHub, snapshot: Path) -> None:
    waits: list[float] = []
    hub.fault("GET", "/revision/", times=99, status=503)
    with pytest.raises(HubUnavailable, match="503"):
        send(hub, snapshot, waits)
    assert waits == [1.0, 2.0, 4.0]


def test_a_commit_whose_answer_was_lost_is_not_made_twice(hub: LocalHub, snapshot: Path) -> None:
    hub.fault("POST", "/commit/", late_status=503)
    send(hub, snapshot)
    assert commits(hub) == 1 and sent(hub, "POST", "/commit/") == 1


def test_an_upload_that_is_cut_is_taken_up_again(hub: LocalHub, snapshot: Path) -> None:
    hub.fault("PUT", "/lfs/", cut=True)
    send(hub, snapshot)
    assert commits(hub) == 1 and TAG in hub.repos[REPO].tags
    large = sum(name.endswith(".parquet") for name in hub.repos[REPO].files(TAG))
    assert sent(hub, "PUT", "/lfs/") == large + 1


def test_publishing_again_after_a_failed_upload_sends_only_what_is_missing(hub: LocalHub, snapshot: Path) -> None:
    hub.fault("PUT", "/lfs/", status=400)
    with pytest.raises(CheckFailed):
        send(hub, snapshot)
    assert commits(hub) == 0
    arrived = len(list(hub.folder.iterdir()))
    hub.log.clear()
    send(hub, snapshot)
    large = sum(name.endswith(".parquet") for name in hub.repos[REPO].files(TAG))
    assert sent(hub, "PUT", "/lfs/") == large - arrived < large


def test_a_slow_hub_is_waited_for_and_then_asked_again(
    hub: LocalHub, snapshot: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_ETAG_TIMEOUT", 0.3)
    hub.fault("GET", "/refs", slow=0.5)
    hub.fault("HEAD", "/resolve/", slow=1.0)
    send(hub, snapshot)
    assert commits(hub) == 1 and TAG in hub.repos[REPO].tags
    assert sent(hub, "HEAD", "/resolve/") == len(hub.repos[REPO].files(TAG)) - len([".gitattributes"]) + 1


def test_other_bytes_than_were_sent_get_no_tag(hub: LocalHub, snapshot: Path) -> None:
    hub.fault("GET", "/cdn/", garble=True)
    with pytest.raises(CheckFailed, match="serves other bytes"):
        send(hub, snapshot)
    assert hub.repos[REPO].tags == {}
    send(hub, snapshot)  # read back in full again, since there is no tag
    assert TAG in hub.repos[REPO].tags and commits(hub) == 1


def test_a_tag_on_another_snapshot_moves_only_when_asked(hub: LocalHub, snapshot: Path, tmp_path: Path) -> None:
    first = send(hub, snapshot)
    other = make_snapshot(tmp_path / "other", holders={1: 2})
    with pytest.raises(BadInput, match="--force-tag"):
        send(hub, other)
    assert hub.repos[REPO].tags[TAG] == first.commit
    moved = send(hub, other, force_tag=True)
    assert hub.repos[REPO].tags[TAG] == moved.commit != first.commit


@pytest.mark.parametrize(
    ("endpoint", "mend"),
    [
        ("http://hub.example.org", "use https"),
        ("https://me:secretword@hub.example.org", "hf auth login"),
        ("ftp://hub.example.org", "is not an address"),
    ],
)
def test_a_token_is_not_sent_to_an_unsafe_address(snapshot: Path, endpoint: str, mend: str) -> None:
    with pytest.raises(BadInput, match=mend) as caught:
        publish(snapshot, REPO, PublishSettings(endpoint=endpoint))
    assert "secretword" not in str(caught.value)


@pytest.mark.parametrize("repo", ["name", "a/b/c", "../x", "a/..", "org/name;rm", "org/\x1b[31m"])
def test_a_repository_name_that_cannot_be_one_is_refused(snapshot: Path, repo: str) -> None:
    with pytest.raises(ChronoFactsError) as caught:
        publish(snapshot, repo, PublishSettings(endpoint="http://127.0.0.1:9", attempts=1))
    assert caught.value.exit_code == 2 and "--repo" in str(caught.value) and "\x1b" not in str(caught.value)


def test_a_manifest_that_names_a_file_outside_is_refused(hub: LocalHub, tmp_path: Path) -> None:
    hostile = make_snapshot(tmp_path / "hostile")
    manifest = json.loads((hostile / "manifest.json").read_text())
    manifest["files"]["edits/../../secret.parquet"] = manifest["files"].pop("edits/edits-test.parquet")
    (hostile / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckFailed, match="no file of a table"):
        publish(hostile, REPO, PublishSettings(endpoint=hub.url), check=lambda folder: None)
    assert hub.log == []


def test_a_published_snapshot_is_loaded_by_its_name_and_day(
    hub: LocalHub, snapshot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(hub, snapshot)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    folder = download_snapshot(REPO, TAG, endpoint=hub.url)
    assert read_manifest(folder) == replace(read_manifest(snapshot), documents={})  # the card knows its repository
    assert pq.read_table(folder / "edits").equals(pq.read_table(snapshot / "edits"))
    with pytest.raises(ChronoFactsError, match=r"\A[^\n]*\Z"):
        download_snapshot("org/another", endpoint=hub.url)
    with pytest.raises(BadInput, match="neither a snapshot folder"):
        download_snapshot("no repository")
