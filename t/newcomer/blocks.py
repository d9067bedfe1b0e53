"""blocks.py PAGE DIR: the page's blocks as files, in order: NN.sh (commands), NN.refused (an empty mark: the command must fail), and NN.out (what the
output of the commands before must hold, a text a line)."""
import os
import re
import sys

page, out = sys.argv[1:]
os.makedirs(out, exist_ok=True)
with open(page) as f:
    text = f.read()
steps = re.findall(r"^## (\d+)\. ", text, re.M)
assert steps == [str(i + 1) for i in range(len(steps))] and 0 < len(steps) <= 10, steps
n = 0
for info, body in re.findall(r"^```([^\n]*)\n(.*?)^```$", text, re.M | re.S):
    if info in ("sh", "sh refused"):
        n += 1
        with open(f"{out}/{n:02}.sh", "w") as f:
            f.write(body)
        if info == "sh refused":
            open(f"{out}/{n:02}.refused", "w").close()
    else:
        assert info == "text" and n > 0, info
        with open(f"{out}/{n:02}.out", "a") as f:
            f.write(body)
assert n >= len(steps), n
