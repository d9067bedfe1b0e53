/* Structured log lines: one line an event, key=value, to stderr or a file descriptor kept aside at start.
 * Values are quoted and control characters escaped, so a peer cannot forge a line. Any thread. */
#ifndef GH_SPOA_LOG_H
#define GH_SPOA_LOG_H

#include <stdbool.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
void log_init(enum log_level level); /* keeps a duplicate of fd 2 (libraries may move fd 2) */
void log_set_level(enum log_level level);
/* log_event(LOG_INFO, "session.open", "session", sid, "principal", p, NULL): pairs of const char *, ended by NULL; a NULL value prints as "-". */
void log_event(enum log_level level, const char *event, ...) __attribute__((sentinel));
/* For lines that a mistake repeats: true at most once a minute for each cause (any text, compared by hash), with *more the times that it was
 * false since. Any thread. */
bool log_due(const char *cause, unsigned *more);
/* printf into a small rotating per-thread buffer, for values of log_event(). */
const char *log_fmt(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
