"""Ten thousand requests wait: each is listed, once and in order, by gatehousectl, the API and the page; and the next one is refused.

t/bench/approvals.py says how long that takes.
"""
import json
import os
import re
import threading
import unittest

import psycopg

import pagegate

MANY = int(os.environ.get("GH_MANY", 10000))
THREADS = 4


def configured(text):
    return text + f"limits: {{ approvals: {MANY}, approvals_per_principal: {MANY}, login_failures: 1000000, login_failures_per_name: 1000000 }}\n"


def fill(s, count, who="asker"):
    """Has so many statements asked about, each of about 600 bytes."""
    failed = []

    def some(part):
        with s.psycopg(who, autocommit=True, prepare_threshold=None) as conn:
            for n in range(part, count, THREADS):
                try:
                    conn.execute(f"/* reason: ticket {n} */ INSERT INTO scratch.t VALUES ({n}, '{'many words ' * 50}')")
                    failed.append(f"statement {n} ran")
                except psycopg.errors.InsufficientPrivilege as e:
                    if "decision on request " not in str(e):
                        failed.append(str(e))
                except psycopg.Error as e:
                    failed.append(str(e))
    threads = [threading.Thread(target=some, args=(part,)) for part in range(THREADS)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failed, failed[:3]


class Many(pagegate.Case):
    @classmethod
    def configured(cls, text):
        issuer = cls.realm.config("discovery", "refetch_interval: 1s")
        return configured(text.replace("\ndatabases:\n", issuer + "\ndatabases:\n", 1)) + cls.gate.section(cls.realm.issuer)

    def test_each_is_listed_once_and_in_order(self):
        fill(self.stack, MANY)
        listed = json.loads(self.ctl("approvals", "--json"))
        self.assertEqual(len(listed), MANY)
        ids = [r["id"] for r in listed]
        self.assertEqual(ids, sorted(set(ids)))
        self.assertEqual(sorted(int(r["reason"].split()[1]) for r in listed), list(range(MANY)))
        self.assertEqual({r["status"] for r in listed}, {"pending"})
        told = self.ctl("approvals", "list")
        self.assertEqual(re.findall(r"(?m)^request +([0-9a-z]+), pending until ", told), ids)
        self.assertEqual(json.loads(self.ctl("status", "--json"))["pending"], MANY)
        with self.stack.psycopg("asker", autocommit=True) as conn, self.assertRaises(psycopg.Error) as caught:
            conn.execute("INSERT INTO scratch.t VALUES (-1, 'one more')")
        self.assertEqual(caught.exception.sqlstate, "53400", str(caught.exception))
        self.assertEqual(self.by_api(), ids)
        self.assertEqual(self.on_the_page(), ids)
        # What is decided meanwhile is no hole in the list, and the rest stays.
        b = self.signed_in()
        self.assertEqual(self.decide(b, ids[0], "deny", "no").status, 303)
        self.assertEqual(self.decide(b, ids[-1], "approve").status, 303)
        left = json.loads(self.ctl("approvals", "--json"))
        self.assertEqual([r["id"] for r in left], ids[1:])
        self.assertEqual(left[-1]["status"], "approved")
        self.assertEqual([d["approver"] for d in left[-1]["decisions"]], ["dba@shop.example"])

    def by_api(self):
        found, after, b = [], "", self.browser()
        while True:
            answer = b.get(f"/api/approvals?limit=1000&after={after}", headers={"Authorization": "Bearer " + self.stack.token("dba")})
            self.assertEqual(answer.status, 200, answer.text[:300])
            page = json.loads(answer.text)
            self.assertLessEqual(len(page["approvals"]), 1000)
            found += [r["id"] for r in page["approvals"]]
            if not page["more"]:
                return found
            after = found[-1]

    def on_the_page(self):
        found, path, b = [], "/", self.signed_in()
        while path:
            answer = b.get(path)
            self.assertEqual(answer.status, 200)
            found += re.findall(r'href="/requests/([0-9a-z]+)"', answer.text)
            following = re.search(r'href="(/\?after=[0-9a-z]+)"', answer.text)
            path = following and following[1]
        return found


if __name__ == "__main__":
    unittest.main()
