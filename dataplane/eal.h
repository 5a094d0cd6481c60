/*
 * The EAL's arguments, built from what the ports need; nobody types them.
 */
#pragma once

struct eal_options {
	unsigned int workers;    /* lcores 1 .. workers beside the main one, 0 */
	unsigned int memory_mb;  /* without hugepages */
	int pci;                 /* a port is a PCI device: scan the bus */
	int huge;                /* use hugepages */
	const char *run_dir;     /* for the EAL's files; NULL: its default */
	int telemetry;           /* have a telemetry socket, RUN/dpdk/rte/dpdk_telemetry.v2 */
	const char *const *more; /* further arguments, NULL at the end; may be NULL */
};

/*
 * rte_eal_init() with the arguments made from `options`. Lcores float over all CPUs that this
 * process may use. Returns 0 or a negative errno.
 */
int eal_start(const struct eal_options *options);
