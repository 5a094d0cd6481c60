/* Punt classes and their token buckets; see policer.h. */
#include "dataplane/nodes/policer.h"

#include <errno.h>
#include <stddef.h>

/* A BGP session's first table comes at once; BFD of 64 sessions at 10 ms is 6,400/s. */
const struct policer_rates policer_default = {
	.pps = {[PUNT_ARP] = 1000,
		[PUNT_ARP_NEW] = 1000,
		[PUNT_BGP] = 20000,
		[PUNT_BGP_NEW] = 1000,
		[PUNT_BFD] = 10000,
		[PUNT_BFD_NEW] = 500,
		[PUNT_ICMP] = 1000,
		[PUNT_OTHER] = 5000},
	.burst = {[PUNT_ARP] = 256,
		[PUNT_ARP_NEW] = 256,
		[PUNT_BGP] = 4096,
		[PUNT_BGP_NEW] = 256,
		[PUNT_BFD] = 512,
		[PUNT_BFD_NEW] = 256,
		[PUNT_ICMP] = 256,
		[PUNT_OTHER] = 512},
};

int policer_init(struct policer *p, const struct policer_rates *rates)
{
	for (int c = 0; c < PUNT_CLASSES; c++) {
		/* srtcm needs an excess bucket; colours beyond green are refused anyway */
		struct rte_meter_srtcm_params params = {
			.cir = rates->pps[c],
			.cbs = rates->burst[c],
			.ebs = 0,
		};

		if (rates->pps[c] == 0 || rates->burst[c] == 0)
			return -EINVAL;
		if (rte_meter_srtcm_profile_config(&p->profile[c], &params) != 0 ||
			rte_meter_srtcm_config(&p->meter[c], &p->profile[c]) != 0)
			return -EINVAL;
	}
	return 0;
}

const char *punt_class_name(enum punt_class class)
{
	static const char *const names[PUNT_CLASSES] = {
		[PUNT_ARP] = "arp",
		[PUNT_ARP_NEW] = "arp_new",
		[PUNT_BGP] = "bgp",
		[PUNT_BGP_NEW] = "bgp_new",
		[PUNT_BFD] = "bfd",
		[PUNT_BFD_NEW] = "bfd_new",
		[PUNT_ICMP] = "icmp",
		[PUNT_OTHER] = "other",
	};

	return class < PUNT_CLASSES ? names[class] : NULL;
}

enum drop_reason punt_class_drop(enum punt_class class)
{
	switch (class) {
	case PUNT_ARP:
		return DROP_PUNT_RATE_ARP;
	case PUNT_ARP_NEW:
		return DROP_PUNT_RATE_ARP_NEW;
	case PUNT_BGP_NEW:
		return DROP_PUNT_RATE_BGP_NEW;
	case PUNT_BFD_NEW:
		return DROP_PUNT_RATE_BFD_NEW;
	case PUNT_BGP:
		return DROP_PUNT_RATE_BGP;
	case PUNT_BFD:
		return DROP_PUNT_RATE_BFD;
	case PUNT_ICMP:
		return DROP_PUNT_RATE_ICMP;
	default:
		return DROP_PUNT_RATE_OTHER;
	}
}
