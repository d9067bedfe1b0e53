#ifndef GH_CTL_DOCTOR_H
#define GH_CTL_DOCTOR_H

/* gatehousectl doctor: looks at everything that gatehouse needs and says what to do about what is not there. 0: all is well; 1: something is
 * not; 2: called wrongly. */
int ctl_doctor(int argc, char **argv);

#endif
