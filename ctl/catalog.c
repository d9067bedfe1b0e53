#include "ctl/catalog.h"

#include "ctl/words.h"
#include "policy/policy.h"
#include "spoa/catalog_read.h"
#include "spoa/dbclient.h"
#include "spoa/log.h"

#include <getopt.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT_MS 120000u

static int usage(FILE *to) {
    fputs("usage: gatehousectl catalog --config FILE --database NAME\n"
          "\n"
          "Reads the catalog of a database that FILE (gatehouse.yaml) offers, with Gatehouse's own login, and prints it for\n"
          "\"gatehousectl policy ... --catalog\". It holds names, types and the definitions of views, no rows of tables.\n"
          "\n"
          "Exit status: 0 printed, 1 it cannot be read, 2 wrong usage or a mistake in FILE.\n",
          to);
    return to == stderr ? 2 : 0;
}

struct reading {
    struct event_base *base;
    struct catalog_read read;
    struct dbclient_end end;
};

static void on_done(void *arg, const struct dbclient_end *end) {
    struct reading *r = (struct reading *)(void *)((char *)arg - offsetof(struct reading, read));
    r->end = *end;
    event_base_loopbreak(r->base);
}

struct pol_catalog *ctl_catalog_read(const struct conf *conf, const struct conf_database *db, char **text, size_t *len, char *why,
                                     size_t size, const char **todo) {
    struct reading r = {.base = event_base_new(), .end = {.why = "out of memory", .todo = "free some"}};
    const struct dbclient_conf client = {.base = r.base,
                                         .conf = conf,
                                         .db = db,
                                         .timeout_ms = TIMEOUT_MS,
                                         .next = catalog_read_next,
                                         .row = catalog_read_row,
                                         .done = on_done,
                                         .arg = &r.read};
    struct pol_catalog *c = NULL;
    *text = NULL;
    *len = 0;
    catalog_read_begin(&r.read, db, "");
    if (r.base != NULL && dbclient_start(&client) != NULL) event_base_dispatch(r.base);
    if (r.base != NULL) event_base_free(r.base);
    snprintf(why, size, "%s%s%s", r.end.sqlstate, r.end.sqlstate[0] != '\0' ? " " : "", r.end.why);
    *todo = r.end.todo;
    const struct buf *said = &r.read.text;
    if (r.end.ok && catalog_read_torn(&r.read)) {
        snprintf(why, size, "the schema was changed while it was read");
        *todo = "try again";
    } else if (r.end.ok) {
        *todo = "tell the developers of Gatehouse: the database's answer is not what its version should give";
        c = pol_catalog_parse((const char *)buf_at(said), buf_used(said), why, size);
    }
    if (c != NULL && (*text = malloc(buf_used(said))) != NULL) {
        *len = buf_used(said);
        memcpy(*text, buf_at(said), *len);
    }
    catalog_read_free(&r.read);
    return c;
}

int ctl_catalog(int argc, char **argv) {
    static const struct option longs[] = {
        {"config", required_argument, NULL, 'c'}, {"database", required_argument, NULL, 'd'}, {"help", no_argument, NULL, 'h'}, {0}};
    const char *config = NULL, *database = NULL, *todo;
    struct pol_error err = {0};
    char why[1024];
    for (int opt; (opt = getopt_long(argc, argv, "c:d:h", longs, NULL)) != -1;) {
        if (opt == 'c')
            config = optarg;
        else if (opt == 'd')
            database = optarg;
        else
            return usage(opt == 'h' ? stdout : stderr);
    }
    if (config == NULL) words_missing("catalog", "--config FILE");
    if (config != NULL && database == NULL) words_missing("catalog", "--database NAME");
    if (config == NULL || database == NULL || optind != argc) return usage(stderr);
    struct conf *conf = conf_load(config, &err);
    const struct conf_database *db = conf == NULL ? NULL : conf_database(conf, database);
    if (db == NULL) {
        if (conf == NULL)
            pol_error_format(&err, why, sizeof why);
        else
            snprintf(why, sizeof why, "%s offers no database \"%s\"", config, database);
        fprintf(stderr, "gatehousectl catalog: %s\n", why);
        conf_free(conf);
        return 2;
    }
    char *text;
    size_t len;
    signal(SIGPIPE, SIG_IGN);
    struct pol_catalog *c = ctl_catalog_read(conf, db, &text, &len, why, sizeof why, &todo);
    bool ok = text != NULL && fwrite(text, 1, len, stdout) == len && fflush(stdout) == 0;
    if (c == NULL)
        fprintf(stderr, "gatehousectl catalog: %s: %s\n    do: %s\n", db->where, why, todo);
    else if (!ok)
        perror("gatehousectl catalog");
    pol_catalog_unref(c);
    free(text);
    conf_free(conf);
    return ok ? 0 : 1;
}
