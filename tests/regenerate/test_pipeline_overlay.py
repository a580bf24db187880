"""The overlay applier: the merge rule of Overlay 1.0, and its refusal to miss a target."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.document import Json, Object
from pipeline.nearest import nearest
from pipeline.overlay import Action, apply_overlay, read_overlay
from pipeline.problems import PipelineError

DOCUMENT: Object = {
    "paths": {
        "/api/queue/info/{id}": {"get": {"tags": ["Queue"]}},
        "/api/time/{id}": {"get": {"tags": ["Time"]}},
    },
    "list": [{"n": 0}, {"n": 1}, {"n": 2}],
}


def update(target: str, value: Json) -> Action:
    return Action(name="overlay.yaml, action 1", target=target, reason="a test", remove=False, update=value)


def removal(target: str) -> Action:
    return Action(name="overlay.yaml, action 1", target=target, reason="a test", remove=True, update=None)


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
    assert apply_overlay(document, [update(target, value)]) == after
    assert document == {"a": {"x": 0, "y": [1], "z": {"k": 1}}}


def test_an_update_reaches_every_match_with_a_copy_of_its_own() -> None:
    """A target that matches twice changes both places, and the two share nothing."""
    both = apply_overlay(
        DOCUMENT, [update("$.paths.*.get", {"x": {}}), update("$.paths['/api/time/{id}'].get.x", {"y": 1})]
    )
    assert apply_overlay(both, [removal("$.paths['/api/time/{id}']")])["paths"] == {
        "/api/queue/info/{id}": {"get": {"tags": ["Queue"], "x": {}}}
    }


@pytest.mark.parametrize(
    ("target", "left"),
    [("$.list[0]", [1, 2]), ("$.list[?@.n < 2]", [2]), ("$.list[2,0]", [1]), ("$.list[1,1]", [0, 2])],
)
def test_a_removal_takes_exactly_what_it_names(target: str, left: list[int]) -> None:
    """Removing entries of a list never takes a neighbour instead, in whatever order they were named."""
    assert apply_overlay(DOCUMENT, [removal(target)])["list"] == [{"n": n} for n in left]


@pytest.mark.parametrize(
    "action",
    [update("$.paths['/api/queue/infos/{id}'].get", {}), removal("$.paths['/api/queue/infos/{id}'].get")],
)
def test_an_action_that_matches_nothing_stops_and_names_the_nearest_path(action: Action) -> None:
    """A correction never gets lost in silence: the message names action, target and the nearest existing path."""
    with pytest.raises(PipelineError) as raised:
        apply_overlay(DOCUMENT, [action])
    message = str(raised.value)
    assert message.startswith("overlay.yaml, action 1 matches nothing")
    assert "there is no $.paths['/api/queue/infos/{id}'].get" in message
    assert "$['paths']['/api/queue/info/{id}']['get']" in message
    assert raised.value.exit_code == 30


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ('$.paths["/api/tim/{id}"].get.tag', "$['paths']['/api/time/{id}']['get']['tags']"),
        ("$.path", "$['paths']"),
        ("$.list[7].m", "$['list'][2]"),
        ("$.list[?@.n > 9]", "$['list']"),
        ("$.nothing.like.it", "$"),
    ],
)
def test_the_nearest_path_exists(target: str, path: str) -> None:
    """The hint follows the target as far as it goes, guesses at misspelt names, and stops at filters."""
    assert nearest(DOCUMENT, target) == path


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
        ("overlay: 1.0.0\nactions: [{target: $.a, update: {}}]", "needs a target and a description"),
        ("overlay: 1.0.0\nactions: [{target: $.a, description: d}]", "must either update or remove"),
        ("overlay: 1.0.0\nactions: [{target: $.a, description: d, remove: true, update: {}}]", "must either"),
        ("overlay: 1.0.0\nactions: [{target: $.a, description: d, copy: $.b}]", "'copy'"),
        ("overlay: [", "is not YAML"),
        ("a: 1\na: 2", "is not YAML"),
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
