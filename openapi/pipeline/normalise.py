"""Take the habits of the vendor's framework out of a document, one trap of the generator per function.

Every rule takes a whole document and returns a new one, keeps the order of keys, and leaves a document
without its trap alone. What a rule changes of the meaning, or cannot keep, it tells in one sentence with its place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import reduce, wraps
from itertools import combinations
from typing import cast

from pipeline.document import BYTES, PLAIN, Json, Object, child, edit_operations, items, operations, text
from pipeline.naming import DEFAULT, NAMES, RAW, class_name, free_name, identifier, labels_of, module_name
from pipeline.problems import brief
from pipeline.servers import fold_server_path
from pipeline.walk import (
    MANY,
    SCHEMAS,
    SHARED,
    UNIONS,
    Keys,
    Note,
    edit_schemas,
    followed,
    kinds,
    made_of,
    place,
    point_to,
    schemas_in,
    steps,
    with_schemas,
    without,
)

NULL: Object = {"type": "null"}
STRING: Object = {"type": "string"}
BINARY: Object = {"type": "string", "format": "binary"}
Rule = Callable[[Object, Note], Object]


def normalise(document: Object, note: Note) -> Object:
    """Apply every rule in order and return the new document; `note` gets a sentence for each thing worth knowing."""
    return reduce(lambda found, rule: rule(found, note), RULES, document)


def finish(document: Object, note: Note, ours: Iterable[str] = ()) -> Object:
    """Do what must wait for the overlay, which names operations and members; no other operation gets a name of ours."""
    return name_operations(reduce(lambda found, rule: rule(found, note), LAST_RULES, document), note, ours)


def of_operations(change: Callable[[Object, str, Object, Note], Object]) -> Rule:
    """Make a rule of what is done to each operation, which is called `GET /path`."""

    @wraps(change)
    def rule(document: Object, note: Note) -> Object:
        return edit_operations(document, lambda label, operation: change(document, label, operation, note))

    return rule


def of_schemas(change: Callable[[Object, Keys, Object, Note], Object]) -> Rule:
    """Make a rule of what is done to each schema, with the keys that lead to it."""

    @wraps(change)
    def rule(document: Object, note: Note) -> Object:
        return edit_schemas(document, lambda keys, schema: change(document, keys, schema, note))

    return rule


# Where things are written


def write_parts_where_used(document: Object, note: Note) -> Object:
    """Replace references to parameters, responses and bodies, and move in what a path says for all its operations."""
    written = edit_operations(document, lambda label, one: _written_out(document, label, one, note))
    paths: Object = {
        path: without(item, "parameters", "servers") if isinstance(item, dict) else item
        for path, item in child(written, "paths").items()
    }
    return {**written, "paths": paths} if paths else written


def _written_out(document: Object, label: str, operation: Object, note: Note) -> Object:
    item = child(document, "paths", label.partition(" ")[2])
    result: Object = {**{key: one for key, one in item.items() if key == "servers"}, **operation}
    own, others = ([followed(document, one) for one in items(node.get("parameters"))] for node in (operation, item))
    first = {_identity(one): one for one in reversed([*own, *others])}
    if len({_identity(one) for one in own}) < len(own):
        note(f"{label}: a parameter is said twice: the first one counts")
    if first:
        result["parameters"] = [one for one in [*own, *others] if one is first[_identity(one)]]
    if "requestBody" in operation:
        result["requestBody"] = followed(document, operation["requestBody"])
    if replies := child(operation, "responses"):
        result["responses"] = {status: followed(document, reply) for status, reply in replies.items()}
    return result


def _identity(parameter: Json) -> tuple[str, str]:
    return text(child(parameter), "name").lower(), text(child(parameter), "in")


@of_operations
def repeat_security(document: Object, _label: str, operation: Object, _note: Note) -> Object:
    """Write the document's security on every operation: the generator reads it only there."""
    default = document.get("security")
    return operation if default is None else {**operation, "security": operation.get("security", default)}


# Names

LONGEST_NAME, SHORTENED = 200, 100
# What generated modules import or define, so that a class of the same name would take its place.
TAKEN = re.compile(
    "Any|AuthenticatedClient|BinaryIO|BytesIO|Client|File|FileTypes|Generator|HTTPStatus|IntEnum|Literal|Mapping|"
    "Response|Self|StrEnum|T|TextIO|TypeVar|UNSET|UUID|Unset"
)


def separate_schemas(document: Object, note: Note) -> Object:
    """Rename schemas that would have no file or class of their own: the last of two equal ones wins."""
    schemas = child(document, *SHARED)
    renamed = _new_names(list(schemas), note)
    if not renamed:
        return document
    # A mapping may hold bare names.
    places: dict[Keys, str] = {
        keys: SCHEMAS + new for name, new in renamed.items() for keys in ((*SHARED, name), (name,))
    }
    return point_to(with_schemas(document, {renamed.get(name, name): one for name, one in schemas.items()}), places)


def _new_names(names: list[str], note: Note) -> dict[str, str]:
    renamed: dict[str, str] = {}
    seen: set[str] = set()
    for name in names:
        wanted = re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("_") or "Schema"
        wanted = wanted[:SHORTENED] if len(module_name(wanted)) > LONGEST_NAME else wanted
        wanted = f"{wanted}Model" if TAKEN.fullmatch(class_name(wanted)) else wanted
        if wanted != name or module_name(name) in seen:
            others = [one for one in names if one != name]
            renamed[name] = free_name(wanted, [*others, *renamed.values()], module_name)
            note(f"the schema {name} is now called {renamed[name]}: its own name makes no class and file of its own")
        seen.add(module_name(renamed.get(name, name)))
    return renamed


def give_up_names(document: Object, ours: set[str]) -> Object:
    """Take the operationIds that the overlay pins from the document's own operations."""
    names = {identifier(name) for name in ours}

    def change(_label: str, operation: Object) -> Object:
        return without(operation, "operationId") if identifier(text(operation, "operationId")) in names else operation

    return edit_operations(document, change)


def name_operations(document: Object, note: Note, ours: Iterable[str] = ()) -> Object:
    """Name operations after their method and path where their operationId is missing, or too long for a file."""
    taken = {identifier(text(operation, "operationId")) for _, _, operation in operations(document)}
    taken.update(map(identifier, ours))

    def change(label: str, operation: Object) -> Object:
        own = text(operation, "operationId")
        if own and len(identifier(own)) <= LONGEST_NAME:
            return operation
        name = free_name(_operation_name(label)[:LONGEST_NAME], taken, identifier)
        taken.add(identifier(name))
        note(f"{label} has no operationId of its own that fits: it is called `{name}`")
        return {**operation, "operationId": name}

    return edit_operations(document, change)


def _operation_name(label: str) -> str:
    """Return a name for an operation: `GET /api/queue/info/{id}` is `getQueueInfoById`."""
    method, *parts = label.replace("/", " ").split()
    # An `api` or a version begins every path of a service, and tells nothing of an operation.
    while len(parts) > 1 and re.fullmatch(r"(?i)api|v\d+(\.\d+)?", parts[0]):
        parts = parts[1:]
    words = re.findall(r"[A-Za-z0-9]+", " ".join(f"by {part}" if "{" in part else part for part in parts))
    return method.lower() + ("".join(word[:1].upper() + word[1:] for word in words) or "Root")


@of_schemas
def name_members(_document: Object, keys: Keys, schema: Object, note: Note) -> Object:
    """Keep the names of an enumeration where the generator reads them, and name what is new since they were written."""
    values = [value for value in items(schema.get("enum")) if value is not None]
    names = items(schema.get(NAMES, schema.get("x-enumNames")))
    if not names or not values:
        return schema
    # New values come at the end; should one stand between, the type checker finds names that moved.
    rest = list(labels_of(values))[len(names) :]
    if len(names) > len(values):
        note(f"{place(keys)}: there are {len(names)} names for {len(values)} values: the names are left out")
        return without(schema, "x-enumNames", NAMES)
    if rest:
        told = f"there are {len(names)} names for {len(values)} values"
        note(f"{place(keys)}: {told}: the last are called {', '.join(rest)}")
    return {**without(schema, "x-enumNames"), NAMES: [*names, *rest]}


# Requests and replies

PROBLEM = "application/problem+json"
FORMS = ("json", "text", "bytes")
# What the generator writes into a path or header; into a cookie it writes strings only.
PLAIN_TYPES = ("string", "integer", "number", "boolean")
CARRIED = {"path": PLAIN_TYPES, "header": PLAIN_TYPES, "cookie": ("string",)}


@of_operations
def keep_one_type(document: Object, label: str, operation: Object, note: Note) -> Object:
    """Leave one type per request and reply, JSON if there is any: the generator sends the last and reads the first."""
    replies: Object = {
        status: _read(document, f"{label}: the answer {status}", reply, note)
        for status, reply in child(operation, "responses").items()
    }
    found: Object = {"requestBody": _sent(document, label, child(operation, "requestBody"), note), "responses": replies}
    return {**operation, **{key: one for key, one in found.items() if one}}


def _sent(document: Object, label: str, body: Object, note: Note) -> Object:
    content = child(body, "content")
    name, form = _picked(document, content, PLAIN)
    if form != "json":
        return body
    media = _kept(f"{label}: the body is sent", content, name, note)
    found = child(followed(document, media.get("schema")))
    # Strict typing refuses what the generator writes for a union that may be left out.
    is_union = any(union in found for union in UNIONS) or len(kinds(found)) > 1
    if is_union and body.get("required") is not True:
        note(f"{label}: the body is of several kinds, and so has to be given")
        body = {**body, "required": True}
    return {**body, "content": {_spelled(name, form): media}}


def _read(document: Object, label: str, reply: Json, note: Note) -> Json:
    content = child(reply, "content")
    name, form = _picked(document, content, PROBLEM)
    if not form:
        return reply
    if form == "bytes":
        if name != BYTES:
            note(f"{label} of the type {name} comes as bytes")
        return {**child(reply), "content": {BYTES: {**child(content[name]), "schema": BINARY}}}
    media = _kept(f"{label} is read", content, name, note)
    if form == "text" and kinds(child(followed(document, media.get("schema")))) != ["string"]:
        note(f"{label} is text, not JSON, so it comes as a string")
        media = {**media, "schema": STRING}
    return {**child(reply), "content": {_spelled(name, form): media}}


def _picked(document: Object, content: Object, first: str) -> tuple[str, str]:
    """Return the type that is kept, and what it is taken for; of no types, nothing."""
    forms = {name: _form(document, name, child(media)) for name, media in content.items()}
    name = min(forms, key=lambda one: (FORMS.index(forms[one]), one != first, one != PLAIN), default="")
    return name, forms.get(name, "")


def _form(document: Object, name: str, media: Object) -> str:
    if any(text(one, "format") == "binary" for one in made_of(document, media.get("schema"), *UNIONS)):
        return "bytes"
    # The converter says `*/*` of every reply that Swagger 2.0 gives no type.
    if name == "*/*" or re.search(r"[/+]json\b", name):
        return "json"
    return "text" if re.match(r"text/|[^;]*[/+]xml\b", name) else "bytes"


def _spelled(name: str, form: str) -> str:
    if form == "text":
        return name if name.startswith("text/") else "text/xml"
    # A type of the vendor's own is part of the request; a wildcard, or JSON that calls itself text, is not.
    return name if "+json" in name and "*" not in name else PLAIN


def _kept(label: str, content: Object, name: str, note: Note) -> Object:
    """Return the one that is kept, and tell of the types that are no other spelling of it."""
    media = child(content[name])
    spellings = (media.get("schema"), None)
    others = [one for one in content if one != name and child(content[one]).get("schema") not in spellings]
    if others:
        note(f"{label} as {name}, and not as {', '.join(others)}")
    return media


@of_operations
def pass_parameters(document: Object, label: str, operation: Object, note: Note) -> Object:
    """Give every parameter the spelling of its path, and a schema that its place can carry."""
    matched = [_matched(label, child(one), note) for one in items(operation.get("parameters"))]
    passed = [_passed(document, f"{label}: the", one, note) for one in matched if one is not None]
    return {**operation, "parameters": cast("list[Json]", passed)} if matched else operation


def _matched(label: str, parameter: Object, note: Note) -> Object | None:
    names, written = re.findall(r"\{([^{}]*)\}", label), text(parameter, "name")
    if parameter.get("in") != "path" or written in names:
        return parameter
    for name in names:
        if name.lower() == written.lower():
            note(f"{label}: the parameter `{written}` is spelled `{name}` as in its path")
            return {**parameter, "name": name}
    note(f"{label}: the parameter `{written}` is not in the path: it is left out")
    return None


def _passed(document: Object, label: str, parameter: Object, note: Note) -> Object:
    where, schema = text(parameter, "in"), child(parameter, "schema")
    label, found = f"{label} {where} `{text(parameter, 'name')}`", child(followed(document, schema))
    written = [kind for kind in kinds(found) if kind != "null"]
    if "content" in parameter and not schema:
        form = next(iter(child(parameter, "content")), "text")
        return _as_string(parameter, note, f"{label} is a string, which the caller writes as {form}")
    if where == "query":
        return _in_query(label, parameter, written, note)
    if where in CARRIED and not _is_carried(found, written, where):
        told = f"{label} is taken as a string: the generator writes no other form of it there"
        return _as_string(parameter, note, told)
    if len(written) != 1 or "type" not in schema:
        return parameter
    return {**parameter, "schema": {**without(schema, "nullable", "x-nullable"), "type": written[0]}}


def _in_query(label: str, parameter: Object, written: list[Json], note: Note) -> Object:
    style = text(parameter, "style") or "form"
    repeated = parameter.get("explode", style == "form") is not False and style != "deepObject"
    if repeated or written not in (["array"], ["object"]):
        return parameter
    if written == ["array"]:
        return _as_string(parameter, note, f"{label} is a string, in which the caller joins the values as {style} says")
    form = f"{text(parameter, 'name')}[member]" if style == "deepObject" else "them as one value"
    note(f"{label} is sent as its members: the generator does not write {form}")
    return parameter


def _as_string(parameter: Object, note: Note, told: str) -> Object:
    note(told)
    return {**without(parameter, "content", "style", "explode"), "schema": STRING}


def _is_carried(found: Object, written: list[Json], where: str) -> bool:
    if where != "path" and text(found, "format") in (*FORMATTED, "binary"):
        return False
    return all(kind in CARRIED[where] for kind in written) and not any(word in found for word in MANY)


# Inheritance

INHERITED = ("required", "type", "properties")


def merge_inheritance(document: Object, note: Note) -> Object:
    """Write the members of its bases into each child, so that a child stands alone, and knows itself by a constant.

    By the letter nothing ever matches such a child: its base says `additionalProperties: false`.
    """
    schemas = child(document, *SHARED)
    merged: Object = {
        name: _merged(document, child(one)) if _inherits(document, child(one)) else one for name, one in schemas.items()
    }
    for keys, schema in schemas_in(with_schemas(document, merged)):
        if text(child(schema, "discriminator"), "propertyName"):
            merged = _with_kinds(document, merged, keys, schema, note)
    return document if merged == schemas else with_schemas(document, merged)


def _inherits(document: Object, schema: Object) -> bool:
    bases = any("discriminator" in one for one in made_of(document, schema, "allOf"))
    return bool(items(schema.get("allOf"))) and ("properties" in schema or bases)


def _merged(document: Object, schema: Object, inside: tuple[Json, ...] = ()) -> Object:
    """Return a schema with the members of its parts, and of theirs, written into it."""
    result: Object = {}
    for part in items(schema.get("allOf")):
        if part in inside:  # It is a part of itself.
            continue
        whole = _merged(document, child(followed(document, part)), (*inside, part))
        inherited: Object = {key: whole[key] for key in INHERITED if key in whole}
        result = _joined(result, inherited if "$ref" in child(part) else whole)
    return _joined(result, without(schema, "allOf"))


def _joined(left: Object, right: Object) -> Object:
    merged: Object = {**left, **right}
    if "properties" in merged:
        merged["properties"] = {**child(left, "properties"), **child(right, "properties")}
    if "required" in merged:
        both = [*items(left.get("required")), *items(right.get("required"))]
        merged["required"] = cast("list[Json]", list(dict.fromkeys(map(str, both))))
    return merged


def _with_kinds(document: Object, schemas: Object, keys: Keys, base: Object, note: Note) -> Object:
    """Return the schemas with a constant in each kind of a base, and an enumeration of all of them in the base."""
    member, mapping = text(child(base, "discriminator"), "propertyName"), child(base, "discriminator", "mapping")
    by_name = {steps(str(target))[-1]: key for key, target in mapping.items()}
    if len(by_name) < len(mapping):
        note(f"{place(keys)}: one kind goes by several names, so its `{member}` tells it from no other")
        by_name = {}
    # A constant in a kind that is itself the base of another one would shut that out.
    parts = [part for name in by_name for part in items(child(document, *SHARED, name).get("allOf"))]
    ends = {name: key for name, key in by_name.items() if {"$ref": SCHEMAS + name} not in parts}
    schemas = {
        name: _with_const(document, child(one), member, ends[name]) if name in ends else one
        for name, one in schemas.items()
    }
    own = child(base, "properties", member)
    plain = [kind for kind in kinds(own) if kind != "null"] == ["string"] and not {"enum", "const"} & set(own)
    return _with_enum(schemas, str(keys[-1]), member, mapping) if mapping and plain and len(keys) == 3 else schemas


def _with_const(document: Object, schema: Object, member: str, key: str) -> Object:
    known = child(schema, "properties", member)
    if "string" not in kinds(child(followed(document, known))) and known:
        return schema
    own = items(known.get("enum")) or [known.get("const")]
    value = own[0] if len(own) == 1 and own[0] else key
    constant: Object = {**without(known, "$ref", "nullable", "enum", NAMES, *MANY), "type": "string", "const": value}
    return {**schema, "properties": {**child(schema, "properties"), member: constant}}


def _with_enum(schemas: Object, name: str, member: str, mapping: Object) -> Object:
    base = child(schemas, name)
    enum = free_name(class_name(f"{name}_{member}"), schemas, module_name)
    marks: Object = {key: value for key, value in base.items() if key.startswith("x-provenance")}
    told: Object = {key: value for key, value in child(base, "properties", member).items() if key == "description"}
    either: Object = {**told, "anyOf": [{"$ref": SCHEMAS + enum}, NULL]}
    changed: Object = {**base, "properties": {**child(base, "properties"), member: either}}
    if "required" in base:
        changed["required"] = [one for one in items(base["required"]) if one != member]
    return {**schemas, name: changed, enum: {"type": "string", "enum": list(mapping), **marks}}


def drop_discriminators(document: Object, note: Note) -> Object:
    """Leave out discriminators, which the generator does not read; a base that stands for its kinds is told."""
    # Where a base comes last in a union of its kinds, these are told apart.
    used = {text(one, "$ref") for keys, one in schemas_in(document) if not set(UNIONS) & set(keys)}
    for name, base in child(document, *SHARED).items():
        if "discriminator" in child(base) and SCHEMAS + name in used:
            found = [steps(str(one))[-1] for one in child(base, "discriminator", "mapping").values()]
            told = f"its kinds ({brief(', '.join(found))}) are not told apart" if found else "it names no kinds"
            note(f"the schema {name} stands for others by its discriminator: where it is referred to, {told}")
    return edit_schemas(document, lambda _keys, schema: without(schema, "discriminator"))


# Unions

FORMATTED = ("date", "date-time", "uuid")


@of_schemas
def order_unions(document: Object, keys: Keys, schema: Object, note: Note) -> Object:
    """Try those branches first that ask for most: the generator takes the first that parses.

    Its classes ask for their required members and constants only, and our enumerations take any value of their type.
    """
    for union in [word for word in UNIONS if word in schema and schema.get(RAW) is not True]:
        found = [(text(child(one), "$ref"), child(followed(document, one)), one) for one in items(schema[union])]
        found.sort(key=lambda one: -_asked(one[1]))
        for (name, one, _), (later, other, _) in combinations(found, 2):
            if _swallows(one, other):
                taken, first = (to.removeprefix(SCHEMAS) or "branch" for to in (later, name))
                note(f"{place(keys)}: a {taken} may be read as {first}, which comes first")
        schema = {**schema, union: [one for *_, one in found]}
    return schema


def _asked(schema: Object) -> int:
    constants = [one for one in child(schema, "properties").values() if "const" in child(one)]
    return len(items(schema.get("required"))) + len(constants) + (text(schema, "format") in FORMATTED)


def _swallows(one: Object, other: Object) -> bool:
    if "enum" in one:
        formatted = text(other, "format") in FORMATTED
        return kinds(one) == kinds(other) and ("enum" in other or formatted) and one["enum"] != other.get("enum")
    if "properties" not in one or "properties" not in other:
        return False
    mine, theirs = child(one, "properties"), child(other, "properties")
    apart = any("const" in child(one) and one != theirs[name] for name, one in mine.items() if name in theirs)
    return not apart and all(str(name) in theirs for name in items(one.get("required")))


# What a schema says


@of_schemas
def admit_null_for_references(document: Object, _keys: Keys, schema: Object, _note: Note) -> Object:
    """Let an optional member that is a reference be null: the framework cannot say so in OpenAPI 3.0."""
    required, members = items(schema.get("required")), child(schema, "properties")
    if not text(document, "openapi").startswith("3.0.") or not members:
        return schema
    admitted: Object = {
        name: {"nullable": True, **child(one)}
        for name, one in members.items()
        if "$ref" in child(one) and name not in required
    }
    return {**schema, "properties": {**members, **admitted}}


@of_schemas
def write_limits_as_numbers(_document: Object, _keys: Keys, schema: Object, _note: Note) -> Object:
    """Turn the flags `exclusiveMinimum` and `exclusiveMaximum` of OpenAPI 3.0 into the numbers of 3.1."""
    for limit, flag in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if schema.get(flag) is True and limit in schema:
            schema = {**without(schema, limit), flag: schema[limit]}
        elif isinstance(schema.get(flag), bool):
            schema = without(schema, flag)
    return schema


@of_schemas
def write_null_as_type(_document: Object, _keys: Keys, schema: Object, _note: Note) -> Object:
    """Turn every spelling of null into the `null` type of OpenAPI 3.1, also beside a `$ref`, where 3.0 ignores it."""
    # Tools say `x-nullable` in Swagger 2.0; in 3.1 they put the type beside a reference, or an enumeration without it.
    beside = "null" in kinds(schema) and any(word in schema for word in ("$ref", "enum", *MANY))
    null = beside or True in (schema.get("nullable"), schema.get("x-nullable"))
    rest = without(schema, "nullable", "x-nullable")
    union = next((union for union in UNIONS if union in rest), None)
    if not null:
        return rest
    if union:
        others = [one for one in items(rest[union]) if one != NULL]
        return {**without(rest, "type"), union: [*others, NULL]}
    return _reference_or_null(rest) if "$ref" in rest or "allOf" in rest else _type_or_null(rest)


def _reference_or_null(schema: Object) -> Object:
    parts: list[Json] = [{"$ref": schema["$ref"]}] if "$ref" in schema else items(schema["allOf"])
    inner: Json = parts[0] if len(parts) == 1 else {"allOf": parts}
    return {**without(schema, "$ref", "allOf", "type"), "anyOf": [inner, NULL]}


def _type_or_null(schema: Object) -> Object:
    named = [kind for kind in kinds(schema) if kind not in (None, "null")]
    if "enum" in schema:
        # Of an enumeration with null the generator makes a class for each way to read it.
        own: Object = {key: schema[key] for key in ("type", "enum", "format", NAMES) if key in schema}
        own["enum"] = [one for one in items(own["enum"]) if one is not None]
        inner = {**own, "type": named[0]} if len(named) == 1 else without(own, "type")
        return {**without(schema, *own), "anyOf": [inner, NULL]}
    return {**schema, "type": [*named, "null"]} if "type" in schema else schema


def say_31(document: Object, _note: Note) -> Object:
    """Call the result OpenAPI 3.1, in which a `const` may tell the kinds of a message apart."""
    return {**document, "openapi": "3.1.0"} if text(document, "openapi").startswith("3.0.") else document


def read_numbers_as_numbers(document: Object, note: Note) -> Object:
    """Take `string` from numbers that the framework also accepts as strings: it never sends them so."""
    places: list[str] = []

    def change(keys: Keys, schema: Object) -> Json:
        found = items(schema.get("type"))
        if "string" not in found or not {"integer", "number"} & set(map(str, found)) or "pattern" not in schema:
            return schema
        places.append(place(keys))
        left = [kind for kind in found if kind != "string"]
        return {**without(schema, "pattern"), "type": left[0] if len(left) == 1 else left}

    result = edit_schemas(document, change)
    if places:
        note(f"{len(places)} numbers may also be strings, {places[0]} the first: they are taken as numbers")
    return result


@of_schemas
def leave_defaults_to_the_service(_document: Object, keys: Keys, schema: Object, note: Note) -> Object:
    """Keep each default as a remark: the service knows what it takes where nothing is said.

    The generator would send it, and drop the whole class or endpoint for one that is no value of its schema.
    """
    if "default" in schema:
        note(f"{place(keys)}: the default {brief(repr(schema['default']))} is left to the service")
    return {(DEFAULT if key == "default" else key): value for key, value in schema.items()}


@of_schemas
def free_one_way_members(_document: Object, keys: Keys, schema: Object, note: Note) -> Object:
    """Let members be missing that only a reply or only a request holds: the generator has one class for both."""
    said = {str(one): child(schema, "properties", str(one)) for one in items(schema.get("required"))}
    freed = [name for name, one in said.items() if True in (one.get("readOnly"), one.get("writeOnly"))]
    if not freed:
        return schema
    note(f"{place(keys)}: {', '.join(freed)} may be missing: requests and replies differ in this")
    return {**schema, "required": [one for one in said if one not in freed]}


# The order is part of the rules: first where things are, then what they are called, then what they say; the
# move to OpenAPI 3.1 comes late, because most rules know the words of 3.0.
RULES: tuple[Rule, ...] = (
    write_parts_where_used,
    separate_schemas,
    fold_server_path,
    keep_one_type,
    repeat_security,
    pass_parameters,
    name_members,
    merge_inheritance,
    admit_null_for_references,
    write_limits_as_numbers,
    write_null_as_type,
    say_31,
    read_numbers_as_numbers,
    free_one_way_members,
)
LAST_RULES: tuple[Rule, ...] = (
    name_members,
    leave_defaults_to_the_service,
    order_unions,
    drop_discriminators,
)
