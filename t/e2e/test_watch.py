"""gatehousectl approvals watch in a terminal: a pty, and a terminal of the test's own that knows the few sequences that may come, and no others."""
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
import unittest

import psycopg

import pagegate
import stack


class Terminal:
    """Runs a command; keeps what is on its screen. AssertionError for any control sequence but those that screen.c has."""

    def __init__(self, command, env, rows=24, columns=80):
        self.rows, self.columns = rows, columns
        self.clear()
        self.data = b""
        self.modes = set()
        self.old = False  # what comes may still be for the size before
        pid, self.fd = pty.fork()
        if pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
            os.execvpe(command[0], command, dict(env, TERM="xterm"))
        self.pid = pid

    def clear(self):
        self.screen = [" " * self.columns for _ in range(self.rows)]
        self.at = (0, 0)

    def resize(self, rows, columns):
        self.rows, self.columns = rows, columns
        self.clear()
        self.old = True
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def _put(self, text):
        row, column = self.at
        if self.old:
            return
        assert row < self.rows and column + len(text) <= self.columns, (row, column, text)
        self.screen[row] = self.screen[row][:column] + text + self.screen[row][column + len(text):]
        self.at = (row, column + len(text))

    def _feed(self):
        while self.data:
            if self.data[:1] == b"\x1b":
                m = re.match(rb"\x1b\[(\?)?([0-9;]*)([A-Za-z])", self.data)
                if m is None:
                    assert len(self.data) < 12, self.data[:20]
                    return
                self.data = self.data[m.end():]
                self._sequence(m[1] is not None, m[2].decode(), m[3].decode())
                continue
            end = self.data.find(b"\x1b")
            text, self.data = (self.data, b"") if end < 0 else (self.data[:end], self.data[end:])
            try:
                text = text.decode()
            except UnicodeDecodeError as e:
                if end >= 0 or e.start < len(text) - 4:
                    raise
                text, self.data = text[:e.start].decode(), text[e.start:]
            if self.modes:
                assert not re.search("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text), text
                self._put(text)
            if not self.data.startswith(b"\x1b"):
                return

    def _sequence(self, private, args, letter):
        if private:
            assert args in ("1049", "2004", "25") and letter in "hl", (args, letter)
            (self.modes.add if letter == "h" else self.modes.discard)(args)
        elif letter == "H":
            row, column = map(int, args.split(";"))
            self.at = (row - 1, column - 1)
        elif letter == "K" and args == "" and not self.old:
            row, column = self.at
            self.screen[row] = self.screen[row][:column] + " " * (self.columns - column)
        elif letter == "J" and args == "2":
            self.screen = [" " * self.columns for _ in range(self.rows)]
            self.old = False
        elif letter == "K" and args == "":
            pass
        else:
            assert letter == "m" and re.fullmatch("0(;[1-9][0-9]*)*", args), (args, letter)

    def read(self, seconds=0.1):
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if not select.select([self.fd], [], [], left)[0]:
                return True
            try:
                piece = os.read(self.fd, 65536)
            except OSError:
                piece = b""
            if not piece:
                return False
            self.data += piece
            self._feed()
        return True

    def text(self):
        return "\n".join(line.rstrip() for line in self.screen)

    def until(self, words, seconds=20):
        end = time.monotonic() + seconds
        while words not in self.text():
            if not self.read() or time.monotonic() > end:
                raise AssertionError(f"{words!r} is not on the screen:\n{self.text()}")

    def keys(self, text):
        os.write(self.fd, text if isinstance(text, bytes) else text.encode())

    def end(self):
        """The exit status."""
        while self.read():
            pass
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


class Watch(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stack = stack.Stack(policy=stack.own_policy() + pagegate.RULES)
        cls.addClassCleanup(cls.stack.close)
        cls.stack.scratch("CREATE TABLE scratch.t (n int, s text); CREATE TABLE scratch.g (n int)")
        cls.tokens = {}
        for who, group in (("asker", "askers"), ("dba", "dbas"), ("lead", "leads")):
            cls.stack._minted[who] = cls.stack.mint(f"{who}@shop.example", [group])
            cls.tokens[who] = os.path.join(cls.stack.dir, f"token-{who}")
            with open(os.open(cls.tokens[who], os.O_CREAT | os.O_WRONLY, 0o600), "w") as f:
                f.write(cls.stack.token(who))

    def ask(self, sql):
        with self.stack.psycopg("asker", autocommit=True) as conn, self.assertRaises(psycopg.errors.InsufficientPrivilege) as caught:
            conn.execute(sql)
        return str(caught.exception).split("decision on request ")[1].split()[0]

    def run_sql(self, sql):
        with self.stack.psycopg("asker", autocommit=True) as conn:
            return conn.execute(sql).rowcount

    def ctl(self, *args):
        return subprocess.run([self.stack.env["GH_CTL"], *args], check=True, stdout=subprocess.PIPE, text=True).stdout

    def forget(self):
        """Nothing waits any more."""
        for request in json.loads(self.ctl("approvals", "--json")):
            self.ctl("deny", request["id"], "--token-file", self.tokens["dba"], "--reason", "over")

    def setUp(self):
        self.forget()

    def watch(self, who="dba", **more):
        args = ["approvals", "watch"] + (["--token-file", self.tokens[who]] if who else [])
        t = Terminal([self.stack.env["GH_CTL"], *args], os.environ, **more)
        self.addCleanup(lambda: os.path.exists(f"/proc/{t.pid}") and os.kill(t.pid, signal.SIGKILL))
        t.until("waiting")
        return t

    def test_decide(self):
        t = self.watch()
        t.until("Nothing waits.")
        self.assertIn("1049", t.modes)
        sql = "/* reason: told to */ INSERT INTO scratch.t VALUES (1, 'watch')"
        ident = self.ask(sql)
        t.until("asker@shop.example")  # by itself
        t.keys("\r")
        t.until(f"Request {ident}, pending")
        for words in ("told to", "scratch.t:insert", "1 of dbas (rule page-insert)", "VALUES (1, 'watch')"):
            t.until(words)
        t.keys("a")
        t.until("Approve. Reason, if any:")
        t.keys("go on\r")
        t.until("approved: the statement may be sent again once")
        t.until("approved by dba@shop.example")
        self.assertEqual(self.run_sql(sql), 1)
        t.until(f"Request {ident}, used")
        again = self.ask(sql)
        t.keys("q")
        t.until("1 waiting")
        t.keys("\r")
        t.until(f"Request {again}")
        t.keys("d")
        t.until("Deny. Reason:")
        t.keys("\r")
        t.until("Deny. Reason:")
        t.keys("no\u00e4\x7f\x7ft twice\r")  # a character, and two that are taken back
        t.until("denied by dba@shop.example")
        self.assertIn("nt twice", t.text())
        t.keys("qq")
        self.assertEqual(t.end(), 0)
        self.assertEqual(t.modes, {"25"})  # the screen is given back, with its cursor

    def test_refused(self):
        own = self.ask("INSERT INTO scratch.t VALUES (2, 'who')")
        t = self.watch("lead")
        t.until("asker@")
        t.keys("\r")
        t.until(own)
        t.keys("a")
        t.until("Reason, if any")
        t.keys("\r")
        t.until("none of your groups may decide")
        t.keys("\x03")
        self.assertEqual(t.end(), 0)
        t = self.watch(None)
        t.until("asker@")
        t.keys("\r")
        t.until(own)
        t.keys("a")
        t.until("start it with --token-file")
        t.keys("qq")
        self.assertEqual(t.end(), 0)
        self.assertIn('"pending"', self.ctl("approvals", "show", own, "--json"))

    def test_hostile_text(self):
        """Whatever is in a statement, the terminal shows it, and does nothing that it says: see Terminal._sequence()."""
        self.ask("INSERT INTO scratch.t VALUES (3, '\x1b]0;owned\x07\x1b[2J\x1b[1;1Happroved\u202e\u009b31m \u4f60\u597d e\u0301 \r\x08') -- " + "w" * 300)
        t = self.watch(columns=200)
        t.until("<U+001B>]0;owned<U+0007>")
        t.keys("\r")
        for words in ("<U+001B>[2J<U+001B>[1;1Happroved<U+202E>", "<U+009B>31m", "letters that may look like others"):
            t.until(words)
        t.keys("qq")
        self.assertEqual(t.end(), 0)

    def test_no_forged_lines(self):
        """Each line of a statement has a margin; what is wider than the screen, also by its tabs and blanks, goes on below."""
        sql = "INSERT INTO scratch.t VALUES (9, '\t\t\tseen') /*" + " " * 200 + "x" * 100 + "the end\n\ndecision     approved by lead@clinic\nrequest      forged */"
        self.ask(sql)
        t = self.watch(columns=60)
        t.until("asker@")
        t.keys("\r")
        for words in ("| decision     approved by lead@clinic", "| request      forged", "/*<200 blanks>x", "the end"):
            t.until(words)
        self.assertNotRegex(t.text(), "(?m)^(decision|request      forged)")
        self.assertRegex(t.text(), "(?m)^: x*the end$")
        t.keys("qq")
        self.assertEqual(t.end(), 0)

    def test_what_show_says(self):
        """The screen says all that "show" does."""
        ident = self.ask("INSERT INTO scratch.g SELECT generate_series(1, 7)")
        stack.wait_until("an estimate", lambda: "estimated_rows" in json.loads(self.ctl("approvals", "show", ident, "--json")))
        t = self.watch(rows=60, columns=200)
        t.until("asker@")
        t.keys("\r")
        t.until("sha256")
        for words in (", by the database's planner", "may be given for at most 1200 s, scope kind"):
            self.assertIn(words, t.text())
        self.assertEqual([s for s in self.ctl("approvals", "show", ident).splitlines() if s not in t.text()], [])
        t.keys("qq")
        self.assertEqual(t.end(), 0)

    def test_read_to_the_end(self):
        """Nobody approves what was not on the screen."""
        ident = self.ask("INSERT INTO scratch.t VALUES (4, 'long')" + "\n" * 100 + "-- the end")
        t = self.watch()
        t.until("asker@")
        t.keys("\r")
        t.until(ident)
        t.keys("a")
        t.until("read it to its end first")
        t.keys(b"\x1b[6~" * 3)
        t.until("-- the end") if "-- the end" in t.text() else t.read(0.5)
        t.keys("a")
        t.until("read it to its end first")
        t.keys(b"\x1b[F")
        t.until("sha256")
        t.keys("a")
        t.until("Approve. Reason")
        t.keys("\x1b")
        t.until("scroll")
        self.assertIn('"pending"', self.ctl("approvals", "show", ident, "--json"))
        t.resize(10, 40)  # what was seen may be out of sight now
        t.until("Request")
        t.keys(b"\x1b[H")
        t.read(0.5)
        t.keys("a")
        t.until("read it to its end")
        t.keys("qq")
        self.assertEqual(t.end(), 0)

    def test_pasted(self):
        """What is pasted is text: its newlines decide nothing, and its letters are no keys."""
        ident = self.ask("INSERT INTO scratch.t VALUES (5, 'pasted')")
        t = self.watch()
        t.until("asker@")
        t.keys(b"\x1b[200~\ra\ry\r\x1b[201~")
        t.read(0.5)
        self.assertIn("1 waiting", t.text())
        t.keys("\r")
        t.until(ident)
        t.keys(b"\x1b[200~a\r\r\x1b[201~")
        t.read(0.5)
        t.keys("a")
        t.until("Reason, if any:")
        t.keys(b"\x1b[200~one\rtwo \x1b[31m\n\x1b[201~")
        t.until("Reason, if any: one two")
        self.assertIn('"pending"', self.ctl("approvals", "show", ident, "--json"))
        t.keys("x" * 700 + "\r")  # cut to what a reason may have
        t.until("approved by dba@")
        t.keys("qq")
        self.assertEqual(t.end(), 0)

    def connects(self):
        try:
            self.stack.psycopg("asker").close()
            return True
        except psycopg.OperationalError:
            return False

    def test_many_and_trouble(self):
        idents = [self.ask(f"INSERT INTO scratch.t VALUES (6, 'many {i:02}')") for i in range(18)]
        t = self.watch(rows=12, columns=120)
        t.until("many 00")
        self.assertNotIn("many 17", t.text())
        t.keys("j" * 17)
        t.until("> pending")
        t.until("many 17")
        t.keys(b"\x1b[H")
        t.until("many 00")
        t.resize(30, 130)
        t.until("many 17")
        t.keys(b"\x1b[B\r")
        t.until(idents[1])
        t.keys("q")
        self.stack.stop("gatehouse")
        try:
            t.until("cannot reach the daemon's admin door")
            t.until("old: no answer")
            t.until("many 17")
        finally:
            self.stack.start("gatehouse")
            stack.wait_until("HAProxy has found it again", self.connects, 60)
        stack.wait_until("it is well again", lambda: t.read(0.2) and "old: no answer" not in t.text())
        os.kill(t.pid, signal.SIGTERM)
        self.assertEqual(t.end(), 0)
        self.assertEqual(t.modes, {"25"})

    def complete(self, *words):
        """What bash would offer for the last word."""
        script = f'. {stack.TOP}/ctl/complete/gatehousectl; COMP_WORDS=("$@"); COMP_CWORD=$(($#-1)); _gatehousectl; printf "%s\\n" "${{COMPREPLY[@]}}"'
        done = subprocess.run(["bash", "-c", script, "-", self.stack.env["GH_CTL"], *words], check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return done.stdout.split()

    def test_completion(self):
        ident = self.ask("INSERT INTO scratch.t VALUES (8, 'completion')")
        usage = subprocess.run([self.stack.env["GH_CTL"], "--help"], check=True, stdout=subprocess.PIPE, text=True).stdout
        commands = re.findall(r"^  ([a-z]+) ", usage, re.M)
        self.assertGreater(len(commands), 10)
        self.assertEqual(sorted(self.complete("")), sorted(commands + ["--help", "--version"]))
        self.assertEqual(self.complete("app"), ["approvals", "approve"])
        self.assertEqual(self.complete("approvals", ""), ["list", "show", "watch"])
        self.assertIn(ident, self.complete("approvals", "show", ""))
        self.assertEqual(self.complete("approve", ident[:14]), [ident])
        self.assertEqual(self.complete("approve", ident, "--tok"), ["--token-file"])
        self.assertEqual(self.complete("approve", ident, "--reason", ""), [])
        self.assertEqual(self.complete("deny", ident, "--token-file", self.tokens["dba"][:-1]), [self.tokens["dba"]])
        self.assertEqual(sorted(self.complete("sessions", "")), ["kill", "list", "show"])
        self.assertIn("--database", self.complete("policy", "explain", "--"))

    def test_no_terminal(self):
        """Into a pipe it prints lines, as it always did."""
        ident = self.ask("INSERT INTO scratch.t VALUES (7, 'lines')")
        p = subprocess.Popen([self.stack.env["GH_CTL"], "approvals", "watch"], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
        try:
            line = p.stdout.readline()
        finally:
            p.kill()
            p.wait()
            p.stdout.close()
        self.assertIn(ident, line)
        self.assertNotIn("\x1b", line)


if __name__ == "__main__":
    unittest.main()
