"""Asks t/policy/my_dump for the facts, or the tokens, of statements."""
import json
import os
import subprocess

BUILD = os.environ.get("GH_BUILD", ".")


class Facts:
    def __init__(self, server, version):
        self.server, self.version = server, version
        program = os.path.join(BUILD, "t", "policy", "my_dump")
        subprocess.run(["make", "-s", "-C", BUILD, "t/policy/my_dump"], check=True, stdout=subprocess.DEVNULL)
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __call__(self, sql, mode="", db="", multi=False, lex=False):
        """{"stmts": [...]}, or {"rc": ..., "error": ...}; with lex {"tokens": [...]}."""
        if isinstance(sql, str):
            sql = sql.encode()
        name = db.encode()
        head = f"{'lex ' if lex else ''}{self.server} {self.version} {mode or '-'} {'m' if multi else '-'} {len(name)} {len(sql)}\n"
        self.process.stdin.write(head.encode() + name + sql)
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(f"my_dump died of {sql[:500]!r}")
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        self.process.wait()
