"""sqlsmith's statements for test_noninterference.py: over databases that have what a view may name and nothing else, and whose functions are those that need no grant, so that many of them run."""
import json
import os
import re
import subprocess

import psycopg

import oracle_world
import stack

# What depends on the order of rows, the clock, object ids, the database's name or size is no interference.
VAGUE = re.compile(r"random|clock|now\(|current_|localtime|_timestamp|timeofday|\bpg_(?!catalog)|_oid|regclass|tablesample|xid|uuid|version|ctid|xmin|tableoid|first_value|last_value|nth_value|lead\(|"
                   r"lag\(|_agg|over \(|mode\(|inet_|for (update|share|no key|key)", re.I)
USED = ("version", "current_schema", "format_type", "set_config")  # by sqlsmith itself
HIDDEN = {"agent": (), "analyst": ("phone", "card_number")}


def denied(world, names):
    """Of functions' names those that need a grant."""
    texts = [f"SELECT pg_catalog.{n}()" for n in names]
    done = subprocess.run([*stack.as_root(world.stack.env["GH_CTL"]), "policy", "rewrite", "--policy", world.stack.env["GH_POLICY"], "--catalog", f"{oracle_world.SHOP}/shop.catalog", "--database",
                           "agent_a", "--as", "ai-agents", "--lines", "-"], input="".join(t + "\0" for t in texts).encode(), stdout=subprocess.PIPE, check=True)
    return [n for n, line in zip(names, done.stdout.splitlines()) if json.loads(line)["verdict"] != "allow"]


def prepare(world):
    """The databases that sqlsmith looks at: smith_agent, smith_analyst. It never runs a statement there."""
    with psycopg.connect(world.url, autocommit=True) as admin:
        for view, hidden in HIDDEN.items():
            admin.execute(f"CREATE DATABASE smith_{view} TEMPLATE oracle_template")
            with psycopg.connect(world.url, dbname=f"smith_{view}", autocommit=True, options="-c allow_system_table_mods=on") as c:
                c.execute("DROP VIEW customer_directory; DROP TABLE staff, parts, notes, items, copies; DROP FUNCTION touch, tell CASCADE")
                for column in hidden:
                    c.execute(f"ALTER TABLE customers DROP COLUMN {column}")
                names = [r[0] for r in c.execute("SELECT DISTINCT quote_ident(proname) FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace ORDER BY 1").fetchall()]
                bad = denied(world, names) + [n for n in names if VAGUE.search(n + "(")]
                c.execute("UPDATE pg_proc SET proname = left('ri_fkey_' || proname, 63) WHERE quote_ident(proname) = ANY (%s)", ([n for n in bad if n not in USED],))  # which sqlsmith leaves out


def statements(world, view, count, seed):
    """About as many as count, without those whose results no two runs share."""
    out, part = [], 0
    target = psycopg.conninfo.make_conninfo(world.url, dbname="smith_" + view)
    while len(out) < count and part < 20:
        done = subprocess.run(["sqlsmith", f"--target={target}", "--dry-run", f"--max-queries={min(count + count // 2 + 20, 3000)}", f"--seed={seed + part * 1000}", "--exclude-catalog"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ, TZ="UTC"))
        if done.returncode not in (0, 1):
            raise AssertionError(done.stderr)
        out += [re.sub(r"\blimit \d+", "", s.strip()) for s in re.split(r";\n", done.stdout) if s.strip() and not VAGUE.search(s)]
        part += 1
    return out[:count]
