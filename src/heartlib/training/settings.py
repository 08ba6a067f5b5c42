"""A recipe from a YAML file and from the command line: one flag for every field of its dataclasses."""

from __future__ import annotations

import argparse
import difflib
import inspect
import re
import types
from collections.abc import Sequence
from dataclasses import MISSING, Field, fields
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from heartlib.cli.app import Parser
from heartlib.errors import HeartlibError, UsageError
from heartlib.training.recipe import Options, Recipe

Settings = TypeVar("Settings", bound=Recipe)
Places = TypeVar("Places", bound=Options)
KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


def parse(
    model: str,
    recipe: type[Settings],
    options: type[Places],
    arguments: Sequence[str],
    description: str = "",
) -> tuple[Settings, Places]:
    """The recipe and the options that a command line gives. UsageError where one is not allowed.

    `--config` names a file, or one that comes with heartlib; flags replace single values of it.
    """
    parser = Parser(
        prog=f"heartlib train {model}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    own = ", ".join(known_configs(model))
    parser.add_argument(
        "--config", default="nano", metavar="NAME", help=f"{own} or a YAML file (default nano)"
    )
    add_flags(parser.add_argument_group("this run"), options)
    add_flags(
        parser.add_argument_group("the recipe", "what is given here replaces what --config says"),
        recipe,
    )
    given = vars(parser.parse_args(arguments))
    values = read_config(model, recipe, given.pop("config"))
    own_names = {field.name for field in fields(recipe)}
    flags = {name: value for name, value in given.items() if value is not None}
    values |= {name: value for name, value in flags.items() if name in own_names}
    return (
        recipe(**values),
        options(**{name: value for name, value in flags.items() if name not in own_names}),
    )


def known_configs(model: str) -> list[str]:
    """The names of the files that come with heartlib for this model."""
    folder = files("heartlib.training") / "recipes" / model
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir())


def read_config(model: str, recipe: type[Recipe], name: str) -> dict[str, Any]:
    """The values of a configuration that comes with heartlib, or of a YAML file."""
    try:
        import yaml
    except ImportError as error:
        raise HeartlibError("training needs PyYAML: pip install 'heartlib[train]'") from error
    if name in known_configs(model):
        source = files("heartlib.training") / "recipes" / model / f"{name}.yaml"
        text = source.read_text("utf-8")
    else:
        path = Path(name)
        if not path.is_file():
            raise UsageError(
                f"--config: there is no file {name}, and {model} comes with "
                f"{', '.join(known_configs(model))}"
            )
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise HeartlibError(f"{name} cannot be read: {error}") from error
    try:
        values = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise UsageError(f"{name} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise UsageError(f"{name} must hold lines of NAME: VALUE, not {type(values).__name__}")
    kinds = get_type_hints(recipe)
    allowed = [field.name for field in fields(recipe)]
    found = {}
    for key, value in values.items():
        if key not in allowed:
            near = difflib.get_close_matches(str(key), allowed, 1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(allowed)}"
            raise UsageError(f"{name}: {key} is not a setting of {model}; {hint}")
        try:
            found[key] = converted(kinds[key], value)
        except ValueError as error:
            raise UsageError(f"{name}: {key} must be {error}, not {value!r}") from None
    return found


def add_flags(group: Any, cls: type) -> None:
    """A flag for every field of a dataclass, its comment as help."""
    kinds, told = get_type_hints(cls), notes(cls)
    for field in fields(cls):
        kind, flag = kinds[field.name], f"--{field.name.replace('_', '-')}"
        needed = field.default is MISSING
        about = told.get(field.name, "").replace("%", "%%")
        if not needed and field.default not in ("", (), None):
            word = "nano" if issubclass(cls, Recipe) else "default"
            about = f"{about} ({word} {shown(field)})".strip()
        if kind is bool:
            group.add_argument(
                flag, action=argparse.BooleanOptionalAction, default=None, help=about
            )
            continue
        several = get_origin(kind) is tuple
        group.add_argument(
            flag,
            type=partial(from_text, get_args(kind)[0] if several else kind),
            nargs="+" if several else None,
            action=AsTuple if several else "store",
            required=needed,
            metavar=metavar(kind),
            help=about,
        )


class AsTuple(argparse.Action):
    """Several values as a tuple."""

    def __call__(self, _parser: Any, namespace: Any, values: Any, _flag: Any = None) -> None:
        setattr(namespace, self.dest, tuple(values))


def shown(field: Field[Any]) -> str:
    default: Any = field.default
    return " ".join(map(str, default)) if isinstance(default, tuple) else str(default)


def metavar(kind: Any) -> str:
    names = {int: "N", float: "X", str: "NAME", Path: "PATH"}
    inner = [part for part in get_args(kind) if part in names]
    return names[inner[0] if inner else kind]


def from_text(kind: Any, text: str) -> Any:
    """A flag's text as a value."""
    try:
        return converted(kind, int(text) if kind is int else text)
    except ValueError as error:
        wanted = KINDS[int] if kind is int else error
        raise argparse.ArgumentTypeError(f"must be {wanted}, not {text!r}") from None


def converted(kind: Any, value: Any) -> Any:
    """A value of YAML as a field's type; ValueError says what it must be."""
    if get_origin(kind) is tuple:
        inner, *rest = get_args(kind)
        values = value if isinstance(value, list) else [value]
        if rest and rest[0] is not Ellipsis and len(values) != 1 + len(rest):
            raise ValueError(f"a list of {1 + len(rest)} numbers")
        return tuple(converted(inner, part) for part in values)
    if get_origin(kind) in (types.UnionType,):  # PATH or nothing
        return converted(get_args(kind)[0], value)
    if kind is Path:
        return Path(value)
    if kind is float and not isinstance(value, bool):
        try:
            return float(value)  # YAML takes 1e-3 for text
        except (TypeError, ValueError):
            raise ValueError(KINDS[float]) from None
    if type(value) is not kind:
        raise ValueError(KINDS[kind])
    return value


def notes(cls: type) -> dict[str, str]:
    """The comment behind each field of a dataclass and of those below it."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__[:-1]):
        for line in inspect.getsource(base).splitlines():
            match = re.match(r"    (\w+): .*?  # (.*)$", line)
            if match:
                found[match[1]] = match[2]
    return found
