/* A request for approval as lines for whoever decides on it: the same ones wherever it is shown. */
#ifndef GH_CTL_REQUEST_H
#define GH_CTL_REQUEST_H

#include <jansson.h>
#include <stdbool.h>

enum request_line { REQUEST_FIELD, REQUEST_WARNING, REQUEST_SQL, REQUEST_NOTE };
/* Calls line for each: a field with its name, and one that is empty never; else name is "". whole: o is of /approvals/ID, and all that it says is wanted; not of
 * a list. Texts are as the daemon sent them, not ready for a terminal. False when memory was out and some are
 * missing: nobody may decide on that. */
bool request_lines(const json_t *o, bool whole, void (*line)(void *arg, enum request_line kind, const char *name, const char *text),
                   void *arg);

#endif
