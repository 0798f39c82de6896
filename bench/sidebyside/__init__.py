# SPDX-License-Identifier: Apache-2.0
"""lockd beside etcd, ZooKeeper and Redis: services, workloads, statistics, table and picture of bench/bench."""
