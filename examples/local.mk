EXTRA_DIST += \
	examples/lib/stack.sh \
	examples/lib/tour.sh \
	examples/quickstart \
	examples/shop/gatehouse.yaml \
	examples/shop/policy.yaml \
	examples/shop/shop.sql
