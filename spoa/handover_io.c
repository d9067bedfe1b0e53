#include <config.h>

#include "spoa/handover_int.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum ho_io ho_send(int fd, const struct ho_msg *m, const int *fds, size_t nfds) {
    struct buf b = BUF_INIT(HO_PACKET_MAX);
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int) * HO_FDS)];
    } control = {0};
    enum ho_io rc = HO_IO_GONE;
    ho_put(&b, m);
    if (!b.failed && nfds <= HO_FDS) {
        struct iovec v = {(void *)(uintptr_t)buf_at(&b), buf_used(&b)};
        struct msghdr msg = {.msg_iov = &v, .msg_iovlen = 1};
        if (nfds > 0) {
            msg.msg_control = control.space;
            msg.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
            struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
            c->cmsg_level = SOL_SOCKET;
            c->cmsg_type = SCM_RIGHTS;
            c->cmsg_len = CMSG_LEN(sizeof(int) * nfds);
            memcpy(CMSG_DATA(c), fds, sizeof(int) * nfds);
        }
        ssize_t n;
        do n = sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
        while (n < 0 && errno == EINTR);
        /* ETOOMANYREFS: descriptors that the peer has not read yet; ENOBUFS: the system's memory for sockets */
        bool later = n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS || errno == ETOOMANYREFS);
        rc = n >= 0 ? HO_IO_OK : later ? HO_IO_AGAIN : HO_IO_GONE;
    }
    if (b.data != NULL) gh_wipe(b.data, b.cap);
    buf_free(&b);
    return rc;
}

static void take_fds(struct msghdr *msg, struct ho_packet *p) {
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
            if (p->nfds < HO_FDS)
                p->fds[p->nfds++] = fd;
            else
                close(fd);
        }
    }
}

enum ho_io ho_recv(int fd, struct ho_packet *p) {
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int) * HO_FDS)];
    } control;
    struct iovec v = {p->bytes, sizeof p->bytes};
    struct msghdr msg = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space};
    p->len = p->nfds = 0;
    ssize_t n;
    /* ECONNRESET, told once: the peer closed and had not read all that it was sent. What it sent before is still there. */
    do n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (n < 0 && (errno == EINTR || errno == ECONNRESET));
    if (n < 0) return errno == EAGAIN || errno == EWOULDBLOCK ? HO_IO_AGAIN : HO_IO_GONE;
    take_fds(&msg, p);
    p->len = (size_t)n;
    if (n > 0 && (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0) return HO_IO_OK;
    ho_packet_done(p);
    return n == 0 ? HO_IO_GONE : HO_IO_BAD;
}

enum ho_io ho_recv_wait(int fd, struct ho_packet *p, int timeout_ms) {
    uint64_t end = worker_now_ms() + (uint64_t)timeout_ms;
    for (;;) {
        enum ho_io rc = ho_recv(fd, p);
        uint64_t now = worker_now_ms();
        if (rc != HO_IO_AGAIN || now >= end) return rc;
        struct pollfd pfd = {.fd = fd, .events = POLLIN};
        poll(&pfd, 1, (int)(end - now));
    }
}

void ho_packet_done(struct ho_packet *p) {
    for (size_t i = 0; i < p->nfds; i++)
        if (p->fds[i] >= 0) close(p->fds[i]);
    gh_wipe(p->bytes, p->len);
    p->len = p->nfds = 0;
}

bool ho_peer_ok(int fd, uid_t also) {
    struct ucred cred;
    socklen_t size = sizeof cred;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) != 0) return false;
    if (cred.uid == 0 || cred.uid == geteuid() || cred.uid == also) return true;
    log_event(LOG_WARN, "upgrade.peer_refused", "uid", log_fmt("%u", (unsigned)cred.uid), "pid", log_fmt("%d", (int)cred.pid), NULL);
    return false;
}
