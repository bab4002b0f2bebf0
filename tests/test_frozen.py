"""A study of a name goes on as it was, or not at all."""

from __future__ import annotations

import json

import pytest
from ruamel.yaml import YAML

from hpo import frozen, studyfile
from hpo.coordinator import Coordinator
from hpo.errors import InputError, StudyConflict
from hpo.home import Home
from hpo.records import Outcome, State
from hpo.search import grid
from hpo.spec import SCHEMA
from hpo.stage import Search


@pytest.fixture
def freeze(write_study, home, storage):
    def put(extend=False, **changes):
        study = studyfile.load(write_study(storage=storage, **changes))
        return frozen.freeze(study, home, extend)

    return put


def finish_one(home, state=State.COMPLETE, name="toy"):
    """Opens a trial and, unless it is to be left running, ends it."""
    coordinator = Coordinator(Search(home.study(name)))
    spec = coordinator.next_trial("w")
    if state is not State.RUNNING:
        metrics = {"loss": 0.1} if state is State.COMPLETE else {}
        coordinator.finish(spec.number, spec.lease, Outcome(state, metrics))
    coordinator.close()
    return spec


SEARCH = {"sampler": "tpe", "trials": 8, "seed": 0}


def test_the_same_study_continues(freeze, home):
    first = freeze()
    finish_one(home)
    trials = frozen.read_trials(home.study("toy"))
    assert freeze() == first
    assert frozen.read_trials(home.study("toy")) == trials != []


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({"space": {"x": {"low": 0, "high": 0.5}}}, "space.x.high: 1 -> 0.5"),
        ({"space": {"x": 0.5}}, 'space.x: {"low": 0, "high": 1} -> 0.5'),
        (
            {"space": {"x": {"low": 0, "high": 1}, "nap": 0.0}},
            "space.nap: (absent) -> 0.0",
        ),
        ({"space": {}}, 'space.x: {"low": 0, "high": 1} -> (absent)'),
        ({"search": SEARCH | {"sampler": "random"}}, 'search.sampler: "tpe" -> "random"'),
        ({"search": SEARCH | {"seed": 1}}, "search.seed: 0 -> 1"),
        ({"objective": {"metric": "gap"}}, 'objective.metric: "loss" -> "gap"'),
        (
            {"objective": {"metric": "loss", "direction": "maximize"}},
            'objective.direction: "minimize" -> "maximize"',
        ),
        ({"pruner": {"kind": "asha"}}, 'pruner.kind: "none" -> "asha"'),
        ({"trainable": "toys:environment"}, 'trainable: "toys:train" -> "toys:environment"'),
    ],
)
@pytest.mark.parametrize("state", [State.COMPLETE, State.FAILED])
def test_another_study_of_that_name_is_refused(freeze, home, changes, shown, state):
    first = freeze()
    finish_one(home, state)
    spec = home.study("toy").spec.read_text()
    with pytest.raises(StudyConflict) as refused:
        freeze(**changes)
    assert refused.value.message.startswith("there is a study 'toy' with other settings:\n")
    assert f"  {shown}" in refused.value.message.splitlines()
    assert home.study("toy").spec.read_text() == spec
    assert freeze() == first


def test_all_differences_are_shown(freeze, home):
    freeze()
    finish_one(home)
    with pytest.raises(StudyConflict) as refused:
        freeze(search=SEARCH | {"seed": 3, "sampler": "random"}, objective={"metric": "gap"})
    assert refused.value.message.splitlines()[1:] == [
        '  objective.metric: "loss" -> "gap"',
        '  search.sampler: "tpe" -> "random"',
        "  search.seed: 0 -> 3",
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"search": SEARCH | {"trials": 80}},
        {"search": SEARCH | {"trials": 1}},
        {"resources": {"workers": 3, "cpus": 2}},
        {"tracking": {"uri": "http://localhost:1", "experiment": "other"}},
        {"pruner": {"kind": "none"}},
    ],
)
def test_what_may_change(freeze, home, changes):
    first = freeze()
    finish_one(home)
    assert freeze(**changes).id == first.id
    thawed = frozen.thaw(home.study("toy"))
    for section, values in changes.items():
        dumped = getattr(thawed.file, section).model_dump()
        assert {key: dumped[key] for key in values} == values


@pytest.mark.parametrize("state", [None, State.RUNNING])
def test_a_study_without_a_finished_trial_may_be_redefined(freeze, home, state):
    first = freeze()
    folder = home.study("toy")
    if state is not None:
        finish_one(home, state)
        folder.checkpoint(0).mkdir(parents=True)
    second = freeze(objective={"metric": "gap"})
    assert second.id != first.id and second.objectives[0].metric == "gap"
    assert not folder.journal.exists() and not folder.trial(0).exists()
    finish_one(home)
    assert freeze(objective={"metric": "gap"}).id == second.id


def test_a_thawed_study_is_the_frozen_one(freeze, home, write_study):
    path = write_study()
    path.write_text(path.read_text() + "\n")
    study = studyfile.load(path, {"search.trials": "11"})
    frozen.freeze(study, home)
    thawed = frozen.thaw(home.study("toy"))
    assert thawed.file == study.file and thawed.file.search.trials == 11
    assert thawed.space.root == study.space.root
    assert (thawed.text, thawed.folder) == (study.text, study.folder.resolve())
    assert home.study("toy").study_file.read_text() == path.read_text()


def test_fragments_are_not_read_again(write_study, home, tmp_path):
    (tmp_path / "part.yaml").write_text("nap: 0.0")
    frozen.freeze(studyfile.load(write_study(use=["part"])), home)
    (tmp_path / "part.yaml").unlink()
    assert frozen.thaw(home.study("toy")).file.space["nap"] == 0.0


def test_the_order_of_keys_in_the_file_changes_nothing(write_study, home, tmp_path):
    """A grid counts its points in the order of the keys."""
    x, nap = {"choices": [0.0, 0.5]}, {"choices": [0.0, 0.1, 0.2]}
    search = {"sampler": "grid"}
    first = studyfile.load(write_study(space={"x": x, "nap": nap}, search=search))
    turned = studyfile.load(write_study(space={"nap": nap, "x": x}, search=search))
    points = [[grid.point(s.space.root, i).config for i in range(6)] for s in (first, turned)]
    assert points[0] != points[1]
    frozen.freeze(first, home)
    finish_one(home)
    frozen.freeze(turned, home)
    thawed = frozen.thaw(home.study("toy"))
    assert [grid.point(thawed.space.root, i).config for i in range(6)] == points[0]


def test_a_study_that_is_not_there(home):
    with pytest.raises(InputError, match="there is no study 'toy'"):
        frozen.thaw(home.study("toy"))


def test_a_study_of_another_version_is_left_alone(freeze, home):
    freeze()
    folder = home.study("toy")
    folder.spec.write_text(json.dumps({**json.loads(folder.spec.read_text()), "schema": 99}))
    with pytest.raises(InputError, match=f"has schema 99, this version reads {SCHEMA}"):
        frozen.thaw(folder)
    with pytest.raises(InputError, match=f"has schema 99, this version reads {SCHEMA}"):
        freeze()


def test_a_study_whose_function_is_gone_says_so(freeze, home, tmp_path):
    freeze()
    (tmp_path / "toys.py").write_text("")
    import sys

    del sys.modules["toys"]
    with pytest.raises(InputError, match="module toys has no 'train'"):
        frozen.thaw(home.study("toy"))


def test_the_study_file_is_kept_as_it_was_written(write_study, home):
    path = write_study()
    text = "# ümlaut: a comment\n" + path.read_text()
    path.write_text(text, encoding="utf-8")
    frozen.freeze(studyfile.load(path), home)
    kept = home.study("toy").study_file
    assert kept.read_bytes() == path.read_bytes()
    assert YAML(typ="safe").load(kept)["name"] == "toy"


# -- growing ----------------------------------------------------------------------------------

AXIS = {"low": 0.2, "high": 0.6}


@pytest.mark.parametrize(
    "grown",
    [
        {"x": {"low": 0.1, "high": 0.6}},
        {"x": {"low": 0.2, "high": 0.9}, "nap": {"choices": [0.0, 0.1]}},
        {"x": AXIS, "nap": {"choices": [0.5, 0.1, 0.0]}},
    ],
)
def test_a_space_may_grow_and_keeps_its_trials(freeze, home, grown):
    before = {"x": AXIS, "nap": {"choices": [0.0, 0.1]}}
    first = freeze(space=before)
    configs = [finish_one(home).config for _ in range(3)]
    with pytest.raises(StudyConflict, match="hpo run --extend"):
        freeze(space={**before, **grown})
    assert freeze(extend=True, space={**before, **grown}).id == first.id
    assert frozen.thaw(home.study("toy")).extension == 1
    later = [finish_one(home).config for _ in range(5)]
    trials = frozen.read_trials(home.study("toy"))
    assert [t.config for t in trials] == configs + later
    assert freeze(extend=True, space={**before, **grown}).id == first.id
    assert frozen.thaw(home.study("toy")).extension == 1, "nothing has grown since"


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({"space": {"x": {"low": 0.3, "high": 0.6}}}, "space.x"),
        ({"space": {"x": 0.3}}, "space.x"),
        ({"space": {"x": AXIS, "nap": 0.0}}, "space"),
        (
            {"space": {"x": {"low": 0.1, "high": 0.9}}, "search": SEARCH | {"seed": 1}},
            "search.seed",
        ),
        ({"objective": {"metric": "gap"}}, "objective.metric"),
    ],
)
def test_what_is_no_growth_is_refused_with_the_difference(freeze, home, changes, shown):
    freeze(space={"x": AXIS})
    finish_one(home)
    with pytest.raises(StudyConflict) as refused:
        freeze(extend=True, **{"space": {"x": AXIS}, **changes})
    assert any(line.strip().startswith(shown) for line in refused.value.message.splitlines()[1:])


def test_a_grid_that_has_grown_tries_what_is_new(freeze, home):
    small = {"x": {"choices": [0.0, 0.5]}, "nap": {"choices": [0.0, 0.1]}}
    large = {"x": {"choices": [0.25, 0.0, 0.5]}, "nap": {"choices": [0.0, 0.1, 0.2]}}
    freeze(space=small, search={"sampler": "grid"})
    tried = [finish_one(home).config for _ in range(3)]
    freeze(extend=True, space=large, search={"sampler": "grid"})
    tried += [finish_one(home).config for _ in range(6)]
    points = {(config["x"], config["nap"]) for config in tried}
    assert len(points) == 9
    coordinator = Coordinator(Search(home.study("toy")))
    assert coordinator.next_trial("w") is None and coordinator.progress().done
    coordinator.close()


# -- known before -----------------------------------------------------------------------------


def test_enqueued_configs_come_first_whole_or_in_part(freeze, home):
    space = {"x": {"low": 0, "high": 1}, "nap": {"choices": [0.0, 0.1]}}
    entries = [{"x": 0.25, "nap": 0.1}, {"x": 0.75}]
    freeze(space=space, search=SEARCH | {"enqueue": entries})
    configs = [finish_one(home).config for _ in range(3)]
    assert configs[0] == entries[0]
    assert configs[1]["x"] == 0.75 and configs[1]["nap"] in (0.0, 0.1)
    more = [*entries, {"x": 0.125}]
    freeze(extend=True, space=space, search=SEARCH | {"enqueue": more})
    assert finish_one(home).config["x"] == 0.125
    with pytest.raises(StudyConflict, match=r"search\.enqueue"):
        freeze(extend=True, space=space, search=SEARCH | {"enqueue": more[1:]})


def test_the_best_of_an_earlier_study_comes_first(freeze, home):
    freeze(name="earlier")
    config = finish_one(home, name="earlier").config
    freeze(search=SEARCH | {"enqueue": [{"best_of": "earlier"}]})
    assert finish_one(home).config == config


@pytest.mark.parametrize(
    ("name", "message"),
    [("nothing", "there is no study 'nothing'"), ("earlier", "no trial of study 'earlier'")],
)
def test_the_best_of_a_study_that_has_none_is_refused(freeze, home, name, message):
    freeze(name="earlier")
    with pytest.raises(InputError, match=message):
        freeze(search=SEARCH | {"enqueue": [{"best_of": name}]})
    assert not home.study("toy").spec.exists()


def test_a_best_config_outside_the_space_is_refused(freeze, home):
    freeze(name="earlier", search=SEARCH | {"enqueue": [{"x": 0.9}]})
    finish_one(home, name="earlier")
    with pytest.raises(InputError, match=r"is not in this space: x"):
        freeze(
            space={"x": {"low": 0, "high": 0.5}},
            search=SEARCH | {"enqueue": [{"best_of": "earlier"}]},
        )


def test_a_warm_start_says_what_is_compatible_and_is_kept(freeze, home):
    freeze(name="earlier", search=SEARCH | {"trials": 13})
    configs = [finish_one(home, name="earlier").config for _ in range(12)]
    inside = sum(config["x"] <= 0.5 for config in configs)
    assert 0 < inside < 12
    narrow = {"space": {"x": {"low": 0, "high": 0.5}}}
    freeze(**narrow, search=SEARCH | {"warm_start": ["earlier"]})
    known = frozen.read_known(home.study("toy"))
    assert len(known.trials) == inside
    (note,) = known.notes
    assert note.startswith(f"warm start: {inside} of 12 trials of study 'earlier' are compatible")
    finish_one(home)
    finish_one(home, name="earlier")  # goes on; what this study knows stays as it was
    freeze(**narrow, search=SEARCH | {"warm_start": ["earlier"]})
    assert frozen.read_known(home.study("toy")) == known


def test_a_warm_start_changes_what_is_tried_and_can_be_repeated(write_study, tmp_path):
    def configs(folder, search):
        home = Home(tmp_path / folder)
        for name, how in (("earlier", SEARCH | {"trials": 20}), ("toy", search)):
            frozen.freeze(studyfile.load(write_study(name=name, search=how)), home)
            found = [finish_one(home, name=name).config for _ in range(20 if name != "toy" else 3)]
        return found

    warm = SEARCH | {"warm_start": ["earlier"]}
    assert configs("a", warm) == configs("b", warm) != configs("c", SEARCH)


def test_a_warm_start_from_another_objective_is_refused(freeze, home):
    freeze(name="earlier", objective={"metric": "gap"})
    with pytest.raises(InputError, match="has another objective"):
        freeze(search=SEARCH | {"warm_start": ["earlier"]})


def test_a_study_on_disk_that_is_too_large_is_refused(freeze, home, monkeypatch):
    freeze()
    folder = home.study("toy")
    monkeypatch.setattr("hpo.spec.MAX_BYTES", folder.spec.stat().st_size - 1)
    with pytest.raises(InputError, match=r"spec.json is damaged: .*at most"):
        frozen.settings(folder)


def test_what_a_study_knew_that_is_too_large_is_refused(freeze, home, monkeypatch):
    freeze()
    monkeypatch.setattr(frozen, "MAX_KNOWN_BYTES", 1)
    with pytest.raises(InputError, match=r"cannot be read: it must have at most 1 bytes"):
        frozen.read_known(home.study("toy"))
