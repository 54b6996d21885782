"""Finds the places of a source file at which mechanical mutants can be made, by the compiler's own tree of it (libclang).

places_of(source, includes, wanted) parses one file as the host build compiles it and answers the mutants of all `wanted`
files that it includes. Templates are parsed once, in their definition.
"""
import collections
import dataclasses
import pathlib
import re

try:
    import clang.cindex as clang
    from clang.cindex import CursorKind as Kind, TypeKind
except ImportError as missing:
    raise SystemExit("mechanical.py: python3-clang-14 is not installed, which reads the kernels for it "
                     "(scripts/setup.sh --checks installs it)") from missing

NEIGHBOURS = {"<": ("<=", ">"), "<=": ("<", ">="), ">": (">=", "<"), ">=": (">", "<="), "==": ("!=",), "!=": ("==",)}
NEGATED = {"==": "!=", "!=": "=="}
ONE_OFF = {"<": "- 1", "<=": "+ 1", ">": "+ 1", ">=": "- 1", "==": "+ 1", "!=": "+ 1"}  # others are a neighbour
KIN = {"+": "-", "-": "+", "*": "/", "/": "*", "%": "/", "&&": "||", "||": "&&", "&": "|", "|": "&", "^": "|",
       "<<": ">>", ">>": "<<"}
KIN_ASSIGNED = {operator + "=": kin + "=" for operator, kin in KIN.items() if operator not in ("&&", "||")}
BARRIERS = {"__syncthreads", "__syncwarp", "__threadfence", "cluster_arrive", "cluster_wait", "cluster_barrier",
            "grid_barrier", "group_barrier", "meet", "open", "sent", "receive", "end_group", "wait", "begin",
            "overlap_launches", "let_next_launch_start", "wait_for_earlier_launches", "watch::fence"}
FUNCTIONS = {Kind.FUNCTION_DECL, Kind.FUNCTION_TEMPLATE, Kind.CXX_METHOD, Kind.CONSTRUCTOR, Kind.DESTRUCTOR,
             Kind.CONVERSION_FUNCTION}
# What a run-time switch cannot be in: types, templates' arguments, what is never evaluated, what is a constant.
CONSTANT = {Kind.STATIC_ASSERT, Kind.ENUM_DECL, Kind.FIELD_DECL, Kind.PARM_DECL, Kind.TEMPLATE_TYPE_PARAMETER,
            Kind.TEMPLATE_NON_TYPE_PARAMETER, Kind.TEMPLATE_TEMPLATE_PARAMETER, Kind.CXX_UNARY_EXPR, Kind.TYPE_REF,
            Kind.TEMPLATE_REF, Kind.ALIGNED_ATTR, Kind.TYPE_ALIAS_DECL, Kind.TYPEDEF_DECL}
INTEGERS = {TypeKind.CHAR_U, TypeKind.UCHAR, TypeKind.USHORT, TypeKind.UINT, TypeKind.ULONG, TypeKind.ULONGLONG,
            TypeKind.CHAR_S, TypeKind.SCHAR, TypeKind.SHORT, TypeKind.INT, TypeKind.LONG, TypeKind.LONGLONG}
SCALARS = INTEGERS | {TypeKind.BOOL, TypeKind.ENUM, TypeKind.FLOAT, TypeKind.DOUBLE, TypeKind.POINTER}
POINTERS = {TypeKind.POINTER, TypeKind.CONSTANTARRAY, TypeKind.INCOMPLETEARRAY, TypeKind.VARIABLEARRAY,
            TypeKind.DEPENDENTSIZEDARRAY}
UNKNOWN = {TypeKind.DEPENDENT, TypeKind.UNEXPOSED, TypeKind.AUTO, TypeKind.INVALID}


@dataclasses.dataclass(frozen=True)
class Mutant:
    """One change of a source text, [begin, end), which is an expression or a statement with its semicolon."""
    kind: str
    file: str
    function: str
    begin: int
    end: int
    production: str
    planted: str


def kind_of(node):
    return node.type.get_canonical().kind


def as_written(node):
    """The expression under conversions that nobody wrote."""
    children = list(node.get_children())
    converts = node.kind == Kind.UNEXPOSED_EXPR or node.spelling == "operator bool"
    return as_written(children[0]) if converts and len(children) == 1 else node


class Places:
    """The mutants of one file, collected on a walk over its tree."""

    def __init__(self, file, text):
        self.file, self.text = file, text
        self.mutants, self.left_out = {}, collections.Counter()
        self.function = ""

    def span(self, node):
        return node.extent.start.offset, node.extent.end.offset

    def source(self, node):
        begin, end = self.span(node)
        return self.text[begin:end]

    def add(self, kind, begin, end, planted):
        production = self.text[begin:end]
        if not planted.startswith("{") and planted != production and re.match(r"[\w(*&~+\-\"']|!(?!=)|::", production):
            mutant = Mutant(kind, self.file, self.function, begin, end, production, planted)
            self.mutants.setdefault((begin, end, planted), mutant)

    # What a node becomes.

    def operator(self, node):
        """The two sides and the operator's place; None where a macro hides it."""
        sides = list(node.get_children())
        if len(sides) != 2:
            return None
        begin, end = self.span(sides[0])[1], self.span(sides[1])[0]
        between = self.text[begin:end]
        operator = between.strip()
        return (*sides, operator, begin + between.index(operator)) if operator in KNOWN else None

    def binary(self, node):
        found = self.operator(node)
        if found is None:
            return
        left, right, operator, at = found
        begin, end = self.span(node)

        def with_operator(kind, other):
            self.add(kind, begin, end, self.text[begin:at] + other + self.text[at + len(operator):end])

        types = {kind_of(left), kind_of(right)}
        if operator in NEIGHBOURS:
            plain = types <= INTEGERS | UNKNOWN | {TypeKind.FLOAT, TypeKind.DOUBLE}
            for other in NEIGHBOURS[operator] if plain else [NEGATED[operator]] if operator in NEGATED else []:
                with_operator("a comparison by its neighbour", other)
            if types <= INTEGERS:
                self.add("one more or less in a bound", *self.span(right), f"({self.source(right)}) {ONE_OFF[operator]}")
        elif operator in KIN or operator in KIN_ASSIGNED:
            arithmetic = operator.rstrip("=") if operator in KIN_ASSIGNED else operator
            if types & POINTERS and arithmetic not in "+-" or {TypeKind.RECORD} & types:
                return
            if arithmetic == "-" and types <= POINTERS:
                return
            with_operator("an operator by its kin", KIN.get(operator) or KIN_ASSIGNED[operator])
            if operator == "/" and types <= INTEGERS:
                with_operator("an operator by its kin", "%")

    def unary(self, node):
        begin, end = self.span(node)
        inner = list(node.get_children())
        if len(inner) == 1 and self.text[begin] in "!-" and self.text[begin:begin + 2] != "--":
            kind = "a condition negated" if self.text[begin] == "!" else "an operator by its kin"
            if self.text[begin] == "!" and kind_of(as_written(inner[0])) not in INTEGERS | UNKNOWN | {TypeKind.BOOL}:
                return  # of another type than its negation
            self.add(kind, begin, end, self.source(inner[0]))

    def negated(self, condition):
        text = self.source(condition)
        if condition.kind == Kind.BINARY_OPERATOR:
            found = self.operator(condition)
            if found and found[2] in NEGATED:
                return  # a neighbour says the same
        if condition.kind == Kind.UNARY_OPERATOR and text.startswith("!"):
            return
        if kind_of(condition) not in INTEGERS | UNKNOWN | {TypeKind.BOOL}:
            return  # of another type than its negation
        self.add("a condition negated", *self.span(condition), f"!({text})")

    def one_off(self, kind, node, changes):
        if kind_of(node) in INTEGERS:
            for change in changes:
                self.add(kind, *self.span(node), f"({self.source(node)}) {change}")

    def index(self, node):
        index = list(node.get_children())[-1]
        self.one_off("one more or less in an index", index, ("+ 1",) if self.source(index) == "0" else ("+ 1", "- 1"))

    def arguments(self, node):
        given = [argument for argument in node.get_arguments() if argument is not None]
        for one, other in zip(given, given[1:]):
            alike = one.type.get_canonical().spelling == other.type.get_canonical().spelling
            if not alike or kind_of(one) not in SCALARS:
                continue  # a choice between objects may be a copy, which a callee must not keep
            self.add("an argument by another of its type", *self.span(one), self.source(other))
            self.add("an argument by another of its type", *self.span(other), self.source(one))

    def statement(self, node):
        """A statement that is an expression, or returns nothing."""
        begin, end = self.span(node)
        tail = self.text[end:]
        if not tail.lstrip().startswith(";"):
            return
        end += tail.index(";") + 1
        called = self.source(node).split("(")[0].split("<")[0].replace(".", " ").replace("::", " ").split()
        barrier = node.kind == Kind.CALL_EXPR and called and called[-1] in BARRIERS
        self.add("a barrier dropped" if barrier else "a statement dropped", begin, end, "")

    # The walk.

    def children(self, node):
        """Those in which a run-time switch may be."""
        children = list(node.get_children())
        kind, name_at = node.kind, node.location.offset
        if kind in FUNCTIONS:
            body = [child for child in children if child.kind == Kind.COMPOUND_STMT]
            head = self.text[self.span(node)[0]:self.span(body[0])[0] if body else self.span(node)[1]]
            if "constexpr" in head.split("{")[0]:
                return self.leave_out("in constexpr functions", children)
            self.function = node.spelling
            return [c for c in children if c.kind == Kind.COMPOUND_STMT
                    or kind == Kind.CONSTRUCTOR and c.kind.is_expression()]
        if kind in CONSTANT or kind == Kind.DECL_STMT and re.match(r"(static )?constexpr\b", self.source(node)):
            return self.leave_out("in constants, types and templates' arguments", children)
        if kind == Kind.VAR_DECL:
            head = self.text[self.span(node)[0]:name_at].split()
            if "constexpr" in head or "static" in head or node.semantic_parent.kind in (Kind.NAMESPACE,
                                                                                       Kind.TRANSLATION_UNIT):
                return self.leave_out("in initialisers of constants and statics", children)
            return [c for c in children if self.span(c)[0] > name_at
                    and not self.text[self.span(c)[1]:].lstrip().startswith("]")]
        if kind in (Kind.DECL_REF_EXPR, Kind.OVERLOADED_DECL_REF):
            return self.leave_out("in constants, types and templates' arguments", children)
        if kind == Kind.MEMBER_REF_EXPR:
            return [c for c in children if self.span(c)[0] < name_at]
        if kind == Kind.IF_STMT and self.text[self.span(node)[0]:].split("(")[0].split()[-1:] == ["constexpr"]:
            condition = [c for c in children if c.kind.is_expression()][:1]
            self.leave_out("in constants, types and templates' arguments", condition)
            return [c for c in children if c not in condition]
        if kind == Kind.CASE_STMT:
            return children[1:]
        if kind == Kind.LAMBDA_EXPR:
            return [c for c in children if c.kind == Kind.COMPOUND_STMT]
        return children

    def leave_out(self, why, nodes):
        for node in nodes:
            for inner in node.walk_preorder():
                if inner.kind == Kind.BINARY_OPERATOR and self.operator(inner):
                    self.left_out[why] += 1
        return []

    def walk(self, node):
        kind, before = node.kind, self.function
        if kind == Kind.BINARY_OPERATOR or kind == Kind.COMPOUND_ASSIGNMENT_OPERATOR:
            self.binary(node)
        elif kind == Kind.UNARY_OPERATOR:
            self.unary(node)
        elif kind == Kind.ARRAY_SUBSCRIPT_EXPR:
            self.index(node)
        elif kind == Kind.CALL_EXPR:
            self.arguments(node)
        children = self.children(node)
        if kind in (Kind.IF_STMT, Kind.CONDITIONAL_OPERATOR):
            conditions = [c for c in children if c.kind.is_expression()]
            body_is_expression = kind == Kind.IF_STMT and len(conditions) > 1
            if conditions and (kind == Kind.CONDITIONAL_OPERATOR or children[0] == conditions[0] or body_is_expression
                               or children[0].kind == Kind.DECL_STMT):
                is_constexpr = kind == Kind.IF_STMT and "constexpr" in self.text[self.span(node)[0]:][:14]
                if not is_constexpr:
                    self.negated(conditions[0])
        if kind == Kind.RETURN_STMT and not children:
            self.statement(node)
        if kind == Kind.RETURN_STMT and children:
            self.one_off("one more or less in a bound", children[0], ("+ 1",))
        if kind == Kind.VAR_DECL and children:
            value = children[-1]
            if value.kind.is_expression() and kind_of(value) in INTEGERS:
                self.one_off("one more or less in a bound", value, ("+ 1",))
        header = children[:-1] if kind in (Kind.FOR_STMT, Kind.WHILE_STMT, Kind.IF_STMT, Kind.SWITCH_STMT) else []
        holds_statements = kind in (Kind.COMPOUND_STMT, Kind.FOR_STMT, Kind.IF_STMT, Kind.WHILE_STMT,
                                    Kind.CASE_STMT, Kind.DEFAULT_STMT)
        for number, child in enumerate(children):
            is_body = kind in (Kind.COMPOUND_STMT, Kind.CASE_STMT, Kind.DEFAULT_STMT) or child not in header or (
                kind == Kind.IF_STMT and number > 0)
            if holds_statements and is_body and child.kind.is_expression():
                self.statement(child)
            self.walk(child)
        self.function = before


KNOWN = set(NEIGHBOURS) | set(KIN) | set(KIN_ASSIGNED)


def ascii_text(path):
    """Clang counts bytes, Python characters."""
    text = path.read_text()
    if not text.isascii():
        raise SystemExit(f"mechanical.py: {path} holds more than ASCII; its places cannot be counted")
    return text


def places_of(source, root, includes, wanted):
    """{file: Places} of the `wanted` files (below `root`) that `source` consists of."""
    arguments = ["-x", "c++", "-std=c++20", *(f"-I{folder}" for folder in includes)]
    tree = clang.Index.create().parse(str(root / source), args=arguments)
    errors = [problem for problem in tree.diagnostics if problem.severity >= clang.Diagnostic.Error]
    if errors:
        raise SystemExit(f"mechanical.py: clang cannot read {source}: {errors[0]}")
    found = {}
    for node in tree.cursor.get_children():
        if node.location.file is None:
            continue
        path = pathlib.Path(node.location.file.name)
        file = path.relative_to(root).as_posix() if path.is_relative_to(root) else ""
        if file not in wanted:
            continue
        if file not in found:
            found[file] = Places(file, ascii_text(root / file))
        found[file].walk(node)
    return found
