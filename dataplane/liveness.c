/* Do the workers still walk? See liveness.h. */
#include "dataplane/dpdk_compat.h"

#include "dataplane/liveness.h"

#include "dataplane/dataplane.h"
#include "dataplane/nodes/stats.h"
#include "proto/lib/log.h"

bool liveness_check(struct liveness *l, struct dataplane *dp)
{
	bool alive = true;

	if (!dp->forwarding)
		return true;
	for (unsigned int i = 0; i < dp->worker_count; i++) {
		const uint64_t walks = stat_read(&dp->workers[i]->walks);

		if (l->asked && walks == l->walks[i]) {
			log_warn("worker_silent", "worker=%u walks=%llu", i,
				(unsigned long long)walks);
			alive = false;
		}
		l->walks[i] = walks;
		worker_wake(dp->workers[i]);
	}
	l->asked = true;
	return alive;
}
