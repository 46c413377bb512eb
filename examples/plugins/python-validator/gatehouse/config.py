"""A configuration as a dataclass: strict, with every mistake told at once, and its JSON Schema."""

import dataclasses
import difflib
import json
import typing


class ConfigError(Exception):
    """What is wrong with a configuration, and where: path is a JSON pointer such as "/users/0"."""

    def __init__(self, message, path=""):
        super().__init__(f"{path}: {message}" if path else message)
        self.message, self.path = message, path


class ConfigErrors(Exception):
    """Several of them."""

    def __init__(self, errors):
        super().__init__("; ".join(str(e) for e in errors))
        self.errors = errors


def option(default=dataclasses.MISSING, doc="", choices=()):
    """A field of a Config: its default (none: it must be given), what it is, and the values it may have."""
    metadata = {"doc": doc, "choices": tuple(choices)}
    if isinstance(default, (list, dict)):
        return dataclasses.field(default_factory=lambda: type(default)(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def decode(text, cls):
    """Reads the JSON object text into a cls. cls None knows no keys and gives None."""
    try:
        value = json.loads(text or b"{}")
    except ValueError as e:
        raise ConfigErrors([ConfigError(f"is not JSON: {e}")]) from None
    errors = []
    made = _struct(value, cls, "", errors)
    if errors:
        raise ConfigErrors(errors)
    return made


def schema(cls):
    """The JSON Schema of a Config, None without one."""
    return None if cls is None else _schema(cls)


_json_names = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}


def _struct(value, cls, path, errors):
    if not isinstance(value, dict):
        errors.append(ConfigError(f"must be an object, not {_what(value)}", path))
        return None
    fields = {} if cls is None else {f.name: f for f in dataclasses.fields(cls)}
    hints = {} if cls is None else typing.get_type_hints(cls)
    made = {}
    for name, f in fields.items():
        at = f"{path}/{name}"
        if name not in value:
            if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING:
                errors.append(ConfigError("is missing", at))
            continue
        made[name] = _value(value[name], hints[name], at, errors)
        choices = f.metadata.get("choices")
        if choices and made[name] not in choices:
            errors.append(ConfigError(f"must be one of {', '.join(map(str, choices))}, not {json.dumps(value[name])}", at))
    for name in value:
        if name not in fields:
            near = difflib.get_close_matches(name, fields, 1)
            hint = f': did you mean "{near[0]}"?' if near else ""
            known = f" known keys: {', '.join(fields)}" if fields else " there is nothing to configure"
            errors.append(ConfigError(f'unknown key "{name}"{hint or ":"}{known}', f"{path}/{name}"))
    return cls(**made) if cls is not None and not errors else None


def _value(value, kind, path, errors):
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Union:  # Optional
        if value is None:
            return None
        return _value(value, next(a for a in args if a is not type(None)), path, errors)
    if dataclasses.is_dataclass(kind):
        return _struct(value, kind, path, errors)
    base = origin or kind
    good = isinstance(value, (int, float)) if base is float else isinstance(value, base)
    if not good or isinstance(value, bool) and base is not bool:
        errors.append(ConfigError(f"must be of type {_json_names[base]}, not {_what(value)}", path))
        return None
    if base is list and args:
        return [_value(v, args[0], f"{path}/{i}", errors) for i, v in enumerate(value)]
    if base is dict and args:
        return {k: _value(v, args[1], f"{path}/{k}", errors) for k, v in value.items()}
    return float(value) if base is float else value


def _what(value):
    return "null" if value is None else _json_names[type(value)]


def _schema(kind):
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Union:
        return _schema(next(a for a in args if a is not type(None)))
    if not dataclasses.is_dataclass(kind):
        s = {"type": _json_names[origin or kind]}
        if origin is list:
            s["items"] = _schema(args[0])
        if origin is dict:
            s["additionalProperties"] = _schema(args[1])
        return s
    s = {"type": "object", "properties": {}, "additionalProperties": False}
    hints = typing.get_type_hints(kind)
    for f in dataclasses.fields(kind):
        p = _schema(hints[f.name])
        if f.metadata.get("doc"):
            p["description"] = f.metadata["doc"]
        if f.metadata.get("choices"):
            p["enum"] = list(f.metadata["choices"])
        if f.default is not dataclasses.MISSING:
            p["default"] = f.default
        elif f.default_factory is dataclasses.MISSING:
            s.setdefault("required", []).append(f.name)
        s["properties"][f.name] = p
    return s
