"""The lexer against the server (MariaDB, or MySQL: see server.py), in every mode that changes what a text means: the server evaluates, and both must have read the same.

    GH_MY_LEX=100000 t/mysql/lexer.py     so many texts in each mode (500)

Strings, also of bytes that are no text, and quoted names by their values; comments by the sum of the numbers that were not commented out; variables, numbers and words by the labels of a
select list. What the server reads and the lexer refuses is counted; what both read differently fails.
Ends with the line "N passed, N failed".
"""
import os
import random
import sys

import pymysql

import facts as facts_of
import server as servers

MODES = ("", "ANSI_QUOTES", "NO_BACKSLASH_ESCAPES", "ANSI_QUOTES,NO_BACKSLASH_ESCAPES", "IGNORE_SPACE", "PIPES_AS_CONCAT,HIGH_NOT_PRECEDENCE")
NAME, QUOTED, STRING, NSTRING, NUMBER, END = 2, 3, 4, 5, 6, 0
PIECES = ["a", "B", "\\", "'", '"', "`", "''", '""', "``", "\\'", '\\"', "\\\\", "\\n", "\\0", "\\Z", "\\%", "\\_", "\\x", "\n", "\t", " ", "%", "_",
          "é", "字", "ß", "/*", "*/", "--", "-- ", "#", ";", "$", "\x7f", "\\é", "0", "x'"]
COMMENTS = ["/*", "*/", "/**/", "/*!", "/*!{v}", "/*!{v} ", "/*M!", "/*M!{v}", "/*M!{v} ", "/*!00000", "/*!50699 ", "/*!50700 ", "/*!99999 ", "/*!100000 ", " /*!50000 ", " /*!99999 ", " /*M!100000 ", " */ ", " */ ", " /*! ", "/*!1", "/*!12345",
            "/*!123456 ", "/*!1234567 ", "--", "-- ", "--\t", "--\n", "#", "\n", "\r", " ", "\t", "+1", "+2", "+4", " +8", "+16 ", "+ 32", "'", "\"", "`", "*", "/", "! ", "-"]
SOUP = ["1", "1e", "1e5", "1e+5", "1.", ".5", "1.5", "0x", "0x41", "0X41", "0b1", "0b2", "b'1'", "x'41'", "X'4'", "N'a'", "n'a'", "_utf8mb4'a'", "_utf8 'a'", "_foo", "a", "a1", "1a",
        "1_", "$a", "a$", "é", "a.b", "a .b", "a. b", ".as", ". as", "a .as", ".select", "`a`", "`a`.1", "a.1", "a.1a", "@a", "@`a b`", "@'a'", "@a.b", "@", "@@version", "@@global.version", "@@session .version",
        "@@`version`", "+", "-", "*", "=", ":=", "||", "&&", "!", "!=", "<>", "<=>", "<=", "<<", ">>", ">", "(", ")", ",", ".", "..", "null", "\\N", "count(*)", "select",
        "as", "'a'", "'a' 'b'", "\"a\"", "{d'2001-01-01'}", "?", "~", "^", "|", "&", "%", "div", "mod", "e5", " ", " ", " ", "now()", "now ()", "user ()"]


class Lexer:
    def __init__(self, server):
        self.version = server.version()
        self.connection = server.connect()
        self.facts = facts_of.Facts(server.kind, self.version)
        self.random = random.Random(int(os.environ.get("GH_MY_SEED", "1")))
        self.same = self.refused = self.both = 0
        self.wrong = []

    def ask(self, sql):
        """The first result row and the labels; None when the server refuses."""
        with self.connection.cursor() as c:
            try:
                c.execute(sql if isinstance(sql, bytes) else sql.encode())
            except pymysql.err.MySQLError:
                return None
            return (c.fetchone() or (None,)), [d[0] for d in c.description or ()]

    def tokens(self, sql, mode):
        return self.facts(sql, mode, lex=True).get("tokens")

    def soup(self, pieces, most):
        return "".join(self.random.choice(pieces) for _ in range(self.random.randrange(most))).replace("{v}", str(self.version))

    def compare(self, what, mode, sql, theirs, ours):
        if theirs is None:
            self.both += 1
        elif ours is None:
            self.refused += 1
        elif theirs == ours:
            self.same += 1
        else:
            self.wrong.append(f"{what} in mode {mode!r}: {sql!r}: the server read {theirs!r}, the lexer {ours!r}")

    def string(self, mode):
        quote = self.random.choice("'\"") if "ANSI" not in mode else "'"
        sql = "SELECT HEX(" + quote + self.soup(PIECES, 8) + quote + ") AS x"
        answer, tokens = self.ask(sql), self.tokens(sql, mode)
        try:
            theirs = bytes.fromhex(answer[0][0]) if answer and answer[1] == ["x"] and answer[0][0] is not None else None
        except (ValueError, TypeError):
            return  # the string ended early, and something else was selected
        if tokens is not None:
            strings = [t[1] for t in tokens if t[0] == STRING]
            plain = [t for t in tokens if t[0] != STRING]
            tokens = "".join(strings).encode() if len(plain) == 7 else None  # SELECT HEX ( ) AS x END: strings behind each other are one
        self.compare("string", mode, sql, theirs, tokens)

    def binary(self, mode):
        """Bytes of all kinds, as drivers send them: both find the same end, and the same value."""
        quote = b"'" if "ANSI" in mode else self.random.choice((b"'", b'"'))
        byte = lambda: bytes([self.random.randrange(128, 256)])  # noqa: E731
        body = b"".join(self.random.choice((byte(), byte() + byte(), b"\0", b"\\\0", self.random.choice(PIECES).encode())) for _ in range(self.random.randrange(8)))
        sql = b"SELECT HEX(" + self.random.choice((b"", b"_binary", b"_BINARY ", b"_binary/**/")) + quote + body + quote + b") AS x"
        answer, tokens = self.ask(sql), self.tokens(sql, mode)
        try:
            theirs = bytes.fromhex(answer[0][0]) if answer and answer[1] == ["x"] and answer[0][0] is not None else None
        except (ValueError, TypeError):
            return  # the string ended early
        if tokens is not None:
            strings = [bytes.fromhex(t[1]["hex"]) if isinstance(t[1], dict) else t[1].encode() for t in tokens if t[0] == STRING]
            tokens = b"".join(strings) if [t[1].lower() for t in tokens if t[0] != STRING and t[1] != "_binary" and t[1] != "_BINARY"] == ["select", "hex", "(", ")", "as", "x", ""] else None
        self.compare("bytes", mode, sql, theirs, tokens)

    def name(self, mode):
        quote = self.random.choice("`\"") if "ANSI" in mode else "`"
        sql = "SELECT 1 AS " + quote + "n" + self.soup(PIECES, 8).rstrip(" ") + "z" + quote
        answer, tokens = self.ask(sql), self.tokens(sql, mode)
        names = [t[1] for t in tokens if t[0] == QUOTED] if tokens is not None else None
        self.compare("name", mode, sql, answer[1] if answer else None, names)

    def comment(self, mode):
        sql = "SELECT 0" + self.soup(COMMENTS, 14) + "\n+64"
        answer, tokens = self.ask(sql), self.tokens(sql, mode)
        simple = tokens is not None and all(t[0] in (1, NUMBER, END) or (t[0] not in (STRING, QUOTED) and t[1] == "+") for t in tokens)
        ours = sum(int(t[1]) for t in tokens if t[0] == NUMBER and t[1].isdigit()) if simple else None
        theirs = answer[0][0] if answer and len(answer[1]) == 1 and isinstance(answer[0][0], int) else None
        if tokens is not None and not simple:
            return  # more than a sum: labels below
        self.compare("comment", mode, sql, theirs, ours)

    def variable(self, mode):
        """The label of a column is its text, without what is commented out: where it ends says where the tokens are."""
        sql = "SELECT " + self.soup(SOUP, 6) + " AS l1, " + self.soup(SOUP, 6) + " AS l2 FROM (SELECT 1 AS a, 2 AS b, 3 AS 1a, 4 AS é) AS a"
        answer, tokens = self.ask(sql), self.tokens(sql, mode)
        if tokens is None:
            self.compare("soup", mode, sql, answer, None)
            return
        labels = [tokens[i + 1][1] for i, t in enumerate(tokens) if t[0] == 1 and t[1].lower() == "as" and i + 1 < len(tokens) and tokens[i + 1][1] in ("l1", "l2")]
        theirs = [l for l in answer[1] if l in ("l1", "l2")] if answer else None
        self.compare("soup", mode, sql, theirs, labels)


def run(server):
    """Prints and returns what holds."""
    count = int(os.environ.get("GH_MY_LEX", "500"))
    lexer = Lexer(server)
    for mode in MODES:
        with lexer.connection.cursor() as c:
            c.execute("SET sql_mode = %s", (mode,))
        for _ in range(count):
            lexer.random.choice((lexer.string, lexer.name, lexer.comment, lexer.variable, lexer.binary))(mode)
    for line in lexer.wrong[:20]:
        print("WRONG: " + line)
    ok = [not lexer.wrong, lexer.same > count and lexer.refused < lexer.same / 4]
    print(f"{'ok     ' if ok[0] else 'FAILED '} {len(lexer.wrong)} texts were read otherwise than by the server; {lexer.same} alike, {lexer.refused} refused here alone, "
          f"{lexer.both} by the server")
    print(f"{'ok     ' if ok[1] else 'FAILED '} most of what the server reads is read here too")
    return ok


if __name__ == "__main__":
    sys.exit(servers.main(run))
