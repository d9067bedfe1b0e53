#include <config.h>

#include "spoa/advice.h"
#include "spoa/door.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 1024

/* True when a process has bound the path; when in doubt, too. To connect with another type fails with EPROTOTYPE at a live socket and with
 * ECONNREFUSED at a dead one, and the process that lives does not see a stranger connect. */
static bool is_live(const struct sockaddr_un *un) {
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool live = fd < 0 || connect(fd, (const struct sockaddr *)un, sizeof *un) == 0 || errno != ECONNREFUSED;
    if (fd >= 0) close(fd);
    return live;
}

bool door_busy(const char *path) {
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct stat st;
    snprintf(un.sun_path, sizeof un.sun_path, "%s", path);
    return lstat(path, &st) == 0 && S_ISSOCK(st.st_mode) && is_live(&un);
}

/* A socket file that a dead process left is removed; one that somebody answers on, or that is no socket, is not ours to touch. */
static bool make_room(const struct sockaddr_un *un, bool force, char *err, size_t size) {
    struct stat st;
    if (lstat(un->sun_path, &st) != 0)
        return errno == ENOENT || (snprintf(err, size, "%s: %s: %s", un->sun_path, strerror(errno), advice_socket(errno)), false);
    if (!S_ISSOCK(st.st_mode)) {
        snprintf(err, size, "%s exists and is not a socket: remove it, or correct the path", un->sun_path);
        return false;
    }
    if (!force && is_live(un)) {
        snprintf(err, size, "%s: another process listens there; a gatehouse that runs is replaced by -u, one that hangs by -F",
                 un->sun_path);
        return false;
    }
    if (unlink(un->sun_path) == 0) return true;
    snprintf(err, size, "cannot remove %s: %s", un->sun_path, strerror(errno));
    return false;
}

int door_listen(const struct conf_door *door, int type, bool force, char *err, size_t size) {
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    snprintf(un.sun_path, sizeof un.sun_path, "%s", door->socket);
    if (!make_room(&un, force, err, size)) return -1;
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    mode_t old = umask(0177); /* never open to more than its owner, not even for a moment */
    bool ok = fd >= 0 && bind(fd, (const struct sockaddr *)&un, sizeof un) == 0;
    umask(old);
    ok = ok && (!door->has_owner || chown(un.sun_path, door->owner, (gid_t)-1) == 0) && chmod(un.sun_path, door->mode) == 0 &&
         listen(fd, BACKLOG) == 0;
    if (ok) return fd;
    snprintf(err, size, "cannot listen on %s: %s: %s", un.sun_path, strerror(errno), advice_socket(errno));
    if (fd >= 0) close(fd);
    return -1;
}

bool door_peer_ok(const struct conf_door *door, const char *name, int fd) {
    struct ucred cred;
    socklen_t size = sizeof cred;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) != 0) return false;
    for (size_t i = 0; i < door->npeers; i++)
        if (door->peers[i] == cred.uid) return true;
    unsigned more;
    if (!log_due(log_fmt("door.peer_refused %s %u", name, (unsigned)cred.uid), &more)) return false;
    log_event(LOG_WARN, "door.peer_refused", "door", name, "uid", log_fmt("%u", (unsigned)cred.uid), "pid", log_fmt("%d", (int)cred.pid),
              "do",
              log_fmt("if this is HAProxy's user (id haproxy), add it to %s.peers and restart; if not, find out who connects here", name),
              "repeated", log_fmt("%u", more), NULL);
    return false;
}
