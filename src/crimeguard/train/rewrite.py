"""Changing values in a parameter file, and nothing else: comments and order stay."""

from __future__ import annotations

import difflib

import yaml

from crimeguard.domain.errors import UsageError
from crimeguard.train.params import Params, params_from_dict
from crimeguard.train.space import Values, with_values

_Edit = tuple[int, int, str]


def rewritten(text: str, values: Values, params: Params) -> str:
    """Return the text of a parameter file with other values, named `section.parameter`.

    `params` are those of the text as it is. What the text leaves to a default is added to its
    section. Raises UsageError where the text is put together so that no value can be changed
    by itself (an alias, say).
    """
    edits = _edits(text, values)
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    if not _says(text, with_values(params, values)):
        raise UsageError("The parameter file cannot be changed value by value.",
                         why="Its YAML says something in a way that an edit would break.",
                         fix="Change it by hand.")  # fmt: skip
    return text


def unified_diff(before: str, after: str, name: str) -> str:
    """Return what `diff -u` says of the two; '' if they are the same."""
    lines = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), name, name
    )
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)


def _says(text: str, wanted: Params) -> bool:
    try:
        return params_from_dict(yaml.safe_load(text) or {}, source="") == wanted
    except (yaml.YAMLError, UsageError, AttributeError):
        return False


def _edits(text: str, values: Values) -> list[_Edit]:
    sections: dict[str, dict[str, str]] = {}
    for name, value in values.items():
        section, _, key = name.partition(".")
        sections.setdefault(section, {})[key] = _written(value)
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    there = _entries(root) if isinstance(root, yaml.MappingNode) else {}
    edits: list[_Edit] = []
    absent = ""
    for section, changed in sections.items():
        node = there.get(section)
        if isinstance(node, yaml.MappingNode) and node.value:
            edits += _within(text, node, changed)
        else:
            lines = "".join(f"  {key}: {value}\n" for key, value in changed.items())
            absent += f"{section}:\n{lines}"
    if absent:
        gap = "" if not text or text.endswith("\n") else "\n"
        edits.append((len(text), len(text), gap + absent))
    return edits


def _within(text: str, section: yaml.MappingNode, changed: dict[str, str]) -> list[_Edit]:
    there = _entries(section)
    edits = [
        (there[key].start_mark.index, there[key].end_mark.index, value)
        for key, value in changed.items() if key in there
    ]  # fmt: skip
    added = {key: value for key, value in changed.items() if key not in there}
    if added:
        edits.append(_added(text, section, added))
    return edits


def _added(text: str, section: yaml.MappingNode, added: dict[str, str]) -> _Edit:
    key_node, last = section.value[-1]
    if section.flow_style:
        place = last.end_mark.index
        return place, place, "".join(f", {key}: {value}" for key, value in added.items())
    indent = " " * key_node.start_mark.column
    # Behind the whole line, whose comment belongs to the value before.
    found = text.find("\n", last.end_mark.index)
    place, gap = (len(text), "\n") if found < 0 else (found + 1, "")
    return place, place, gap + "".join(f"{indent}{key}: {value}\n" for key, value in added.items())


def _written(value: float) -> str:
    """Write a number so that YAML 1.1 reads one: it wants a point before an exponent."""
    text = repr(value)
    return text.replace("e", ".0e") if "e" in text and "." not in text else text


def _entries(node: yaml.MappingNode) -> dict[str, yaml.Node]:
    return {str(key.value): value for key, value in node.value}
