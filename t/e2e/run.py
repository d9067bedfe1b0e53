"""Runs the end-to-end tests (all, or the files named) and ends with the line "N passed, N failed". A skipped test counts as failed."""
import logging
import os
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import stack  # noqa: E402


class Result(unittest.TextTestResult):
    passed = 0

    def addSuccess(self, test):
        super().addSuccess(test)
        self.passed += 1


def main():
    # AddressSanitizer keeps up to 256 MiB of what was freed; tests of memory would count it.
    os.environ["ASAN_OPTIONS"] = "quarantine_size_mb=16:" + os.environ.get("ASAN_OPTIONS", "")
    logging.getLogger("psycopg").setLevel(logging.ERROR)  # it warns whenever a pipeline ends with an error, which many tests want
    names = sys.argv[1:] or sorted(f for f in os.listdir(HERE) if f.startswith("test_") and f.endswith(".py"))
    sys.path += {os.path.dirname(os.path.abspath(n)) for n in names if "/" in n}
    suite = unittest.TestSuite(unittest.defaultTestLoader.loadTestsFromName(os.path.basename(n).removesuffix(".py")) for n in names)
    result = unittest.TextTestRunner(resultclass=Result, verbosity=2, stream=sys.stdout).run(suite)
    failed = len(result.failures) + len(result.errors) + len(result.skipped) + len(result.expectedFailures) + len(result.unexpectedSuccesses)
    if isinstance(stack._shared, stack.Stack):
        try:
            stack._shared.close()
            stack._shared.ours = False
            result.passed += 1
        except AssertionError as e:
            failed += 1
            print(e)
    print(f"{result.passed} passed, {failed} failed", flush=True)
    sys.exit(1 if failed or not result.passed else 0)


if __name__ == "__main__":
    main()
