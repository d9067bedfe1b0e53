#include "spoa/upstream.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

void upstream_cred_drop(struct upstream_cred *c) {
    free(c->user);
    cred_value_unref(c->value);
    cred_unref(c->cred);
    *c = (struct upstream_cred){0};
}

bool upstream_login(const struct conf_database *db, const struct conf_login *l, struct upstream_cred *held, struct flt_upstream *up) {
    upstream_cred_drop(held);
    held->user = strdup(l->user);
    if (l->cred != NULL) {
        held->cred = cred_ref(l->cred);
        held->value = cred_get(l->cred);
    }
    *up = (struct flt_upstream){.user = l->user,
                                .password = held->value != NULL ? cred_text(held->value) : "",
                                .database = db->database,
                                .allow_cleartext = db->allow_cleartext,
                                .need_binding = db->need_binding,
                                .public_key = db->public_key,
                                .tls = db->tls == NULL  ? FLT_TLS_NONE
                                       : db->tls_direct ? FLT_TLS_DIRECT
                                                        : FLT_TLS_STARTTLS};
    return held->user != NULL && getrandom(up->nonce, sizeof up->nonce, 0) == (ssize_t)sizeof up->nonce;
}

const char *upstream_tls(struct pump *p, struct tls_ctx *ctx) {
    struct tls_conn *conn = ctx == NULL ? NULL : tls_conn_new(ctx, p->side[FLT_SERVER].fd);
    if (conn == NULL) return "out of memory";
    return pump_tls(p, conn) ? NULL : "plain text from the server where TLS was due";
}

void upstream_secured(struct pump *p) {
    uint8_t end_point[TLS_END_POINT_MAX];
    struct flt_secured secured = {.end_point_len = tls_end_point(p->side[FLT_SERVER].tls, end_point)};
    if (secured.end_point_len > 0) secured.end_point = end_point;
    flt_upstream_secured(p->filter, &secured);
}
