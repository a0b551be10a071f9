"""Message classes from our own `.proto`: what the protobuf compiler does, for as much of the language as we use.

So no generated code has to be kept beside the schema, and none that fits only one version of the runtime.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

_TOKEN = re.compile(r"//[^\n]*|\"[^\"]*\"|[\w.]+|[{}=;<>,]")
_SCALARS: Final = {
    "double": FieldDescriptorProto.TYPE_DOUBLE,
    "int64": FieldDescriptorProto.TYPE_INT64,
    "bool": FieldDescriptorProto.TYPE_BOOL,
    "string": FieldDescriptorProto.TYPE_STRING,
}


def message_class(text: str, name: str) -> type[Message]:
    """The class of one message of a schema. Raises ValueError for a schema that is not understood."""
    file = parse(text)
    pool = DescriptorPool()
    pool.Add(file)
    return GetMessageClass(pool.FindMessageTypeByName(f"{file.package}.{name}"))


def parse(text: str) -> FileDescriptorProto:
    """A schema as the runtime wants it. Raises ValueError."""
    words = (word for word in _TOKEN.findall(text) if not word.startswith("//"))
    file = FileDescriptorProto(name="feed.proto", syntax="proto3")
    for word in words:
        if word == "syntax":
            _expect(words, "=", '"proto3"', ";")
        elif word == "package":
            file.package = next(words)
            _expect(words, ";")
        elif word == "enum":
            _enum(words, file.enum_type.add(name=next(words)))
        elif word == "message":
            _message(words, file.message_type.add(name=next(words)), file.package)
        else:
            raise ValueError(f"unexpected {word}")
    _resolve(file)
    return file


def _expect(words: Iterator[str], *wanted: str) -> None:
    for one in wanted:
        found = next(words, "the end")
        if found != one:
            raise ValueError(f"{found} instead of {one}")


def _enum(words: Iterator[str], enum: EnumDescriptorProto) -> None:
    _expect(words, "{")
    for word in words:
        if word == "}":
            return
        _expect(words, "=")
        enum.value.add(name=word, number=int(next(words)))
        _expect(words, ";")


def _message(words: Iterator[str], message: DescriptorProto, package: str) -> None:
    _expect(words, "{")
    inside_union = False
    for word in words:
        if word == "}":
            if not inside_union:
                return
            inside_union = False
        elif word == "oneof":
            message.oneof_decl.add(name=next(words))
            _expect(words, "{")
            inside_union = True
        elif word == "map":
            _map(words, message, package)
        else:
            field = _field(words, message, word)
            if inside_union:
                field.oneof_index = len(message.oneof_decl) - 1


def _field(words: Iterator[str], message: DescriptorProto, word: str) -> FieldDescriptorProto:
    label = FieldDescriptorProto.LABEL_OPTIONAL
    if word == "repeated":
        label, word = FieldDescriptorProto.LABEL_REPEATED, next(words)
    name = next(words)
    _expect(words, "=")
    field = message.field.add(name=name, label=label, number=int(next(words)), type_name=word)
    _expect(words, ";")
    return field


def _map(words: Iterator[str], message: DescriptorProto, package: str) -> None:
    """`map<string, X> name = n;` is a repeated message of its own with key and value."""
    _expect(words, "<", "string", ",")
    value = next(words)
    _expect(words, ">")
    name = next(words)
    _expect(words, "=")
    number = int(next(words))
    _expect(words, ";")
    entry = message.nested_type.add(name=f"{name[0].upper()}{name[1:]}Entry")
    entry.options.map_entry = True
    optional = FieldDescriptorProto.LABEL_OPTIONAL
    entry.field.add(name="key", number=1, label=optional, type_name="string")
    entry.field.add(name="value", number=2, label=optional, type_name=value)
    message.field.add(
        name=name,
        number=number,
        label=FieldDescriptorProto.LABEL_REPEATED,
        type=FieldDescriptorProto.TYPE_MESSAGE,
        type_name=f".{package}.{message.name}.{entry.name}",
    )


def _resolve(file: FileDescriptorProto) -> None:
    """Puts the kind of type behind every type name."""
    enums = {enum.name for enum in file.enum_type}
    messages = {message.name for message in file.message_type}
    for message in file.message_type:
        for part in (message, *message.nested_type):
            for field in part.field:
                _resolve_field(field, file.package, enums, messages)


def _resolve_field(field: FieldDescriptorProto, package: str, enums: set[str], messages: set[str]) -> None:
    word = field.type_name
    if word.startswith("."):
        return
    if word in _SCALARS:
        field.ClearField("type_name")
        field.type = _SCALARS[word]
        return
    if word not in enums | messages:
        raise ValueError(f"unknown type {word}")
    field.type_name = f".{package}.{word}"
    field.type = FieldDescriptorProto.TYPE_ENUM if word in enums else FieldDescriptorProto.TYPE_MESSAGE
