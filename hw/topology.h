/* hw/topology.h: the host's processors: cores, hyper-threads, memory nodes, what is kept apart. */
#pragma once
#include "hw/root.h"

enum { NODES_MAX = 64 };

struct topology {
	struct cpus online;
	struct cpus allowed; /* what a process that is started now may use */
	struct cpus
		isolated; /* the scheduler puts nothing there: isolcpus=, or cpuset partitions */
	struct cpus nohz_full; /* no tick while one thread runs there */
	struct cpus first;     /* of the online ones: one a core, the lowest of its hyper-threads */
	struct cpus nodes[NODES_MAX]; /* online ones of each memory node */
	int node_count;               /* one beyond the highest; 1 where the host tells of none */
};

/* Processors the host does not describe are cores of their own, in node 0.  -errno. */
int topology_read(struct topology *ret, const struct host_root *root);
/* -1: no node has it. */
int topology_node(const struct topology *topology, int cpu);
/* The other hyper-threads of its core; none where the host does not say. */
void topology_siblings(const struct host_root *root, int cpu, struct cpus *ret);
