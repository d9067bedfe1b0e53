EXTRA_DIST += \
	haproxy-conf/README.md \
	haproxy-conf/gatehouse-http.cfg \
	haproxy-conf/gatehouse-http.spoe.cfg \
	haproxy-conf/gatehouse-my.cfg \
	haproxy-conf/gatehouse-my.spoe.cfg \
	haproxy-conf/gatehouse-page.cfg \
	haproxy-conf/gatehouse-pg.cfg \
	haproxy-conf/gatehouse.spoe.cfg \
	haproxy-conf/gatehouse_mysql.lua \
	haproxy-conf/gatehouse_starttls.lua
