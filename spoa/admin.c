#include <config.h>

#include "spoa/admin_int.h"

#include "spoa/approval.h"
#include "spoa/clock.h"
#include "spoa/httpd.h"
#include "spoa/identity.h"
#include "spoa/json_read.h"
#include "spoa/log.h"
#include "spoa/page_int.h"
#include "spoa/roster.h"
#include "spoa/session.h"
#include "spoa/status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#define PAGE_MAX 1000u
#define ID_MAX   64u

/* --- answers --- */

void admin_answer_error(struct httpd_answer *a, int status, const char *error, const char *todo) {
    httpd_answer_json(a, status, json_pack("{s:s, s:s}", "error", error, "do", todo));
}

/* --- approvals --- */

bool admin_param(const struct httpd_request *r, const char *name, char *out, size_t size) {
    const char *v;
    size_t len;
    out[0] = '\0';
    if (!httpd_param(r, name, &v, &len) || len >= size) return false;
    memcpy(out, v, len);
    out[len] = '\0';
    return true;
}

void admin_list(struct daemon *d, const struct httpd_request *r, const struct jwt_identity *who, struct httpd_answer *a) {
    char after[ID_MAX], limit[16], all[8];
    bool more;
    admin_param(r, "after", after, sizeof after);
    unsigned long max = admin_param(r, "limit", limit, sizeof limit) ? strtoul(limit, NULL, 10) : PAGE_MAX;
    if (max == 0 || max > PAGE_MAX) max = PAGE_MAX;
    bool over = admin_param(r, "all", all, sizeof all) && strcmp(all, "1") == 0;
    json_t *list = appr_list(d->approvals, &(struct appr_view){.after = after, .max = max, .over = over, .who = who}, &more);
    if (list == NULL)
        admin_answer_error(a, 503, "the requests cannot be read now", "try again; the daemon's log says more");
    else
        httpd_answer_json(a, 200, json_pack("{s:o, s:b}", "approvals", list, "more", more));
}

static const char *advice_token(enum jwt_rc rc) {
    switch (rc) {
    case JWT_EXPIRED: return "get a fresh token";
    case JWT_MALFORMED:
    case JWT_BAD_BASE64: return "give the file that holds the token and nothing else";
    default: return "use a token of yours for this gate; gatehousectl whoami, or the daemon's log, says more";
    }
}

static void bad_token(struct daemon *d, const struct admin_caller *c, const char *reason, const char *todo, struct httpd_answer *a) {
    const struct identity_refusal refusal = {.api = c->api, .src = c->src, .sqlstate = "28P01", .reason = reason};
    if (c->src == NULL || page_count_bad(d, c->src)) identity_record_refusal(d->led, &refusal);
    admin_answer_error(a, 401, log_fmt("the token is not accepted: %s", reason), todo);
}

struct jwt_identity *admin_bearer(struct daemon *d, const struct httpd_request *r, const struct admin_caller *c, struct httpd_answer *a) {
    static const char scheme[] = "Bearer ";
    const char *value;
    size_t len;
    struct jwt_identity *who = NULL;
    if (!httpd_field(r, "authorization", &value, &len) || len < sizeof scheme - 1 || strncasecmp(value, scheme, sizeof scheme - 1) != 0) {
        admin_answer_error(a, 401, "this needs a token that says who you are",
                           "give it with --token-file, or as Authorization: Bearer TOKEN");
        return NULL;
    }
    struct jwt_why why;
    char reason[JWT_REASON];
    struct snap *s = daemon_snap(d);
    enum jwt_rc rc = jwt_verify_from(&s->conf->jwt, value + sizeof scheme - 1, len - (sizeof scheme - 1), clock_seconds(), &who, &why);
    jwt_reason(rc, &why, reason, sizeof reason);
    snap_unref(s);
    if (rc == JWT_OK && who->bound_to == NULL) return who;
    jwt_identity_free(who);
    if (rc == JWT_OK) /* whoever stole it does not have the certificate, and here nobody shows one */
        bad_token(d, c, "bound to a client certificate", "use a token that is not bound to a certificate", a);
    else
        bad_token(d, c, reason, advice_token(rc), a);
    return NULL;
}

struct jwt_identity *admin_identity(struct daemon *d, const struct httpd_request *r, struct httpd_answer *a) {
    return admin_bearer(d, r, &(struct admin_caller){"admin", NULL}, a);
}

int admin_status_of(enum appr_decided rc) {
    switch (rc) {
    case APPR_TAKEN: return 200;
    case APPR_UNKNOWN: return 404;
    case APPR_SELF:
    case APPR_BLOCKED:
    case APPR_STRANGER: return 403;
    case APPR_NO_GRANT: return 400;
    case APPR_OVER:
    case APPR_TWICE: return 409;
    default: return 503;
    }
}

static const char *advice_decided(enum appr_decided rc) {
    switch (rc) {
    case APPR_UNKNOWN: return "see gatehousectl approvals; the node that made a request decides on it";
    case APPR_SELF:
    case APPR_STRANGER: return "ask one of the approvers that gatehousectl approvals show names";
    case APPR_OVER: return "have the statement sent again: that makes a new request";
    case APPR_TWICE: return "ask another approver";
    case APPR_BLOCKED: return "ask who runs this gate";
    case APPR_NO_GRANT: return "approve it for once, or for less; gatehousectl approvals show says what the rule allows";
    default: return "try again; the daemon's log says more";
    }
}

/* "for": seconds, and "scope": both, or neither. */
static bool read_grant(const char *verdict, json_int_t seconds, const char *scope, enum pol_scope *out) {
    *out = POL_SCOPE_STATEMENT;
    if (seconds == 0) return scope == NULL;
    return strcmp(verdict, "approve") == 0 && seconds > 0 && seconds <= 31536000 && (scope == NULL || pol_scope_of(scope, out));
}

static void decide(struct daemon *d, const struct httpd_request *r, const char *id, const struct jwt_identity *known,
                   struct httpd_answer *a) {
    const char *verdict = NULL, *reason = NULL, *scope = NULL;
    json_int_t seconds = 0;
    enum pol_scope wide = POL_SCOPE_STATEMENT;
    char why[700];
    json_t *shown = NULL, *body = json_read(r->body, r->body_len, JSON_REJECT_DUPLICATES, NULL);
    bool form =
        body != NULL &&
        json_unpack(body, "{s:s, s?s, s?I, s?s !}", "verdict", &verdict, "reason", &reason, "for", &seconds, "scope", &scope) == 0 &&
        (strcmp(verdict, "approve") == 0 || strcmp(verdict, "deny") == 0) && (reason == NULL || strlen(reason) <= APPR_REASON) &&
        read_grant(verdict, seconds, scope, &wide);
    struct jwt_identity *shown_by = NULL;
    const struct jwt_identity *who = known;
    if (!form)
        admin_answer_error(
            a, 400,
            "expected {\"verdict\": \"approve\" or \"deny\", \"reason\": a text of at most 500 bytes}, and to approve for some time "
            "\"for\": seconds and \"scope\": \"statement\", \"kind\" or \"rule\"",
            "correct the request");
    else if (strcmp(verdict, "deny") == 0 && (reason == NULL || reason[0] == '\0'))
        admin_answer_error(a, 400, "a denial needs a reason", "say in a sentence what is wrong: the client is told");
    else if (who != NULL || (who = shown_by = admin_identity(d, r, a)) != NULL) {
        const struct appr_decision decision = {.id = id,
                                               .approve = strcmp(verdict, "approve") == 0,
                                               .who = who,
                                               .reason = reason,
                                               .grant_ms = (uint64_t)seconds * 1000,
                                               .scope = wide};
        enum appr_decided rc = appr_decide(d->approvals, &decision, &shown, why, sizeof why);
        if (rc == APPR_TAKEN)
            httpd_answer_json(a, 200, json_pack("{s:s, s:o*}", "message", why, "request", shown));
        else
            httpd_answer_json(a, admin_status_of(rc),
                              json_pack("{s:s, s:s, s:o*}", "error", why, "do", advice_decided(rc), "request", shown));
    }
    jwt_identity_free(shown_by);
    json_decref(body);
}

void admin_approval(struct daemon *d, const struct httpd_request *r, const char *id, const struct jwt_identity *who,
                    struct httpd_answer *a) {
    if (r->method == HTTPD_POST) {
        decide(d, r, id, who, a);
        return;
    }
    json_t *o = appr_show(d->approvals, id, who, NULL);
    if (o == NULL)
        admin_answer_error(a, 404, "there is no such request here", "see gatehousectl approvals");
    else
        httpd_answer_json(a, 200, o);
}

/* --- sessions --- */

static void kill_session(struct daemon *d, const struct httpd_request *r, const char *id, struct httpd_answer *a) {
    struct registry_target target;
    char by[JWT_NAME_MAX + 32];
    if (!admin_operator(d, r, a, by, sizeof by)) return;
    if (!roster_find(d->roster, id, &target) || !session_kill(&target, id, r->uid)) {
        admin_answer_error(a, 404, "there is no such session here", "see gatehousectl sessions");
        return;
    }
    httpd_answer_json(a, 200, json_pack("{s:s}", "message", "told to end"));
}

static void session(struct daemon *d, const struct httpd_request *r, char *id, struct httpd_answer *a) {
    char *slash = strchr(id, '/');
    if (slash != NULL && strcmp(slash, "/kill") == 0 && r->method == HTTPD_POST) {
        *slash = '\0';
        kill_session(d, r, id, a);
        return;
    }
    json_t *o = slash != NULL || r->method == HTTPD_POST ? NULL : roster_show(d->roster, id);
    if (o == NULL)
        admin_answer_error(a, 404, "there is no such session here", "see gatehousectl sessions");
    else
        httpd_answer_json(a, 200, o);
}

static void show_status(struct daemon *d, struct httpd_answer *a) {
    struct appr_counts counts;
    struct ord_counts orders;
    char why[600], reload[sizeof d->reload_error];
    struct snap *s = daemon_snap(d);
    status_reload_error(d, reload, sizeof reload);
    appr_count(d->approvals, &counts);
    ord_count(d->orders, &orders);
    led_why(d->led, why, sizeof why);
    httpd_answer_json(a, 200,
                      json_pack("{s:s, s:s, s:s, s:I, s:s, s:s, s:b, s:s, s:I, s:I, s:I, s:I, s:I, s:I}", "node", d->boot->conf->node,
                                "version", PACKAGE_VERSION, "policy", pol_policy_hash(s->policy), "generation", (json_int_t)s->generation,
                                "reload_error", reload, "key", nodekey_public(appr_key(d->approvals)), "ledger_healthy",
                                led_healthy(d->led), "ledger_why", why, "sessions", (json_int_t)registry_count(d->registry), "pending",
                                (json_int_t)counts.pending, "approved", (json_int_t)counts.approved, "blocks", (json_int_t)orders.blocks,
                                "grants", (json_int_t)orders.grants, "missing_orders", (json_int_t)orders.missing));
    snap_unref(s);
}

/* --- the pages --- */

/* The path behind prefix into out, when it begins so and fits. */
static bool behind(const struct httpd_request *r, const char *prefix, char *out, size_t size) {
    size_t n = strlen(prefix);
    if (r->path_len <= n || memcmp(r->path, prefix, n) != 0 || r->path_len - n >= size) return false;
    memcpy(out, r->path + n, r->path_len - n);
    out[r->path_len - n] = '\0';
    return true;
}

static bool is(const struct httpd_request *r, const char *path) {
    return r->method != HTTPD_POST && r->path_len == strlen(path) && memcmp(r->path, path, r->path_len) == 0;
}

static void page(void *arg, const struct httpd_request *r, struct httpd_answer *a) {
    struct daemon *d = arg;
    char id[ID_MAX + 8];
    if (is(r, "/approvals"))
        admin_list(d, r, NULL, a);
    else if (behind(r, "/approvals/", id, sizeof id))
        admin_approval(d, r, id, NULL, a);
    else if (is(r, "/sessions")) {
        json_t *list = roster_list(d->roster);
        httpd_answer_json(a, 200, json_pack("{s:o}", "sessions", list));
    } else if (behind(r, "/sessions/", id, sizeof id))
        session(d, r, id, a);
    else if (admin_orders(d, r, a))
        return;
    else if (is(r, "/status"))
        show_status(d, a);
    else
        admin_answer_error(a, 404, "there is no such page", "there are /approvals, /blocks, /grants, /sessions and /status");
}

/* --- life --- */

bool admin_open(struct daemon *d, bool inherit, bool force, char *err, size_t size) {
    const struct conf_metrics *m = &d->boot->conf->admin;
    bool retry = false;
    d->admin_fd = -1;
    if (m->where == NULL) return true;
    d->admin_fd = httpd_listen(m, force, &retry, err, size);
    return d->admin_fd >= 0 || (retry && inherit); /* then it is free when the other daemon lets go of it */
}

bool admin_start(struct daemon *d) {
    const struct conf_metrics *m = &d->boot->conf->admin;
    if (m->where == NULL) return true;
    d->admin = httpd_start(&(struct httpd_conf){.name = "admin", .m = m, .page = page, .arg = d, .post = true}, d->admin_fd);
    d->admin_fd = -1;
    return d->admin != NULL;
}

void admin_replaced(struct daemon *d) { httpd_retire(d->admin); }

void admin_stop(struct daemon *d) {
    httpd_stop(d->admin);
    d->admin = NULL;
    if (d->admin_fd >= 0) close(d->admin_fd);
    d->admin_fd = -1;
}
