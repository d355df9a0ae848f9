"""What TOML's parser says, in words that tell a person what to write instead."""

from __future__ import annotations

import re

from optimizer.config.mistakes import shown

_PAIR = re.compile(r"\s*(?P<key>[^=\s]+)\s*=\s*(?P<value>.*?)\s*(#.*)?$", re.DOTALL)
#: Quotes that a word processor makes: double ones, single ones, guillemets.
_TYPOGRAPHIC = "\u201c\u201d\u201e\u201f\u2018\u2019\u201a\u201b\u00ab\u00bb"
_QUOTES = "text begins and ends with a quote on the same line"
_ONE_PAIR = "expected key = value, a [table] or a # comment"

#: What the parser says, by how it begins; and what to do, where no more can be told from the line.
_ADVICE = (
    ("Unescaped '\\'", "a backslash begins an escape between double quotes; write the text in single quotes: '...'"),
    ("Invalid hex value", "a backslash begins an escape between double quotes; write the text in single quotes: '...'"),
    ("Escaped character is not", "a backslash begins an escape between double quotes; write the text in single quotes: "
                                 "'...'"),
    ("Unclosed array", "a list is not closed; end it with ]"),
    ("Unclosed inline table", "a table in braces is not closed; end it with } on the same line"),
    ("Duplicate inline table key", "the table in braces has a key twice; keep one of them"),
    ("Expected ']]'", "a bracket is missing; the header of a list of tables has two on each side: [[datasets]]"),
    ("Expected ']'", "a bracket is missing; the header of a table ends with ] on the same line: [resources]"),
    ("Invalid date or datetime", "found a date that does not exist; mend it, or write it as text in quotes"),
    ("Cannot mutate immutable", "the key adds to a table in braces, which is complete; write its keys in one place"),
    ("Cannot declare", "the table is there already; put all its keys under one header"),
)


def explained(message: str, line: str) -> str:
    """The parser's message about a line of a study file, as what was found and what to do next."""
    pair = _PAIR.match(line)
    key, value = (pair["key"], pair["value"]) if pair else ("", "")
    bare = line.strip()
    if any(letter in line for letter in _TYPOGRAPHIC) and message.startswith(("Invalid", "Expected")):
        return 'found typographic quotes; write straight quotes: "text"'
    if bare.startswith(("//", "/*", ";", "--")):
        return f"found {shown(bare)}; a comment begins with #"
    if message.startswith(("Expected '='", "Invalid statement")):
        return _no_statement(bare)
    if message.startswith("Illegal character"):
        return _illegal(message)
    if message.startswith("Invalid value"):
        return _no_value(key, value)
    if message.startswith("Expected newline"):
        return _too_much(key, value)
    if message.startswith("Cannot overwrite"):
        if bare.startswith("[["):
            return f"found {shown(bare)} after the same name with one pair of brackets; write {bare} above each of them"
        return f"{shown(key or bare)} is given twice; keep one of them"
    if message.startswith("Cannot declare") and "twice" in message:
        return f"{shown(bare)} is there twice; put all its keys under one header"
    if message.startswith(("Invalid initial character", "Unclosed inline")) and "{" in line:
        return "a table in braces stands on one line, with } at its end; a long one is written as a [table]"
    return next((advice for begins, advice in _ADVICE if message.startswith(begins)), f"{message}; {_ONE_PAIR}")


def unclosed(message: str, lines: list[str]) -> tuple[int, str]:
    """Where what the parser missed at the end of the file was opened (1 is the first line), and what to do."""
    if not message.startswith(("Unterminated string", "Expected")):
        return max(len(lines), 1), "the file ends inside a list or before a value; end a list with ]"
    mark = '"""' if message.startswith("Unterminated string") else "'''" if "'''" in message else "'"
    told = f"a quote is not closed; {_QUOTES}" if mark == "'" else \
        f"text in three quotes is not closed; end it with {mark}"
    opened = [number for number, line in enumerate(lines, 1) if line.count(mark) % 2]
    if not opened:
        return len(lines), explained(message, lines[-1] if lines else "")
    return opened[-1], told


def _no_statement(bare: str) -> str:
    if re.match("(<{7}|={7}|>{7})( |$)", bare):
        return f"found {shown(bare)}, the mark of a merge conflict; keep one of the two sides"
    if bare.startswith("{"):
        return f"found {shown(bare)}, as in JSON; a study file is TOML: {_ONE_PAIR}"
    with_colon = re.match(r"(?P<key>[\w-]+)\s*:(?P<value>.*)$", bare)
    if with_colon:
        value = with_colon["value"].strip()
        value = value if value and value.isprintable() and len(value) <= 60 else "..."
        return f"found {shown(bare)}, as in YAML; a study file is TOML: {with_colon['key']} = {value}"
    return f"found {shown(bare)}; {_ONE_PAIR}"


def _illegal(message: str) -> str:
    if "'\\n'" in message or "'\\r'" in message:
        return f"a quote is opened and not closed; {_QUOTES}"
    return f"found the control character {message.partition(' character ')[2]}; take it out, or write it as an escape"


def _no_value(key: str, value: str) -> str:
    if not value:
        return f"{shown(key)} has no value; write one, as in folds = 5, or leave the key out"
    if value in ("True", "False", "TRUE", "FALSE"):
        return f"found {value}; write {value.lower()}"
    if value.lower() in ("none", "null", "nil", "na"):
        return f"found {shown(value)}, and TOML has no such value; leave the key out"
    return _in_quotes(key, value)


def _too_much(key: str, value: str) -> str:
    if "\r" in value or "\r" in key:
        return "found a carriage return by itself; save the file with Unix or Windows line ends"
    if re.fullmatch(r"\d+,\d+", value):
        return f"found {shown(value)}; a number has no comma, and a point before decimals: {value.replace(',', '.')}"
    if re.fullmatch(r"0\d+", value):
        return f"found {shown(value)}; a number has no zero before it: {value.lstrip('0') or '0'}"
    if re.fullmatch(r"\d{1,3}([' ]\d{3})+", value):
        return f"found {shown(value)}; write the number without separators: {re.sub('[^0-9]', '', value)}"
    if re.fullmatch(r"[\w.+%/:-]+", value):
        return _in_quotes(key, value)
    return "found more behind the value; write one key = value on a line, and text in quotes"


def _in_quotes(key: str, value: str) -> str:
    text = value if len(value) <= 60 and '"' not in value and "\\" not in value and value.isprintable() else "..."
    return f'found {shown(value)}; text needs quotes: {shown(key)[1:-1]} = "{text}"'
