bin_PROGRAMS += gatehousectl
gatehousectl_SOURCES = \
	ctl/approvals.c \
	ctl/approvals.h \
	ctl/at.c \
	ctl/at.h \
	ctl/audit.c \
	ctl/audit.h \
	ctl/audit_anchors.c \
	ctl/audit_filter.c \
	ctl/audit_filter.h \
	ctl/audit_retention.c \
	ctl/audit_show.c \
	ctl/audit_source.c \
	ctl/audit_verify.c \
	ctl/audit_verify.h \
	ctl/catalog.c \
	ctl/catalog.h \
	ctl/columns.c \
	ctl/columns.h \
	ctl/dialect.c \
	ctl/dialect.h \
	ctl/doctor.c \
	ctl/doctor.h \
	ctl/doctor_haproxy.c \
	ctl/doctor_int.h \
	ctl/door.c \
	ctl/door.h \
	ctl/door_int.h \
	ctl/door_url.c \
	ctl/fold.c \
	ctl/fold.h \
	ctl/key.c \
	ctl/key.h \
	ctl/main.c \
	ctl/orders.c \
	ctl/orders.h \
	ctl/policy.c \
	ctl/policy.h \
	ctl/policy_diff.c \
	ctl/policy_diff.h \
	ctl/policy_grants.c \
	ctl/policy_grants.h \
	ctl/policy_test.c \
	ctl/policy_test.h \
	ctl/request.c \
	ctl/request.h \
	ctl/rewrite.c \
	ctl/rewrite.h \
	ctl/screen.c \
	ctl/screen.h \
	ctl/token.c \
	ctl/token.h \
	ctl/watch.c \
	ctl/watch.h \
	ctl/whoami.c \
	ctl/whoami.h \
	ctl/words.c \
	ctl/words.h
gatehousectl_LDADD = $(GH_LIBS) $(JWT_LIBS)
dist_man_MANS += ctl/gatehousectl.1
bashcompletiondir = $(datadir)/bash-completion/completions
dist_bashcompletion_DATA = ctl/complete/gatehousectl
zshcompletiondir = $(datadir)/zsh/vendor-completions
dist_zshcompletion_DATA = ctl/complete/_gatehousectl
fishcompletiondir = $(datadir)/fish/vendor_completions.d
dist_fishcompletion_DATA = ctl/complete/gatehousectl.fish
