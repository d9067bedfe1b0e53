/* What admin.c and admin_orders.c share. */
#ifndef GH_SPOA_ADMIN_ORDERS_H
#define GH_SPOA_ADMIN_ORDERS_H

#include "spoa/admin.h"
#include "spoa/httpd.h"

void admin_answer_error(struct httpd_answer *a, int status, const char *error, const char *todo);
bool admin_param(const struct httpd_request *r, const char *name, char *out, size_t size);
/* Who the request's token says it is; NULL and answered. */
struct jwt_identity *admin_identity(struct daemon *d, const struct httpd_request *r, struct httpd_answer *a);
/* May this request block, lift, revoke, kill? by: who it is, for the record. False and answered. */
bool admin_operator(struct daemon *d, const struct httpd_request *r, struct httpd_answer *a, char *by, size_t size);
/* admin_orders.c: the pages /blocks and /grants. False: it is none of them. */
bool admin_orders(struct daemon *d, const struct httpd_request *r, struct httpd_answer *a);

#endif
