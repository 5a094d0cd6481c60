/* The EAL's arguments; see eal.h. Called by main() and the packet tests. */
#include "dataplane/eal.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include <rte_eal.h>
#include <rte_errno.h>

#define ARGS_MAX         48
#define TEXT_MAX         2048

/* below the run directory; "rte" is the file prefix, as none is given */
#define TELEMETRY_SOCKET "/dpdk/rte/dpdk_telemetry.v2"

/* All CPUs of the affinity mask as "0-3,7"; cut at the buffer's end. */
static void cpus_text(char *buf, size_t size)
{
	cpu_set_t set;
	size_t at = 0;

	buf[0] = '\0';
	if (sched_getaffinity(0, sizeof(set), &set) < 0) {
		snprintf(buf, size, "0");
		return;
	}
	for (int i = 0; i < CPU_SETSIZE && at < size; i++) {
		int last = i;

		if (!CPU_ISSET(i, &set))
			continue;
		while (last + 1 < CPU_SETSIZE && CPU_ISSET(last + 1, &set))
			last++;
		at += (size_t)snprintf(buf + at, size - at, last > i ? "%s%d-%d" : "%s%d",
			at > 0 ? "," : "", i, last);
		i = last;
	}
}

int eal_start(const struct eal_options *o)
{
	char cpus[256], lcores[TEXT_MAX], memory[16];
	const char *given[ARGS_MAX];
	char *args[ARGS_MAX], *copies[ARGS_MAX] = {NULL};
	size_t at = 0;
	int n = 0, ret;

	cpus_text(cpus, sizeof(cpus));
	for (unsigned int i = 0; i <= o->workers && at < sizeof(lcores); i++)
		at += (size_t)snprintf(
			lcores + at, sizeof(lcores) - at, "%s%u@(%s)", i > 0 ? "," : "", i, cpus);
	snprintf(memory, sizeof(memory), "%u", o->memory_mb);
	/* the second is for those who are not root, where the first is not looked at */
	if (o->run_dir != NULL && (setenv("RUNTIME_DIRECTORY", o->run_dir, 1) < 0 ||
					  setenv("XDG_RUNTIME_DIR", o->run_dir, 1) < 0))
		return -errno;

	given[n++] = "audums-dataplane";
	if (!o->pci)
		given[n++] = "--no-pci";
	if (o->huge) {
		given[n++] = "--in-memory";
	} else {
		given[n++] = "--no-huge";
		given[n++] = "--no-shconf";
		given[n++] = "-m";
		given[n++] = memory;
	}
	/* a path too long for a socket would end the EAL */
	if (!o->telemetry ||
		(o->run_dir != NULL && strlen(o->run_dir) + sizeof(TELEMETRY_SOCKET) >
					       sizeof(((struct sockaddr_un *)0)->sun_path)))
		given[n++] = "--no-telemetry";
	given[n++] = "--log-level=*:notice";
	given[n++] = "--lcores";
	given[n++] = lcores;
	for (int i = 0; o->more != NULL && o->more[i] != NULL; i++) {
		if (n == ARGS_MAX)
			return -E2BIG;
		given[n++] = o->more[i];
	}
	/* the EAL may write to its arguments and puts them in another order */
	for (int i = 0; i < n; i++) {
		args[i] = copies[i] = strdup(given[i]);
		if (args[i] == NULL) {
			ret = -ENOMEM;
			goto out;
		}
	}
	ret = rte_eal_init(n, args) < 0 ? -rte_errno : 0;
out:
	for (int i = 0; i < n; i++)
		free(copies[i]);
	return ret;
}
