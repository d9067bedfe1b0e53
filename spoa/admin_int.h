/* What the admin door and the page's API for machines share. */
#ifndef GH_SPOA_ADMIN_INT_H
#define GH_SPOA_ADMIN_INT_H

#include "spoa/admin_orders.h"
#include "spoa/approval.h"

/* Whose token a request carries; NULL and answered. */
struct admin_caller {
    const char *api; /* "admin", "page": for the record */
    const char *src; /* NULL at a socket of this machine; else the client's address, whose bad tokens are counted */
};
struct jwt_identity *admin_bearer(struct daemon *d, const struct httpd_request *r, const struct admin_caller *c, struct httpd_answer *a);
/* The HTTP status of a decision's outcome. */
int admin_status_of(enum appr_decided rc);
/* GET /approvals. who: NULL, or whose requests are shown, see appr_show(). */
void admin_list(struct daemon *d, const struct httpd_request *r, const struct jwt_identity *who, struct httpd_answer *a);
/* GET and POST /approvals/ID; who NULL: a decision needs its token. */
void admin_approval(struct daemon *d, const struct httpd_request *r, const char *id, const struct jwt_identity *who,
                    struct httpd_answer *a);

#endif
