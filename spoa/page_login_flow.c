/* Signing in: GET /login sends the browser to the provider, GET /callback takes it back with a code, which is exchanged for an ID token. */
#include <config.h>

#include "spoa/clock.h"
#include "spoa/identity.h"
#include "spoa/keydoc.h"
#include "spoa/log.h"
#include "spoa/page_int.h"
#include "spoa/record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CODE_MAX 4096u

/* A sign-in that waits for the provider. */
struct flow {
    struct keywait keys; /* first: its message is the flow */
    struct page *p;
    struct snap *snap; /* whose strings the job uses */
    const struct conf_page *c;
    struct httpd *server;
    uint64_t serial;
    struct login login;
    struct idp_job *job;
    char src[64], old[LOGIN_TOKEN_SIZE];
    bool looked; /* for keys that were not there */
};

/* --- what is counted --- */

static struct throttle_limits limits_of(struct daemon *d) {
    struct snap *s = daemon_snap(d);
    struct throttle_limits l = {.per_source = s->conf->limits.login_failures, .per_name = s->conf->limits.login_failures_per_name};
    snap_unref(s);
    return l;
}

bool page_throttled(struct daemon *d, const char *src) {
    struct throttle_limits l = limits_of(d);
    return src[0] != '\0' && throttle_over(d->throttle, &l, src, worker_now_ms());
}

bool page_count_bad(struct daemon *d, const char *src) {
    struct throttle_limits l = limits_of(d);
    struct throttle_news news = throttle_bad(d->throttle, &l, src, "page", worker_now_ms());
    if (!news.over_source && !news.over_name) return true;
    if (news.report) identity_record_flood(d->led, NULL, src, "page", news.over_source, news.unreported);
    return false;
}

static void record_bad(struct page *p, const char *src, const char *principal, const char *reason, const char *todo) {
    const struct identity_refusal refusal = {
        .api = "page", .src = src, .principal = principal, .sqlstate = "28P01", .reason = reason, .todo = todo};
    if (page_count_bad(p->d, src)) identity_record_refusal(p->d->led, &refusal);
}

static void record_good(struct page *p, const char *src, const struct jwt_identity *who) {
    struct rec r = {0};
    char *groups = identity_groups(who);
    rec_str(&r, "api", "page");
    rec_str(&r, "src", src);
    rec_str(&r, "principal", who->principal);
    rec_str(&r, "groups", groups);
    rec_str(&r, "issuer", who->issuer);
    rec_append(p->d->led, &r, LED_AUTH, NULL, "page.signed_in", NULL, NULL);
    log_event(LOG_INFO, "page.signed_in", "src", src, "principal", who->principal, "groups", groups, NULL);
    free(groups);
}

/* --- answers --- */

static void start_again(struct page_ask *k, int status, const char *text) {
    const struct page_note note = {status, "You are not signed in", text};
    page_set_cookie(k->a, PAGE_LOGIN_COOKIE, NULL, 0);
    page_view_note(k, &note);
}

static void to_provider(struct page_ask *k, struct flow *f);

/* The answer to the request that was put off, made as those at once are. */
static void resume(struct flow *f, void (*fill)(struct page_ask *k, struct flow *f)) {
    struct httpd_answer a = {.status = 500, .type = "text/plain; charset=utf-8", .body = BUF_INIT(65536), .fields = BUF_INIT(16384)};
    struct page_ask k = {.p = f->p, .snap = f->snap, .c = f->c, .a = &a};
    fill(&k, f);
    page_count(f->p, fill == to_provider ? "login" : "callback", a.status);
    httpd_resume(f->server, f->serial, &a);
    gh_wipe(a.fields.data, a.fields.data == NULL ? 0 : a.fields.cap);
    buf_free(&a.fields);
    buf_free(&a.body);
}

static void flow_free(struct flow *f) {
    if (f == NULL) return;
    idp_job_free(f->job);
    if (f->snap != NULL) snap_unref(f->snap);
    gh_wipe(f, sizeof *f);
    free(f);
}

static struct flow *flow_new(struct page_ask *k, const struct login *l, void (*back)(struct worker *w, struct wmsg *m)) {
    struct flow *f = calloc(1, sizeof *f);
    struct idp_job *j = calloc(1, sizeof *j);
    if (f == NULL || j == NULL) {
        free(f);
        free(j);
        return NULL;
    }
    *f = (struct flow){
        .p = k->p, .snap = snap_ref(k->snap), .c = k->c, .server = k->r->server, .serial = k->r->serial, .login = *l, .job = j};
    snprintf(f->src, sizeof f->src, "%s", k->src);
    j->from = httpd_worker(k->r->server);
    j->msg.run = back;
    j->at = k->c->provider;
    j->by_subject = !k->c->by_access_token && (k->c->id.principal_claim == NULL || strcmp(k->c->id.principal_claim, "sub") == 0);
    j->owner = f;
    return f;
}

static void submit(struct page_ask *k, struct flow *f) {
    if (f != NULL && idp_submit(k->p->idp, f->job)) {
        k->a->later = true;
        return;
    }
    flow_free(f);
    page_count_sign_in(k->p, "busy");
    start_again(k, 503, "Too many sign in at the moment. Try again in a few seconds.");
}

static struct login_client client_of(const struct conf_page *c) {
    return (struct login_client){.id = c->client_id, .redirect_uri = c->redirect_uri, .scope = c->scope, .more = c->parameters};
}

/* --- /login --- */

static void to_provider(struct page_ask *k, struct flow *f) {
    struct login_client c = client_of(f->c);
    char *address = f->job->address == NULL ? NULL : login_address(f->job->address, &c, &f->login);
    page_count_sign_in(k->p, address != NULL ? "begun" : "no_provider");
    if (address == NULL) {
        start_again(k, 503, "The provider where you sign in does not answer as it should. The gate's log says more.");
        return;
    }
    page_harden(k->a);
    page_set_cookie(k->a, PAGE_LOGIN_COOKIE, f->login.cookie, LOGIN_TIME_MS / 1000u);
    page_redirect(k->a, address);
    free(address);
}

static void have_address(struct worker *w, struct wmsg *m) {
    struct idp_job *j = (struct idp_job *)(void *)m;
    struct flow *f = j->owner;
    (void)w;
    if (j->why[0] != '\0')
        log_event(LOG_WARN, "page.provider", "issuer", f->c->id.issuer, "reason", j->why, "do",
                  "see that the provider answers, and that page.sign_in and identity.issuers name it as it names itself", NULL);
    resume(f, to_provider);
    flow_free(f);
}

void page_login(struct page_ask *k) {
    char next[LOGIN_NEXT_SIZE];
    struct login l;
    httpd_form(k->r->query, k->r->query_len, "next", next, sizeof next);
    if (strlen(next) != LOGIN_NEXT_SIZE - 1 || strspn(next, "0123456789abcdefghijklmnopqrstuvwxyz") != LOGIN_NEXT_SIZE - 1) next[0] = '\0';
    if (k->c->client_id == NULL)
        page_view_door(k, "");
    else if (!login_begin(k->p->keys, next, worker_now_ms(), &l))
        start_again(k, 503, "There are no random numbers.");
    else
        submit(k, flow_new(k, &l, have_address));
}

/* --- /callback --- */

static void refused(struct page_ask *k, struct flow *f) {
    (void)f;
    start_again(k, 403, "The provider's answer was not accepted. Start again; if that does not help, the gate's log says why.");
}

static void signed_in(struct page_ask *k, struct flow *f) {
    char to[64];
    page_harden(k->a);
    page_set_cookie(k->a, PAGE_LOGIN_COOKIE, NULL, 0);
    page_set_cookie(k->a, PAGE_COOKIE, f->old, (unsigned)(f->c->session_ms / 1000u));
    snprintf(to, sizeof to, "%s%s", f->login.next[0] != '\0' ? "/requests/" : "/", f->login.next);
    page_redirect(k->a, to);
}

static const char *advice(enum jwt_rc rc, bool by_access_token) {
    if (by_access_token && (rc == JWT_MALFORMED || rc == JWT_BAD_AUDIENCE))
        return "ask for an access token as databases want it: page.sign_in.scope, and parameters (resource, audience), as the provider has "
               "it";
    switch (rc) {
    case JWT_BAD_AUDIENCE: return "see that page.sign_in.client_id is what the provider calls this client";
    case JWT_BAD_PRINCIPAL:
        return "the ID token lacks identity.issuers.principal_claim: ask for a scope that brings it (page.sign_in.scope)";
    case JWT_CLAIM_REFUSED: return "the ID token lacks a required claim: page.sign_in.required_claims can say what ID tokens must have";
    case JWT_NO_KEYS:
    case JWT_UNKNOWN_KEY: return "see that the provider's keys can be fetched: gatehouse's log has keys.failed";
    default: return "see the reason";
    }
}

static void keys_came(struct worker *w, struct wmsg *m);

/* True: it waits for keys. */
static bool wait_for_keys(struct flow *f, struct keysource *source) {
    if (source == NULL || f->looked) return false;
    f->looked = true;
    f->keys.msg.run = keys_came;
    return keysource_wait(source, &f->keys, httpd_worker(f->server));
}

/* The access token, as a login to a database would have it: so people have the same names here and there. */
static enum jwt_rc read_access_token(struct flow *f, struct jwt_identity **who, struct jwt_why *why) {
    const struct jwt_conf *all = &f->snap->conf->jwt;
    struct jwt_issuer one = {0};
    for (size_t i = 0; i < all->nissuers; i++)
        if (strcmp(all->issuers[i].issuer, f->c->id.issuer) == 0) one = all->issuers[i];
    jwt_identity_free(*who);
    *who = NULL;
    if (f->job->access_token == NULL || one.issuer == NULL) return JWT_MALFORMED;
    enum jwt_rc rc = jwt_verify_from(&(struct jwt_conf){&one, 1, all->max_token}, f->job->access_token, strlen(f->job->access_token),
                                     clock_seconds(), who, why);
    if (rc != JWT_OK || (*who)->bound_to == NULL) return rc;
    jwt_identity_free(*who);
    *who = NULL;
    return JWT_BAD_BINDING;
}

static void verify(struct flow *f) {
    const struct jwt_id_wanted wanted = {.client_id = f->c->client_id, .nonce = f->login.nonce, .max_token = f->snap->conf->jwt.max_token};
    struct jwt_identity *who;
    struct jwt_why because;
    struct login still;
    const char *which = "ID token";
    char why[400], reason[JWT_REASON];
    enum jwt_rc rc = jwt_verify_id(&f->c->id, &wanted, f->job->id_token, strlen(f->job->id_token), clock_seconds(), &who, &because);
    if (rc == JWT_OK && f->c->by_access_token) {
        which = "access token";
        rc = read_access_token(f, &who, &because);
    }
    if (rc != JWT_OK && wait_for_keys(f, because.source)) return;
    if (rc != JWT_OK) {
        record_bad(f->p, f->src, NULL, log_fmt("%s: %s", which, jwt_reason(rc, &because, reason, sizeof reason)),
                   advice(rc, f->c->by_access_token));
        page_count_sign_in(f->p, "token_refused");
        resume(f, refused);
    } else if (!login_resume(f->p->keys, f->login.cookie, worker_now_ms(), &still)) { /* twice at once, or too late */
        jwt_identity_free(who);
        page_count_sign_in(f->p, "twice");
        resume(f, refused);
    } else if (page_blocked(f->p->d, who->principal, f->src, why, sizeof why)) {
        record_bad(f->p, f->src, who->principal, "blocked", NULL);
        page_count_sign_in(f->p, "blocked");
        jwt_identity_free(who);
        resume(f, refused);
    } else {
        login_used(f->p->keys, &f->login, worker_now_ms());
        record_good(f->p, f->src, who);
        if (f->old[0] != '\0') page_session_end(f->p->sessions, f->old);
        bool ok = page_session_begin(f->p->sessions, who, f->c->client_id, worker_now_ms(), f->c->session_ms, f->old);
        page_count_sign_in(f->p, ok ? "signed_in" : "busy");
        resume(f, ok ? signed_in : refused);
    }
    flow_free(f);
}

static void keys_came(struct worker *w, struct wmsg *m) {
    struct keywait *k = (struct keywait *)(void *)m;
    (void)w;
    verify((struct flow *)(void *)k);
}

static void have_token(struct worker *w, struct wmsg *m) {
    struct idp_job *j = (struct idp_job *)(void *)m;
    struct flow *f = j->owner;
    (void)w;
    if (j->why[0] == '\0') {
        verify(f);
        return;
    }
    page_count_sign_in(f->p, "no_token");
    record_bad(f->p, f->src, NULL, j->why, "see page.sign_in: the client, its secret, and that the provider knows the redirect URI");
    resume(f, refused);
    flow_free(f);
}

/* The body, and who we are: RFC 6749, section 2.3. */
static bool prepare(struct flow *f, const char *code) {
    struct login_client c = client_of(f->c);
    const char *secret = f->c->client_secret;
    f->job->form = login_token_form(&c, &f->login, code, f->c->secret_post ? secret : NULL);
    if (secret != NULL && !f->c->secret_post && (f->job->authorization = login_basic(f->c->client_id, secret)) == NULL) return false;
    return f->job->form != NULL;
}

/* RFC 9207: when the provider says who it is, it must be who was asked. */
static bool issuer_ok(const struct page_ask *k) {
    static const char name[] = "iss=";
    char iss[KEYDOC_URL_MAX + 1];
    if (memmem(k->r->query, k->r->query_len, name, sizeof name - 1) == NULL) return true;
    return httpd_form(k->r->query, k->r->query_len, "iss", iss, sizeof iss) && strcmp(iss, k->c->id.issuer) == 0;
}

void page_callback(struct page_ask *k) {
    char cookie[LOGIN_COOKIE_SIZE], state[LOGIN_TOKEN_SIZE], code[CODE_MAX], error[64];
    struct login l;
    const char *q = k->r->query;
    size_t n = k->r->query_len;
    if (k->c->client_id == NULL) {
        page_view_door(k, "");
        return;
    }
    if (page_throttled(k->p->d, k->src)) {
        page_count_sign_in(k->p, "throttled");
        start_again(k, 429, "Too many sign-ins from your address went wrong. Wait a minute.");
        return;
    }
    if (!httpd_cookie(k->r, PAGE_LOGIN_COOKIE, cookie, sizeof cookie) || !login_resume(k->p->keys, cookie, worker_now_ms(), &l) ||
        !httpd_form(q, n, "state", state, sizeof state) || !login_equal(state, l.state) || !issuer_ok(k)) {
        /* Nobody has shown that this browser began it: not worth a record, which anybody could fill. */
        page_count_sign_in(k->p, "not_begun_here");
        start_again(k, 400, "This sign-in was not begun here, took longer than ten minutes, or was used already. Start again.");
        return;
    }
    if (httpd_form(q, n, "error", error, sizeof error)) {
        record_bad(k->p, k->src, NULL, log_fmt("the provider refuses: %s", error), NULL);
        page_count_sign_in(k->p, "provider_refused");
        start_again(k, 403, "The provider did not let you in. Start again, or ask who runs it.");
        return;
    }
    if (!httpd_form(q, n, "code", code, sizeof code) || code[0] == '\0') {
        start_again(k, 400, "The provider's answer has no code. Start again.");
        return;
    }
    struct flow *f = flow_new(k, &l, have_token);
    bool ok = f != NULL && prepare(f, code);
    gh_wipe(code, sizeof code);
    if (!ok) {
        flow_free(f);
        start_again(k, 503, "The gate is out of memory. Try again.");
        return;
    }
    httpd_cookie(k->r, PAGE_COOKIE, f->old, sizeof f->old);
    submit(k, f);
}
