/* Secrets: from files, commands, the environment; kept where neither swap nor core files reach, wiped when they go. */
#ifndef GH_SPOA_SECRET_H
#define GH_SPOA_SECRET_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define SECRET_MAX 4096 /* bytes of a secret */

/* Once, before the first secret: locked memory for all of them. False: it could not be locked, and may reach the swap. */
bool secret_init(void);

/* The file, opened for reading, when it is a regular one that only its owner may read. -1 and a sentence in why. */
int secret_open(const char *path, char *why, size_t size);
/* The file's text without one trailing newline. NULL and a sentence in why when it cannot be read, others than its owner may read it, it is
 * empty, too long or holds a NUL. Free with secret_free(). */
char *secret_read(const char *path, char *why, size_t size);
/* Likewise of a text that source is named in why for. */
char *secret_take(const char *text, size_t len, const char *source, char *why, size_t size);
void secret_free(char *secret); /* wipes it; NULL is fine */

struct secret_command {
    const char *const *argv; /* NULL at its end; argv[0] is a path */
    bool drop;               /* this process is root: the command runs as uid, with gid and groups */
    uid_t uid;
    gid_t gid;
    const gid_t *groups;
    size_t ngroups;
    unsigned timeout_ms;
    int stop_fd; /* readable: give up; -1: none */
};
/* Runs it with these bytes on its standard input; what it prints is not kept, and no more than SECRET_MAX of it is taken. False and a sentence in why unless it
 * ends with status 0 in time. Otherwise as secret_run(). */
bool command_tell(const struct secret_command *c, const void *input, size_t len, char *why, size_t size);
/* What the command writes to its standard output, as secret_read() of a file. It has no standard input, an environment of PATH alone, the root
 * folder, no descriptor of ours; it and what it started (unless that left its process group) are killed when the time is over. Its standard error
 * goes to the log, cut, and not at all where it repeats the output. Waits: not for a thread that others wait for. */
char *secret_run(const struct secret_command *c, char *why, size_t size);

#endif
