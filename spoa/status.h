/* What the daemon tells those who watch it: /metrics, /healthz, and the warnings of its own that need the passing of time. */
#ifndef GH_SPOA_STATUS_H
#define GH_SPOA_STATUS_H

#include "spoa/daemon.h"

/* Before the workers start and while still root: the numbers' blocks, the listening socket. When it is busy, a TCP port is waited for, and with
 * inherit also a Unix socket, because either may come by the handover. force: as in httpd_listen(). False and a sentence in err. */
bool status_open(struct daemon *d, bool inherit, bool force, char *err, size_t size);
/* When everything else runs: the HTTP server, and the watch over the SPOP door in the main thread's loop. False when out of memory. */
bool status_start(struct daemon *d, struct event_base *base);
/* A newer daemon has taken over, and with it the address: answers whom it accepted, and no more. */
void status_replaced(struct daemon *d);
/* Before the rest ends. */
void status_stop(struct daemon *d);
/* After the last thread that counts. */
void status_free(struct daemon *d);
/* A reload took (NULL) or failed; the main thread's. */
void status_reloaded(struct daemon *d, const char *error);
/* Why the last one failed: true, and out says it; "" when it took, or there was none. From any thread. */
bool status_reload_error(struct daemon *d, char *out, size_t size);
/* The block of the catalogs' thread. */
struct mblock *status_catalog_block(struct daemon *d);
/* The numbers of the approvers' page. */
struct mblock *status_page_block(struct daemon *d);
/* The main thread's block. */
struct mblock *status_block(struct daemon *d);
/* The key store's block. */
struct mblock *status_keys_block(struct daemon *d);

#endif
