"""Make every parameter one that the generator can pass: it drops an endpoint for one that it cannot."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from pipeline.document import Json, Object, child, edit_operations, items, text
from pipeline.rules.naming import free_name, identifier
from pipeline.rules.walk import Note, followed, never_null, nullable, without

STRING: Object = {"type": "string"}
BRACES = re.compile(r"\{([^{}]*)\}")
# Of a header or cookie the generator writes these types only.
SIMPLE = ("string", "integer", "number", "boolean")
# What stands between the values of a list that is one parameter; in Swagger 2.0 that is what is not said otherwise.
SEPARATORS = {"form": "commas", "spaceDelimited": "blanks", "pipeDelimited": "bars"}
# Names that the generated functions use themselves.
INNER_NAMES = re.compile("body|cookies|headers|kwargs|params|quote|response")


def plain_paths(document: Object, note: Note) -> Object:
    """Write path templates with plain and different names: the generator overlooks `{id:int}` and `{*rest}`."""
    paths: Object = {}
    for path, item in child(document, "paths").items():
        new = _plain_path(path, paths)
        paths[new] = item
        if new != path:
            note(f"the path {path} is written {new}: a path begins with `/`, and has plain names in braces, each once")
    return {**document, "paths": paths} if "paths" in document else document


def _plain_path(path: str, taken: Object) -> str:
    names: list[str] = []

    def plain(found: re.Match[str]) -> str:
        names.append(free_name(_plain_name(found[1]), names, str.lower))
        return f"{{{names[-1]}}}"

    base = new = BRACES.sub(plain, path if path.startswith("/") else f"/{path}")
    number = 1
    while new in taken and names:
        number += 1
        new = base.replace(f"{{{names[0]}}}", f"{{{names[0]}{number}}}", 1)
    return path if new in taken else new


def _plain_name(raw: str) -> str:
    name = re.sub(r"[^A-Za-z0-9_-]", "_", re.split(r"[:=?]", raw.lstrip("*"))[0])
    return name if re.match(r"[A-Za-z_-]", name) else f"p{name}"


def match_path_parameters(document: Object, note: Note) -> Object:
    """Declare each parameter of a path once, spelled as in the path, required and never null."""

    def change(label: str, operation: Object) -> Object:
        names = BRACES.findall(label)
        declared = items(operation.get("parameters"))
        if not names and not declared:
            return operation
        parameters = list(_matched(document, names, declared, lambda said: note(f"{label}: {said}")))
        return {**operation, "parameters": parameters} if parameters or declared else operation

    return edit_operations(document, change)


def _matched(document: Object, names: list[str], declared: list[Json], note: Note) -> Iterator[Json]:
    missing = {name.lower(): name for name in names}
    strangers = [one for one in declared if _in_path(one) and _key(one) not in missing]
    unclaimed = set(missing) - {_key(one) for one in declared if _in_path(one)}
    if len(strangers) == len(unclaimed) == 1:
        # One that has no place and one place that has none are the same parameter.
        missing[_key(strangers[0])] = missing.pop(unclaimed.pop())
    for parameter in declared:
        if not isinstance(parameter, dict) or not _in_path(parameter):
            yield parameter
        elif _key(parameter) in missing:
            yield _path_parameter(document, parameter, missing.pop(_key(parameter)), note)
        else:
            note(f"the parameter `{parameter.get('name')}` is not in the path, or is there twice: it is left out")
    for name in missing.values():
        note(f"the path parameter `{name}` is not declared: it is taken as a string")
        yield {"name": name, "in": "path", "required": True, "schema": STRING}


def _in_path(parameter: Json) -> bool:
    return child(parameter).get("in") == "path"


def _key(parameter: Json) -> str:
    return _plain_name(text(child(parameter), "name")).lower()


def _path_parameter(document: Object, parameter: Object, name: str, note: Note) -> Object:
    if parameter.get("name") != name:
        note(f"the parameter `{parameter.get('name')}` is spelled `{name}` as in its path")
    if parameter.get("required") is not True or nullable(document, parameter.get("schema")):
        note(f"the parameter `{name}` is in the path, so it is required and never null")
    result: Object = {**parameter, "name": name, "required": True}
    if "schema" in parameter:
        result["schema"] = never_null(document, parameter["schema"])
    return result


def pass_parameters(document: Object, note: Note) -> Object:
    """Give every parameter a schema that its place can carry, and leave out what is said twice."""

    def change(label: str, operation: Object) -> Object:
        if "parameters" not in operation:
            return operation
        passed = (_passed(document, label, one, note) for one in items(operation["parameters"]))
        return {**operation, "parameters": list(_apart(label, passed, "requestBody" in operation, note))}

    return edit_operations(document, change)


def _passed(document: Object, label: str, parameter: Json, note: Note) -> Json:
    if not isinstance(parameter, dict) or "$ref" in parameter:
        return parameter
    name, where = text(parameter, "name"), text(parameter, "in")
    if not isinstance(parameter.get("schema"), dict):
        form = next(iter(child(parameter, "content")), "text")
        note(f"{label}: the parameter `{name}` has no schema: it is a string, which the caller writes as {form}")
        return {**without(parameter, "content"), "schema": STRING}
    if where == "query":
        return _repeated(document, label, parameter, note)
    if where not in ("header", "cookie"):
        return parameter
    schema = never_null(document, parameter["schema"])
    found = child(followed(document, schema))
    dated = text(found, "format") in ("date", "date-time", "binary")
    if found.get("type") not in (SIMPLE if where == "header" else ("string",)) or dated or "allOf" in found:
        note(f"{label}: the {where} `{name}` is taken as a string: the generator writes no other form of it there")
        schema = STRING
    return {**parameter, "schema": schema}


def _repeated(document: Object, label: str, parameter: Object, note: Note) -> Object:
    kind = child(followed(document, parameter["schema"])).get("type")
    style = text(parameter, "style") or "form"
    if (kind != "array" and "array" not in items(kind)) or parameter.get("explode", style == "form") is not False:
        return parameter
    note(
        f"{label}: the parameter `{text(parameter, 'name')}` is a string, in which the caller puts "
        f"{SEPARATORS.get(style, style)} between the values: the generator would repeat the parameter"
    )
    return {**without(parameter, "style", "explode"), "schema": STRING}


def _apart(label: str, parameters: Iterator[Json], body: bool, note: Note) -> Iterator[Json]:
    seen: set[tuple[str, str]] = set()
    arguments: Counter[str] = Counter()
    for parameter in parameters:
        known = child(parameter)
        name, where, argument = text(known, "name"), text(known, "in"), identifier(text(known, "name"))
        optional = known.get("required") is not True
        if (name.lower(), where) in seen:
            note(f"{label}: the {where} parameter `{name}` is said twice: the first one counts")
        elif optional and INNER_NAMES.fullmatch(argument) and (body or argument != "body"):
            note(f"{label}: the parameter `{name}` is left out: the generated code needs that name itself")
        elif optional and arguments[argument] > 1:
            note(f"{label}: the parameter `{name}` is left out: two others already become the argument {argument}")
        else:
            yield parameter
        seen.add((name.lower(), where))
        arguments[argument] += 1
