/* gatehousectl audit tail, search, show, export. Nothing of an event reaches a terminal but through door_fold(). */
#include <config.h>

#include "ctl/audit_filter.h"
#include "ctl/door.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SQL_LINE 2000u /* of a text in a list */

/* --- one line for an event --- */

static const char *or_empty(const char *s) { return s != NULL ? s : ""; }

static void put(FILE *out, const char *before, const char *value) {
    if (value != NULL && value[0] != '\0') fprintf(out, "%s%s", before, value);
}

static void put_sql(FILE *out, const char *sql) {
    size_t n = sql == NULL ? 0 : strnlen(sql, SQL_LINE + 1);
    if (n <= SQL_LINE) {
        put(out, "  ", sql);
        return;
    }
    while (n > 0 && (sql[--n] & 0xC0) == 0x80) {
    }
    fprintf(out, "  %.*s ... (%zu bytes)", (int)n, sql, strlen(sql));
}

/* A line that words makes; before: on the screen, at its beginning. */
static void print_words(const char *before, void (*words)(FILE *out, const struct audit_event *e), const struct audit_event *e) {
    char *text = NULL, blank[40];
    size_t size;
    FILE *out = open_memstream(&text, &size);
    snprintf(blank, sizeof blank, "%*s", before[0] == '\0' ? 4 : (int)strlen(before), "");
    if (out != NULL) words(out, e);
    if (out == NULL || fclose(out) != 0)
        puts("(memory is out)");
    else
        door_fold((struct fold){.first = before, .line = blank, .more = blank}, text);
    free(text);
}

static void line_words(FILE *out, const struct audit_event *e) {
    static const char *const more[] = {"reason", "approval", "approved_by", "request",     "approver", "refused",
                                       "rows",   "bytes",    "sqlstate",    "duration_us", "policy"};
    const char *type = or_empty(audit_get(e, "type")), *time = audit_get(e, "time");
    bool statement = strcmp(type, "statement") == 0;
    fputs(time != NULL ? time : "(no time)", out);
    put(out, "  ", audit_session(e));
    put(out, "  ", audit_get(e, "principal"));
    put(out, " on ", audit_get(e, "database"));
    put(out, "  ", type);
    put(out, " ", audit_get(e, "kind"));
    put(out, " ", audit_get(e, "verdict"));
    put(out, " by rule ", audit_get(e, "rule"));
    for (size_t i = 0; i < sizeof more / sizeof *more; i++) {
        const char *value = audit_get(e, more[i]);
        if (value != NULL && !(statement && strcmp(more[i], "policy") == 0)) fprintf(out, "  %s=%s", more[i], value);
    }
    put_sql(out, audit_get(e, "sql"));
}

static void print_line(const struct audit_event *e) { print_words("", line_words, e); }

static void print_event(const struct audit_event *e, bool json) {
    if (!json) {
        print_line(e);
        return;
    }
    json_t *o = audit_json(e);
    audit_print_json(o, false);
    json_decref(o);
}

/* --- search --- */

/* An event that was kept, as JSON: what it borrowed is gone. */
struct kept {
    json_t *event;
    const char *time, *node;
    uint64_t seq;
};

struct search {
    struct audit_filter filter;
    struct kept *list; /* a ring of the newest found: streams come one after the other */
    size_t n, room, limit;
    bool more, failed;
};

static int by_time(const void *a, const void *b) {
    const struct kept *x = a, *y = b;
    int c = strcmp(x->time, y->time);
    if (c == 0) c = strcmp(x->node, y->node);
    return c != 0 ? c : x->seq < y->seq ? -1 : x->seq > y->seq;
}

/* Keeps the newest: sorts when twice as many are there as are wanted. */
static void shrink(struct search *s) {
    if (s->n > 0) qsort(s->list, s->n, sizeof *s->list, by_time);
    if (s->n <= s->limit) return;
    size_t drop = s->n - s->limit;
    for (size_t i = 0; i < drop; i++) json_decref(s->list[i].event);
    memmove(s->list, s->list + drop, s->limit * sizeof *s->list);
    s->n = s->limit;
    s->more = true;
}

static bool keep(void *arg, const struct audit_event *e) {
    struct search *s = arg;
    uint64_t seq = 0;
    const char *node;
    if (!audit_filter_takes(&s->filter, e)) return true;
    if (s->n == s->room) {
        size_t room = s->room == 0 ? 256 : 2 * s->room;
        struct kept *list = reallocarray(s->list, room, sizeof *list);
        if (list == NULL) return false;
        s->list = list;
        s->room = room;
    }
    struct kept k = {.event = audit_json(e)};
    if (k.event == NULL) return false;
    (void)audit_number(e, &seq, &node);
    k.seq = seq;
    k.time = or_empty(json_string_value(json_object_get(k.event, "time")));
    k.node = or_empty(json_string_value(json_object_get(k.event, "node")));
    s->list[s->n++] = k;
    if (s->n >= 2 * s->limit) shrink(s);
    return true;
}

/* The same event again, out of its JSON. */
static void print_kept(const json_t *o, bool json) {
    struct lev_part parts[2 * (LED_MAX_FIELDS + 24)];
    size_t n = 0;
    const char *key;
    json_t *value;
    if (json) {
        audit_print_json(o, false);
        return;
    }
    json_object_foreach((json_t *)(uintptr_t)o, key, value) {
        if (n + 2 > sizeof parts / sizeof *parts) break;
        if (strcmp(key, "stream") == 0 || strcmp(key, "entry") == 0) continue;
        parts[n++] = (struct lev_part){key, strlen(key)};
        parts[n++] = (struct lev_part){json_string_value(value), json_string_length(value)};
    }
    print_line(&(struct audit_event){.key = json_string_value(json_object_get(o, "stream")),
                                     .id = json_string_value(json_object_get(o, "entry")),
                                     .parts = parts,
                                     .nparts = n});
}

/* Everything, or one session's stream and what the index says of it. */
static bool each(const struct audit_source *s, const struct audit_options *o, const char *from, audit_fn fn, void *arg) {
    char key[400];
    if (s->journal != NULL || o->session == NULL) return audit_each(s, from, fn, NULL, arg);
    snprintf(key, sizeof key, "%saudit:%.200s", s->prefix, o->session);
    return audit_stream(s, key, from, fn, arg);
}

static void search_free(struct search *s) {
    for (size_t i = 0; i < s->n; i++) json_decref(s->list[i].event);
    free(s->list);
}

static int find(const struct audit_source *s, const struct audit_options *o, uint64_t standard, bool say) {
    struct search q = {.limit = (size_t)(o->limit != 0 ? o->limit : standard)};
    if (!audit_filter_init(&q.filter, o)) return AUDIT_USAGE;
    bool ok = each(s, o, q.filter.from, keep, &q);
    shrink(&q);
    for (size_t i = 0; ok && i < q.n; i++) print_kept(q.list[i].event, o->json);
    if (ok && say && q.more) fprintf(stderr, "gatehousectl: these are the newest %zu; there are more: --limit N, --since, --until\n", q.n);
    search_free(&q);
    return ok ? AUDIT_OK : AUDIT_FAILED;
}

int ctl_audit_search(const struct audit_options *o) {
    struct audit_source s;
    if (!audit_open(&s, o, false)) return AUDIT_FAILED;
    int rc = find(&s, o, 1000, true);
    audit_close(&s);
    return rc;
}

/* --- export --- */

static bool export_one(void *arg, const struct audit_event *e) {
    const struct audit_filter *f = arg;
    if (audit_filter_takes(f, e)) print_event(e, true);
    return ferror(stdout) == 0;
}

int ctl_audit_export(const struct audit_options *o) {
    struct audit_source s;
    struct audit_filter f;
    if (!audit_filter_init(&f, o)) return AUDIT_USAGE;
    if (!audit_open(&s, o, false)) return AUDIT_FAILED;
    bool ok = each(&s, o, f.from, export_one, &f);
    ok = fflush(stdout) == 0 && ferror(stdout) == 0 && ok;
    audit_close(&s);
    return ok ? AUDIT_OK : AUDIT_FAILED;
}

/* --- show --- */

struct replay {
    const char *session;
    bool json;
    uint64_t n;
    double start; /* seconds since 1970 */
};

static double seconds(const char *time) {
    struct tm tm = {0};
    const char *rest = time == NULL ? NULL : strptime(time, "%Y-%m-%dT%H:%M:%S", &tm);
    return rest == NULL ? 0 : (double)timegm(&tm) + (rest[0] == '.' ? strtod(rest, NULL) : 0);
}

#define MARGIN "           " /* as wide as the seconds before what was at them */

static void detail(const char *label, const char *value) {
    char first[80];
    if (value == NULL || value[0] == '\0') return;
    snprintf(first, sizeof first, MARGIN "  %-11.50s ", label);
    door_fold((struct fold){.first = first, .line = MARGIN "              ", .more = MARGIN "              "}, value);
}

/* A text on its own lines, each behind a margin. */
static void print_text(const char *label, const char *text) {
    static const char before[] = MARGIN FOLD_SQL;
    if (text == NULL || text[0] == '\0') return;
    if (label != NULL) printf(MARGIN "  %s\n", label);
    door_fold((struct fold){.first = before, .line = before, .more = MARGIN FOLD_SQL_MORE, .lines = true}, text);
}

static void statement_words(FILE *out, const struct audit_event *e) {
    fprintf(out, "statement %s", or_empty(audit_get(e, "id")));
    put(out, ", ", audit_get(e, "kind"));
    put(out, ": ", audit_get(e, "verdict"));
    put(out, " by rule ", audit_get(e, "rule"));
}

static void print_statement(const char *at, const struct audit_event *e) {
    print_words(at, statement_words, e);
    detail("why", audit_get(e, "reason"));
    detail("detail", audit_get(e, "detail"));
    detail("approval", audit_get(e, "approval"));
    detail("approved by", audit_get(e, "approved_by"));
    detail("mode", audit_get(e, "mode"));
    detail("touches", audit_get(e, "relations"));
    detail("text of", audit_get(e, "parse_id"));
    print_text(NULL, audit_get(e, "sql"));
    print_text("sent to the database instead:", audit_get(e, "rewritten"));
    print_text("would have been sent instead; in mode observe the text above ran as it is:", audit_get(e, "would_run"));
    detail("parameters", audit_get(e, "params"));
    detail("bytes of the text that are hidden", audit_get(e, "hidden"));
    detail("bytes of parameters that are hidden", audit_get(e, "params_hidden"));
}

/* Recorded rows, one a line. */
static void print_data(const char *text, bool cut) {
    json_t *list = text == NULL ? NULL : json_loads(text, 0, NULL);
    for (size_t i = 0; i < json_array_size(list); i++) {
        char *row = json_dumps(json_array_get(list, i), JSON_COMPACT | JSON_ENCODE_ANY);
        if (row != NULL) door_fold((struct fold){.first = MARGIN "> ", .line = MARGIN FOLD_SQL_MORE, .more = MARGIN FOLD_SQL_MORE}, row);
        free(row);
    }
    if (cut) puts(MARGIN "> ... and more, which is not recorded");
    json_decref(list);
}

static void other_words(FILE *out, const struct audit_event *e) {
    const char *type = or_empty(audit_get(e, "type")), *rows = audit_get(e, "rows"), *bytes = audit_get(e, "bytes"),
               *us = audit_get(e, "duration_us");
    fputs(type, out);
    if (strcmp(type, "result") != 0) return;
    put(out, " of ", audit_get(e, "id"));
    put(out, ": ", rows);
    if (rows != NULL) fputs(" rows", out);
    put(out, ", ", bytes);
    if (bytes != NULL) fputs(" bytes", out);
    if (us != NULL) fprintf(out, ", %.3f ms", strtod(us, NULL) / 1000);
    put(out, ", SQLSTATE ", audit_get(e, "sqlstate"));
    if (strcmp(or_empty(audit_get(e, "skipped")), "1") == 0) fputs(", not executed", out);
    put(out, " ", audit_get(e, "reason"));
}

static void print_other(const char *at, const struct audit_event *e) {
    print_words(at, other_words, e);
    if (strcmp(or_empty(audit_get(e, "type")), "result") == 0)
        print_data(audit_get(e, "data"), audit_get(e, "data_cut") != NULL);
    else
        for (size_t i = 10; i + 1 < e->nparts; i += 2) detail(e->parts[i].at, e->parts[i + 1].at);
}

static void began_words(FILE *out, const struct audit_event *e) {
    fputs(or_empty(audit_session(e)), out);
    put(out, ", began ", audit_get(e, "time"));
}

static bool replay_one(void *arg, const struct audit_event *e) {
    struct replay *r = arg;
    const char *session = audit_session(e);
    if (session == NULL || strcmp(session, r->session) != 0 || strstr(e->key, ":audit:") == NULL) return true;
    double at = seconds(audit_get(e, "time"));
    char when[40];
    if (r->n++ == 0) r->start = at;
    if (r->json) {
        print_event(e, true);
        return true;
    }
    if (r->n == 1) print_words("session ", began_words, e);
    snprintf(when, sizeof when, "%+11.3f  ", at - r->start);
    if (strcmp(or_empty(audit_get(e, "type")), "statement") == 0)
        print_statement(when, e);
    else
        print_other(when, e);
    return true;
}

int ctl_audit_show(const struct audit_options *o, const char *session) {
    struct audit_source s;
    struct audit_options one = *o;
    struct replay r = {.session = session, .json = o->json};
    one.session = session;
    if (!audit_open(&s, o, false)) return AUDIT_FAILED;
    bool ok = each(&s, &one, "-", replay_one, &r);
    audit_close(&s);
    if (!ok) return AUDIT_FAILED;
    if (r.n > 0) return AUDIT_OK;
    fputs("gatehousectl: there is no session ", stderr);
    for (const char *c = session; *c != '\0' && c < session + 100; c++) fputc(*c > 32 && *c < 127 ? *c : '?', stderr);
    fputs(" in this record\n", stderr);
    return AUDIT_NOTHING;
}

/* --- tail --- */

#define FOLLOWED_MAX 2000u

struct follow {
    struct audit_filter filter;
    struct {
        char *key, *after;
        bool session;
    } list[FOLLOWED_MAX];
    size_t n;
    const char *prefix;
    bool json;
};

static void follow_add(struct follow *f, const char *key, const char *after, bool session) {
    for (size_t i = 0; i < f->n; i++)
        if (strcmp(f->list[i].key, key) == 0) return;
    if (f->n == FOLLOWED_MAX) return;
    f->list[f->n].key = strdup(key);
    f->list[f->n].after = strdup(after);
    f->list[f->n].session = session;
    if (f->list[f->n].key != NULL && f->list[f->n].after != NULL) f->n++;
}

static void follow_drop(struct follow *f, const char *key) {
    for (size_t i = 0; i < f->n; i++) {
        if (strcmp(f->list[i].key, key) != 0) continue;
        free(f->list[i].key);
        free(f->list[i].after);
        f->list[i] = f->list[--f->n];
        return;
    }
}

static void follow_key(const struct follow *f, const struct audit_event *e, char *key, size_t size) {
    const char *session = audit_get(e, "session");
    snprintf(key, size, "%saudit:%.200s", f->prefix, session != NULL ? session : "");
}

/* The sessions that the index says are open. */
static bool open_ones(void *arg, const struct audit_event *e) {
    struct follow *f = arg;
    char key[400];
    const char *type = or_empty(audit_get(e, "type"));
    follow_key(f, e, key, sizeof key);
    if (strcmp(type, "session.open") == 0) follow_add(f, key, "", true);
    if (strcmp(type, "session.close") == 0) follow_drop(f, key);
    return true;
}

/* Where a stream ends. */
static char *end_of(const struct audit_source *s, const char *key) {
    redisReply *r = audit_ask(s, 6, (const char *[]){"XREVRANGE", key, "+", "-", "COUNT", "1"});
    bool one = r->type == REDIS_REPLY_ARRAY && r->elements == 1 && r->element[0]->type == REDIS_REPLY_ARRAY && r->element[0]->elements == 2;
    char *id = strdup(one ? r->element[0]->element[0]->str : "0-0");
    freeReplyObject(r);
    return id;
}

static bool follow_one(void *arg, const struct audit_event *e) {
    struct follow *f = arg;
    char key[400];
    const char *type = or_empty(audit_get(e, "type"));
    for (size_t i = 0; i < f->n; i++)
        if (strcmp(f->list[i].key, e->key) == 0) {
            free(f->list[i].after);
            f->list[i].after = strdup(e->id);
        }
    if (strstr(e->key, ":audit:") == NULL && strcmp(type, "session.open") == 0) {
        follow_key(f, e, key, sizeof key);
        follow_add(f, key, "0-0", true);
    }
    if (audit_filter_takes(&f->filter, e)) print_event(e, f->json);
    return true;
}

/* Which of the streams have something new; each of those is then read to its end. */
static bool follow_round(const struct audit_source *s, struct follow *f) {
    const char *argv[6 + 2 * FOLLOWED_MAX];
    size_t argc = 0, n = f->n;
    argv[argc++] = "XREAD";
    argv[argc++] = "COUNT";
    argv[argc++] = "1";
    argv[argc++] = "BLOCK";
    argv[argc++] = "1000";
    argv[argc++] = "STREAMS";
    for (size_t i = 0; i < n; i++) argv[argc++] = f->list[i].key;
    for (size_t i = 0; i < n; i++) argv[argc++] = f->list[i].after;
    redisReply *r = audit_ask(s, (int)argc, argv);
    bool ok = r->type != REDIS_REPLY_ERROR;
    if (!ok) audit_refused(s, "cannot follow the streams in Redis", r, "");
    for (size_t i = 0; ok && r->type == REDIS_REPLY_ARRAY && i < r->elements; i++) {
        const char *key = r->element[i]->element[0]->str;
        char from[80] = "-";
        for (size_t k = 0; k < f->n; k++)
            if (strcmp(f->list[k].key, key) == 0) snprintf(from, sizeof from, "(%s", f->list[k].after);
        ok = audit_stream(s, key, from, follow_one, f);
    }
    freeReplyObject(r);
    fflush(stdout);
    return ok && ferror(stdout) == 0;
}

int ctl_audit_tail(const struct audit_options *o) {
    static struct follow f;
    struct audit_source s;
    static const char *const always[] = {"sessions", "auth"};
    char key[300];
    if (!audit_filter_init(&f.filter, o)) return AUDIT_USAGE;
    if (!audit_open(&s, o, false)) return AUDIT_FAILED;
    if (s.journal != NULL) {
        fputs("gatehousectl: tail follows Redis; for a journal there is search --limit N\n", stderr);
        audit_close(&s);
        return AUDIT_USAGE;
    }
    f.prefix = s.prefix;
    f.json = o->json;
    for (size_t i = 0; i < 2; i++) {
        snprintf(key, sizeof key, "%s%s", s.prefix, always[i]);
        char *end = end_of(&s, key);
        follow_add(&f, key, end, false);
        free(end);
    }
    snprintf(key, sizeof key, "%ssessions", s.prefix);
    bool ok = audit_stream(&s, key, "-", open_ones, &f);
    for (size_t i = 2; ok && i < f.n; i++) {
        free(f.list[i].after);
        f.list[i].after = end_of(&s, f.list[i].key);
    }
    fflush(stdout);
    while (ok) ok = follow_round(&s, &f);
    audit_close(&s);
    return AUDIT_FAILED;
}
