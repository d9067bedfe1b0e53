#include <config.h>

#include "ctl/audit.h"

#include "spoa/journal.h"
#include "spoa/ledger_find.h"
#include "spoa/secret.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE      "100"
#define PATIENCE  10 /* seconds */
#define SCAN_STEP "1000"

/* --- events --- */

const char *audit_get(const struct audit_event *e, const char *name) {
    for (size_t i = 0; i + 1 < e->nparts; i += 2)
        if (strcmp(e->parts[i].at, name) == 0) return e->parts[i + 1].at;
    return NULL;
}

bool audit_number(const struct audit_event *e, uint64_t *seq, const char **node) {
    static const char *const names[] = {"type", "seq", "node", "time", "prev"};
    if (e->nparts < 2 * sizeof names / sizeof *names) return false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(e->parts[2 * i].at, names[i]) != 0) return false;
    const struct lev_part *s = &e->parts[3];
    if (s->len == 0 || s->len > 19 || strspn(s->at, "0123456789") != s->len || s->at[0] == '0') return false;
    *seq = strtoull(s->at, NULL, 10);
    *node = e->parts[5].at;
    return true;
}

const char *audit_session(const struct audit_event *e) {
    const char *at = strstr(e->key, ":audit:");
    return at != NULL ? at + 7 : audit_get(e, "session");
}

json_t *audit_json(const struct audit_event *e) {
    json_t *o = json_pack("{s:s, s:s}", "stream", e->key, "entry", e->id);
    for (size_t i = 0; o != NULL && i + 1 < e->nparts; i += 2) {
        json_t *value = json_stringn(e->parts[i + 1].at, e->parts[i + 1].len); /* NULL: by hand, and no text */
        const char *name = e->parts[i].at;
        char *again = NULL;
        if (json_object_get(o, name) != NULL && asprintf(&again, "%s#%zu", name, i / 2) >= 0) name = again;
        json_object_set_new(o, name, value != NULL ? value : json_string("(not UTF-8)"));
        free(again);
    }
    return o;
}

/* --- opening --- */

static bool complain(const char *what, const char *why) {
    fprintf(stderr, "gatehousectl: %s: %s\n", what, why);
    return false;
}

/* Whose login it is, and which would do. */
static void advise(const struct audit_source *s, const char *error) {
    static const char other[] =
        "an auditor's user of Redis can (doc/ledger.md, \"Redis access\"): --user NAME --password-file FILE; or read the journal: "
        "--journal FOLDER";
    if (strncmp(error, "NOPERM", 6) == 0)
        fprintf(stderr, "    do: %s; %s\n",
                s->daemons ? "this is the daemon's own login, which may write the record and not list it" : "this login lacks a right",
                other);
    else if (strncmp(error, "NOAUTH", 6) == 0)
        fputs("    do: log in: --user NAME --password-file FILE\n", stderr);
    else if (strncmp(error, "WRONGPASS", 9) == 0)
        fprintf(
            stderr,
            "    do: see that %s, and that Redis still has the user: one of ACL SETUSER is gone when Redis starts again, unless it is kept "
            "(doc/ledger.md, \"Redis access\")\n",
            s->daemons ? "user and password in the configuration are right" : "--user and --password-file are right");
}

void audit_refused(const struct audit_source *s, const char *what, const redisReply *r, const char *other) {
    bool error = r != NULL && r->type == REDIS_REPLY_ERROR;
    complain(what, error ? r->str : other);
    if (error) advise(s, r->str);
}

static bool login(struct audit_source *s, const char *user, const char *password) {
    if (password == NULL) return true;
    redisReply *r = user != NULL ? redisCommand(s->redis, "AUTH %s %s", user, password) : redisCommand(s->redis, "AUTH %s", password);
    bool ok = r != NULL && r->type != REDIS_REPLY_ERROR;
    if (!ok) audit_refused(s, "Redis refused the login", r, s->redis->errstr);
    if (r != NULL) freeReplyObject(r);
    return ok;
}

static bool dial(struct audit_source *s, const char *where, uint16_t port) {
    const struct timeval patience = {PATIENCE, 0};
    s->redis = where[0] == '/' ? redisConnectUnixWithTimeout(where, patience) : redisConnectWithTimeout(where, port, patience);
    if (s->redis == NULL || s->redis->err != 0) {
        complain("cannot reach Redis", s->redis == NULL ? "out of memory" : s->redis->errstr);
        fprintf(stderr, "    do: name it with --redis HOST:PORT or --redis SOCKET, or read the journal itself: --journal FOLDER\n");
        return false;
    }
    redisSetTimeout(s->redis, patience);
    return true;
}

/* "HOST:PORT", "[::1]:6379", "/a/socket". */
static bool dial_text(struct audit_source *s, const char *where) {
    char host[256];
    const char *colon = strrchr(where, ':');
    if (where[0] == '/') return dial(s, where, 0);
    size_t n = colon == NULL || strchr(colon, ']') != NULL ? strlen(where) : (size_t)(colon - where);
    unsigned long port = where[n] == ':' ? strtoul(where + n + 1, NULL, 10) : 6379;
    const char *from = where;
    if (n >= 2 && where[0] == '[' && where[n - 1] == ']') from++, n -= 2;
    if (n == 0 || n >= sizeof host || port == 0 || port > 65535) return complain(where, "is not HOST:PORT");
    snprintf(host, sizeof host, "%.*s", (int)n, from);
    return dial(s, host, (uint16_t)port);
}

static void take_paths(struct audit_source *s, const struct led_conf *l) {
    char path[sizeof s->key];
    if (l->anchor_file != NULL && access(l->anchor_file, R_OK) == 0) snprintf(s->anchors, sizeof s->anchors, "%s", l->anchor_file);
    if (snprintf(path, sizeof path, "%s/node.pub", l->dir) < (int)sizeof path && access(path, R_OK) == 0) memcpy(s->key, path, sizeof path);
}

static bool read_password(struct audit_source *s, const struct audit_options *o) {
    char why[512], *password = secret_read(o->password_file, why, sizeof why);
    if (password == NULL) return complain("--password-file", why);
    bool ok = login(s, o->user, password);
    secret_free(password);
    return ok;
}

bool audit_open(struct audit_source *s, const struct audit_options *o, bool quiet) {
    const char *config = o->config != NULL ? o->config : getenv("GATEHOUSE_CONFIG"), *redis = o->redis;
    struct pol_error err = {0};
    *s = (struct audit_source){.journal = o->journal, .prefix = o->prefix != NULL ? o->prefix : LEV_PREFIX};
    secret_init();
    if (o->journal != NULL && o->redis == NULL && o->config == NULL) return true;
    if (redis == NULL && o->config == NULL) redis = getenv("GATEHOUSE_REDIS");
    if (redis == NULL && config == NULL) {
        if (!quiet)
            fputs("gatehousectl: where is the record? Say --redis HOST:PORT or --redis SOCKET (GATEHOUSE_REDIS), --config FILE "
                  "(GATEHOUSE_CONFIG), or --journal FOLDER\n",
                  stderr);
        return false;
    }
    if (redis != NULL && o->config == NULL) return dial_text(s, redis) && (o->password_file == NULL || read_password(s, o));
    s->conf = conf_look(config, &err);
    if (s->conf == NULL) {
        char text[1024];
        pol_error_format(&err, text, sizeof text);
        return complain("the configuration", text);
    }
    const struct led_conf *l = &s->conf->ledger;
    take_paths(s, l);
    if (o->journal != NULL && o->redis == NULL) return true;
    if (redis != NULL) return dial_text(s, redis) && (o->password_file == NULL || read_password(s, o));
    struct led_place place;
    char why[400] = "";
    if (l->redis_prefix != NULL) s->prefix = l->redis_prefix;
    if (l->redis_sentinels != NULL && !led_find_now(l, &place, why, sizeof why)) return complain("cannot find Redis", why);
    bool there = l->redis_sentinels != NULL ? dial(s, place.addr, place.port)
                                            : dial(s, l->redis_socket != NULL ? l->redis_socket : l->redis_host, l->redis_port);
    s->daemons = o->password_file == NULL;
    return there && (o->password_file != NULL ? read_password(s, o) : login(s, l->redis_user, l->redis_password));
}

void audit_close(struct audit_source *s) {
    if (s->redis != NULL) redisFree(s->redis);
    if (s->conf != NULL) conf_free(s->conf);
    *s = (struct audit_source){0};
}

redisReply *audit_ask(const struct audit_source *s, int argc, const char **argv) {
    redisReply *r = redisCommandArgv(s->redis, argc, argv, NULL);
    if (r != NULL) return r;
    fprintf(stderr, "gatehousectl: the connection to Redis failed: %s\n", s->redis->errstr);
    exit(AUDIT_FAILED);
}

/* --- Redis --- */

/* The entry's fields; false when it is not one. Empty names or values have no bytes but a NUL. */
static bool entry(const redisReply *r, const char *key, struct audit_event *e, struct lev_part **parts, size_t *room) {
    if (r->type != REDIS_REPLY_ARRAY || r->elements != 2 || r->element[0]->type != REDIS_REPLY_STRING ||
        r->element[1]->type != REDIS_REPLY_ARRAY)
        return false;
    const redisReply *f = r->element[1];
    if (f->elements > *room) {
        struct lev_part *more = reallocarray(*parts, f->elements, sizeof *more);
        if (more == NULL) return false;
        *parts = more;
        *room = f->elements;
    }
    for (size_t i = 0; i < f->elements; i++) {
        if (f->element[i]->type != REDIS_REPLY_STRING) return false;
        (*parts)[i] = (struct lev_part){f->element[i]->str, f->element[i]->len};
    }
    *e = (struct audit_event){.key = key, .id = r->element[0]->str, .parts = *parts, .nparts = f->elements};
    return true;
}

bool audit_stream(const struct audit_source *s, const char *key, const char *from, audit_fn fn, void *arg) {
    struct lev_part *parts = NULL;
    size_t room = 0;
    char next[80];
    snprintf(next, sizeof next, "%s", from);
    for (bool more = true, ok = true;;) {
        redisReply *r = audit_ask(s, 6, (const char *[]){"XRANGE", key, next, "+", "COUNT", PAGE});
        if (r->type != REDIS_REPLY_ARRAY) {
            char what[500];
            snprintf(what, sizeof what, "Redis does not let %.400s be read", key);
            audit_refused(s, what, r, "no stream");
            ok = false;
        }
        for (size_t i = 0; ok && more && i < r->elements; i++) {
            struct audit_event e;
            ok = entry(r->element[i], key, &e, &parts, &room);
            more = ok && fn(arg, &e);
            if (ok) snprintf(next, sizeof next, "(%s", e.id);
        }
        more = more && ok && r->type == REDIS_REPLY_ARRAY && r->elements > 0;
        freeReplyObject(r);
        if (more) continue;
        free(parts);
        return ok;
    }
}

/* What SCAN found; it may find one twice. */
struct keys {
    char **list;
    size_t n, room;
};

static bool keys_add(struct keys *k, const char *key) {
    if (k->n == k->room) {
        size_t room = k->room == 0 ? 256 : 2 * k->room;
        char **list = reallocarray(k->list, room, sizeof *list);
        if (list == NULL) return false;
        k->list = list;
        k->room = room;
    }
    k->list[k->n] = strdup(key);
    return k->list[k->n++] != NULL;
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void keys_free(struct keys *k) {
    for (size_t i = 0; i < k->n; i++) free(k->list[i]);
    free(k->list);
}

static bool scan(const struct audit_source *s, const char *pattern, struct keys *k) {
    char cursor[32] = "0";
    do {
        redisReply *r = audit_ask(s, 8, (const char *[]){"SCAN", cursor, "MATCH", pattern, "COUNT", SCAN_STEP, "TYPE", "stream"});
        bool ok = r->type == REDIS_REPLY_ARRAY && r->elements == 2 && r->element[0]->type == REDIS_REPLY_STRING;
        if (ok) snprintf(cursor, sizeof cursor, "%s", r->element[0]->str);
        for (size_t i = 0; ok && i < r->element[1]->elements; i++) ok = keys_add(k, r->element[1]->element[i]->str);
        if (!ok) audit_refused(s, "cannot list the streams in Redis", r, "out of memory");
        freeReplyObject(r);
        if (!ok) return false;
    } while (strcmp(cursor, "0") != 0);
    return true;
}

/* A glob of SCAN that means this text. */
static void escape(const char *s, char *out, size_t size) {
    size_t at = 0;
    for (; *s != '\0' && at + 3 < size; s++) {
        if (strchr("*?[]\\{}", *s) != NULL) out[at++] = '\\';
        out[at++] = *s;
    }
    out[at] = '\0';
}

static bool each_in_redis(const struct audit_source *s, const char *from, audit_fn fn, void *arg) {
    static const char *const names[] = {"sessions", "auth"}, *const kinds[] = {"audit:*", "approval:*"};
    struct keys k = {0};
    char text[300], prefix[200];
    bool ok = true;
    escape(s->prefix, prefix, sizeof prefix);
    for (size_t i = 0; ok && i < 2; i++) {
        snprintf(text, sizeof text, "%s%s", s->prefix, names[i]);
        ok = keys_add(&k, text);
    }
    for (size_t i = 0; ok && i < 2; i++) {
        snprintf(text, sizeof text, "%s%s", prefix, kinds[i]);
        ok = scan(s, text, &k);
    }
    if (ok) qsort(k.list, k.n, sizeof *k.list, by_name);
    for (size_t i = 0; ok && i < k.n; i++)
        if (i == 0 || strcmp(k.list[i - 1], k.list[i]) != 0) ok = audit_stream(s, k.list[i], from, fn, arg);
    keys_free(&k);
    return ok;
}

/* --- a journal --- */

static int by_number(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static bool list_files(const char *dir, struct keys *k) {
    DIR *d = opendir(dir);
    bool ok = d != NULL;
    for (struct dirent *e; ok && (e = readdir(d)) != NULL;) {
        uint64_t first;
        if (sscanf(e->d_name, "journal-%16" SCNu64 ".log", &first) == 1 && strlen(e->d_name) == 28) ok = keys_add(k, e->d_name);
    }
    if (d != NULL) closedir(d);
    if (ok && k->n > 0) qsort(k->list, k->n, sizeof *k->list, by_number);
    return ok;
}

struct reading {
    audit_fn fn;
    void (*damaged)(void *arg, const char *what);
    void *arg;
    bool more;
};

static bool bad_line(struct reading *r, const char *path, size_t number, const char *why) {
    char what[5200];
    snprintf(what, sizeof what, "%s, line %zu: %s", path, number, why);
    if (r->damaged == NULL) return complain("the journal", what);
    r->damaged(r->arg, what);
    return true;
}

/* One line without its newline. */
static bool journal_line(struct reading *r, const char *path, size_t number, const char *line, size_t len) {
    const char *json;
    size_t n;
    uint64_t seq;
    if (!jnl_line_parse(line, len, &seq, &json, &n)) return bad_line(r, path, number, "its checksum is wrong");
    struct lev *e = lev_parse(json, n);
    if (e == NULL || e->seq != seq) {
        lev_free_all(e);
        return bad_line(r, path, number, "it is not an event");
    }
    r->more = r->fn(r->arg, &(struct audit_event){.key = e->key, .id = e->id, .parts = e->parts, .nparts = e->nparts});
    lev_free_all(e);
    return true;
}

static bool journal_file(struct reading *r, const char *path, bool last) {
    FILE *f = fopen(path, "re");
    char *line = NULL;
    size_t room = 0, number = 0;
    bool ok = f != NULL || complain(path, strerror(errno));
    for (ssize_t n; ok && r->more && (n = getline(&line, &room, f)) > 0;) {
        bool whole = line[n - 1] == '\n';
        number++;
        if (whole)
            ok = journal_line(r, path, number, line, (size_t)n - 1);
        else if (!last)
            ok = bad_line(r, path, number, "it has no end");
    }
    free(line);
    if (f != NULL) fclose(f);
    return ok;
}

/* One writer's. What it removed meanwhile was old. */
static bool journal_folder(struct reading *r, const char *dir) {
    struct keys k = {0};
    char path[4400];
    bool ok = list_files(dir, &k) || complain(dir, strerror(errno));
    for (size_t i = 0; ok && r->more && i < k.n; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, k.list[i]);
        if (i + 1 < k.n && access(path, F_OK) != 0) continue;
        ok = journal_file(r, path, i + 1 == k.n);
    }
    keys_free(&k);
    return ok;
}

static bool each_in_journal(const struct audit_source *s, struct reading *r) {
    char path[4200];
    bool ok = journal_folder(r, s->journal);
    for (unsigned i = 1; ok && r->more && i < LED_SLOTS; i++) {
        snprintf(path, sizeof path, "%s/slot-%u", s->journal, i);
        if (access(path, F_OK) == 0) ok = journal_folder(r, path);
    }
    return ok;
}

bool audit_each(const struct audit_source *s, const char *from, audit_fn fn, void (*damaged)(void *arg, const char *what), void *arg) {
    struct reading r = {fn, damaged, arg, true};
    return s->journal != NULL ? each_in_journal(s, &r) : each_in_redis(s, from, fn, arg);
}
