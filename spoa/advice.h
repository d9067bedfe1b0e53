/* What to do about an error of somebody else's: one sentence for a log line or for /healthz, next to the error itself. Static strings. */
#ifndef GH_SPOA_ADVICE_H
#define GH_SPOA_ADVICE_H

/* error: Redis's reply, or what kept us from reaching it. */
const char *advice_redis(const char *error);
/* error: what kept the journal from being written or opened. */
const char *advice_journal(const char *error);
/* A database that refused Gatehouse's own login, or was lost: its SQLSTATE and its words; either may be NULL. */
const char *advice_database(const char *sqlstate, const char *text);
/* TLS to a database: what tls_error(), or the answer to SSLRequest, says. */
const char *advice_tls(const char *error);
/* A database that could not be reached: errno of the connection. */
const char *advice_connect(int error);
/* A door's socket that could not be made: errno. */
const char *advice_socket(int error);

#endif
