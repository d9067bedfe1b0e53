EXTRA_DIST += \
	haproxy-conf/README.md \
	haproxy-conf/gatehouse-pg.cfg \
	haproxy-conf/gatehouse.spoe.cfg \
	haproxy-conf/gatehouse_starttls.lua
