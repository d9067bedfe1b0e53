#include <config.h>

#include "ctl/audit.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int usage(FILE *to) {
    fputs("usage: gatehousectl audit tail [FILTER...] [--limit N] [--json]\n"
          "       gatehousectl audit search [FILTER...] [--limit N] [--json]\n"
          "       gatehousectl audit show SESSION [--json]\n"
          "       gatehousectl audit export [FILTER...]\n"
          "       gatehousectl audit verify [--anchors FILE] [--key FILE...] [--json]\n"
          "\n"
          "where from:  --config FILE (or GATEHOUSE_CONFIG), --redis HOST:PORT or SOCKET (or GATEHOUSE_REDIS) with --user NAME and\n"
          "             --password-file FILE, --journal FOLDER; verify with --journal and one of the others compares both\n"
          "filters:     --since TIME --until TIME (2026-01-31, 2026-01-31T12:00:00Z, or 90m, 2h, 7d ago), --principal, --session,\n"
          "             --database, --verdict, --rule, --table, --text, --type, --node\n"
          "\n"
          "Exit status: 0 done (verify: the record is whole), 1 it cannot be read, 2 wrong usage, 4 there is no such session,\n"
          "6 verify: the record was touched.\n",
          to);
    return to == stderr ? AUDIT_USAGE : AUDIT_OK;
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
        else if (c != LIMIT || !number(optarg, &o->limit))
            return false;
    }
    if (o->help) return true;
    if (argc - optind > 2 || argc == optind) return false;
    while (optind < argc) o->words[o->nwords++] = argv[optind++];
    return true;
}

/* Jansson leaves DEL as it is. */
void audit_print_json(const json_t *o, bool pretty) {
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

int ctl_audit(int argc, char **argv) {
    struct audit_options o;
    if (!options(argc, argv, &o)) return usage(stderr);
    if (o.help) return usage(stdout);
    const char *what = o.words[0];
    if (strcmp(what, "show") == 0 && o.nwords == 2) return ctl_audit_show(&o, o.words[1]);
    if (o.nwords != 1) return usage(stderr);
    if (strcmp(what, "verify") == 0) return ctl_audit_verify(&o);
    if (strcmp(what, "search") == 0) return ctl_audit_search(&o);
    if (strcmp(what, "tail") == 0) return ctl_audit_tail(&o);
    if (strcmp(what, "export") == 0) return ctl_audit_export(&o);
    return usage(stderr);
}
