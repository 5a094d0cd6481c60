/* A capture's life; see capture.h. */
#include "dataplane/dpdk_compat.h"

#include "dataplane/capture.h"

#include <errno.h>
#include <stdlib.h>

#include "dataplane/dataplane.h"

/* A capture that is no longer wanted, until no worker can see it. */
struct dataplane_capture {
	struct rcu_entry rcu;
	struct capture *capture;
	bool *leaving; /* cleared when it is freed */
};

struct capture *dataplane_capture_begin(
	struct dataplane *dp, const struct capture_filter *filter, uint32_t count)
{
	struct dataplane_capture *d;

	if (dp->capture != NULL || dp->capture_leaving) {
		errno = EBUSY;
		return NULL;
	}
	d = calloc(1, sizeof(*d));
	if (d == NULL)
		return NULL;
	d->leaving = &dp->capture_leaving;
	d->capture = capture_create(filter, count, dp->worker_count);
	if (d->capture == NULL) {
		free(d);
		errno = ENOMEM;
		return NULL;
	}
	dp->capture = d;
	for (unsigned int i = 0; i < dp->worker_count; i++)
		__atomic_store_n(&dp->workers[i]->capture, d->capture, __ATOMIC_RELEASE);
	return d->capture;
}

static void capture_free(struct rcu_entry *entry)
{
	struct dataplane_capture *d =
		(struct dataplane_capture *)((char *)entry -
					     offsetof(struct dataplane_capture, rcu));

	*d->leaving = false;
	capture_destroy(d->capture);
	free(d);
}

void dataplane_capture_end(struct dataplane *dp)
{
	struct dataplane_capture *d = dp->capture;

	if (d == NULL)
		return;
	for (unsigned int i = 0; i < dp->worker_count; i++)
		__atomic_store_n(&dp->workers[i]->capture, NULL, __ATOMIC_RELEASE);
	dp->capture = NULL;
	dp->capture_leaving = true;
	rcu_defer(&dp->tables->rcu, &d->rcu, capture_free);
}
