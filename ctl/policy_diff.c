#include "ctl/policy_diff.h"

#include "ctl/at.h"
#include "ctl/columns.h"
#include "ctl/dialect.h"
#include "filters/bytes.h"
#include "policy/parsed.h"

#include <dirent.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { EXIT_SAME = 0, EXIT_DIFFERENT = 1, EXIT_USAGE = 2 };
#define MAX_WORDS 64
#define SHOWN     300 /* bytes of a statement that are printed */

struct who { /* one identity, under both policies */
    struct pol_role *old, *new;
};
struct diff {
    const char *old_file, *new_file, *corpus, *catalog_file, *database;
    const char *path[MAX_WORDS];
    size_t npath;
    struct ctl_dialect dialect;
    int64_t at; /* with fixed_at: for every statement */
    bool fixed_at, json, help;
    struct pol_policy *old, *new;
    struct pol_catalog *catalog;
    json_t *sessions; /* id -> {groups, claims}, as recorded */
    json_t *index;    /* identity -> its number in whos */
    json_t *seen;     /* identity and text -> true */
    struct who *whos;
    size_t nwhos, whos_cap;
    size_t statements, different, unread;
    bool failed;
};

static int usage(FILE *to) {
    fputs(
        "usage: gatehousectl policy diff --corpus FILE [--catalog FILE] [--database NAME] [--search-path SCHEMA[,SCHEMA...]] [--at TIME]\n"
        "                                [--json] OLD NEW\n"
        "\n"
        "Judges recorded statements by the policies OLD and NEW and prints those that are judged otherwise, or that run as another text. "
        "FILE is a\n"
        "journal (its folder, or one of its files), JSON lines of events, or JSON lines with sql, and principal, groups, claims, database "
        "and time as\n"
        "far as they matter; \"-\" is standard input. With --catalog, what \"gatehousectl catalog\" printed, masks and row filters are "
        "compared, too.\n"
        "Each statement of an identity counts once, at the time when it was recorded, or at TIME.\n"
        "\n"
        "Exit status: 0 none is judged otherwise, 1 some are, 2 wrong usage or a mistake in a file.\n",
        to);
    return to == stderr ? EXIT_USAGE : EXIT_SAME;
}

/* --- one statement --- */

struct record {
    const char *sql, *principal, *groups, *database;
    json_t *claims;
    int64_t at;
};

struct outcome {
    struct pol_verdict v;
    struct pol_rewritten r;
    bool rewritten;
};

static const char *word(const struct pol_verdict *v) { return v->effect == POL_ALLOW ? "allow" : v->effect == POL_ASK ? "ask" : "deny"; }

/* p: the tree, when it is PostgreSQL's. */
static void judge(struct diff *d, struct pol_role *role, const struct pol_parsed *p, const struct pol_facts *f, const struct record *r,
                  struct outcome *o) {
    *o = (struct outcome){0};
    pol_role_at(role, r->at);
    pol_judge(role, f, &o->v);
    if (o->v.effect == POL_DENY || !o->v.rewrite || d->catalog == NULL) return;
    o->rewritten = (d->dialect.mysql ? pol_rewrite_my(r->sql, strlen(r->sql), &d->dialect.my, role, &o->r, &o->v)
                                     : pol_rewrite_parsed(p, role, &o->r, &o->v)) == POL_REWRITE_DONE;
}

/* Rules may be renamed: who decides counts only where the verdict is a refusal's. */
static bool same(const struct outcome *a, const struct outcome *b) {
    if (a->v.effect != b->v.effect || a->rewritten != b->rewritten) return false;
    if (a->v.effect != POL_ALLOW && (strcmp(a->v.rule, b->v.rule) != 0 || strcmp(a->v.sqlstate, b->v.sqlstate) != 0)) return false;
    const struct pol_limits *x = &a->v.limits, *y = &b->v.limits;
    if (x->rows != y->rows || x->bytes != y->bytes || x->ms != y->ms || x->record != y->record) return false;
    return !a->rewritten || (a->r.len == b->r.len && memcmp(a->r.sql, b->r.sql, a->r.len) == 0);
}

/* Text of a client's, so that nothing in it reaches the terminal as more than text. */
static void put_text(const char *s, size_t max) {
    for (size_t i = 0; s[i] != '\0'; i++) {
        unsigned char c = (unsigned char)s[i];
        if (i >= max) {
            fputs("...", stdout);
            return;
        }
        if (c < 0x20 || c == 0x7F || c >= 0x80)
            printf(c == '\n' || c == '\t' ? " " : "\\x%02x", c);
        else
            putchar(c);
    }
}

static const char *record_word(const struct outcome *o) {
    static const char *const words[] = {
        [POL_RECORD_DEFAULT] = NULL, [POL_RECORD_STATEMENTS] = "statements", [POL_RECORD_RESULTS] = "results"};
    return words[o->v.limits.record];
}

static void put_side(const char *name, const struct outcome *o) {
    printf("  %s: %s", name, word(&o->v));
    if (o->v.rule[0] != '\0') printf(" (%s)", o->v.rule);
    if (o->v.effect != POL_ALLOW) {
        fputs(": ", stdout);
        put_text(o->v.message, SHOWN);
    } else if (o->rewritten) {
        fputs(", as: ", stdout);
        put_text(o->r.sql, 4 * SHOWN);
    }
    if (o->v.effect == POL_ALLOW && (o->v.limits.rows | o->v.limits.bytes | o->v.limits.ms) != 0)
        printf(", at most %llu rows, %llu bytes, %llu ms (0: any)", (unsigned long long)o->v.limits.rows,
               (unsigned long long)o->v.limits.bytes, (unsigned long long)o->v.limits.ms);
    if (o->v.effect == POL_ALLOW && record_word(o) != NULL) printf(", record: %s", record_word(o));
    putchar('\n');
}

static json_t *side_json(const struct outcome *o) {
    return json_pack("{s:s, s:s, s:s, s:s, s:s*, s:I, s:I, s:I, s:s*}", "verdict", word(&o->v), "rule", o->v.rule, "sqlstate",
                     o->v.sqlstate, "message", o->v.message, "rewritten", o->rewritten ? o->r.sql : NULL, "max_rows",
                     (json_int_t)o->v.limits.rows, "max_bytes", (json_int_t)o->v.limits.bytes, "max_ms", (json_int_t)o->v.limits.ms,
                     "record", record_word(o));
}

static void report(const struct diff *d, const struct record *r, const struct outcome *a, const struct outcome *b) {
    if (d->json) {
        json_t *j = json_pack("{s:s, s:s, s:s, s:s, s:o, s:o}", "database", r->database, "principal", r->principal, "groups", r->groups,
                              "sql", r->sql, "old", side_json(a), "new", side_json(b));
        json_dumpf(j, stdout, JSON_COMPACT | JSON_ENSURE_ASCII);
        putchar('\n');
        json_decref(j);
        return;
    }
    put_text(r->database, SHOWN);
    fputs(": ", stdout);
    put_text(r->principal[0] != '\0' ? r->principal : "(nobody)", SHOWN);
    fputs(" [", stdout);
    put_text(r->groups, SHOWN);
    fputs("]: ", stdout);
    put_text(r->sql, SHOWN);
    putchar('\n');
    put_side("old", a);
    put_side("new", b);
}

/* --- identities --- */

static struct pol_role *role_of(const struct diff *d, struct pol_policy *p, const struct record *r) {
    const char *groups[MAX_WORDS];
    struct pol_claim claims[MAX_WORDS];
    struct pol_subject who = {.principal = r->principal, .groups = groups, .claims = claims};
    char *list = strdup(r->groups), *save = NULL;
    if (list == NULL) return NULL;
    for (char *w = strtok_r(list, ",", &save); w != NULL && who.ngroups < MAX_WORDS; w = strtok_r(NULL, ",", &save))
        groups[who.ngroups++] = w;
    const char *name;
    json_t *value;
    json_object_foreach(r->claims, name, value) {
        if (json_is_string(value) && who.nclaims < MAX_WORDS) claims[who.nclaims++] = (struct pol_claim){name, json_string_value(value)};
    }
    struct pol_role *role = ctl_dialect_role(&d->dialect, p, &who, r->database, d->catalog);
    free(list);
    return role;
}

/* The same for who says the same: principal, groups, claims, database. NULL when memory is out. */
static struct who *who_of(struct diff *d, const struct record *r, const char *key) {
    json_t *known = json_object_get(d->index, key);
    if (known != NULL) return &d->whos[json_integer_value(known)];
    if (d->nwhos == d->whos_cap) {
        size_t cap = d->whos_cap == 0 ? 64 : d->whos_cap * 2;
        struct who *moved = reallocarray(d->whos, cap, sizeof *moved);
        if (moved == NULL) return NULL;
        d->whos = moved;
        d->whos_cap = cap;
    }
    struct who w = {role_of(d, d->old, r), role_of(d, d->new, r)};
    if (w.old == NULL || w.new == NULL || json_object_set_new_nocheck(d->index, key, json_integer((json_int_t)d->nwhos)) != 0) {
        pol_role_free(w.old);
        pol_role_free(w.new);
        return NULL;
    }
    d->whos[d->nwhos] = w;
    return &d->whos[d->nwhos++];
}

static struct pol_facts *read_facts(const struct diff *d, const char *sql, struct pol_parsed *p) {
    struct pol_parse_error err = {0};
    *p = (struct pol_parsed){0};
    if (d->dialect.mysql) return pol_facts_my(sql, strlen(sql), &d->dialect.my, &err);
    return pol_parse_pg(p, sql, strlen(sql), NULL, &err) ? pol_facts_parsed(p, &err) : NULL;
}

static void compare(struct diff *d, const struct record *r, struct who *w) {
    struct pol_parsed p;
    struct outcome a, b;
    struct pol_facts *f = read_facts(d, r->sql, &p);
    if (f == NULL) { /* refused whatever the policy says */
        pol_parse_clear(&p);
        return;
    }
    judge(d, w->old, &p, f, r, &a);
    judge(d, w->new, &p, f, r, &b);
    if (!same(&a, &b)) {
        d->different++;
        report(d, r, &a, &b);
    }
    if (a.rewritten) pol_rewritten_free(&a.r);
    if (b.rewritten) pol_rewritten_free(&b.r);
    pol_facts_free(f);
    pol_parse_clear(&p);
}

/* --- the corpus --- */

static bool keep_key(struct buf *b, const char *s) {
    buf_str(b, s);
    buf_u8(b, 1);
    return !b->failed;
}

static void statement(struct diff *d, const struct record *r) {
    struct buf key = BUF_INIT(64u << 20);
    char *claims = r->claims != NULL ? json_dumps(r->claims, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    keep_key(&key, r->database);
    keep_key(&key, r->principal);
    keep_key(&key, r->groups);
    keep_key(&key, claims != NULL ? claims : "");
    free(claims);
    size_t identity = buf_used(&key);
    buf_u8(&key, '\0');
    struct who *w = key.failed ? NULL : who_of(d, r, (const char *)buf_at(&key));
    if (w == NULL) {
        d->failed = true;
    } else {
        struct buf whole = BUF_INIT(64u << 20);
        buf_put(&whole, buf_at(&key), identity);
        buf_str(&whole, r->sql);
        buf_u8(&whole, '\0');
        bool known = !whole.failed && json_object_get(d->seen, (const char *)buf_at(&whole)) != NULL;
        if (!known && !whole.failed) json_object_set_new_nocheck(d->seen, (const char *)buf_at(&whole), json_true());
        buf_free(&whole);
        if (!known) {
            d->statements++;
            compare(d, r, w);
        }
    }
    buf_free(&key);
}

/* Groups as a list, or as the record has them: joined by commas. The caller frees it. */
static char *groups_of(const json_t *g) {
    struct buf b = BUF_INIT(1u << 20);
    size_t i;
    json_t *item;
    if (json_is_string(g)) return strdup(json_string_value(g));
    json_array_foreach(g, i, item) {
        if (!json_is_string(item)) continue;
        if (buf_used(&b) > 0) buf_u8(&b, ',');
        buf_str(&b, json_string_value(item));
    }
    buf_u8(&b, '\0');
    char *s = b.failed ? NULL : strdup((const char *)buf_at(&b));
    buf_free(&b);
    return s;
}

/* 2026-11-29T13:05:01.716Z; now when it is none. */
static int64_t time_of(const struct diff *d, const char *text) {
    char whole[24];
    int64_t at;
    if (d->fixed_at || text == NULL || strlen(text) < 20) return d->at;
    snprintf(whole, sizeof whole, "%.19sZ", text);
    return ctl_at(whole, &at) ? at : d->at;
}

static const char *text_of(const json_t *o, const char *key) { return json_string_value(json_object_get(o, key)); }

/* An event of the ledger, flat, or a line of a corpus. */
static void line_object(struct diff *d, const json_t *o) {
    const char *type = text_of(o, "type"), *session = text_of(o, "session"), *sql = text_of(o, "sql");
    const json_t *groups = json_object_get(o, "groups");
    if (type != NULL && (strcmp(type, "session.open") == 0 || strcmp(type, "session.renewed") == 0) && session != NULL && groups != NULL) {
        const char *attributes = text_of(o, "attributes");
        json_t *claims = attributes != NULL ? json_loads(attributes, JSON_REJECT_DUPLICATES, NULL) : NULL;
        json_object_set_new_nocheck(d->sessions, session, json_pack("{s:O, s:o*}", "groups", groups, "claims", claims));
        return;
    }
    if (type != NULL && strcmp(type, "statement") != 0) return;
    if (sql == NULL) {
        d->unread += json_object_get(o, "sql.b64") != NULL || type == NULL;
        return; /* an Execute: its Parse has the text */
    }
    json_t *whose = session != NULL ? json_object_get(d->sessions, session) : NULL, *claims = json_object_get(o, "claims");
    if (groups == NULL) groups = json_object_get(whose, "groups");
    if (claims == NULL) claims = json_object_get(whose, "claims");
    char *list = groups_of(groups);
    const char *principal = text_of(o, "principal"), *database = text_of(o, "database");
    struct record r = {.sql = sql,
                       .principal = principal != NULL ? principal : "",
                       .groups = list,
                       .database = database != NULL ? database : d->database,
                       .claims = claims,
                       .at = time_of(d, text_of(o, "time"))};
    if (list == NULL)
        d->failed = true;
    else if (r.database == NULL)
        d->unread++;
    else if (d->database == NULL || strcmp(d->database, r.database) == 0)
        statement(d, &r);
    free(list);
}

/* The journal's form has its fields as a list of pairs. */
static json_t *flat(const json_t *o) {
    json_t *fields = json_object_get(o, "fields"), *out = json_object(), *pair;
    size_t i;
    json_array_foreach(fields, i, pair) {
        const char *name = json_string_value(json_array_get(pair, 0));
        if (name != NULL) json_object_set_nocheck(out, name, json_array_get(pair, 1));
    }
    json_t *session = json_object_get(o, "session");
    if (session != NULL && json_object_get(out, "session") == NULL) json_object_set_nocheck(out, "session", session);
    return out;
}

static void one_line(struct diff *d, const char *text) {
    json_error_t err;
    const char *json = strchr(text, '{'); /* a journal's line has its number and checksum in front */
    if (json == NULL) {
        d->unread += text[strspn(text, " \t\r\n")] != '\0';
        return;
    }
    json_t *o = json_loads(json, JSON_REJECT_DUPLICATES, &err);
    if (!json_is_object(o)) {
        d->unread++;
    } else if (json_is_array(json_object_get(o, "fields"))) {
        json_t *event = flat(o);
        line_object(d, event);
        json_decref(event);
    } else
        line_object(d, o);
    json_decref(o);
}

static bool complain(const char *path) {
    fprintf(stderr, "gatehousectl policy: ");
    perror(path);
    return false;
}

static bool one_file(struct diff *d, const char *path) {
    FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    char *text = NULL;
    size_t cap = 0;
    if (f == NULL) return complain(path);
    while (getline(&text, &cap, f) >= 0 && !d->failed) one_line(d, text);
    bool ok = ferror(f) == 0;
    free(text);
    if (f != stdin) fclose(f);
    return ok || complain(path);
}

static int is_journal(const struct dirent *e) {
    size_t n = strlen(e->d_name);
    return strncmp(e->d_name, "journal-", 8) == 0 && n > 4 && strcmp(e->d_name + n - 4, ".log") == 0;
}
static int is_slot(const struct dirent *e) { return strncmp(e->d_name, "slot-", 5) == 0; }

static bool folder(struct diff *d, const char *path, bool slots) {
    struct dirent **list;
    int n = scandir(path, &list, is_journal, alphasort);
    bool ok = n >= 0 || complain(path);
    char name[4096];
    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof name, "%s/%s", path, list[i]->d_name);
        ok = ok && one_file(d, name);
        free(list[i]);
    }
    if (n >= 0) free(list);
    n = ok && slots ? scandir(path, &list, is_slot, alphasort) : -1;
    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof name, "%s/%s", path, list[i]->d_name);
        ok = ok && folder(d, name, false);
        free(list[i]);
    }
    if (n >= 0) free(list);
    return ok;
}

static void *read_corpus(void *arg) {
    struct diff *d = arg;
    struct stat st;
    bool dir = strcmp(d->corpus, "-") != 0 && stat(d->corpus, &st) == 0 && S_ISDIR(st.st_mode);
    if (!(dir ? folder(d, d->corpus, true) : one_file(d, d->corpus))) d->failed = true;
    return NULL;
}

/* --- the command --- */

static bool read_options(int argc, char **argv, struct diff *d) {
    static const struct option longs[] = {{"corpus", required_argument, NULL, 'C'},   {"catalog", required_argument, NULL, 'c'},
                                          {"database", required_argument, NULL, 'd'}, {"search-path", required_argument, NULL, 's'},
                                          {"at", required_argument, NULL, 't'},       {"json", no_argument, NULL, 'j'},
                                          {"help", no_argument, NULL, 'h'},           {NULL, 0, NULL, 0}};
    ctl_at(NULL, &d->at);
    optind = 1;
    for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        char *save = NULL;
        switch (c) {
        case 'C': d->corpus = optarg; break;
        case 'c': d->catalog_file = optarg; break;
        case 'd': d->database = optarg; break;
        case 't':
            if (!ctl_at(optarg, &d->at)) return false;
            d->fixed_at = true;
            break;
        case 'j': d->json = true; break;
        case 'h': d->help = true; return true;
        case 's':
            for (char *w = strtok_r(optarg, ",", &save); w != NULL; w = strtok_r(NULL, ",", &save)) {
                if (d->npath == MAX_WORDS) return false;
                d->path[d->npath++] = w;
            }
            break;
        default: return false;
        }
    }
    if (d->corpus == NULL || argc - optind != 2) return false;
    d->old_file = argv[optind];
    d->new_file = argv[optind + 1];
    return true;
}

static void clear(struct diff *d) {
    for (size_t i = 0; i < d->nwhos; i++) {
        pol_role_free(d->whos[i].old);
        pol_role_free(d->whos[i].new);
    }
    free(d->whos);
    json_decref(d->sessions);
    json_decref(d->index);
    json_decref(d->seen);
    pol_catalog_unref(d->catalog);
    pol_policy_unref(d->old);
    pol_policy_unref(d->new);
}

int ctl_policy_diff(int argc, char **argv) {
    struct diff d = {0};
    if (!read_options(argc, argv, &d)) return usage(stderr);
    if (d.help) return usage(stdout);
    d.sessions = json_object();
    d.index = json_object();
    d.seen = json_object();
    d.old = ctl_policy_file(d.old_file);
    d.new = ctl_policy_file(d.new_file);
    bool ok = d.old != NULL && d.new != NULL &&d.sessions != NULL &&d.index != NULL &&d.seen != NULL &&
              (d.catalog_file == NULL || (d.catalog = ctl_catalog_file(d.catalog_file)) != NULL);
    if (ok) ctl_dialect(&d.dialect, d.catalog, d.path, d.npath);
    ok = ok && ctl_on_stack(read_corpus, &d) && !d.failed;
    if (ok && !d.json) printf("%zu statements, %zu judged otherwise%s", d.statements, d.different, d.unread == 0 ? "\n" : "");
    if (ok && d.unread > 0) fprintf(d.json ? stderr : stdout, "%s%zu lines were not understood\n", d.json ? "" : ", ", d.unread);
    int status = !ok ? EXIT_USAGE : d.different > 0 ? EXIT_DIFFERENT : EXIT_SAME;
    clear(&d);
    return status;
}
