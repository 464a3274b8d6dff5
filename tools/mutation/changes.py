# SPDX-License-Identifier: MIT
#
# What can be changed in a C file, one thing at a time: for tools/mutate. It knows
# C by its tokens alone, and the house's style: a binary operator has a space on
# either side, a statement ends with its line.

import re
from collections import namedtuple

# `name` is of the function, or of the macro or the data outside of functions.
Mutation = namedtuple("Mutation", "start end new line name is_function")
Token = namedtuple("Token", "kind text start end")

_TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*|/\*.*?\*/|\\\n)
      | (?P<text>L?"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
      | (?P<number>\.?\d(?:[eEpP][+-]|[\w.])*)
      | (?P<word>[A-Za-z_]\w*)
      | (?P<mark>->|\+\+|--|<<=|>>=|<=|>=|==|!=|&&|\|\||<<|>>|[-+*/%&|^]=|\.\.\.|.)
    """,
    re.X | re.S,
)
_DIRECTIVE = re.compile(r"^[ \t]*#(?:[^\n\\]|\\\n|\\.)*", re.M)
_DEFINE = re.compile(r"[ \t]*#\s*define\s+(\w+)(?:\([^)]*\))?")

_OPERATORS = {
    "+": ["-"], "-": ["+"], "*": ["/"], "/": ["*"], "%": ["/"],
    "<": ["<=", ">="], "<=": ["<", ">"], ">": [">=", "<="], ">=": [">", "<"],
    "==": ["!="], "!=": ["=="], "&&": ["||"], "||": ["&&"],
    "&": ["|"], "|": ["&"], "^": ["&"], "<<": [">>"], ">>": ["<<"],
    "+=": ["-=", "="], "-=": ["+=", "="], "*=": ["/=", "="], "/=": ["*=", "="],
    "|=": ["&=", "="], "&=": ["|=", "="],
}
_WORDS = {
    "true": "false", "false": "true",
    "SIG_BLOCK": "SIG_UNBLOCK", "SIG_UNBLOCK": "SIG_BLOCK",
    "SIG_SETMASK": "SIG_BLOCK", "SIG_DFL": "SIG_IGN", "SIG_IGN": "SIG_DFL",
    "break": "continue", "UINT64_MAX": "0", "UINT32_MAX": "0", "INT_MAX": "0",
}
# The first two of a family take each other's place, all others the first's.
_FAMILIES = [
    (re.compile(r"UV_E[A-Z]+$"), "UV_EINVAL", "UV_EBUSY"),
    (re.compile(r"SIG[A-Z0-9]+$"), "SIGTERM", "SIGINT"),
    (re.compile(r"E[A-Z]{3,}$"), "EINTR", "EAGAIN"),
]
_FLAG = re.compile(r"[A-Z][A-Z0-9_]+$")
_KEYWORDS = {"if", "else", "for", "while", "do", "switch", "case", "default",
             "return", "goto", "break", "continue", "sizeof"}
_TYPES = {"const", "static", "unsigned", "struct", "enum", "union", "int", "char",
          "bool", "long", "short", "double", "void", "extern", "volatile",
          "register", "typedef", "sigset_t"}


def tokens(text):
  """Those of the code, and those of each macro's body with the macro's name."""
  code, macros, at = [], [], 0
  blank = text
  for directive in _DIRECTIVE.finditer(_without_comments(text)):
    start, end = directive.span()
    define = _DEFINE.match(text, start, end)
    if define:
      macros.append((define.group(1), _scan(text, define.end(), end)))
    blank = blank[:start] + re.sub(r"[^\n]", " ", blank[start:end]) + blank[end:]
  return _scan(blank, 0, len(blank)), macros


def _without_comments(text):
  return re.sub(r"/\*.*?\*/", lambda m: re.sub(r"[^\n]", " ", m.group()), text,
                flags=re.S)


def _scan(text, start, end):
  return [Token(m.lastgroup, m.group(), *m.span())
          for m in _TOKEN.finditer(text, start, end) if m.lastgroup != "space"]


def enumerations(text):
  """{enumerator: the next one of its enum}"""
  following = {}
  for body in re.findall(r"\benum\b[^{};()]*\{(.*?)\}", _without_comments(text),
                         re.S):
    names = re.findall(r"(?:^|,)\s*([A-Z]\w+)", body)
    if len(names) > 1:
      following.update(zip(names, names[1:] + names[:1]))
  return following


def _partners(code):
  """{index of each bracket: that of the other one}"""
  partner, stack = {}, []
  for i, token in enumerate(code):
    if token.text in ("(", "[", "{"):
      stack.append(i)
    elif token.text in (")", "]", "}") and stack:
      partner[i] = stack.pop()
      partner[partner[i]] = i
  return partner


class _File:
  def __init__(self, text, following):
    self.text = text
    self.following = following
    self.found = []
    self.name = None
    self.is_function = False

  def add(self, start, end, new):
    if self.text[start:end] != new:
      line = self.text.count("\n", 0, start) + 1
      self.found.append(
          Mutation(start, end, new, line, self.name, self.is_function))

  # --- One token ------------------------------------------------------------

  def token(self, code, i):
    token = code[i]
    before = code[i - 1] if i > 0 else None
    after = code[i + 1] if i + 1 < len(code) else None
    if token.kind == "number":
      self.number(token, before)
    elif token.kind == "word":
      self.word(token, before, after)
    elif token.kind == "mark":
      self.mark(token, before, after)

  def number(self, token, before):
    match = re.fullmatch(r"(0x[0-9a-fA-F]+|\d+)([uUlL]*)", token.text)
    if match is None: # a double
      self.add(token.start, token.end, "0.0")
      return
    value = int(match.group(1), 0)
    if before is not None and before.text == "[":
      values = {1} if value > 1 else {value + 1}
    elif value > 20: # a length or a duration: one more or less is no change
      values = {0, 1}
    else:
      values = {0, 1, value + 1, value - 1}
    for other in sorted(values - {value}):
      self.add(token.start, token.end, "%d%s" % (other, match.group(2)))

  def word(self, token, before, after):
    if before is not None and before.text in ("goto", ".", "->"):
      return
    other = self.following.get(token.text) or _WORDS.get(token.text)
    if other is None and after is not None and after.text != "(":
      for pattern, first, second in _FAMILIES:
        if pattern.match(token.text):
          other = first if token.text != first else second
          break
    if other is not None:
      self.add(token.start, token.end, other)
    if before is not None and before.text == "|" and _FLAG.match(token.text):
      self.add(before.start, token.end, "")

  def mark(self, token, before, after):
    spaced = (self.text[token.start - 1].isspace() and
              self.text[token.end:token.end + 1].isspace())
    binary = before is not None and (
        before.kind in ("word", "number", "text") and
        before.text not in _KEYWORDS or before.text in (")", "]"))
    if spaced and binary:
      for other in _OPERATORS.get(token.text, ()):
        self.add(token.start, token.end, other)
    elif token.text in ("++", "--"):
      self.add(token.start, token.end, "--" if token.text == "++" else "++")
    elif token.text in ("!", "~") or (token.text == "-" and not spaced):
      self.add(token.start, token.end, "")

  # --- Conditions and statements --------------------------------------------

  def negate(self, start, end):
    """Unless another mutation does it: that of its one operator."""
    text = self.text[start:end]
    if re.search(r"&&|\|\|", text) or not re.search(r"[=!]=|[^-]>|<|^!", text):
      self.add(start, end, "!(%s)" % text)

  def condition(self, start, end, is_loop):
    text = self.text[start:end].strip()
    start += self.text[start:end].find(text)
    end = start + len(text)
    if text == "":
      return
    self.negate(start, end)
    self.add(start, end, "0 && (%s)" % text)
    if not is_loop:
      self.add(start, end, "1 || (%s)" % text)

  def conditions(self, code, i, partner):
    word = code[i].text
    if word in ("if", "while") and code[i + 1].text == "(":
      self.condition(code[i + 1].end, code[partner[i + 1]].start, word != "if")
    elif word == "for":
      ends = []
      j = i + 2
      while j < partner[i + 1]:
        if code[j].text in ("(", "[", "{"):
          j = partner[j]
        elif code[j].text == ";":
          ends.append(j)
        j += 1
      self.condition(code[ends[0]].end, code[ends[1]].start, True)
    elif word == "?":
      start = i - 1
      while code[start].text not in (";", "{", "}", "(", "[", ",", "=", "return",
                                     ":", "?"):
        start = partner[start] - 1 if code[start].text in (")", "]") else start - 1
      self.negate(code[start + 1].start, code[i - 1].end)

  def statement(self, code, i, end):
    """code[i] is its first token, code[end] its semicolon."""
    first, second = code[i], code[i + 1]
    if first.kind == "word" and first.text in ("break", "continue", "goto"):
      self.add(first.start, code[end].start, "(void) 0")
    elif first.text == "return":
      self.add(first.start, code[end].start, "(void) 0")
      self.returned(code[i + 1:end])
    elif first.text in _TYPES or first.text in _KEYWORDS:
      return
    elif first.kind == "word" and (second.kind == "word" or second.text == "*" and
                                   not self.text[second.start - 1].isspace()):
      return # a declaration
    elif end > i:
      self.add(first.start, code[end].start, "(void) 0")

  def returned(self, value):
    if len(value) < 2:
      return
    start, end = value[0].start, value[-1].end
    if any(t.text in ("==", "!=", "<", "<=", ">", ">=", "&&", "||", "!")
           for t in value) and not any(t.text == "?" for t in value):
      self.negate(start, end)
    else:
      self.add(start, end, "0")

  # --- All of it ------------------------------------------------------------

  def function(self, code, first, last, partner):
    starts = True # of a statement
    head = first # the end of a for's head: its semicolons end no statement
    i = first
    while i < last:
      text = code[i].text
      if text == "__attribute__":
        i = partner[i + 1]
      elif text == "case":
        while code[i].text != ":":
          i += 1
        starts = True
        i += 1
        continue
      else:
        if starts and text not in ("{", "}", ";"):
          end = i
          while end < last and code[end].text != ";":
            end = partner[end] if code[end].text in ("(", "[", "{") else end
            end += 1
          if end < last and text not in _KEYWORDS - {"return", "goto", "break",
                                                     "continue"}:
            self.statement(code, i, end)
        self.token(code, i)
        self.conditions(code, i, partner)
        if text == "for":
          head = partner[i + 1]
        starts = i >= head and ( text in (";", "{", "}", "else", "do") or
            text == ")" and code[partner[i] - 1].text in ("if", "for", "while"))
      i += 1

  def outside(self, code, i, partner):
    """code[i] is a brace outside of functions: constants of data and enums."""
    start = i
    while start > 0 and code[start - 1].text not in (";", "}"):
      start -= 1
    head = code[start:i]
    if head and head[-1].text == "=":
      self.name = [t.text for t in head if t.kind == "word"][-1]
    elif not any(t.text == "enum" for t in head):
      return
    for j in range(i, partner[i]):
      if code[j].kind == "word" and code[j + 1].text == "=":
        self.name = code[j].text
      if code[j].kind == "number" or head[-1].text == "=":
        self.token(code, j)

  def all(self):
    code, macros = tokens(self.text)
    partner = _partners(code)
    i = 0
    while i < len(code):
      if code[i].text == "{":
        if code[i - 1].text == ")":
          self.name = code[partner[i - 1] - 1].text
          self.is_function = True
          self.function(code, i + 1, partner[i], partner)
          self.is_function = False
        else:
          self.outside(code, i, partner)
        i = partner[i]
      i += 1
    for self.name, body in macros:
      for i in range(len(body)):
        self.token(body, i)
    return self.found


def mutations(text, following):
  """All that can be changed, in the file's order."""
  return sorted(_File(text, following).all())
