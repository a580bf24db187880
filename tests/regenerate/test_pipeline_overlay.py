"""The overlay applier: the merge rule of Overlay 1.0, and that it tells each target that it misses."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.document import Json, Object
from pipeline.overlay import Action, apply_overlay, read_overlay
from pipeline.problems import PipelineError

DOCUMENT: Object = {
    "paths": {
        "/api/queue/info/{id}": {"get": {"tags": ["Queue"]}},
        "/api/time/{id}": {"get": {"tags": ["Time"]}},
    },
    "list": [{"n": 0}, {"n": 1}, {"n": 2}],
}


def applied(document: Object, *actions: Action) -> Object:
    """Apply actions that all find their targets."""
    result, missed = apply_overlay(document, list(actions))
    assert missed == ()
    return result


def update(target: str, value: Json) -> Action:
    return Action(name="overlay.yaml, action 1", line=1, target=target, reason="a test", remove=False, update=value)


def removal(target: str) -> Action:
    return Action(name="overlay.yaml, action 1", line=1, target=target, reason="a test", remove=True, update=None)


@pytest.mark.parametrize(
    ("target", "value", "after"),
    [
        ("$.a", {"x": 1}, {"a": {"x": 1, "y": [1], "z": {"k": 1}}}),
        ("$.a", {"y": [2, 3]}, {"a": {"x": 0, "y": [1, 2, 3], "z": {"k": 1}}}),
        ("$.a", {"y": "plain"}, {"a": {"x": 0, "y": "plain", "z": {"k": 1}}}),
        ("$.a", {"z": {"m": 2}}, {"a": {"x": 0, "y": [1], "z": {"k": 1, "m": 2}}}),
        ("$.a", {"new": {"n": 1}}, {"a": {"x": 0, "y": [1], "z": {"k": 1}, "new": {"n": 1}}}),
        ("$.a.y", [2], {"a": {"x": 0, "y": [1, [2]], "z": {"k": 1}}}),
        ("$", {"b": 1}, {"a": {"x": 0, "y": [1], "z": {"k": 1}}, "b": 1}),
    ],
)
def test_an_update_merges_as_the_standard_says(target: str, value: Json, after: Object) -> None:
    """Objects merge by member, lists inside them append, a list as target takes one entry, the rest is replaced."""
    document: Object = {"a": {"x": 0, "y": [1], "z": {"k": 1}}}
    assert applied(document, update(target, value)) == after
    assert document == {"a": {"x": 0, "y": [1], "z": {"k": 1}}}


def test_an_update_reaches_every_match_with_a_copy_of_its_own() -> None:
    """A target that matches twice changes both places, and the two share nothing."""
    both = applied(DOCUMENT, update("$.paths.*.get", {"x": {}}), update("$.paths['/api/time/{id}'].get.x", {"y": 1}))
    assert applied(both, removal("$.paths['/api/time/{id}']"))["paths"] == {
        "/api/queue/info/{id}": {"get": {"tags": ["Queue"], "x": {}}}
    }


@pytest.mark.parametrize(
    ("target", "left"),
    [("$.list[0]", [1, 2]), ("$.list[?@.n < 2]", [2]), ("$.list[2,0]", [1]), ("$.list[1,1]", [0, 2])],
)
def test_a_removal_takes_exactly_what_it_names(target: str, left: list[int]) -> None:
    """Removing entries of a list never takes a neighbour instead, in whatever order they were named."""
    assert applied(DOCUMENT, removal(target))["list"] == [{"n": n} for n in left]


@pytest.mark.parametrize(
    "action",
    [update("$.paths['/api/queue/infos/{id}'].get", {}), removal("$.paths['/api/queue/infos/{id}'].get")],
)
def test_an_action_that_matches_nothing_is_told(action: Action) -> None:
    """A correction never gets lost in silence: it is told how far its target leads, and what is not there."""
    document, missed = apply_overlay(DOCUMENT, [action, update("$", {"b": 1})])
    assert document == {**DOCUMENT, "b": 1}
    (message,) = map(str, missed)
    told = "overlay.yaml, action 1 finds nothing: $['paths'] has no `/api/queue/infos/{id}`"
    assert message == f"{told}: correct the target, or drop it."


def test_an_action_that_refers_to_nothing_is_told_and_left_out() -> None:
    """A correction that would write a broken reference costs nobody the document: it is told, with what it misses."""
    action = update("$.paths['/api/time/{id}'].get", {"x": {"$ref": "#/components/schemas/Gone"}})
    document, missed = apply_overlay(DOCUMENT, [action])
    assert document == DOCUMENT
    assert [str(miss) for miss in missed] == ["overlay.yaml, action 1 refers to `Gone`, which is gone: correct it."]


def test_an_action_knows_its_line(tmp_path: Path) -> None:
    """Whoever is sent to a correction is sent to the line where it begins, whatever stands between."""
    path = tmp_path / "overlay.yaml"
    path.write_text(
        "overlay: 1.0.0\nactions:\n  # why\n  - description: d\n    target: $.a\n    update: {}\n\n"
        "  - {target: $.b, description: d, remove: true}\n"
    )
    assert [(action.target, action.line) for action in read_overlay(path)] == [("$.a", 4), ("$.b", 8)]


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ('$.paths["/api/tim/{id}"].get.tag', "$['paths'] has no `/api/tim/{id}`; new there: `/api/time/{id}`"),
        ("$.path", "$ has no `path`: correct"),
        ("$.list[7].m", "there is no $.list[7].m"),
        ("$.list[?@.n > 9]", "there is no $.list[?@.n > 9]"),
        ("$.paths['/api/queue/info/{id}'].get.tag", "['get'] has no `tag`:"),
    ],
)
def test_what_is_new_where_a_target_ends_is_told(target: str, told: str) -> None:
    """No name is guessed: whoever corrects a target sees what stands there now and did not before."""
    before: Object = {"paths": {"/api/queue/info/{id}": {"get": {"tags": ["Queue"]}}}, "list": []}
    _, (miss,) = apply_overlay(DOCUMENT, [removal(target)])
    assert told in miss.told(before, {})


def test_a_schema_that_stands_in_the_place_of_another_is_named() -> None:
    """Where the document has another schema at the same place, that is said and nothing else."""
    document: Object = {"components": {"schemas": {"New": {}, "Other": {}}}}
    _, (miss,) = apply_overlay(document, [removal("$.components.schemas.Old.properties")])
    told = "finds nothing: $['components']['schemas'] has no `Old`; `New` stands in its place"
    before: Object = {"components": {"schemas": {"Old": {}}}}
    assert miss.told(before, {"Old": "New"}) == f"{told}: correct the target, or drop it"


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        (update("$.list[0].n", {"x": 1}), "cannot merge into $['list'][0]['n']"),
        (removal("$"), "removes the whole document"),
        (update("paths", {}), "is no JSONPath"),
    ],
)
def test_an_impossible_action_is_refused(action: Action, reason: str) -> None:
    """An action that cannot be carried out is told by its number, not skipped."""
    with pytest.raises(PipelineError, match="action 1") as raised:
        apply_overlay(DOCUMENT, [action])
    assert reason in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "overlay: 2.0.0\nactions: [{target: $, description: d, update: {}}]",
            "does not say `overlay: 1.0.0`",
        ),
        ("overlay: 1.0.0\nactions: []", "has no list of actions"),
        ("overlay: 1.0.0\nactions: [{target: $.a, update: {}}]", "needs a target, a description"),
        ("overlay: 1.0.0\nactions: [{target: $.a, description: d}]", "one of `update` and `remove: true`"),
        ("overlay: 1.0.0\nactions: [{target: $.a, description: d, remove: true, update: {}}]", "one of `update` and"),
        ("overlay: 1.0.0\nactions: [{target: $.a, description: d, copy: $.b}]", "may say nothing else"),
        ("overlay: [", "is not YAML"),
        ("a: 1\na: 2", 'found duplicate key "a"'),
        ("overlay: 1.0.0\nactions: [null, 5]", "needs a target, a description"),
        ("overlay: 1.0.0\nactions: &a [[*a]]", "is nested too deeply"),
    ],
)
def test_an_unusable_overlay_file_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    """An overlay is read strictly: a version, a reason for every action, and one thing to do each."""
    path = tmp_path / "overlay.yaml"
    path.write_text(text)
    with pytest.raises(PipelineError) as raised:
        read_overlay(path)
    assert reason in str(raised.value)
    assert str(path) in str(raised.value)


def test_values_are_those_that_json_has(tmp_path: Path) -> None:
    """A date or a number as a key comes into the document as text, as nothing else can stand there."""
    path = tmp_path / "overlay.yaml"
    path.write_text("overlay: 1.0.0\nactions: [{target: $, description: d, update: {1: 2026-01-02}}]")
    assert read_overlay(path)[0].update == {"1": "2026-01-02"}
