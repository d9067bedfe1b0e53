/* The admin door's pages about orders: blocks and grants. */
#include <config.h>

#include "spoa/admin_orders.h"

#include "spoa/courier.h"
#include "spoa/json_read.h"
#include "spoa/log.h"

#include <pwd.h>
#include <stdio.h>
#include <string.h>

/* --- who may --- */

static bool is_operator(const struct conf *c, const struct jwt_identity *who) {
    for (size_t i = 0; i < c->noperators; i++)
        for (size_t k = 0; k < who->ngroups; k++)
            if (strcmp(c->operators[i], who->groups[k]) == 0) return true;
    return false;
}

static void user_of(uint32_t uid, char *by, size_t size) {
    struct passwd pw, *found = NULL;
    char room[4096];
    if (getpwuid_r(uid, &pw, room, sizeof room, &found) == 0 && found != NULL)
        snprintf(by, size, "the system's user %.200s", found->pw_name);
    else
        snprintf(by, size, "the system's user %u", (unsigned)uid);
}

bool admin_operator(struct daemon *d, const struct httpd_request *r, struct httpd_answer *a, char *by, size_t size) {
    const char *value;
    size_t len;
    struct ord_block block;
    struct snap *s = daemon_snap(d);
    bool needs = s->conf->noperators > 0, ok = false;
    struct jwt_identity *who = NULL;
    user_of(r->uid, by, size);
    if (!needs && !httpd_field(r, "authorization", &value, &len))
        ok = true;
    else if ((who = admin_identity(d, r, a)) == NULL)
        ok = false;
    else if (ord_blocked(d->orders, &(struct ord_subject){.principal = who->principal}, &block))
        admin_answer_error(a, 403, log_fmt("you are blocked: %.300s", block.reason), "ask who runs this gate");
    else if (needs && !is_operator(s->conf, who))
        admin_answer_error(a, 403, "none of your groups may do that", "ask a member of a group that \"admin: operators\" lists");
    else {
        snprintf(by, size, "%s", who->principal);
        ok = true;
    }
    jwt_identity_free(who);
    snap_unref(s);
    return ok;
}

/* --- answers --- */

static int status_of(enum ord_rc rc) {
    switch (rc) {
    case ORD_DONE: return 200;
    case ORD_NOTHING: return 404;
    case ORD_BAD: return 400;
    case ORD_FULL: return 409;
    default: return 503;
    }
}

static void answer(struct httpd_answer *a, enum ord_rc rc, const char *why, const char *id) {
    static const char *const todo[] = {[ORD_DONE] = "",
                                       [ORD_NOTHING] = "see gatehousectl blocks, or gatehousectl grants",
                                       [ORD_BAD] = "correct the request",
                                       [ORD_FULL] = "see gatehousectl blocks",
                                       [ORD_FAILED] = "see that the journal's folder can be written; the daemon's log says more"};
    if (rc == ORD_DONE)
        httpd_answer_json(a, 200, json_pack("{s:s, s:s*}", "message", why, "id", id));
    else
        admin_answer_error(a, status_of(rc), why, todo[rc]);
}

static void list(struct daemon *d, const struct httpd_request *r, bool grants, struct httpd_answer *a) {
    char all[8];
    json_t *l = ord_list(d->orders, grants, admin_param(r, "all", all, sizeof all) && strcmp(all, "1") == 0);
    httpd_answer_json(a, 200, l == NULL ? NULL : json_pack("{s:o}", grants ? "grants" : "blocks", l));
}

static void block(struct daemon *d, const struct httpd_request *r, const char *by, bool lift, struct httpd_answer *a) {
    struct ord_wish w = {.by = by, .reason = ""};
    json_int_t seconds = 0;
    char why[700], id[ORD_ID_SIZE] = "";
    json_t *body = json_read(r->body, r->body_len, JSON_REJECT_DUPLICATES, NULL);
    if (json_unpack(body, lift ? "{s:s, s:s, s?s !}" : "{s:s, s:s, s?s, s?I !}", "what", &w.what, "value", &w.value, "reason", &w.reason,
                    "for", &seconds) != 0 ||
        seconds < 0 || seconds > 31622400)
        admin_answer_error(a, 400, "expected {\"what\": ..., \"value\": ..., \"reason\": ...}, and for a block that ends \"for\": seconds",
                           "correct the request");
    else {
        w.for_ms = (uint64_t)seconds * 1000;
        answer(a, lift ? ord_unblock(d->orders, &w, why, sizeof why) : ord_block(d->orders, &w, id, why, sizeof why), why,
               lift ? NULL : id);
        courier_hurry(d->courier);
    }
    json_decref(body);
}

static void revoke(struct daemon *d, const struct httpd_request *r, const char *by, struct httpd_answer *a) {
    const char *id = NULL, *reason = "";
    char why[700];
    json_t *body = json_read(r->body, r->body_len, JSON_REJECT_DUPLICATES, NULL);
    if (json_unpack(body, "{s:s, s?s !}", "id", &id, "reason", &reason) != 0)
        admin_answer_error(a, 400, "expected {\"id\": a grant's, \"reason\": a text}", "correct the request");
    else {
        answer(a, ord_revoke(d->orders, id, reason, by, why, sizeof why), why, NULL);
        courier_hurry(d->courier);
    }
    json_decref(body);
}

bool admin_orders(struct daemon *d, const struct httpd_request *r, struct httpd_answer *a) {
    static const char *const posts[] = {"/blocks", "/blocks/lift", "/grants/revoke"}, *const gets[] = {"/blocks", "/grants"};
    char by[JWT_NAME_MAX + 32];
    bool post = r->method == HTTPD_POST;
    size_t i = 0, n = post ? 3 : 2;
    while (i < n && (r->path_len != strlen((post ? posts : gets)[i]) || memcmp(r->path, (post ? posts : gets)[i], r->path_len) != 0)) i++;
    if (i == n) return false;
    if (!post)
        list(d, r, i == 1, a);
    else if (!admin_operator(d, r, a, by, sizeof by))
        return true;
    else if (i == 2)
        revoke(d, r, by, a);
    else
        block(d, r, by, i == 1, a);
    return true;
}
