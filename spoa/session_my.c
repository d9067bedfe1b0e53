/* What is different for sessions that speak MySQL's protocol: which server it is that reads the text, KILL of one's own sessions, the default database. */
#include <config.h>

#include "spoa/session_int.h"

#include "policy/my_lex.h"
#include "policy/my_words.h"
#include "spoa/dbclient.h"
#include "spoa/greet.h"
#include "spoa/statement.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define KILL_WAIT_MS 5000u

void session_my_free(struct session *s) {
    free(s->my.key);
    s->my.key = NULL;
}

/* --- the server --- */

/* "10.11.6-MariaDB-0+deb12u1" is 101106, as versioned comments have it. */
static bool read_version(const char *text, uint32_t *out) {
    unsigned major, minor, patch;
    if (sscanf(text, "%3u.%3u.%3u", &major, &minor, &patch) != 3 || major > 99 || minor > 99 || patch > 99) return false;
    *out = major * 10000 + minor * 100 + patch;
    return true;
}

static const char *param(const struct flt_event *ev, const char *name) {
    for (size_t i = 0; i < ev->upstream.nparams; i++)
        if (strcmp(ev->upstream.params[i].name, name) == 0) return ev->upstream.params[i].value;
    return "";
}

bool session_my_ready(struct session *s, const struct flt_event *ev, const char **why) {
    const char *version = param(ev, "version"), *mode = param(ev, "sql_mode"), *fold = param(ev, "lower_case_table_names");
    session_my_free(s);
    *why = "its sql_mode has a word that is not known";
    if (!my_mode_of(mode, strlen(mode), &s->my.mode)) return false;
    if (s->role != NULL) pol_role_my_mode(s->role, s->my.mode);
    s->my.mariadb = strcasestr(version, "mariadb") != NULL;
    s->my.fold = strcmp(fold, "0") != 0;
    *why = "its version cannot be read";
    if (!read_version(version, &s->my.version)) return false;
    if (asprintf(&s->my.key, "%s\n%s\n%s\n%s\n", version, mode, fold, s->db->database) < 0) s->my.key = NULL;
    *why = "out of memory";
    if (s->my.key == NULL) return false;
    /* literals are compared by the default collation of the character set that the client began with */
    if (strcmp(param(ev, "charset"), "utf8mb4") != 0 && s->charsets[0] == '\0')
        snprintf(s->charsets, sizeof s->charsets, "%.60s", param(ev, "charset"));
    const struct flt_kv kv = {"version", version};
    paramcache_put(s->ws->d->params, s->db->name, "", &kv, 1); /* for greetings */
    return true;
}

size_t session_my_upstream(const struct session *s, struct startup_who *who, struct flt_kv *kv, size_t max) {
    struct startup none = {0};
    struct conf_database plain = *s->db;
    size_t n = 0;
    plain.application_name = NULL;
    size_t all = startup_upstream(&none, &plain, who, kv, max);
    for (size_t i = 0; i < all; i++) { /* without PostgreSQL's own */
        bool setting = false;
        for (size_t k = 0; k < s->db->nsettings; k++) setting = setting || kv[i].name == s->db->settings[k].name;
        if (setting || strncmp(kv[i].name, "gatehouse.", 10) == 0) kv[n++] = kv[i];
    }
    return n;
}

/* --- connection ids --- */

static void owner_of(const struct session *s, char *out, size_t size) { snprintf(out, size, "%s\n%s", s->who->issuer, s->who->principal); }

void session_my_register(struct session *s) {
    struct registry_target target = {s->ws->w, s->serial};
    char owner[1200];
    uint32_t id = s->admit != NULL ? s->admit->connection : 0;
    owner_of(s, owner, sizeof owner);
    if (id != 0 && registry_key_add(s->ws->d->registry, &target, id, owner)) s->key_pid = id;
}

/* --- texts that Gatehouse itself understands, word by word --- */

/* The next word or number, behind blanks; false when there is none. MariaDB's client writes QUERY inside of a comment. */
static bool next_word(const char **at, const char *end, const char **word, size_t *len) {
    const char *p = *at;
    while (p < end && strchr(" \t\r\n", *p) != NULL) p++;
    *word = p;
    while (p < end && isalnum((unsigned char)*p)) p++;
    *len = (size_t)(p - *word);
    *at = p;
    return *len > 0;
}

static bool word_is(const char *word, size_t len, const char *what) { return len == strlen(what) && strncasecmp(word, what, len) == 0; }

static bool skip_text(const char **at, const char *end, const char *what) {
    const char *p = *at;
    size_t n = strlen(what);
    while (p < end && *p == ' ') p++;
    if ((size_t)(end - p) < n || strncasecmp(p, what, n) != 0) return false;
    *at = p + n;
    return true;
}

/* KILL [CONNECTION | QUERY] n and nothing else. */
static bool read_kill(const char *text, size_t len, uint32_t *id, bool *session) {
    const char *at = text, *end = text + len, *word;
    size_t n;
    if (!next_word(&at, end, &word, &n) || !word_is(word, n, "KILL")) return false;
    *session = true;
    if (skip_text(&at, end, "/*!50000 QUERY */")) {
        *session = false;
        if (!next_word(&at, end, &word, &n)) return false;
    } else {
        if (!next_word(&at, end, &word, &n)) return false;
        *session = !word_is(word, n, "QUERY");
        if ((!*session || word_is(word, n, "CONNECTION")) && !next_word(&at, end, &word, &n)) return false;
    }
    uint64_t value = 0;
    if (n > 10) return false;
    for (size_t i = 0; i < n; i++) {
        if (!isdigit((unsigned char)word[i])) return false;
        value = value * 10 + (uint64_t)(word[i] - '0');
    }
    while (at < end && strchr(" \t\r\n;", *at) != NULL) at++;
    *id = (uint32_t)value;
    return at == end && value != 0 && value <= UINT32_MAX;
}

/* USE of the database by the name that clients have for it, or the server's. */
static bool uses_own(const struct session *s, const char *text, size_t len) {
    const char *at = text, *end = text + len, *word;
    size_t n;
    if (!next_word(&at, end, &word, &n) || !word_is(word, n, "USE")) return false;
    while (at < end && (*at == ' ' || *at == '\t')) at++;
    while (end > at && strchr(" \t\r\n;", end[-1]) != NULL) end--;
    if (end - at > 2 && *at == '`' && end[-1] == '`') {
        at++;
        end--;
    }
    n = (size_t)(end - at);
    return (n == strlen(s->db->name) && memcmp(at, s->db->name, n) == 0) ||
           (n == strlen(s->db->database) && memcmp(at, s->db->database, n) == 0);
}

static void on_kill(struct session *s) {
    struct question *q = s->q;
    struct registry_target target;
    char owner[1200];
    owner_of(s, owner, sizeof owner);
    if (registry_key_owned(s->ws->d->registry, q->kill, owner, &target)) {
        q->verdict = (struct pol_verdict){.effect = POL_ALLOW, .rule = ""};
        q->instead = SESSION_MY_NOTHING;
        session_forward(s);
        return;
    }
    bool elsewhere = q->kill >> 24 != greet_node_bits(s->snap->conf->node);
    stmt_deny(&q->verdict, "42501",
              elsewhere ? "no connection of yours at this gate has that id: it may be another node's"
                        : "no connection of yours has that id",
              "KILL takes ids that a connection of yours got from this gate when it was opened (not those of CONNECTION_ID()).");
    session_refuse_statement(s);
}

bool session_my_own(struct session *s) {
    struct question *q = s->q;
    if (q->kind != FLT_STMT_QUERY) return false;
    if (s->role != NULL && read_kill(q->text, q->len, &q->kill, &q->kill_session)) {
        on_kill(s);
        return true;
    }
    if (s->role == NULL || !uses_own(s, q->text, q->len)) return false;
    q->verdict = (struct pol_verdict){.effect = POL_ALLOW, .rule = ""};
    q->instead = SESSION_MY_NOTHING;
    session_forward(s);
    return true;
}

void session_my_kill(struct session *s) {
    struct registry_target target;
    char owner[1200];
    owner_of(s, owner, sizeof owner);
    if (registry_key_owned(s->ws->d->registry, s->q->kill, owner, &target)) session_cancel_target(&target, s->src, s->q->kill_session);
}

/* --- KILL QUERY at the server, over a connection of our own --- */

struct stop {
    struct wstate *ws;
    struct snap *snap;
    uint64_t serial;
    bool told, sent;
    char sql[40];
};

static const char *stop_next(void *arg) {
    struct stop *k = arg;
    const char *sql = k->sent ? NULL : k->sql;
    k->sent = true;
    return sql;
}

static bool stop_row(void *arg, const char *text, size_t len) {
    (void)arg;
    (void)text;
    (void)len;
    return true;
}

static void stop_done(void *arg, const struct dbclient_end *end) {
    struct stop *k = arg;
    if (!end->ok && strcmp(end->sqlstate, "HY000") != 0) /* the statement has ended meanwhile: 1094, unknown thread */
        log_event(LOG_WARN, "cancel.failed", "reason", end->why, "do", end->todo, NULL);
    k->ws->cancels--;
    struct session *s = k->ws->sessions;
    while (s != NULL && s->serial != k->serial) s = s->next;
    if (k->told && s != NULL && s->filter != NULL) {
        flt_over(s->filter);
        pump_run(&s->pump);
    }
    snap_unref(k->snap);
    free(k);
}

void session_my_stop(struct session *s, bool told) {
    const struct conf_database *db = conf_database(s->snap->conf, s->db->name);
    uint32_t thread, secret;
    struct stop *k = calloc(1, sizeof *k);
    struct dbclient *client = NULL;
    if (k != NULL && db != NULL && flt_server_key(s->filter, &thread, &secret)) {
        *k = (struct stop){.ws = s->ws, .snap = snap_ref(s->snap), .serial = s->serial, .told = told};
        snprintf(k->sql, sizeof k->sql, "KILL QUERY %u", (unsigned)thread);
        const struct dbclient_conf conf = {.base = s->ws->base,
                                           .conf = k->snap->conf,
                                           .db = db,
                                           .login = conf_login(db, s->who->groups, s->who->ngroups),
                                           .timeout_ms = KILL_WAIT_MS,
                                           .next = stop_next,
                                           .row = stop_row,
                                           .done = stop_done,
                                           .arg = k};
        client = dbclient_start(&conf);
        if (client == NULL) snap_unref(k->snap);
    }
    if (client != NULL) {
        s->ws->cancels++;
        return;
    }
    free(k);
    if (told) flt_over(s->filter);
}

/* --- facts --- */

struct my_options session_my_options(const struct session *s) {
    struct my_options o = {.server = s->my.mariadb ? MY_MARIADB : MY_MYSQL,
                           .version = s->my.version,
                           .mode = s->my.mode,
                           .default_db = s->db->database,
                           .fold_names = s->my.fold,
                           .multi = s->q->multi};
    return o;
}

/* In the cache behind everything that they depend on. */
struct facts_ref *session_my_facts(struct session *s) {
    struct question *q = s->q;
    const struct pol_parse_limits limits = {.bytes = (uint32_t)s->snap->conf->limits.statement, .brief = true};
    struct my_options o = session_my_options(s);
    if (s->my.key == NULL) { /* the session is ending: its server is none that we know */
        q->err = (struct pol_parse_error){.rc = POL_NOT_UNDERSTOOD, .text = "the database's server is none that Gatehouse knows"};
        return NULL;
    }
    o.limits = &limits;
    return stmt_facts_my(s->ws->facts, s->my.key, q->text, q->len, &o, &q->err);
}

const char *session_my_unaskable(const struct session *s) {
    const struct my_options o = session_my_options(s);
    return stmt_my_unaskable(facts_of(s->q->facts), s->q->text, s->q->len, &o);
}

bool session_my_returns(const struct session *s, const struct pol_facts *f) {
    const struct my_options o = session_my_options(s);
    struct pol_parse_error err;
    struct my_tokens tokens;
    bool writes = false, found = false;
    for (size_t i = 0; i < f->nstmts; i++) {
        writes = writes || !f->stmts[i].reads_only;
        found = found || f->stmts[i].kind == POL_K_PREPARE; /* of which one sees no RETURNING */
    }
    if (!writes || found) return writes;
    if (!my_lex(s->q->text, s->q->len, &o, &tokens, &err)) return true;
    for (uint32_t i = 0; i < tokens.n; i++) found = found || (tokens.t[i].kind == MY_T_WORD && tokens.t[i].word == W_RETURNING);
    free(tokens.t);
    return found;
}
