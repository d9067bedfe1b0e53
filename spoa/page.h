/* The approvers' page: HTTP/1.1 on a Unix socket behind HAProxy, which ends TLS. Pages for people who sign in at an OpenID provider, and beside them
 * an API for machines, /api, which takes a bearer token with each request, as the admin door does for decisions.
 *
 *   GET  /                    the requests that wait; ?all=1: also those that are over; ?after=ID: from there
 *   GET  /requests/ID
 *   POST /requests/ID         csrf, verdict (approve, deny), reason: a form
 *   GET  /login, /callback    sign-in: authorization code with PKCE
 *   POST /logout              csrf
 *   GET  /page.css, /page.js, /icon.svg
 *   GET  /api/approvals?after=ID&limit=N&all=1, /api/approvals/ID; POST /api/approvals/ID: as at the admin door (admin.h)
 *
 * Who is signed in, or whose token it is, sees requests of their own, and those on which one of their groups may decide; no others. */
#ifndef GH_SPOA_PAGE_H
#define GH_SPOA_PAGE_H

#include "spoa/daemon.h"

struct page;
/* As status_open() and its companions do for the metrics' socket. */
bool page_open(struct daemon *d, bool inherit, bool force, char *err, size_t size);
bool page_start(struct daemon *d);
void page_replaced(struct daemon *d);
/* The listening descriptor, to be lent to a newer daemon; -1: none. */
int page_fd(struct daemon *d);
/* Before the start: a descriptor that an older daemon lends. True when it is what the configuration says, and was missing. */
bool page_adopt(struct daemon *d, int fd);
void page_stop(struct daemon *d);

#endif
