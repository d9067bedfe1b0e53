/* gatehousectl policy check and explain. */
#ifndef GH_CTL_POLICY_H
#define GH_CTL_POLICY_H

/* argv[0] is "policy". Exit status: 0 allowed or well-formed, 3 denied, 2 called wrongly or the policy has an error. */
int ctl_policy(int argc, char **argv);

#endif
