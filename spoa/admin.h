/* The admin door: HTTP/1.1 with JSON on a Unix socket, for gatehousectl.
 *
 *   GET  /approvals?after=ID&limit=N&all=1   {"approvals": [...], "more": bool}
 *   GET  /approvals/ID
 *   POST /approvals/ID     {"verdict": "approve" or "deny", "reason": "...", "for": SECONDS, "scope": "..."}, with Authorization: Bearer TOKEN
 *   GET  /blocks?all=1, /grants?all=1        {"blocks": [...]}, {"grants": [...]}
 *   POST /blocks           {"what": "principal", "session", "address" or "database", "value": "...", "reason": "...", "for": SECONDS}
 *   POST /blocks/lift      {"what": ..., "value": ..., "reason": ...}
 *   POST /grants/revoke    {"id": "...", "reason": "..."}
 *   GET  /sessions, /sessions/ID
 *   POST /sessions/ID/kill
 *   GET  /status
 *
 * Who may connect is admin.peers; who may decide is in the token alone; to block, lift, revoke and kill takes a token of a group in
 * admin.operators, where that key is. Errors are {"error": a sentence, "do": what to do}. */
#ifndef GH_SPOA_ADMIN_H
#define GH_SPOA_ADMIN_H

#include "spoa/daemon.h"

/* As status_open() and its companions do for the metrics' socket. */
bool admin_open(struct daemon *d, bool inherit, bool force, char *err, size_t size);
bool admin_start(struct daemon *d);
void admin_replaced(struct daemon *d);
void admin_stop(struct daemon *d);

#endif
