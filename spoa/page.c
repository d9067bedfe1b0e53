#include <config.h>

#include "spoa/page_int.h"

#include "spoa/admin_int.h"
#include "spoa/approval.h"
#include "spoa/log.h"
#include "spoa/record.h"
#include "spoa/status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define CONNECTIONS 64u
#define LATER_MS    (CONF_PAGE_TIMEOUT_MAX * 2 + KEYS_WAIT_MS + 2000u)

/* --- what was asked for --- */

static bool is_path(const struct httpd_request *r, const char *path) {
    return r->path_len == strlen(path) && memcmp(r->path, path, r->path_len) == 0;
}

/* An id of a request: what stands behind prefix, to the end. */
static bool id_behind(const struct httpd_request *r, const char *prefix, char out[PAGE_ID_SIZE]) {
    size_t n = strlen(prefix);
    if (r->path_len != n + PAGE_ID_SIZE - 1 || memcmp(r->path, prefix, n) != 0) return false;
    memcpy(out, r->path + n, PAGE_ID_SIZE - 1);
    out[PAGE_ID_SIZE - 1] = '\0';
    return strspn(out, "0123456789abcdefghijklmnopqrstuvwxyz") == PAGE_ID_SIZE - 1;
}

/* The name under which the browser came must be ours: a page must never believe another one. */
static bool host_ok(const struct page_ask *k) {
    const char *v;
    size_t len;
    return httpd_field(k->r, "host", &v, &len) && len == strlen(k->c->host) && strncasecmp(v, k->c->host, len) == 0;
}

static bool field_is(const struct httpd_request *r, const char *name, const char *want) {
    const char *v;
    size_t len;
    return httpd_field(r, name, &v, &len) && len == strlen(want) && memcmp(v, want, len) == 0;
}

/* A form of ours, sent from a page of ours by who is signed in. */
static bool form_ok(struct page_ask *k) {
    static const char form[] = "application/x-www-form-urlencoded";
    char csrf[LOGIN_TOKEN_SIZE];
    const char *type;
    size_t len;
    if (httpd_has_field(k->r, "origin") && !field_is(k->r, "origin", k->c->url)) return false;
    if (httpd_has_field(k->r, "sec-fetch-site") && !field_is(k->r, "sec-fetch-site", "same-origin")) return false;
    if (!httpd_field(k->r, "content-type", &type, &len) || len < sizeof form - 1 || strncasecmp(type, form, sizeof form - 1) != 0)
        return false;
    return k->signed_in && httpd_form(k->r->body, k->r->body_len, "csrf", csrf, sizeof csrf) && login_equal(csrf, k->s.csrf);
}

static void not_there(struct page_ask *k) {
    const struct page_note note = {404, "There is no such page",
                                   "The address is wrong, or the request is too old: what is over is kept for an hour."};
    page_view_note(k, &note);
}

static void refuse_form(struct page_ask *k) {
    const struct page_note note = {
        403, "This was not taken",
        "The form was not sent from this page by who is signed in now. Open the request again, and decide there."};
    page_view_note(k, &note);
}

/* --- pages --- */

static void list(struct page_ask *k) {
    char after[PAGE_ID_SIZE], all[4];
    bool more;
    httpd_form(k->r->query, k->r->query_len, "after", after, sizeof after);
    bool over = httpd_form(k->r->query, k->r->query_len, "all", all, sizeof all) && strcmp(all, "1") == 0;
    json_t *found =
        appr_list(k->p->d->approvals, &(struct appr_view){.after = after, .max = PAGE_LIST_MAX, .over = over, .who = k->s.who}, &more);
    if (found == NULL) {
        const struct page_note note = {503, "The requests cannot be read now", "Try again; the daemon's log says more."};
        page_view_note(k, &note);
    } else
        page_view_list(k, found, more, over, after);
    json_decref(found);
}

/* The form is shown to who could decide now. What is decided is looked at again when it is sent. */
static void show(struct page_ask *k, const char *id, const struct page_note *note) {
    struct appr_may may;
    json_t *one = appr_show(k->p->d->approvals, id, k->s.who, &may);
    if (one == NULL)
        not_there(k);
    else
        page_view_request(k, one, &may, note);
    json_decref(one);
}

/* For how long, in seconds ("0" and nothing: once), and how much. A denial has neither, whatever the form had. */
static bool read_grant(struct page_ask *k, bool approve, uint64_t *ms, enum pol_scope *scope) {
    char span[12], word[16];
    *ms = 0;
    *scope = POL_SCOPE_STATEMENT;
    if (!approve || !httpd_form(k->r->body, k->r->body_len, "for", span, sizeof span) || strcmp(span, "0") == 0) return true;
    if (strlen(span) > 8 || strspn(span, "0123456789") != strlen(span) || span[0] < '1' || span[0] > '9') return false;
    *ms = strtoull(span, NULL, 10) * 1000u;
    return httpd_form(k->r->body, k->r->body_len, "scope", word, sizeof word) && pol_scope_of(word, scope);
}

static void decide(struct page_ask *k, const char *id) {
    char verdict[16], reason[APPR_REASON * 2], why[700];
    uint64_t grant_ms;
    enum pol_scope scope;
    json_t *shown = NULL;
    if (!form_ok(k)) {
        refuse_form(k);
        return;
    }
    httpd_form(k->r->body, k->r->body_len, "verdict", verdict, sizeof verdict);
    bool reasoned = httpd_form(k->r->body, k->r->body_len, "reason", reason, sizeof reason);
    bool approve = strcmp(verdict, "approve") == 0, deny = strcmp(verdict, "deny") == 0;
    if ((!approve && !deny) || !reasoned || strlen(reason) > APPR_REASON) {
        const struct page_note note = {400, "This was not taken",
                                       "A decision is to approve or to deny, with a reason of at most 500 bytes."};
        show(k, id, &note);
        return;
    }
    if (deny && reason[0] == '\0') {
        const struct page_note note = {400, "A denial needs a reason", "Say in a sentence what is wrong: who asked is told."};
        show(k, id, &note);
        return;
    }
    if (!read_grant(k, approve, &grant_ms, &scope)) {
        const struct page_note note = {400, "This was not taken", "The time, or what it is for, cannot be read."};
        show(k, id, &note);
        return;
    }
    const struct appr_decision d = {
        .id = id, .approve = approve, .who = k->s.who, .reason = reason[0] == '\0' ? NULL : reason, .grant_ms = grant_ms, .scope = scope};
    enum appr_decided rc = appr_decide(k->p->d->approvals, &d, &shown, why, sizeof why);
    json_decref(shown);
    if (rc == APPR_TAKEN) {
        char to[64];
        snprintf(to, sizeof to, "/requests/%s", id);
        page_redirect(k->a, to);
        return;
    }
    const struct page_note note = {admin_status_of(rc), "The decision was not taken", log_fmt("%s.", why)};
    show(k, id, &note);
}

static void logout(struct page_ask *k) {
    char cookie[LOGIN_TOKEN_SIZE];
    if (!form_ok(k)) {
        refuse_form(k);
        return;
    }
    if (httpd_cookie(k->r, PAGE_COOKIE, cookie, sizeof cookie)) page_session_end(k->p->sessions, cookie);
    page_set_cookie(k->a, PAGE_COOKIE, NULL, 0);
    page_redirect(k->a, "/");
}

static bool asset(struct page_ask *k) {
    const struct page_asset *found = page_asset(k->r->path, k->r->path_len);
    if (found == NULL) return false;
    page_harden(k->a);
    k->a->status = 200;
    k->a->type = found->type;
    buf_put(&k->a->body, found->data, (size_t)(found->end - found->data));
    return true;
}

/* --- the API for machines --- */

/* No cookie counts here, so no browser can be made to decide. */
static void api(struct page_ask *k) {
    struct daemon *d = k->p->d;
    char id[PAGE_ID_SIZE], why[400];
    page_harden(k->a);
    if (page_throttled(d, k->src)) {
        admin_answer_error(k->a, 429, "too many tokens that are not valid came from this address", "wait a minute; look at the token");
        return;
    }
    struct jwt_identity *who = admin_bearer(d, k->r, &(struct admin_caller){"page", k->src}, k->a);
    if (who == NULL) {
        if (k->a->status == 401) buf_str(&k->a->fields, "WWW-Authenticate: Bearer error=\"invalid_token\"\r\n");
        return;
    }
    if (page_blocked(d, who->principal, k->src, why, sizeof why))
        admin_answer_error(k->a, 403, log_fmt("you are blocked: %s", why), "ask who runs this gate");
    else if (is_path(k->r, "/api/approvals") && k->r->method != HTTPD_POST)
        admin_list(d, k->r, who, k->a);
    else if (id_behind(k->r, "/api/approvals/", id))
        admin_approval(d, k->r, id, who, k->a);
    else
        admin_answer_error(k->a, 404, "there is no such page", "there are /api/approvals and /api/approvals/ID");
    jwt_identity_free(who);
}

/* --- who is shut out --- */

bool page_blocked(struct daemon *d, const char *principal, const char *src, char *why, size_t size) {
    struct ord_block block;
    const struct ord_subject subject = {.principal = principal, .src = src != NULL && src[0] != '\0' ? src : NULL};
    if (!ord_blocked(d->orders, &subject, &block)) return false;
    snprintf(why, size, "%.300s", block.reason);
    return true;
}

/* Neither the page nor the API is there for them; who was signed in is not any more. */
static bool shut_out(struct page_ask *k) {
    char why[400], cookie[LOGIN_TOKEN_SIZE];
    if (!page_blocked(k->p->d, k->signed_in ? k->s.who->principal : NULL, k->src, why, sizeof why)) return false;
    const struct page_note note = {403, "You are blocked", why};
    if (k->signed_in && httpd_cookie(k->r, PAGE_COOKIE, cookie, sizeof cookie)) page_session_end(k->p->sessions, cookie);
    k->signed_in = false;
    page_view_note(k, &note);
    return true;
}

/* --- routes --- */

static void find_session(struct page_ask *k) {
    char cookie[LOGIN_TOKEN_SIZE];
    if (k->c->client_id == NULL || !httpd_cookie(k->r, PAGE_COOKIE, cookie, sizeof cookie)) return;
    k->signed_in = page_session_find(k->p->sessions, cookie, k->c->id.issuer, k->c->client_id, worker_now_ms(), k->c->idle_ms, &k->s);
}

static void route(struct page_ask *k) {
    bool post = k->r->method == HTTPD_POST;
    char id[PAGE_ID_SIZE];
    if (!post && asset(k)) return;
    find_session(k);
    if (shut_out(k)) return;
    if (!post && is_path(k->r, "/")) {
        if (k->signed_in)
            list(k);
        else
            page_view_door(k, "");
    } else if (!post && is_path(k->r, "/login"))
        page_login(k);
    else if (!post && is_path(k->r, "/callback"))
        page_callback(k);
    else if (post && is_path(k->r, "/logout"))
        logout(k);
    else if (!id_behind(k->r, "/requests/", id))
        not_there(k);
    else if (post)
        decide(k, id);
    else if (k->signed_in)
        show(k, id, NULL);
    else
        page_view_door(k, id);
}

void page_count(struct page *p, const char *page, int status) {
    char text[16];
    snprintf(text, sizeof text, "%d", status);
    m_count(status_page_block(p->d), M_PAGE_REQUESTS, page, text, NULL);
}

void page_count_sign_in(struct page *p, const char *outcome) { m_count(status_page_block(p->d), M_PAGE_SIGN_INS, outcome, NULL, NULL); }

/* As the metrics call it: a few words, whatever is asked for. */
static const char *name_of(const struct httpd_request *r) {
    static const struct {
        const char *path, *name;
    } pages[] = {{"/", "list"}, {"/login", "login"}, {"/callback", "callback"}, {"/logout", "logout"}};
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++)
        if (is_path(r, pages[i].path)) return pages[i].name;
    if (r->path_len > 4 && memcmp(r->path, "/api/", 5) == 0) return "api";
    if (r->path_len > 9 && memcmp(r->path, "/requests/", 10) == 0) return r->method == HTTPD_POST ? "decision" : "request";
    return page_asset(r->path, r->path_len) != NULL ? "asset" : "other";
}

static void serve(void *arg, const struct httpd_request *r, struct httpd_answer *a) {
    struct page *p = arg;
    struct snap *s = daemon_snap(p->d);
    const struct conf_page *boot = &p->d->boot->conf->page, *now = &s->conf->page;
    struct page_ask k = {.p = p, .snap = s, .c = now->m.where != NULL ? now : boot, .r = r, .a = a};
    const char *src;
    size_t len;
    if (httpd_field(r, "x-gatehouse-source", &src, &len) && len < sizeof k.src) memcpy(k.src, src, len);
    if (!host_ok(&k)) {
        page_harden(a);
        a->status = 421;
        buf_str(&a->body, "This is not the page's address: see page.url in gatehouse.yaml(5).\n");
    } else if (r->path_len > 4 && memcmp(r->path, "/api/", 5) == 0)
        api(&k);
    else
        route(&k);
    if (!a->later) page_count(p, name_of(r), a->status);
    snap_unref(s);
}

/* --- life --- */

static struct page *page_new(struct daemon *d) {
    struct page *p = calloc(1, sizeof *p);
    if (p == NULL) return NULL;
    *p = (struct page){.d = d, .fd = -1, .keys = login_keys_new(), .sessions = page_sessions_new()};
    return p;
}

bool page_open(struct daemon *d, bool inherit, bool force, char *err, size_t size) {
    const struct conf_metrics *m = &d->boot->conf->page.m;
    bool retry = false;
    if (m->where == NULL) return true;
    snprintf(err, size, "out of memory");
    d->page = page_new(d);
    if (d->page == NULL || d->page->keys == NULL || d->page->sessions == NULL) return false;
    d->page->fd = httpd_listen(m, force, &retry, err, size);
    return d->page->fd >= 0 || (retry && inherit);
}

bool page_start(struct daemon *d) {
    struct page *p = d->page;
    if (p == NULL) return true;
    p->idp = idp_start();
    if (p->idp == NULL) return false;
    int fd = p->fd;
    p->fd = -1;
    p->httpd = httpd_start(&(struct httpd_conf){.name = "page",
                                                .m = &d->boot->conf->page.m,
                                                .page = serve,
                                                .arg = p,
                                                .post = true,
                                                .connections = CONNECTIONS,
                                                .later_ms = LATER_MS},
                           fd);
    return p->httpd != NULL;
}

int page_fd(struct daemon *d) { return d->page == NULL ? -1 : httpd_fd(d->page->httpd); }

bool page_adopt(struct daemon *d, int fd) {
    if (d->page == NULL || d->page->fd >= 0 || !httpd_listens_at(fd, &d->boot->conf->page.m)) return false;
    d->page->fd = fd;
    return true;
}

void page_replaced(struct daemon *d) {
    if (d->page != NULL) httpd_retire(d->page->httpd);
}

void page_stop(struct daemon *d) {
    struct page *p = d->page;
    if (p == NULL) return;
    idp_stop(p->idp); /* what it posts still runs on the server's thread */
    httpd_stop(p->httpd);
    idp_free(p->idp);
    if (p->fd >= 0) close(p->fd);
    login_keys_free(p->keys);
    page_sessions_free(p->sessions);
    free(p);
    d->page = NULL;
}
