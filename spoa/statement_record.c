/* The record of a statement: what it says, and where it is made. */
#include <config.h>

#include "spoa/statement.h"

#include "spoa/mask.h"
#include "spoa/nodekey.h"
#include "spoa/secret_sql.h"
#include "spoa/starved.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CUT_TEXT 2048u /* of a text for whose record there is no room */

static const char *verdict_name(const struct pol_verdict *v, bool observed) {
    if (v->effect == POL_ASK) return observed ? "observe-ask" : "ask";
    return v->effect == POL_ALLOW ? "allow" : observed ? "observe-deny" : "deny";
}

void stmt_count(struct mblock *m, const char *database, const struct pol_verdict *v, bool observed) {
    m_count(m, M_STATEMENTS, database, verdict_name(v, observed), v->rule[0] != '\0' ? v->rule : "(none)");
}

char *stmt_text_hidden(const struct pol_facts *facts, const char *text, size_t len, size_t *outlen) {
    bool failed = false;
    char *hidden = secret_sql_may(facts) ? secret_sql_hide(text, len, facts, outlen, &failed) : NULL;
    if (failed) starved_note();
    if (failed && (hidden = rec_copy("***", 3)) != NULL) *outlen = 3;
    if (hidden == NULL && mask_needed(text, len, false)) {
        hidden = rec_copy(text, len);
        *outlen = len;
    }
    if (hidden != NULL) *outlen = mask_tokens(hidden, *outlen, false);
    return hidden;
}

/* --- what the records of a text have in common --- */

#define COMMON_TEXT   2048u
#define COMMON_MISSES 8u /* before another one is made: two roles may take turns with a text */

static bool is(const struct led_run *run, size_t i, const char *value, size_t len) {
    const struct led_field *f = led_run_field(run, i);
    return f->len == len && memcmp(f->value, value, len) == 0;
}

static struct led_run *run_of(const struct rec *r) { return led_run_new(r->f, r->n); }

static void put_whose(struct rec *r, const struct stmt_record *st) {
    rec_str(r, "principal", st->principal);
    rec_str(r, "database", st->database);
}

/* These two, as the session has them; compared, because a fresh token may bring another principal. NULL: it has none. */
static const struct led_run *run_of_whose(const struct stmt_record *st) {
    if (st->whose == NULL || st->principal == NULL || st->database == NULL) return NULL;
    const struct led_run *has = *st->whose;
    if (has != NULL && is(has, 0, st->principal, strlen(st->principal)) && is(has, 1, st->database, strlen(st->database))) return has;
    struct rec r = {0};
    put_whose(&r, st);
    led_run_free(*st->whose);
    return *st->whose = run_of(&r);
}

static void put_verdict(struct rec *r, const struct stmt_record *st) {
    rec_str(r, "verdict", verdict_name(st->verdict, st->observed));
    rec_str(r, "rule", st->verdict->rule);
}

/* Texts that a record borrows. */
struct which {
    char kinds[256], relations[2048];
};

static void put_which(struct rec *r, struct which *w, const struct pol_facts *f, const char *policy) {
    if (f != NULL) {
        rec_kinds(f, w->kinds, sizeof w->kinds);
        rec_relations(f, w->relations, sizeof w->relations);
        rec_str(r, "statements", w->kinds);
        rec_str(r, "relations", w->relations);
    }
    rec_str(r, "policy", policy);
}

/* Fields of an ordinary statement that is allowed, made when a text, or one like it, comes again, and compared with all that they were made of. */
struct common {
    const struct led_run *what;  /* from "verdict" to "sha256": of the very text. NULL: there is none */
    const struct led_run *which; /* from "statements" to "policy": of all texts with these facts */
};

static struct common common(const struct stmt_record *st) {
    const struct pol_verdict *v = st->verdict;
    if (st->facts == NULL || v->effect != POL_ALLOW || st->observed || st->parse_id != 0 || st->rewritten != NULL ||
        st->len > COMMON_TEXT || st->policy == NULL)
        return (struct common){0};
    struct facts_said *said = facts_said(st->facts);
    const bool same = said->what != NULL && is(said->what, 1, v->rule, strlen(v->rule)) && is(said->what, 2, st->text, st->len);
    const bool alike = said->which != NULL && is(said->which, 2, st->policy, strlen(st->policy));
    const struct common has = {same ? said->what : NULL, alike ? said->which : NULL};
    const struct pol_facts *f = facts_of(st->facts);
    if ((same && alike) || said->asked++ % COMMON_MISSES != 1 || secret_sql_may(f) || mask_needed(st->text, st->len, false)) return has;
    struct rec what = {0}, which = {0};
    struct which w;
    char sha[65];
    rec_sha256(st->text, st->len, sha);
    if (sha[0] == '\0') return has;
    put_verdict(&what, st);
    rec_bytes(&what, "sql", st->text, st->len);
    rec_str(&what, "sha256", sha);
    put_which(&which, &w, f, st->policy);
    led_run_free(said->what);
    led_run_free(said->which);
    said->what = run_of(&what);
    said->which = run_of(&which);
    return (struct common){said->what, said->which};
}

/* --- the record --- */

/* A text as it may be recorded, which is hidden where that is not NULL. */
struct shown {
    char *hidden;
    size_t len;
    size_t whole; /* of the text that it is of */
};

static void put_text(struct rec *r, const char *name, const struct shown *as, const char *text, size_t len) {
    if (as->hidden != NULL)
        rec_bytes(r, name, as->hidden, as->len);
    else
        rec_bytes(r, name, text, len);
}

static void put_refusal(struct rec *r, const struct stmt_record *st, char *reason, size_t size) {
    const struct pol_verdict *v = st->verdict;
    rec_str(r, "sqlstate", v->sqlstate);
    snprintf(reason, size, "%s", v->message);
    if (st->facts == NULL) secret_message(reason, st->text, st->len);
    rec_str(r, "reason", reason);
    if (v->detail[0] != '\0') rec_str(r, "detail", v->detail);
}

/* What a record borrows until it is appended. */
struct borrowed {
    char sha[65], mac[65], reason[sizeof((struct pol_verdict *)NULL)->message];
    struct which which;
    struct shown text, instead;
    char *params;
};

/* --- what is hidden --- */

/* "***" that are in it, or in hex. */
static size_t count_stars(const char *text, size_t len, const char *stars) {
    size_t n = 0, one = strlen(stars);
    for (const char *at = text; (at = memmem(at, len - (size_t)(at - text), stars, one)) != NULL; at += one) n++;
    return n;
}

static size_t hidden_bytes(const char *text, size_t len, const struct shown *as) {
    if (as->hidden == NULL) return 0;
    size_t before = count_stars(text, len, "***"), after = count_stars(as->hidden, as->len, "***");
    size_t shown = as->len - 3 * (after > before ? after - before : 0);
    return shown < len ? len - shown : 0;
}

static size_t hidden_in_params(const struct stmt_record *st, const char *recorded) {
    size_t bytes = 0;
    if (recorded == NULL || (strstr(recorded, "***") == NULL && strstr(recorded, "2a2a2a") == NULL)) return 0;
    for (size_t i = 0; i < st->nparams; i++) {
        const struct flt_param *p = &st->params[i];
        bool cut = p->kept < p->len;
        char *copy = p->data != NULL && mask_needed((const char *)p->data, p->kept, cut) ? rec_copy((const char *)p->data, p->kept) : NULL;
        if (copy == NULL) continue;
        const struct shown as = {copy, mask_tokens(copy, p->kept, cut), p->kept};
        bytes += hidden_bytes((const char *)p->data, p->kept, &as);
        free(copy);
    }
    return bytes;
}

/* Equal for equal texts and parameters, and nothing to try guesses with. */
static void hidden_mac(const struct stmt_record *st, char out[65]) {
    struct buf b = BUF_INIT(64 * (st->nparams + 2) + 64);
    char sha[65];
    buf_str(&b, "gatehouse hidden 1");
    rec_sha256(st->text, st->parse_id == 0 ? st->len : 0, sha); /* else that is the record of its Parse */
    buf_str(&b, sha);
    for (size_t i = 0; i < st->nparams; i++) {
        rec_sha256(st->params[i].data, st->params[i].data == NULL ? 0 : st->params[i].kept, sha);
        buf_str(&b, sha);
    }
    if (b.failed || !nodekey_mac(st->key, buf_at(&b), buf_used(&b), out)) out[0] = '\0';
    buf_free(&b);
}

static void put_hidden(struct rec *r, struct borrowed *b, const struct stmt_record *st) {
    size_t text = st->parse_id == 0 ? hidden_bytes(st->text, b->text.whole, &b->text) : 0, params = hidden_in_params(st, b->params);
    if (text > 0) rec_u64(r, "hidden", text);
    if (params > 0) rec_u64(r, "params_hidden", params);
    if ((text == 0 && params == 0) || st->key == NULL) return;
    hidden_mac(st, b->mac);
    if (b->mac[0] != '\0') rec_str(r, "hidden_mac", b->mac);
}

/* The text, or what it is called elsewhere; and its hash. */
static void put_sql(struct rec *r, struct borrowed *b, const struct stmt_record *st, const struct pol_facts *f) {
    if (st->parse_id != 0) {
        rec_u64(r, "parse_id", st->parse_id);
        return;
    }
    size_t len = st->len;
    if (st->cut && len > CUT_TEXT) {
        for (len = CUT_TEXT; len > 0 && (st->text[len] & 0xc0) == 0x80;) len--; /* whole characters */
        f = NULL; /* what decides how a secret is told may stand behind: by every rule */
    }
    b->text.whole = len;
    b->text.hidden = stmt_text_hidden(f, st->text, len, &b->text.len);
    if (len < st->len) { /* perhaps in the middle of a token */
        if (b->text.hidden == NULL && (b->text.hidden = rec_copy(st->text, len)) != NULL) b->text.len = len;
        if (b->text.hidden != NULL) {
            b->text.len = mask_tokens(b->text.hidden, b->text.len, true);
            rec_bytes(r, "sql", b->text.hidden, b->text.len);
        }
        rec_u64(r, "sql_cut", st->len);
        return;
    }
    put_text(r, "sql", &b->text, st->text, st->len);
    if (st->rewritten != NULL) {
        b->instead.hidden = stmt_text_hidden(f, st->rewritten, st->rewritten_len, &b->instead.len);
        put_text(r, st->would ? "would_run" : "rewritten", &b->instead, st->rewritten, st->rewritten_len);
    }
    /* Of the text as recorded: a hash of a hidden password could be tried out offline. Without memory for the copy the ledger hides it. */
    if (b->text.hidden != NULL)
        rec_sha256(b->text.hidden, b->text.len, b->sha);
    else
        rec_sha256(st->text, st->len, b->sha);
    rec_str(r, "sha256", b->sha);
}

/* has, whose: what is made already of it. */
static void fill(struct rec *r, struct borrowed *b, const struct stmt_record *st, struct common has, const struct led_run *whose,
                 const struct rec *more) {
    static const struct led_name id = LED_NAME(2, "id");
    const struct pol_verdict *v = st->verdict;
    const struct pol_facts *f = st->facts != NULL ? facts_of(st->facts) : NULL;
    b->text = b->instead = (struct shown){0};
    rec_begin(r);
    b->params = st->cut ? NULL : rec_params(st->params, st->nparams, has.which == NULL && f != NULL && secret_sql_may(f));
    rec_number(r, &id, st->id);
    rec_str(r, "kind", st->kind);
    if (st->observes) rec_str(r, "mode", "observe");
    if (has.what != NULL)
        rec_run(r, has.what);
    else {
        put_verdict(r, st);
        if (v->effect != POL_ALLOW) put_refusal(r, st, b->reason, sizeof b->reason);
        put_sql(r, b, st, f);
    }
    if (b->text.hidden != NULL || b->params != NULL) put_hidden(r, b, st);
    rec_str(r, "name", st->name);
    rec_str(r, "params", b->params);
    if (st->params_cut || (b->params == NULL && st->nparams > 0)) rec_str(r, "params_cut", "1");
    if (whose != NULL)
        rec_run(r, whose);
    else
        put_whose(r, st);
    if (has.which != NULL)
        rec_run(r, has.which);
    else
        put_which(r, &b->which, f, st->policy);
    for (size_t i = 0; more != NULL && i < more->n; i++) rec_bytes(r, more->f[i].name, more->f[i].value, more->f[i].len);
}

static void give_back(struct borrowed *b) {
    free(b->params);
    free(b->text.hidden);
    free(b->instead.hidden);
}

/* What was prepared and runs by its Execute, whose record comes behind this one and is waited for. */
static bool can_wait(const struct stmt_record *st, led_done_fn done) { return done == NULL && st->verdict->effect == POL_ALLOW; }

void stmt_record(struct led *l, const char *session, const struct stmt_record *st, const struct rec *more, led_done_fn done, void *arg) {
    struct borrowed b;
    struct rec r;
    fill(&r, &b, st, common(st), run_of_whose(st), more);
    r.can_wait = can_wait(st, done);
    r.journal_does = more != NULL && more->journal_does;
    rec_append(l, &r, LED_SESSION, session, "statement", done, arg);
    give_back(&b);
}

/* --- by the parse pool --- */

bool stmt_record_is_long(const struct stmt_record *st) {
    size_t left = STMT_RECORD_INLINE, text = st->parse_id != 0 ? 0 : st->len, instead = st->rewritten != NULL ? st->rewritten_len : 0;
    if (text > left || instead > left - text) return true;
    left -= text + instead;
    for (size_t i = 0; i < st->nparams; i++) {
        if (st->params[i].kept > left) return true;
        left -= st->params[i].kept;
    }
    return false;
}

/* A record with all that it is made of, so that nothing of it must stay where it is meanwhile. */
struct stmt_copy {
    struct led *led;
    char *session;
    struct stmt_record st;
    struct pol_verdict verdict;
    struct rec more;
    struct rewrite *rewrite; /* counted by its worker alone, as are st.facts */
    char *strings;           /* one block: all of its texts, and parameters */
    size_t weight;           /* its bytes */
    bool made;
    struct lev *event;
};

/* Strings of a copy: first their room is counted, then they are put there. */
struct strings {
    char *at; /* NULL: count */
    size_t need;
};

static void *string_bytes(struct strings *s, const void *data, size_t len) {
    void *at = s->at;
    s->need += len + 1;
    if (at == NULL) return NULL;
    if (len > 0) memcpy(at, data, len);
    s->at[len] = '\0';
    s->at += len + 1;
    return at;
}

static char *string(struct strings *s, const char *text) { return text == NULL ? NULL : string_bytes(s, text, strlen(text)); }

/* Everything that st and more borrow, but for what is counted and what is a literal. */
static void copy_strings(struct stmt_copy *c, struct strings *s, const char *session, const struct stmt_record *st, const struct rec *more,
                         struct flt_param *params) {
    c->session = string(s, session);
    c->verdict.rule = string(s, st->verdict->rule);
    c->st.name = string(s, st->name);
    c->st.principal = string(s, st->principal);
    c->st.database = string(s, st->database);
    c->st.policy = string(s, st->policy);
    for (size_t i = 0; i < st->nparams; i++) {
        const struct flt_param *p = &st->params[i];
        void *data = p->data != NULL ? string_bytes(s, p->data, p->kept) : NULL;
        if (params == NULL) continue;
        params[i] = *p;
        params[i].data = data;
    }
    for (size_t i = 0; more != NULL && i < more->n; i++) c->more.f[i].value = string_bytes(s, more->f[i].value, more->f[i].len);
}

static void copy_free(struct stmt_copy *c) {
    if (c == NULL) return;
    facts_ref_put(c->st.facts);
    rewrite_unref(c->rewrite);
    led_drop_made(c->event);
    free(c->strings);
    free(c);
}

static struct stmt_copy *copy_of(struct led *l, const char *session, const struct stmt_record *st, struct rewrite *rewrite,
                                 const struct rec *more) {
    struct stmt_copy *c = calloc(1, sizeof *c);
    struct strings room = {0};
    if (c == NULL) return NULL;
    c->led = l;
    c->st = *st;
    c->verdict = *st->verdict;
    if (more != NULL) c->more = *more;
    copy_strings(c, &room, session, st, more, NULL);
    size_t list = st->nparams * sizeof(struct flt_param);
    if (st->nparams > SIZE_MAX / sizeof(struct flt_param) / 2 || (c->strings = malloc(list + room.need)) == NULL) {
        free(c);
        return NULL;
    }
    c->weight = list + room.need;
    struct flt_param *params = (struct flt_param *)(void *)c->strings;
    room.at = c->strings + list;
    copy_strings(c, &room, session, st, more, params);
    c->st.params = params;
    c->st.verdict = &c->verdict;
    c->st.whose = NULL;
    if (st->facts != NULL) facts_ref_get(st->facts);
    if (rewrite != NULL) c->rewrite = rewrite_ref(rewrite);
    return c;
}

/* Any thread: nobody else has it meanwhile. */
static void make(struct stmt_copy *c, const char *text) {
    struct borrowed b;
    struct rec r;
    c->st.text = text;
    fill(&r, &b, &c->st, (struct common){0}, NULL, &c->more);
    const struct led_event ev = {.stream = LED_SESSION, .session = c->session, .type = "statement", .fields = r.f, .nfields = r.n};
    c->event = led_make(c->led, &ev);
    give_back(&b);
    c->made = true;
}

static void work(struct parse_job *job) { make(job->held, job->text); }

bool stmt_record_in_pool(const struct stmt_pool *pool, struct led *l, const char *session, const struct stmt_record *st,
                         struct rewrite *rewrite, const struct rec *more, const struct stmt_pooled *whose) {
    struct stmt_copy *c = copy_of(l, session, st, rewrite, more);
    struct stmt_pooled what = *whose;
    if (c != NULL) {
        what.text = st->text;
        what.len = st->parse_id != 0 ? 0 : st->len;
        what.work = work;
        what.held = c;
        what.weight = c->weight;
        if (stmt_in_pool(pool, &what, NULL)) return true;
        copy_free(c);
    }
    return false;
}

void stmt_record_made(struct parse_job *job, bool journal_does, led_done_fn done, void *arg) {
    struct stmt_copy *c = job->held;
    if (!c->made) make(c, job->text); /* the pool was stopped before it came to it */
    led_append_made(c->led, c->event, journal_does || c->more.journal_does, done, arg);
    c->event = NULL;
    copy_free(c);
    parse_job_free(job);
}

/* --- others --- */

void stmt_record_withheld(struct led *l, const char *session, uint64_t id, const char *reason) {
    struct rec r = {0};
    rec_u64(&r, "id", id);
    rec_str(&r, "skipped", "1");
    rec_str(&r, "reason", reason);
    rec_append(l, &r, LED_SESSION, session, "result", NULL, NULL);
}

void stmt_record_quota(struct led *l, const char *session, const char *principal, uint64_t refused) {
    struct rec r = {0};
    rec_str(&r, "principal", principal);
    rec_u64(&r, "refused", refused);
    rec_append(l, &r, LED_SESSION, session, "quota", NULL, NULL);
}
