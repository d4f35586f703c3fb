"""A project's standing choices: evalkit.toml, or [tool.evalkit] in pyproject.toml, here or in a folder above.

The command line reads it, and nothing else does: a call from Python has the keywords that it is given. The command line
wins over the environment, the environment over the file, and the file over what is built in.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from evalkit.commands.helping import MODELS, RUNS, takes
from evalkit.commands.parsing import NUMBERS
from evalkit.errors import EvalkitError, UsageError, unknown
from evalkit.files import read_bytes

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

VARIABLE = "EVALKIT_CONFIG"
OFF = "off"
# Settings that stand for environment variables.
_PLACES = {"data": "EVALKIT_DATA", "cache": "EVALKIT_CACHE", "cache_size": "EVALKIT_CACHE_SIZE"}
_PRICES = ("gpu", "core", "currency")
# Options that no file can set: what they allow must be said each time, or they only concern the one command.
_REFUSED = ("help", "help-all", "config", "trust-task-code", "resume")
_LARGEST = 1 << 20  # bytes of a file


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """A file's settings; path is None where there is none.

    digest: SHA-256 of the file. fault: why it cannot be used. used: what manifests say of it.
    """

    path: Path | None = None
    digest: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    fault: str = ""
    used: Mapping[str, Any] = field(default_factory=dict)

    @property
    def aliases(self) -> Mapping[str, str]:
        """Models by the names that the file gives them."""
        return dict(self.settings.get("aliases", {}))

    @property
    def prices(self) -> Mapping[str, Any]:
        """The prices per hour."""
        return dict(self.settings.get("price_per_hour", {}))


# That of the command at work.
current: ContextVar[Configuration] = ContextVar("configuration", default=Configuration())  # noqa: B039


def load(words: Sequence[str], parser: argparse.ArgumentParser) -> Configuration:
    """Find and read the file, and make its settings the defaults of the commands; a fault is returned, not raised.

    words: of the command line, for --config and for options that exclude a setting.
    """
    path = None
    try:
        name = named(words) or os.environ.get(VARIABLE, "")
        path = None if name == OFF else Path(name) if name else find(Path.cwd())
        if path is None:
            return Configuration()
        raw = read_bytes(path, UsageError, most=_LARGEST)
        file = _File(path, raw)
        _check(file, parser)
        for command, settings in file.commands(parser):
            _set_defaults(file, command, settings, words)
    except EvalkitError as error:
        return Configuration(path=path, fault=str(error))
    return Configuration(path=path, digest=hashlib.sha256(raw).hexdigest(), settings=file.settings)


def named(words: Sequence[str]) -> str | None:
    """Return the value of --config, which must be known before the words are parsed."""
    values = None
    for i, word in enumerate(words):
        name, equals, value = word.partition("=")
        if word == "--":
            break
        if name == "--config":
            values = value if equals else words[i + 1] if i + 1 < len(words) else ""
    return values


def find(folder: Path) -> Path | None:
    """Return the nearest file, from a folder upwards: evalkit.toml, or a pyproject.toml with a table tool.evalkit."""
    for place in (folder, *folder.parents):
        if (place / "evalkit.toml").is_file():
            return place / "evalkit.toml"
        project = place / "pyproject.toml"
        try:
            if project.is_file() and re.search(rb"^\s*\[+\s*tool\s*\.\s*evalkit\b", project.read_bytes(), re.MULTILINE):
                return project
        except OSError:
            continue
    return None


class _File:
    """A TOML file: its settings, and where each stands. Raises UsageError where it is no TOML, or holds no table."""

    def __init__(self, path: Path, raw: bytes):
        self.path = path
        try:
            self._text = raw.decode("utf-8")
            content: Any = tomllib.loads(self._text)
        except UnicodeDecodeError as error:
            raise UsageError(f"{path} is not UTF-8 text (byte {error.start})") from None
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise UsageError(f"{path} is not valid TOML: {error}") from None
        self._above: tuple[str, ...] = ("tool", "evalkit") if path.name == "pyproject.toml" else ()
        for name in self._above:
            content = content.get(name, {}) if isinstance(content, dict) else {}
        if not isinstance(content, dict):
            raise UsageError(f"{path}: tool.evalkit is not a table")
        self.settings: dict[str, Any] = content

    def where(self, *keys: str) -> str:
        """Return the file and, if it can be told, the line of a setting, with its name."""
        line = self._line([*self._above, *keys])
        return f"{self.path}{f' line {line}' if line else ''}: {'.'.join(keys)}"

    def _line(self, keys: Sequence[str]) -> int | None:
        """Return the line on which the last key stands, below the header of the others."""
        table: list[str] = []
        for number, line in enumerate(self._text.splitlines(), start=1):
            if header := re.match(r"\s*\[+([^\]]+)\]", line):
                table = _keys(header[1])
                if table == [*keys]:
                    return number
            elif (key := re.match(r"\s*([\w.\-\"' ]+?)\s*=", line)) and [*table, *_keys(key[1])][: len(keys)] == [
                *keys
            ]:
                return number
        return None

    def table(self, *keys: str) -> dict[str, Any]:
        """Return a table. Raises UsageError where something else stands there."""
        value: Any = self.settings
        for i, key in enumerate(keys):
            value = value.get(key, {})
            if not isinstance(value, dict):
                raise UsageError(f"{self.where(*keys[: i + 1])}: expected a table, not {value!r:.60}")
        return value  # type: ignore[no-any-return]

    def commands(self, parser: argparse.ArgumentParser) -> Iterator[tuple[argparse.ArgumentParser, tuple[str, ...]]]:
        """Yield the commands and actions that have settings, each with the keys of its table."""
        for name, command in _actions(parser).items():
            if self.table(name):
                inner = _actions(command)
                if not inner:
                    yield command, (name,)
                for key, action in inner.items():
                    if self.table(name, key):
                        yield action, (name, key)


def _keys(text: str) -> list[str]:
    return [part.strip().strip("\"'") for part in text.split(".")]


def _actions(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return a parser's commands by name."""
    subparsers = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    return {name: inner for action in subparsers for name, inner in action.choices.items()}


def _check(file: _File, parser: argparse.ArgumentParser) -> None:
    """Raise UsageError for settings outside the tables of commands that are unknown or of the wrong kind."""
    commands = _actions(parser)
    allowed = [*_PLACES, "aliases", "price_per_hour", *commands]
    for key, value in file.settings.items():
        if key not in allowed:
            raise _unknown(file, (key,), allowed)
        if key in _PLACES and not (isinstance(value, str) and value):
            raise UsageError(f"{file.where(key)}: expected a text, not {value!r:.60}")
        inner = _actions(commands[key]) if key in commands else {}
        for name in file.table(key) if inner else ():
            if name not in inner:
                raise _unknown(file, (key, name), list(inner))
    for name, value in file.table("aliases").items():
        if not isinstance(value, str) or not value or not re.fullmatch(r"[\w.\-]+", name):
            raise UsageError(
                f"{file.where('aliases', name)}: expected NAME = 'MODEL', such as mine = 'checkpoints/mine'"
            )
        _check_alias(file, name)
    for name, value in file.table("price_per_hour").items():
        if name not in _PRICES:
            raise _unknown(file, ("price_per_hour", name), _PRICES)
        number = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf")
        if not (isinstance(value, str) if name == "currency" else number):
            what = "a text such as 'EUR'" if name == "currency" else "a number"
            raise UsageError(f"{file.where('price_per_hour', name)}: expected {what}, not {value!r:.60}")


def _check_alias(file: _File, name: str) -> None:
    from evalkit.model.config import GPT3, HUB, LADDER

    if name in {*LADDER, *HUB, *GPT3}:
        raise UsageError(f"{file.where('aliases', name)}: the name of another model; choose one of your own")


def _unknown(file: _File, keys: tuple[str, ...], allowed: Sequence[str]) -> UsageError:
    return UsageError(f"{file.where(*keys)}: {unknown('setting', keys[-1], allowed)}")


def _set_defaults(file: _File, parser: argparse.ArgumentParser, table: tuple[str, ...], words: Sequence[str]) -> None:
    """Make the settings of a command its defaults; one that an option on the command line excludes is left out."""
    options = {
        option.removeprefix("--"): action
        for action in parser._actions
        for option in action.option_strings
        if option.startswith("--") and option.removeprefix("--") not in _REFUSED
    }
    for key, value in file.table(*table).items():
        name = key.replace("_", "-")
        if name in _REFUSED:
            raise UsageError(f"{file.where(*table, key)}: --{name} is for the command line alone")
        if name not in options:
            raise _unknown(file, (*table, key), [option.replace("-", "_") for option in options])
        action = options[name]
        setting = _value(action, value, file.where(*table, key))
        if not _excluded(parser, action, words):
            parser.set_defaults(**{action.dest: setting})
            action.required = False
            for exclusive in parser._mutually_exclusive_groups:
                exclusive.required = exclusive.required and action not in exclusive._group_actions


def _excluded(parser: argparse.ArgumentParser, action: argparse.Action, words: Sequence[str]) -> bool:
    """Whether the command line has an option that cannot stand beside this one."""
    typed = {word.partition("=")[0] for word in words if word.startswith("--") and len(word) > 2}
    rivals = [
        option
        for exclusive in parser._mutually_exclusive_groups
        if action in exclusive._group_actions
        for rival in exclusive._group_actions
        if rival is not action
        for option in rival.option_strings
    ]
    return any(option.startswith(name) for option in rivals for name in typed)


def _value(action: argparse.Action, value: Any, where: str) -> Any:
    """Return a setting as the option would be parsed. Raises UsageError for a value that the option cannot have."""
    if action.nargs == 0:
        if not isinstance(value, bool):
            raise UsageError(f"{where}: expected true or false, not {value!r:.60}")
        return value if action.const is True else not value
    several = isinstance(action, argparse._AppendAction) or action.nargs in ("+", "*")
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(item, str | int | float) and not isinstance(item, bool) for item in values) or not values:
        raise UsageError(f"{where}: expected a text, a number or a list of them, not {value!r:.60}")
    if several:
        return [_converted(action, item, where) for item in values]
    if len(values) > 1 and action.type is not None:
        raise UsageError(f"{where}: expected one value, not {value!r:.60}")
    return _converted(action, ",".join(map(str, values)), where)


def _converted(action: argparse.Action, value: Any, where: str) -> Any:
    text = str(value)
    try:
        parsed = action.type(text) if callable(action.type) else text
    except argparse.ArgumentTypeError as error:
        raise UsageError(f"{where}: {error}") from None
    except ValueError:
        raise UsageError(f"{where}: expected {NUMBERS.get(action.type, 'another value')}, not {text!r:.60}") from None
    if action.choices is not None and parsed not in action.choices:
        raise UsageError(f"{where}: {unknown('value', text, map(str, action.choices))}")
    return parsed


def complete(
    configuration: Configuration, parser: argparse.ArgumentParser, arguments: argparse.Namespace
) -> Configuration:
    """Put models in place of their aliases; return the configuration with what the command uses of it."""
    used = _used(configuration, parser, arguments)
    aliases = configuration.aliases
    for action in parser._actions if aliases else ():
        value = getattr(arguments, action.dest, None)
        if takes(action) in (MODELS, RUNS) and isinstance(value, str):
            names = [_at(configuration, aliases[name]) if name in aliases else name for name in value.split(",")]
            setattr(arguments, action.dest, ",".join(names))
    return replace(configuration, used=used)


def _at(configuration: Configuration, model: str) -> str:
    """Return a model; a path that exists beside the file is one from there."""
    assert configuration.path is not None
    place = configuration.path.parent / model
    exists = place.exists() or ("@" in model and Path(str(place).rpartition("@")[0]).exists())
    return str(place) if exists and configuration.path.parent != Path.cwd() else model


@contextmanager
def in_force(configuration: Configuration) -> Iterator[None]:
    """Set the environment variables that the file stands for, where the user has not, while the block runs."""
    if configuration.path is None:
        yield
        return
    from evalkit.runs.store import standing

    tokens = current.set(configuration), standing.set(configuration.used)
    added = {
        variable: _place(configuration, key)
        for key, variable in _PLACES.items()
        if key in configuration.settings and not os.environ.get(variable)
    }
    os.environ.update(added)
    try:
        yield
    finally:
        for variable in added:
            os.environ.pop(variable, None)
        current.reset(tokens[0])
        standing.reset(tokens[1])


def _place(configuration: Configuration, key: str) -> str:
    """Return a folder relative to the file; other settings as they are."""
    value = str(configuration.settings[key])
    assert configuration.path is not None
    return value if key == "cache_size" or value == OFF else str(configuration.path.parent / value)


def blamed(message: str) -> str:
    """Return where the file has the setting that an error is about, in parentheses; empty if about none of them."""
    standing = current.get()
    for key, value in standing.used.get("settings", {}).items():
        option = f"--{key.rpartition('.')[2].replace('_', '-')}"
        named = re.search(rf"(?<!\S){re.escape(option)}(?![\w-])", message)
        quoted = any(repr(str(item)) in message for item in (value if isinstance(value, list) else [value]))
        if (named or quoted) and standing.path:
            file = _File(standing.path, read_bytes(standing.path, UsageError, most=_LARGEST))
            return f" ({file.where(*key.split('.'))})"
    return ""


def _used(
    configuration: Configuration, parser: argparse.ArgumentParser, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Return what manifests say: the file, its SHA-256, and those of its settings that the command uses."""
    if configuration.path is None or configuration.fault:
        return {}
    settings = {
        key: configuration.settings[key]
        for key, variable in _PLACES.items()
        if key in configuration.settings and not os.environ.get(variable)
    }
    names = parser.prog.split()[1:]
    table: Any = configuration.settings
    for name in names:
        table = table.get(name, {})
    for key, value in table.items():
        action = parser._option_string_actions[f"--{key.replace('_', '-')}"]
        final, default = getattr(arguments, action.dest), parser.get_default(action.dest)
        if final == default or (isinstance(final, list) and final[: len(default)] == default):
            settings[".".join([*names, key])] = value
    for action in parser._actions:
        value = getattr(arguments, action.dest, None)
        for name in value.split(",") if takes(action) in (MODELS, RUNS) and isinstance(value, str) else ():
            if name in configuration.aliases:
                settings[f"aliases.{name}"] = configuration.aliases[name]
    return {"file": str(configuration.path), "sha256": configuration.digest, "settings": settings}
