"""MySQL's language against a real server: the lexer, words and functions, random statements, masks and row filters, and MariaDB's own test suite, on one MariaDB in a temporary folder.

    GH_BUILD=../build /usr/bin/python3 t/mysql/run.py

Each part is a program too, with counts of its own. Ends with the line "N passed, N failed".
"""
import sys

import corpus
import differ
import lexer
import rewrite
import server as servers
import words

if __name__ == "__main__":
    sys.exit(servers.main(lexer.run, words.run, differ.run, rewrite.run, corpus.run))
