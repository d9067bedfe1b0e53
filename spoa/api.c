#include <config.h>

#include "spoa/api_int.h"

#include "spoa/clock.h"
#include "spoa/spop_arg.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

/* One text for every cause: what was wrong with a token is for the log, not for who guesses. */
#define BAD_CREDENTIAL      "authentication failed: the Authorization header must hold a valid OIDC access token (JWT) for this gateway"
#define READS_CHANGED       "how the database reads a text has changed in this moment"
#define BAD_CREDENTIAL_HINT "Get a fresh token from your identity provider and send it as Authorization: Bearer TOKEN."

void api_ask_free(struct api_ask *a) {
    *a->whose = a->other;
    if (a->other != NULL) a->other->whose = a->whose;
    if (a->asks != NULL) {
        *a->link = a->next;
        if (a->next != NULL) a->next->link = a->link;
        a->asks->n--;
    }
    if (a->session != NULL) {
        a->session->used_ms = worker_now_ms();
        api_session_unref(a->session);
    }
    jwt_identity_free(a->who);
    facts_ref_put(a->facts);
    rewrite_unref(a->rewrite);
    pol_role_free(a->own);
    api_call_free(&a->call);
    spop_message_free(a->later);
    free(a->body);
    free(a);
}

void api_forget(struct api_asks *asks) {
    for (struct api_ask *a = asks->list, *next; a != NULL; a = next) {
        next = a->next;
        a->asks = NULL;
        a->conn = NULL;
    }
    *asks = (struct api_asks){0};
}

/* --- the record --- */

static void where_from(const struct api_ask *a, struct rec *r) {
    if (a->src[0] != '\0') {
        rec_str(r, "src", a->src);
        rec_u64(r, "src_port", a->src_port);
    }
    if (a->listener[0] != '\0') rec_str(r, "listener", a->listener);
    if (a->request[0] != '\0') rec_str(r, "request", a->request);
    if (a->call.method[0] != '\0') rec_str(r, "method", a->call.method);
    if (a->call.tool[0] != '\0') rec_str(r, "tool", a->call.tool);
    if (a->call.more == NULL) return;
    size_t len = strlen(a->call.more), max = (size_t)a->session->snap->conf->limits.params;
    rec_bytes(r, "arguments", a->call.more, len < max ? len : max);
    if (len > max) rec_str(r, "arguments_cut", "1");
}

static void record_sql(struct api_ask *a, led_done_fn done, const char *policy) {
    const struct stmt_record st = {.id = a->id,
                                   .kind = "query",
                                   .verdict = &a->verdict,
                                   .observed = a->observed,
                                   .text = a->call.sql,
                                   .len = a->call.len,
                                   .facts = a->facts,
                                   .principal = a->session->who->principal,
                                   .database = a->session->database,
                                   .policy = policy,
                                   .rewritten = a->rewrite != NULL ? a->rewrite->sql : NULL,
                                   .rewritten_len = a->rewrite != NULL ? a->rewrite->len : 0,
                                   .observes = a->session->role != NULL && pol_role_observes(a->session->role),
                                   .key = appr_key(a->ws->d->approvals)};
    struct rec more = {0};
    where_from(a, &more);
    if (a->approval[0] != '\0') rec_str(&more, "approval", a->approval);
    if (a->approved_by[0] != '\0') rec_str(&more, "approved_by", a->approved_by);
    if (a->grant[0] != '\0') rec_str(&more, "grant", a->grant);
    stmt_count(a->ws->m, st.database, st.verdict, st.observed);
    stmt_record(a->ws->d->led, a->session->id, &st, &more, done, a);
}

/* A request without SQL: an MCP method that may pass, or what could not be read. */
static void record_call(struct api_ask *a, led_done_fn done, const char *policy) {
    const struct pol_verdict *v = &a->verdict;
    struct rec r = {0};
    rec_u64(&r, "id", a->id);
    rec_str(&r, "verdict", v->effect == POL_ALLOW ? "allow" : "deny");
    if (v->effect != POL_ALLOW) {
        rec_str(&r, "sqlstate", v->sqlstate);
        rec_str(&r, "reason", v->message);
    }
    rec_str(&r, "principal", a->session->who->principal);
    rec_str(&r, "database", a->session->database);
    rec_str(&r, "policy", policy);
    where_from(a, &r);
    rec_append(a->ws->d->led, &r, LED_SESSION, a->session->id, "call", done, a);
}

static void record(struct api_ask *a, led_done_fn done) {
    const char *policy = pol_policy_hash(a->session->snap->policy);
    if (a->call.sql != NULL)
        record_sql(a, done, policy);
    else
        record_call(a, done, policy);
}

/* --- the answer --- */

/* Sends what a->verdict says, which has been recorded, and is done with the question. */
static void finish(struct api_ask *a) {
    if (a->verdict.effect != POL_ALLOW && !a->observed) {
        if (a->session != NULL) a->session->refused++;
        log_event(LOG_INFO, "statement.refused", "session", a->session != NULL ? a->session->id : NULL, "api", a->api, "principal",
                  a->session != NULL ? a->session->who->principal : NULL, "src", a->src, "sqlstate", a->verdict.sqlstate, "rule",
                  a->verdict.rule, "reason", a->verdict.message, "detail", a->facts != NULL ? a->verdict.detail : NULL, NULL);
    }
    if (!api_answer(a)) stmt_record_withheld(a->ws->d->led, a->session->id, a->id, "answer too large");
    api_ask_free(a);
}

/* Refuses before there is a session. */
static void refuse_at_door(struct api_ask *a, const char *sqlstate, const char *message, const char *hint) {
    stmt_deny(&a->verdict, sqlstate, message, hint);
    finish(a);
}

void api_refuse(struct api_ask *a) {
    record(a, NULL);
    finish(a);
}

/* It cannot be judged now, whatever it is. */
static void cannot_judge(struct api_ask *a, const char *sqlstate, const char *message, const char *hint) {
    if (!api_still_served(a)) {
        api_refuse(a);
        return;
    }
    stmt_deny(&a->verdict, sqlstate, message, hint);
    a->observed = pol_role_observes(a->session->role);
    if (a->observed)
        api_allow(a);
    else
        api_refuse(a);
}

static bool is_blocked(const struct api_ask *a, struct ord_block *block) {
    const struct ord_subject s = {a->session->who->principal, a->session->id, a->src[0] != '\0' ? a->src : NULL, a->session->database};
    return ord_blocked(a->ws->d->orders, &s, block);
}

/* What may have changed while the record was under way; NULL: nothing, else a word for the record, and a verdict. */
static const char *over(struct api_ask *a) {
    struct api_session *s = a->session;
    if (!api_still_served(a)) return "no longer served";
    pol_role_keep_pins(s->role);
    api_session_clock(s);
    if (a->call.sql != NULL && !pol_role_observes(s->role) && !api_reads_same(a)) {
        stmt_deny(&a->verdict, "42501", READS_CHANGED, "Nothing of this statement was executed. Send it again.");
        return "the server reads it otherwise";
    }
    const struct stmt_leaving leaving = {.role = s->role,
                                         .facts = a->facts != NULL ? facts_of(a->facts) : NULL,
                                         .err = &a->err,
                                         .verdict = &a->verdict,
                                         .same = s->epoch == a->epoch,
                                         .ours = a->call.sql == NULL,
                                         .approved = a->approval[0] != '\0',
                                         .observed = a->observed,
                                         .shaped = a->rewrite != NULL,
                                         .valid_until = a->valid_until,
                                         .grant = a->grant,
                                         .orders = a->ws->d->orders};
    return stmt_over(&leaving, &a->verdict);
}

static void run_recorded(struct worker *w, struct wmsg *m) {
    const char *why;
    struct api_ask *a = (struct api_ask *)(void *)((char *)m - offsetof(struct api_ask, msg));
    (void)w;
    if (a->conn == NULL) {
        stmt_record_withheld(a->ws->d->led, a->session->id, a->id, "HAProxy closed the connection");
        api_ask_free(a);
        return;
    }
    if (a->status != LED_OK) {
        stmt_record_withheld(a->ws->d->led, a->session->id, a->id, "ledger");
        a->observed = false;
        stmt_deny(&a->verdict, "57P03", "the audit ledger is unavailable; retry later",
                  "Nothing of this statement was executed. No statement runs before it is recorded.");
    } else if ((why = over(a)) != NULL) {
        stmt_record_withheld(a->ws->d->led, a->session->id, a->id, why);
        a->observed = false;
    }
    finish(a);
}

static void on_recorded(void *arg, enum led_status status) { /* the ledger's thread */
    struct api_ask *a = arg;
    a->status = status;
    worker_post(a->ws->w, &a->msg);
}

/* Durable before it is on its way. */
void api_allow(struct api_ask *a) {
    a->msg.run = run_recorded;
    a->epoch = a->session->epoch;
    record(a, on_recorded);
}

/* --- the verdict --- */

/* False and a verdict: nobody may judge for this session now. */
bool api_still_served(struct api_ask *a) {
    struct api_session *s = a->session;
    struct ord_block block;
    api_session_renew(s);
    if (is_blocked(a, &block)) {
        stmt_deny(&a->verdict, "28000", log_fmt("this %s is blocked: %.400s", ord_what_name(block.what), block.reason),
                  "Ask who runs this gate.");
        return false;
    }
    if (s->role == NULL)
        stmt_deny(&a->verdict, "42501", "this API or its database is no longer offered here",
                  "Ask who keeps the configuration of this gate.");
    else if (!pol_role_any(s->role)) {
        stmt_deny(&a->verdict, "28000", "the policy gives you no access to this database", "Ask who keeps the policy for access.");
        identity_no_rule(s->who, s->database, a->verdict.detail, sizeof a->verdict.detail);
    } else if (clock_seconds() >= a->valid_until)
        stmt_deny(&a->verdict, "28P01", BAD_CREDENTIAL, BAD_CREDENTIAL_HINT);
    else
        return true;
    return false;
}

/* MySQL: the number of changed rows, which a session does not tell. */
static bool tells_changes(const struct pol_facts *f) {
    for (size_t i = 0; i < f->nstmts; i++)
        if (f->stmts[i].kind == POL_K_UPDATE) return true;
    return stmt_my_overwrites(f);
}

static bool pooled_ok(struct api_ask *a, const struct pol_facts *f) {
    const struct my_options my = api_my_options(&a->reading);
    return f->dialect == POL_MYSQL ? api_pooled_my_ok(f, a->call.sql, a->call.len, &my, &a->verdict)
                                   : api_pooled_ok(f, a->call.sql, a->call.len, &a->verdict);
}

/* --- what the parse pool does of it --- */

static void in_pool(struct api_ask *a, struct stmt_pooled *what) {
    a->epoch = a->session->epoch;
    what->principal = a->session->who->principal;
    what->owner = a;
    const struct stmt_pool pool = {a->ws->d->pool, a->ws->w, a->ws->m};
    if (stmt_in_pool(&pool, what, &a->verdict)) return;
    a->observed = false;
    api_refuse(a);
}

/* A role for the pool's thread alone: the session's is shared by all requests of its principal. NULL when out of memory. */
static const struct pol_role *own_role(struct api_ask *a) {
    const struct api_session *s = a->session;
    struct catalog_use use = {.rewrites = s->catalog.rewrites};
    pol_role_free(a->own);
    a->own = identity_role(s->ws->d->catalogs, s->snap, s->who, s->db, &use);
    if (a->own == NULL) return NULL;
    pol_role_keep_pins(a->own);
    pol_role_at(a->own, clock_seconds());
    return a->own;
}

static void judge(struct api_ask *a);
static void judged(struct api_ask *a);
static void rewritten(struct api_ask *a, struct rewrite *r, const struct pol_verdict *why);

/* What the pool found by a's own role. False: something that it was judged by has changed meanwhile, so it is judged again. */
static bool from_pool(struct api_ask *a) {
    bool served = api_still_served(a);
    if (served) api_session_clock(a->session);
    if (served && a->session->epoch == a->epoch) return true;
    judge(a);
    return false;
}

static void run_judged(struct worker *w, struct wmsg *m) {
    struct parse_job *job = (struct parse_job *)(void *)((char *)m - offsetof(struct parse_job, msg));
    struct api_ask *a = job->owner;
    (void)w;
    if (from_pool(a)) {
        a->verdict = *job->why;
        a->observed = pol_role_observes(a->own) && a->verdict.effect != POL_ALLOW;
        judged(a);
    }
    parse_job_free(job);
}

static void run_rewritten(struct worker *w, struct wmsg *m) {
    struct parse_job *job = (struct parse_job *)(void *)((char *)m - offsetof(struct parse_job, msg));
    struct api_ask *a = job->owner;
    (void)w;
    struct rewrite *r = rewrite_of(job->rc, &job->rewritten, job->why);
    if (from_pool(a))
        rewritten(a, r, job->why);
    else
        rewrite_unref(r);
    parse_job_free(job);
}

static void in_pool_with_role(struct api_ask *a, struct stmt_pooled *what) {
    what->role = own_role(a);
    if (what->role != NULL) {
        in_pool(a, what);
        return;
    }
    stmt_deny(&a->verdict, "53200", "out of memory", "Try again later.");
    a->observed = false;
    api_refuse(a);
}

static void judge_in_pool(struct api_ask *a, const struct pol_facts *f) {
    struct stmt_pooled what = {.judges = f, .run = run_judged};
    in_pool_with_role(a, &what);
}

static void rewrite_in_pool(struct api_ask *a) {
    const struct my_options my = api_my_options(&a->reading);
    struct stmt_pooled what = {
        .text = a->call.sql, .len = a->call.len, .my = a->reading.is == API_READS ? &my : NULL, .run = run_rewritten};
    in_pool_with_role(a, &what);
}

/* --- the verdict's way --- */

/* What follows from the verdict, once it is known what runs. */
static void decided(struct api_ask *a) {
    bool asks = a->asked && a->verdict.effect == POL_ALLOW;
    if (!asks) snprintf(a->rule, sizeof a->rule, "%s", a->verdict.rule);
    a->verdict.rule = a->rule;
    if (asks) {
        a->verdict.effect = POL_ASK;
        api_ask_approval(a);
    } else if (a->verdict.effect == POL_ALLOW || a->observed)
        api_allow(a);
    else
        api_refuse(a);
}

/* r, which is taken over, runs; NULL: why says why nothing does. */
static void rewritten(struct api_ask *a, struct rewrite *r, const struct pol_verdict *why) {
    struct pol_parse_error err;
    a->rewrite = r;
    if (r == NULL)
        a->verdict = *why;
    else if (r->sql != NULL && !api_my_text(&a->reading, r->sql, r->len, &err))
        pol_refuse_parse(&err, &a->verdict);
    else if (r->explain)
        stmt_deny(&a->verdict, "42501", "EXPLAIN is refused: a plan shows what the policy puts in the place of hidden data",
                  "Ask who keeps the policy, or a colleague who sees all of it.");
    m_count(a->ws->m, M_REWRITES, a->session->database, a->verdict.effect == POL_ALLOW ? "made" : "refused", NULL);
    decided(a);
}

/* Only where the asker runs the text of the answer. What the database then answers is not ours to look at, nor to end. */
static void rewrite(struct api_ask *a) {
    const struct pol_limits *l = &a->verdict.limits;
    struct rewrites none = {0};
    struct pol_verdict why;
    enum rewrites_how how;
    bool mysql = a->reading.is == API_READS;
    if ((l->rows | l->bytes | l->ms) != 0)
        stmt_deny(&a->verdict, "0A000", "the policy limits the result, which cannot be done over HTTP", "Use a session.");
    else if (a->verdict.rewrite && mysql && tells_changes(facts_of(a->facts)))
        stmt_deny(&a->verdict, "0A000",
                  "an UPDATE, or what puts rows in the place of others, is not possible over this API where something is hidden from you",
                  "The number of rows that it has changed would tell what is hidden. Use a session.");
    if (a->verdict.effect != POL_ALLOW || !a->verdict.rewrite) {
        decided(a);
        return;
    }
    const struct pol_parse_limits limits = {.bytes = (uint32_t)a->session->snap->conf->limits.statement, .brief = true};
    const struct my_options my = api_my_options(&a->reading);
    struct rewrite *r =
        rewrites_get(&none, a->ws->facts, a->call.sql, a->call.len, mysql ? &my : NULL, &limits, a->session->role, &how, &why);
    rewrites_clear(&none);
    if (how == REWRITES_LONG)
        rewrite_in_pool(a);
    else
        rewritten(a, r, &why);
}

static void judge(struct api_ask *a) {
    if (!api_still_served(a)) {
        api_refuse(a);
        return;
    }
    if (!api_reads_same(a)) { /* while it was parsed */
        cannot_judge(a, "42501", READS_CHANGED, "Send it again.");
        return;
    }
    struct pol_role *role = a->session->role;
    const struct pol_facts *f = a->facts != NULL ? facts_of(a->facts) : NULL;
    pol_role_keep_pins(role); /* where the statement runs is not ours to end */
    api_session_clock(a->session);
    if (f != NULL && pol_judge_long(role, f)) {
        judge_in_pool(a, f);
        return;
    }
    a->observed = stmt_judge(role, f, &a->err, &a->verdict);
    judged(a);
}

/* The policy has spoken. Nobody is asked about what could not run here anyway. */
static void judged(struct api_ask *a) {
    bool observes = pol_role_observes(a->session->role);
    const struct pol_facts *f = a->facts != NULL ? facts_of(a->facts) : NULL;
    snprintf(a->rule, sizeof a->rule, "%s", a->verdict.rule);
    a->asked = a->verdict.effect == POL_ASK && !a->observed;
    if (a->asked) a->verdict.effect = POL_ALLOW;
    if (f != NULL && a->verdict.effect == POL_ALLOW && !pooled_ok(a, f)) a->observed = observes;
    if (a->verdict.effect == POL_ALLOW && !observes)
        rewrite(a);
    else
        decided(a);
}

/* For when the text comes again. */
static void keep_facts(struct api_ask *a, const struct parse_job *job) {
    const struct my_options my = api_my_options(&a->reading);
    char key[API_MY_KEY];
    if (a->reading.is == API_READS_NOT_ASKED)
        stmt_keep(a->ws->facts, a->call.sql, a->call.len, a->facts);
    else if (a->reading.is == API_READS && parse_job_read_as(job, &my)) {
        api_my_key(&a->reading, key);
        stmt_keep_my(a->ws->facts, key, a->call.sql, a->call.len, &my, a->facts);
    }
}

static void run_parsed(struct worker *w, struct wmsg *m) {
    struct parse_job *job = (struct parse_job *)(void *)((char *)m - offsetof(struct parse_job, msg));
    struct api_ask *a = job->owner;
    (void)w;
    a->err = job->err;
    a->facts = stmt_facts_of(job->facts, &a->err);
    if (a->facts != NULL) keep_facts(a, job);
    parse_job_free(job);
    judge(a);
}

static bool over_quota(struct api_ask *a) {
    uint64_t refused = 0;
    enum quota is = quota_take(a->ws->d->quotas, a->session->who->principal, QUOTA_EVENT + a->call.len,
                               a->session->snap->conf->limits.audit_rate, worker_now_ms(), &refused);
    if (is == QUOTA_OK) return false;
    if (is == QUOTA_TELL) stmt_record_quota(a->ws->d->led, a->session->id, a->session->who->principal, refused);
    stmt_deny(&a->verdict, "53400", STMT_OVER_QUOTA, STMT_OVER_QUOTA_HINT);
    finish(a);
    return true;
}

static struct facts_ref *facts_now(struct api_ask *a) {
    const struct pol_parse_limits limits = {.bytes = (uint32_t)a->session->snap->conf->limits.statement, .brief = true};
    struct my_options my = api_my_options(&a->reading);
    char key[API_MY_KEY];
    if (a->reading.is == API_READS_NOT_ASKED) return stmt_facts(a->ws->facts, a->call.sql, a->call.len, &limits, &a->err);
    my.limits = &limits;
    api_my_key(&a->reading, key);
    return api_my_text(&a->reading, a->call.sql, a->call.len, &a->err)
               ? stmt_facts_my(a->ws->facts, key, a->call.sql, a->call.len, &my, &a->err)
               : NULL;
}

static void parse(struct api_ask *a);

static void run_looked(struct worker *w, struct wmsg *m) {
    struct api_ask *a = (struct api_ask *)(void *)((char *)m - offsetof(struct api_ask, looking.msg));
    (void)w;
    if (a->conn == NULL)
        api_ask_free(a);
    else
        parse(a);
}

/* MySQL: what reads the text is known. False: it waits for that, or has been refused. */
static bool reads(struct api_ask *a) {
    struct api_session *s = a->session;
    api_session_renew(s);
    if (s->db == NULL || s->db->engine != CONF_MYSQL) return true;
    enum api_reads is = api_my_look(s, &a->reading);
    if (is == API_READS) return true;
    if (is == API_READS_UNKNOWN && s->server != NULL && !a->looked) {
        a->looked = true;
        a->looking.msg.run = run_looked;
        a->looking.worker = a->ws->w;
        catalog_refresh(s->server, &a->looking);
    } else if (is == API_READS_UNKNOWN)
        cannot_judge(a, "57P03", "the database's server has not told yet how it reads a text; retry later",
                     "Nothing of this statement was executed.");
    else
        cannot_judge(a, "XX000", "this API is not configured correctly", "Tell who runs this gate; the reason is in its log.");
    return false;
}

static void parse(struct api_ask *a) {
    if (!reads(a)) return;
    a->facts = facts_now(a);
    if (a->facts != NULL || a->err.rc != POL_LONG) {
        judge(a);
        return;
    }
    const struct my_options my = api_my_options(&a->reading);
    struct stmt_pooled what = {.text = a->call.sql, .len = a->call.len, .my = a->reading.is == API_READS ? &my : NULL, .run = run_parsed};
    in_pool(a, &what);
}

static void on_sql(struct api_ask *a) {
    if (!over_quota(a)) parse(a);
}

/* --- the request --- */

static const char *string_of(const struct spop_value *v, size_t *len) {
    *len = v != NULL && v->type == SPOP_STRING ? v->len : 0;
    return v != NULL && v->type == SPOP_STRING ? (const char *)v->data : NULL;
}

/* The headers that say again what an MCP message is about: another one could go by them. */
static void check_headers(struct api_ask *a, const struct spop_message *m) {
    size_t method_len, name_len;
    const char *method = string_of(spop_arg(m, "mcp_method"), &method_len), *name = string_of(spop_arg(m, "mcp_name"), &name_len);
    if (!a->mcp || a->call.rc > API_READ_PASS || api_headers_agree(&a->call, method, method_len, name, name_len)) return;
    a->call.rc = API_READ_MALFORMED;
    a->call.sql = NULL;
    snprintf(a->call.why, sizeof a->call.why, "Mcp-Method or Mcp-Name is not what the body says");
}

/* m NULL: nobody else reads these bytes, so they are UTF-8 or refused. */
static void on_body(struct api_ask *a, const struct api_shape *shape, const struct spop_message *m) {
    const char *why, *type;
    size_t type_len;
    a->mcp = shape->form == API_MCP;
    api_read(shape, a->body, a->body_len, &a->call);
    type = m == NULL ? NULL : string_of(spop_arg(m, "content_type"), &type_len);
    if (m != NULL && !api_content_type(shape, type, type_len, a->body, a->body_len, &why)) {
        a->call.rc = API_READ_MALFORMED;
        a->call.sql = NULL;
        snprintf(a->call.why, sizeof a->call.why, "%s", why);
    }
    if (m != NULL) check_headers(a, m);
    if (a->call.rc == API_READ_SQL)
        on_sql(a);
    else if (a->call.rc == API_READ_PASS) {
        a->verdict = (struct pol_verdict){.effect = POL_ALLOW, .rule = ""};
        if (api_still_served(a))
            api_allow(a);
        else
            api_refuse(a);
    } else {
        bool unknown = a->call.rc == API_READ_UNKNOWN;
        stmt_deny(&a->verdict, unknown ? "42501" : "08P01", a->call.why,
                  unknown ? "Ask who keeps the configuration of this gate, or leave it out." : "Correct the request.");
        api_refuse(a);
    }
}

/* The token, with or without its scheme (RFC 6750, section 2.1). */
static struct cur token_of(const struct spop_value *v) {
    static const char scheme[] = "Bearer ";
    if (v == NULL || v->type != SPOP_STRING) return cur_of(NULL, 0);
    size_t skip = v->len >= sizeof scheme - 1 && strncasecmp((const char *)v->data, scheme, sizeof scheme - 1) == 0 ? sizeof scheme - 1 : 0;
    return cur_of(v->data + skip, v->len - skip);
}

static void record_stranger(struct api_ask *a, const char *database, const char *sqlstate, const char *reason) {
    const struct identity_refusal r = {.api = a->api,
                                       .src = a->src,
                                       .src_port = a->src_port,
                                       .database = database,
                                       .principal = a->who != NULL ? a->who->principal : NULL,
                                       .sqlstate = sqlstate,
                                       .reason = reason};
    identity_record_refusal(a->ws->d->led, &r);
}

/* Not held back, as the answer to a session's bad login is: HAProxy waits with the request, and few of them may wait. */
static void bad_credential(struct api_ask *a, const char *database, const char *reason, const struct conf_limits *l) {
    const struct throttle_limits budgets = {l->login_failures, l->login_failures_per_name};
    struct throttle_news news = throttle_bad(a->ws->d->throttle, &budgets, a->src, a->api, worker_now_ms());
    bool over = news.over_source || news.over_name;
    if (over) m_add(a->ws->m, news.over_source ? M_LOGINS_OVER_SOURCE : M_LOGINS_OVER_NAME, 1);
    if (!over)
        record_stranger(a, database, "28P01", reason);
    else if (news.report)
        identity_record_flood(a->ws->d->led, NULL, a->src, a->api, news.over_source, news.unreported);
}

static void run_keys(struct worker *w, struct wmsg *m);

/* The key was not there: true when it is being looked for at the issuer; then the message is taken again. */
static bool wait_for_keys(struct api_ask *a, const struct spop_message *m, struct keysource *source) {
    if (source == NULL || a->later != NULL || a->asks->nkeys >= API_KEYS_MAX || (a->later = spop_message_copy(m)) == NULL) return false;
    a->keys.msg.run = run_keys;
    if (!keysource_wait(source, &a->keys, a->ws->w)) return false;
    a->asks->nkeys++;
    return true;
}

/* Who asks, and the session that it belongs to. False: answered, or it waits. */
static bool identify(struct api_ask *a, const struct spop_message *m, struct snap *snap, const struct conf_database *db) {
    struct cur t = token_of(spop_arg(m, "token"));
    struct jwt_why why;
    char reason[JWT_REASON];
    enum jwt_rc rc = jwt_verify_from(&snap->conf->jwt, (const char *)t.p, cur_left(&t), clock_seconds(), &a->who, &why);
    if (rc != JWT_OK) {
        if (wait_for_keys(a, m, why.source)) return false;
        bad_credential(a, db->name, jwt_reason(rc, &why, reason, sizeof reason), &snap->conf->limits);
        refuse_at_door(a, "28P01", BAD_CREDENTIAL, BAD_CREDENTIAL_HINT);
        return false;
    }
    if (a->who->bound_to != NULL) { /* HAProxy would have to show the certificate with each request */
        bad_credential(a, db->name, "bound to a client certificate", &snap->conf->limits);
        refuse_at_door(a, "28P01", BAD_CREDENTIAL, BAD_CREDENTIAL_HINT);
        return false;
    }
    a->valid_until = a->who->valid_until;
    struct api_session *s = api_session_find(a->ws, snap, a->api, db, &a->who, &a->verdict);
    if (s == NULL) {
        record_stranger(a, db->name, a->verdict.sqlstate, a->verdict.message);
        finish(a);
        return false;
    }
    s->refs++;
    a->session = s;
    a->id = ++s->statements;
    return true;
}

/* Copies the text or body; false when it is not there whole, as far as HAProxy's own figures say. */
static bool take_bytes(struct api_ask *a, const struct spop_message *m, const char *name, bool sizes_needed) {
    const struct spop_value *v = spop_arg(m, name), *size = spop_arg(m, "body_size"), *len = spop_arg(m, "body_len");
    uint64_t declared, there;
    if (v == NULL || (v->type != SPOP_STRING && v->type != SPOP_BINARY)) return false;
    if ((sizes_needed || size != NULL || len != NULL) &&
        (!spop_arg_uint(size, UINT64_MAX, &declared) || !spop_arg_uint(len, UINT64_MAX, &there) || declared != v->len || there != v->len))
        return false;
    free(a->body); /* of the first time, when this is the second */
    a->body = malloc(v->len + 1);
    if (a->body == NULL) return false;
    if (v->len > 0) memcpy(a->body, v->data, v->len);
    a->body[v->len] = '\0';
    a->body_len = v->len;
    return true;
}

static bool is_set(const struct spop_message *m, const char *name) {
    const struct spop_value *v = spop_arg(m, name);
    return v != NULL && v->type != SPOP_NULL;
}

static void misconfigured(struct api_ask *a, const char *reason) {
    log_event(LOG_ERROR, "spop.statement", "api", a->api, "listener", a->listener, "reason", reason, NULL);
    refuse_at_door(a, "XX000", "this API is not configured correctly", "Tell who runs this gate; the reason is in its log.");
}

/* snap: held by the caller until this is over. */
static void take_message(struct api_ask *a, const struct spop_message *m, struct snap *snap) {
    const struct conf *c = snap->conf;
    char name[256] = "";
    uint64_t port = 0;
    if (!spop_arg_addr(spop_arg(m, "src"), a->src)) a->src[0] = '\0';
    if (spop_arg_uint(spop_arg(m, "src_port"), 65535, &port)) a->src_port = (uint16_t)port;
    spop_arg_text(spop_arg(m, "listener"), a->listener, sizeof a->listener);
    spop_arg_text(spop_arg(m, "request"), a->request, sizeof a->request);
    spop_arg_text(spop_arg(m, "api"), a->api, sizeof a->api);
    spop_arg_text(spop_arg(m, "database"), name, sizeof name);
    const struct conf_api *api = a->api[0] != '\0' ? conf_api(c, a->api, strlen(a->api)) : NULL;
    a->plain = a->api[0] == '\0';
    if (a->plain ? !is_set(m, "sql") || is_set(m, "body") : !is_set(m, "body") || is_set(m, "sql")) {
        misconfigured(a, "the message needs either sql and database, or body and api");
        return;
    }
    if (!a->plain && (api == NULL || (name[0] != '\0' && strcmp(name, api->database) != 0))) {
        misconfigured(a, api == NULL ? "there is no such api in the configuration" : "the api is of another database than the message");
        return;
    }
    const struct conf_database *db = conf_database(c, a->plain ? name : api->database);
    if (atomic_load(&a->ws->d->draining))
        refuse_at_door(a, "57P01", "gatehouse is shutting down", "Send the request again in a moment.");
    else if (db == NULL)
        refuse_at_door(a, "3D000", "there is no such database here", "Check the database's name.");
    else if (!take_bytes(a, m, a->plain ? "sql" : "body", !a->plain))
        refuse_at_door(a, "54000", "the request's body is not there as a whole",
                       "Send it with one Content-Length, not chunked, and smaller than HAProxy's buffer.");
    else if (!identify(a, m, snap, db))
        return;
    else if (a->plain) {
        static const struct api_shape text = {.form = API_TEXT};
        on_body(a, &text, NULL);
    } else
        on_body(a, &api->shape, m);
}

static void run_keys(struct worker *w, struct wmsg *m) {
    struct api_ask *a = (struct api_ask *)(void *)((char *)m - offsetof(struct api_ask, keys.msg));
    (void)w;
    if (a->conn == NULL) {
        api_ask_free(a);
        return;
    }
    a->asks->nkeys--;
    struct snap *snap = snap_ref(wstate_snap(a->ws));
    take_message(a, a->later, snap);
    snap_unref(snap);
}

void api_statement(struct wstate *ws, struct spop_conn *conn, struct api_asks *asks, const struct spop_message *m, uint64_t stream,
                   uint64_t frame) {
    struct api_ask *a = calloc(1, sizeof *a);
    if (a == NULL) return; /* no answer is a refusal */
    *a = (struct api_ask){.ws = ws,
                          .conn = conn,
                          .stream = stream,
                          .frame = frame,
                          .asks = asks,
                          .next = asks->list,
                          .link = &asks->list,
                          .other = ws->asks,
                          .whose = &ws->asks};
    if (a->other != NULL) a->other->whose = &a->other;
    ws->asks = a;
    if (a->next != NULL) a->next->link = &a->next;
    asks->list = a;
    bool full = ++asks->n > API_ASKS_MAX;
    if (full)
        refuse_at_door(a, "53400", "too many requests are waiting for their verdicts", "Try again later.");
    else {
        struct snap *snap = snap_ref(wstate_snap(ws)); /* the next look may find a newer one and let go of this */
        take_message(a, m, snap);
        snap_unref(snap);
    }
}
