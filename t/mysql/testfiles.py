"""The statements of MariaDB's own test suite: files of Debian's package mariadb-test-data, read where apt put them. Nothing of it is part of this tree.

mysqltest's language is read as far as needed to cut statements out of it: its commands are left out, and so is what has its variables in it."""
import os
import re
import subprocess

COMMANDS = set("""append_file assert cat_file change_user character_set chmod connect connection copy_file copy_files_wildcard dec delimiter die diff_files
dirty_close disable_abort_on_error disable_cursor_protocol disable_connect_log disable_info disable_metadata disable_non_blocking_api disable_parsing
disable_prepare_warnings disable_ps2_protocol disable_ps_protocol disable_query_log disable_reconnect disable_result_log disable_rpl_parse disable_service_connection
disable_session_track_info disable_testcase disable_view_protocol disable_warnings disconnect echo enable_abort_on_error enable_cursor_protocol enable_connect_log enable_info
enable_metadata enable_non_blocking_api enable_parsing enable_prepare_warnings enable_ps2_protocol enable_ps_protocol enable_query_log enable_reconnect
enable_result_log enable_rpl_parse enable_service_connection enable_session_track_info enable_testcase enable_view_protocol enable_warnings end error eval evalp even
exec exec_in_background execw exit file_exists force_cpdir force_rmdir horizontal_results if inc let lowercase_result mkdir list_files list_files_write_file
list_files_append_file move_file optimizer_trace output perl ping query query_attributes query_get_value query_horizontal query_vertical real_sleep reap remove_file
remove_files_wildcard replace_column replace_numeric_round replace_regex replace_result require reset_connection result result_format rmdir save_master_pos
send send_eval send_quit send_shutdown shutdown_server skip sleep sorted_result partially_sorted_result start_timer source sync_slave_with_master sync_with_master system
vertical_results wait_for_slave_to_stop while write_file write_line""".split()) - {"query"}


def root():
    """The folder of the package's test files."""
    files = subprocess.run(["dpkg", "-L", "mariadb-test-data"], check=True, stdout=subprocess.PIPE, text=True).stdout.split("\n")
    return next(f for f in files if f.endswith("/mysql-test/main"))[:-len("/main")]


def files(suites):
    top = root()
    out = []
    for suite in suites:
        folder = os.path.join(top, "main") if suite == "main" else os.path.join(top, "suite", suite, "t")
        if not os.path.isdir(folder):
            folder = os.path.join(top, "suite", suite)
        out += sorted(os.path.join(folder, f) for f in os.listdir(folder) if f.endswith(".test"))
    return out


def commands(text):
    """Commands of a test file: (text, delimiter that ended it or None for a line's). Nothing is understood yet."""
    i, n, delimiter = 0, len(text), ";"
    while i < n:
        while i < n and text[i] in " \t\r\n":
            i += 1
        if i >= n:
            return
        eol = text.find("\n", i)
        eol = n if eol < 0 else eol
        line = text[i:eol]
        if line.startswith("#"):
            i = eol
            continue
        if line.startswith("--"):
            body = line[2:].strip()
            i = eol
            m = re.match(r"delimiter\s+(\S+)", body, re.I)
            if m:
                delimiter = m.group(1)
            elif re.match(r"(perl|write_file|append_file)\b", body):
                i = skip_block(text, i, body)
            elif body.startswith("source"):
                yield body, True
            continue
        if line[0] in "{}":
            i += 1
            continue
        m = re.match(r"(if|while)\s*\(", line)
        if m:
            i = max(text.find("{", i), i) + 1 if text.find("{", i) >= 0 else eol
            continue
        start, quote = i, None
        while i < n:
            c = text[i]
            if quote:
                if c == "\\" and quote != "`":
                    i += 1
                elif c == quote:
                    quote = None
            elif c in "'\"`":
                quote = c
            elif text.startswith(delimiter, i):
                break
            elif c == "\n" and text.startswith("#", i + 1):  # a comment inside of a statement
                pass
            i += 1
        body = text[start:i]
        i += len(delimiter)
        m = re.match(r"delimiter\s+(\S+)", body, re.I)
        if m:
            delimiter = m.group(1)
            continue
        if re.match(r"(perl|write_file|append_file)\b", body, re.I):
            i = skip_block(text, i, body)
            continue
        yield body, False


def skip_block(text, i, body):
    m = re.search(r"([A-Z_]*EOF[A-Z_]*)\s*$", body.split("\n")[0])
    end = "\n" + (m.group(1) if m else "EOF")
    at = text.find(end, i)
    return len(text) if at < 0 else at + len(end)


def statements(path, depth=0):
    """Statements of a file and of those that it names by "source", in order."""
    try:
        with open(path, "rb") as f:
            text = f.read().decode("latin-1")  # bytes stay bytes
    except OSError:
        return
    for body, is_command in commands(text):
        m = re.match(r"source\s+(\S+?);?\s*$", body.strip())
        if m:
            name = m.group(1)
            if "$" in name or depth > 2 or re.search(r"have_|not_|master-slave|wait|restart|big_|count_sessions|start_|check_", name):
                continue
            yield from statements(os.path.join(root(), name), depth + 1)
            continue
        word = re.match(r"[A-Za-z_]+", body.strip())
        if is_command or not body.strip() or "$" in body or (word and word.group(0).lower() in COMMANDS):
            continue
        yield body.strip().encode("latin-1")
