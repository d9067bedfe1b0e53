#include <config.h>

#include "ctl/audit.h"

#include "ctl/door.h"
#include "ctl/words.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const forms[] = {
    "gatehousectl audit tail [FILTER...] [--limit N] [--json]",
    "gatehousectl audit search [FILTER...] [--limit N] [--json]",
    "gatehousectl audit show SESSION [--json]",
    "gatehousectl audit export [FILTER...]",
    "gatehousectl audit verify [--anchors FILE] [--key FILE...] [--json]",
    NULL,
};

static int help(void) {
    words_usage(stdout, forms, NULL);
    fputs("where from:  --config FILE (or GATEHOUSE_CONFIG), --redis HOST:PORT or SOCKET (or GATEHOUSE_REDIS), both with --user NAME and\n"
          "             --password-file FILE, --journal FOLDER; verify with --journal and one of the others compares both\n"
          "filters:     --since TIME --until TIME (2026-01-31, 2026-01-31T12:00:00Z, or 90m, 2h, 7d ago), --principal, --session,\n"
          "             --database, --verdict, --rule, --table, --text, --type, --node\n"
          "\n"
          "Exit status: 0 done (verify: the record is whole), 1 it cannot be read, 2 wrong usage, 4 there is no such session,\n"
          "6 verify: the record was touched.\n",
          stdout);
    return AUDIT_OK;
}

/* What is wrong was said. */
static int usage(void) {
    words_usage(stderr, forms, NULL);
    return AUDIT_USAGE;
}

static bool number(const char *text, uint64_t *out) {
    char *end;
    *out = strtoull(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && *out > 0;
}

/* 's' to 'Z' and on: getopt_long() has room for any int. */
static bool options(int argc, char **argv, struct audit_options *o) {
    enum {
        CONFIG = 256,
        REDIS,
        USER,
        PASSWORD,
        JOURNAL,
        SINCE,
        UNTIL,
        PRINCIPAL,
        SESSION,
        VERDICT,
        RULE,
        TABLE,
        TEXT,
        DATABASE,
        TYPE,
        NODE,
        KEY,
        ANCHORS,
        PREFIX,
        LIMIT,
        JSON
    };
    static const struct option longs[] = {
        {"config", 1, NULL, CONFIG},   {"redis", 1, NULL, REDIS},       {"user", 1, NULL, USER},   {"password-file", 1, NULL, PASSWORD},
        {"journal", 1, NULL, JOURNAL}, {"since", 1, NULL, SINCE},       {"until", 1, NULL, UNTIL}, {"principal", 1, NULL, PRINCIPAL},
        {"session", 1, NULL, SESSION}, {"verdict", 1, NULL, VERDICT},   {"rule", 1, NULL, RULE},   {"table", 1, NULL, TABLE},
        {"text", 1, NULL, TEXT},       {"database", 1, NULL, DATABASE}, {"type", 1, NULL, TYPE},   {"node", 1, NULL, NODE},
        {"key", 1, NULL, KEY},         {"anchors", 1, NULL, ANCHORS},   {"limit", 1, NULL, LIMIT}, {"json", 0, NULL, JSON},
        {"prefix", 1, NULL, PREFIX},   {"help", 0, NULL, 'h'},          {NULL, 0, NULL, 0}};
    *o = (struct audit_options){0};
    const struct {
        int c;
        const char **at;
    } texts[] = {
        {CONFIG, &o->config},   {'c', &o->config},  {REDIS, &o->redis},     {USER, &o->user},           {PASSWORD, &o->password_file},
        {JOURNAL, &o->journal}, {SINCE, &o->since}, {UNTIL, &o->until},     {PRINCIPAL, &o->principal}, {SESSION, &o->session},
        {VERDICT, &o->verdict}, {RULE, &o->rule},   {TABLE, &o->table},     {TEXT, &o->text},           {DATABASE, &o->database},
        {TYPE, &o->type},       {NODE, &o->node},   {ANCHORS, &o->anchors}, {PREFIX, &o->prefix}};
    optind = 1;
    for (int c; (c = getopt_long(argc, argv, "c:h", longs, NULL)) != -1;) {
        size_t i = 0;
        while (i < sizeof texts / sizeof *texts && texts[i].c != c) i++;
        if (i < sizeof texts / sizeof *texts)
            *texts[i].at = optarg;
        else if (c == KEY && o->nkeys < sizeof o->keys / sizeof *o->keys)
            o->keys[o->nkeys++] = optarg;
        else if (c == JSON)
            o->json = true;
        else if (c == 'h')
            o->help = true;
        else if (c != LIMIT)
            return false;
        else if (!number(optarg, &o->limit)) {
            fprintf(stderr, "gatehousectl audit: --limit \"%.40s\" is no number from 1\n", optarg);
            return false;
        }
    }
    if (o->help) return true;
    if (argc - optind > 2) words_too_many("audit", argv[optind + 2]);
    if (argc == optind) words_missing("audit", "what to do (tail, search, show, export or verify)");
    if (argc - optind > 2 || argc == optind) return false;
    while (optind < argc) o->words[o->nwords++] = argv[optind++];
    return true;
}

static size_t printed; /* by audit_print_json() */

/* Jansson leaves DEL as it is. */
void audit_print_json(const json_t *o, bool pretty) {
    printed++;
    char *text = json_dumps(o, JSON_ENSURE_ASCII | (pretty ? JSON_INDENT(2) : JSON_COMPACT));
    for (const char *p = text; p != NULL && *p != '\0';) {
        size_t n = strcspn(p, "\x7f");
        fwrite(p, 1, n, stdout);
        p += n;
        if (*p == '\0') break;
        fputs("\\u007f", stdout);
        p++;
    }
    free(text);
    putchar('\n');
}

/* What the daemon writes (gatehouse(8), "WHAT IS RECORDED"): any other word is a typing error, and would find nothing without a word. */
static const char *const verdicts[] = {"allow", "deny", "ask", "observe-deny", "observe-ask", "approve", NULL};
static const char *const types[] = {"anchor",
                                    "approval.decision",
                                    "approval.expired",
                                    "approval.granted",
                                    "approval.lapsed",
                                    "approval.replaced",
                                    "approval.request",
                                    "approval.used",
                                    "block",
                                    "breakglass",
                                    "breakglass.over",
                                    "breakglass.used",
                                    "call",
                                    "cancel",
                                    "decision.refused",
                                    "grant",
                                    "grant.ended",
                                    "grant.revoked",
                                    "login.refused",
                                    "login.throttled",
                                    "page.signed_in",
                                    "quota",
                                    "reload",
                                    "result",
                                    "retention",
                                    "session.blocked",
                                    "session.close",
                                    "session.killed",
                                    "session.open",
                                    "session.renewed",
                                    "statement",
                                    "unavailable",
                                    "unblock",
                                    NULL};

static bool known(const char *option, const char *value, const char *const *names) {
    for (size_t i = 0; value != NULL && names[i] != NULL; i++)
        if (strcasecmp(value, names[i]) == 0) return true;
    if (value != NULL) words_unknown("audit", option, value, names);
    return value == NULL;
}

/* A search that finds nothing says so, beside its output. */
static int told(int rc) {
    if (rc == AUDIT_OK && printed + door_printed() == 0) fputs("gatehousectl: nothing fits\n", stderr);
    return rc;
}

int ctl_audit(int argc, char **argv) {
    static const char *const names[] = {"tail", "search", "show", "export", "verify", NULL};
    struct audit_options o;
    if (!options(argc, argv, &o)) return usage();
    if (o.help) return help();
    const char *what = o.words[0];
    size_t at = 0;
    while (names[at] != NULL && strcmp(names[at], what) != 0) at++;
    if (names[at] == NULL) {
        words_unknown("audit", "command", what, names);
        return usage();
    }
    bool show = strcmp(what, "show") == 0;
    if (show && o.nwords < 2) words_missing("audit show", "the SESSION's id");
    if (!show && o.nwords > 1) {
        char of[40];
        snprintf(of, sizeof of, "audit %s", what);
        words_too_many(of, o.words[1]);
    }
    if (show != (o.nwords == 2)) return usage();
    if (!known("--verdict", o.verdict, verdicts) || !known("--type", o.type, types)) return AUDIT_USAGE;
    if (show) return ctl_audit_show(&o, o.words[1]);
    if (strcmp(what, "verify") == 0) return ctl_audit_verify(&o);
    if (strcmp(what, "search") == 0) return told(ctl_audit_search(&o));
    if (strcmp(what, "tail") == 0) return ctl_audit_tail(&o);
    return told(ctl_audit_export(&o));
}
