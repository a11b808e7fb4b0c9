"""YAML text -> plain values, with the place of every key and value.

PyYAML's own constructor accepts doubled keys and loses the positions, so the values are made here, from its nodes. What
gate.yaml has no use for (anchors, aliases, merge keys, tags, a second document) is a fault: an alias is how a few lines
become gigabytes, and a doubled key is how a file says one thing to its reader and another to the gate.
"""

import re
from collections.abc import Iterator
from typing import Any

import yaml

from config.document import Document, Path, Place, Trap, meaning
from config.faults import ConfigError, Fault, quoted
from config.syntax import explain

MAX_DEPTH = 32

_TAG = "tag:yaml.org,2002:"
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_KINDS = {"int": "a number", "float": "a number", "timestamp": "a date", "null": "nothing"}


def parse(data: bytes, file: str) -> Document:
    """Return the document in `data`; faults that leave it readable are in `Document.faults`.

    Raises:
        ConfigError: it is no UTF-8, no YAML, empty, or nested deeper than `MAX_DEPTH`.
    """
    loader: _Loader | None = None
    try:
        loader = _Loader(data.decode("utf-8-sig"), file)
        node = loader.get_single_node()
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # ValueError: "\UFFFFFFFF", %YAML with 5,000 digits
        place = _place(loader.get_mark()) if loader else (1, 1)
        raise ConfigError([explain(error, data, file, place)]) from None
    if node is None:
        raise ConfigError([Fault(file, 1, 1, "the file is empty: remove it, and `gate init` writes a new one")])
    document = Document(file, faults=loader.faults)
    document.value = _value(document, node, ())
    return document


class _Loader(yaml.SafeLoader):
    """Composes nodes; notes anchors, aliases and tags as faults, and goes on as if they were not there."""

    def __init__(self, text: str, file: str) -> None:
        super().__init__(text)
        self.file = file
        self.faults: list[Fault] = []
        self.depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            mark: Any = event.start_mark
            self.get_event()  # type: ignore[no-untyped-call]
            alias = quoted(f"*{event.anchor}")
            self._note(event, f"the alias {alias} is not used here: write the value out, or put it in quotes")
            return yaml.ScalarNode(_TAG + "null", "", mark, mark)
        self._strip(event)
        if self.depth == MAX_DEPTH:
            raise ConfigError([Fault(self.file, *_place(event.start_mark), "nested too deeply: remove the brackets")])
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def _strip(self, event: Any) -> None:
        if event.anchor is not None:
            self._note(event, f"the anchor {quoted(f'&{event.anchor}')} is not used here: remove it")
        if event.tag is not None:
            self._note(event, f"the tag {quoted(event.tag)} is not used here: remove it")
        event.anchor = event.tag = None

    def _note(self, event: Any, message: str) -> None:
        self.faults.append(Fault(self.file, *_place(event.start_mark), message))


def _place(mark: Any) -> Place:
    return mark.line + 1, mark.column + 1


def _value(document: Document, node: yaml.Node, path: Path) -> Any:
    document.places[path] = _place(node.start_mark)
    if isinstance(node, yaml.MappingNode):
        return {key: _value(document, child, (*path, key)) for key, child in _entries(document, node, path)}
    if isinstance(node, yaml.SequenceNode):
        return [_value(document, child, (*path, i)) for i, child in enumerate(node.value)]
    document.texts[path] = node.value
    return _scalar(node)


def _entries(document: Document, node: yaml.MappingNode, path: Path) -> Iterator[tuple[str, yaml.Node]]:
    """Yield each key once, the first one where it is doubled."""
    for key_node, child in node.value:
        place = _place(key_node.start_mark)
        key = str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else None
        first = document.key_places.setdefault((*path, key), place) if key is not None else place
        message = _key_message(key_node, key, place, first)
        if message:
            document.faults.append(Fault(document.file, *place, message))
        if key is not None and first == place:
            yield key, child


def _key_message(node: yaml.Node, key: str | None, place: Place, first: Place) -> str | None:
    if key is None:
        return "a key must be a plain word: remove the brackets"
    if first != place:
        return f"the key {quoted(key)} is given twice, first in line {first[0]}: keep one of them"
    if node.tag == _TAG + "merge":
        return "the merge key '<<' is not used here: write the keys out"
    value = _scalar(node)
    if not isinstance(value, str):
        return f"the key {quoted(key)} means {meaning(value)} to YAML: put it in quotes"
    return None


def _scalar(node: yaml.Node) -> Any:
    kind, text = node.tag.removeprefix(_TAG), node.value
    if kind == "bool":
        return yaml.SafeLoader.bool_values[text.lower()]
    if kind == "null":
        return None
    if kind == "int" and _DECIMAL.fullmatch(text):
        return int(text)
    return Trap(_KINDS[kind]) if kind in _KINDS else text
