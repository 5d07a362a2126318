"""The parts that `localcloud.cloud` puts together, each opened by one of these modules."""
