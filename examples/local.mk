EXTRA_DIST += \
	examples/gatehouse.service \
	examples/gatehouse@.service \
	examples/grafana/gatehouse.json \
	examples/lib/free_ports.py \
	examples/lib/provider.py \
	examples/lib/stack.sh \
	examples/lib/tour.sh \
	examples/prometheus/gatehouse.rules.yml \
	examples/quickstart \
	examples/shop/gatehouse.yaml \
	examples/shop/policy.test.yaml \
	examples/shop/policy.yaml \
	examples/shop/policy_my.test.yaml \
	examples/shop/shop.catalog \
	examples/shop/shop.my.sql \
	examples/shop/shop.sql \
	examples/shop/shop_my.catalog
