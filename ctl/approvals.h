/* gatehousectl approvals, approve, deny, sessions, status: what an administrator and an approver do. */
#ifndef GH_CTL_APPROVALS_H
#define GH_CTL_APPROVALS_H

int ctl_approvals(int argc, char **argv);
int ctl_approve(int argc, char **argv);
int ctl_deny(int argc, char **argv);
int ctl_sessions(int argc, char **argv);
int ctl_status(int argc, char **argv);

#endif
