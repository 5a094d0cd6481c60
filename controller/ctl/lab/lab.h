/*
 * The lab: a whole fabric on one machine, from a topology document.
 *
 * Each node of the topology gets a network namespace with FRR, a port holder, a forwarding process
 * and an agent of its own; links are pairs of veths around a bridge in a namespace apart; workloads
 * are namespaces with one interface. `audumsctl lab` and the fabric tests call this. A lab is known
 * by its name alone: all that is needed later is read back from its run directory, and what is
 * found by name is removed even when that directory is gone.
 *
 * Names (LAB has no hyphen, so that the names of two labs never mix):
 *     au-LAB-NODE  au-LAB-NODE-wire  au-LAB-bb  au-LAB-ext  au-LAB-ctl  au-LAB-w-WORKLOAD
 *     /run/audums/lab/LAB  /var/lib/audums/lab/LAB  /run/frr/au-LAB-NODE
 *
 * All functions return 0 or a negative errno unless they say otherwise, and put a sentence for
 * people into `err` when they fail. They are not thread-safe among each other: they switch the
 * calling thread's network namespace for a moment.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "audums/v1/fabric.pb-c.h"

#define LAB_NODES_MAX          12
#define LAB_LINKS_MAX          64
#define LAB_PORTS_MAX          64 /* access ports of a node */
#define LAB_WORKLOADS_MAX      256
#define LAB_NAME_LEN           16 /* with the final NUL */
#define LAB_OBJECT_LEN         32 /* object names of the schema, with the final NUL */
#define LAB_IFNAME_LEN         16
#define LAB_NETNS_LEN          64
#define LAB_PATH_LEN           128
#define LAB_ADDRESSES_MAX      8

#define LAB_RUN_ROOT           "/run/audums/lab"
#define LAB_STATE_ROOT         "/var/lib/audums/lab"
#define LAB_NETNS_DIR          "/run/netns"
#define LAB_FRR_RUN            "/run/frr"

#define LAB_CONTROLLER_ADDRESS "192.168.255.254"
#define LAB_CONTROLLER_PORT    7443

/* What went wrong, for people. */
struct lab_err {
	char text[1024];
};

struct lab_node {
	char name[LAB_OBJECT_LEN];
	bool unmanaged; /* plain Linux with an empty FRR: wires end in its own namespace, and no
			   process of ours runs there */
	unsigned int access_count;
	char access[LAB_PORTS_MAX][LAB_IFNAME_LEN];
};

struct lab_link_end {
	unsigned int node; /* index into lab.nodes */
	char port[LAB_IFNAME_LEN];
};

struct lab_link {
	char name[LAB_OBJECT_LEN];
	uint32_t mtu; /* octets of layer 3 */
	struct lab_link_end end[2];
};

/* Parts of a node (and the controller) that can be left out, for labs made by hand. */
enum lab_part {
	LAB_PART_FRR = 1 << 0,
	LAB_PART_HOLDER = 1 << 1,
	LAB_PART_AGENT = 1 << 2,
	LAB_PART_CONTROLLER = 1 << 3,
	LAB_PART_ALL = 15,
};

/* A lab's plan. Plain data, no pointers: copy and free as you like. */
struct lab {
	char name[LAB_NAME_LEN];
	unsigned int parts; /* of enum lab_part: what runs */
	unsigned int node_count;
	struct lab_node nodes[LAB_NODES_MAX];
	unsigned int link_count;
	struct lab_link links[LAB_LINKS_MAX];
	char providers[1024]; /* all providers of the topology, with commas */
};

/* ---- plan --------------------------------------------------------------------------------- */

/*
 * Make a lab's name of a file's: "topology/latvia.yaml" -> "latvia"; what is neither letter nor
 * digit is left out, capitals become small. An empty result becomes "lab".
 */
void lab_name_from_path(const char *path, char name[LAB_NAME_LEN]);

/*
 * Plan a lab from a topology. -EINVAL: it cannot be a lab, `err` says why (all reasons): no node,
 * more than 12, names that collide with the lab's own or do not fit.
 */
int lab_plan(struct lab *lab, const char *name, const Audums__V1__Document *topology,
	struct lab_err *err);

/* Read the plan of a lab that is up (or was). -ENOENT: there is none of that name. */
int lab_open(struct lab *lab, const char *name, struct lab_err *err);

/* The names of all labs that have left anything: at most `max`; returns how many. */
unsigned int lab_list(char names[][LAB_NAME_LEN], unsigned int max);

/* Index of a node by name, or -1. */
int lab_node_find(const struct lab *lab, const char *node);
/* Index of a link by name, or -1. */
int lab_link_find(const struct lab *lab, const char *link);

/* ---- up and down -------------------------------------------------------------------------- */

/*
 * What forbids bringing the lab up here: each obstacle is one line in `err`. Creates nothing.
 * Returns 0 or -EPERM (not root), -EEXIST (already up), -ENOENT (programs missing), -ENOMEM,
 * -ENOTSUP (kernel), in this order of preference.
 */
int lab_check(const struct lab *lab, struct lab_err *err);

/*
 * Bring the lab up: namespaces, wires, certificates, processes; returns when all processes run and
 * listen. `progress` (may be NULL) gets a line for each step. On failure all is undone.
 */
int lab_up(const struct lab *lab, FILE *progress, struct lab_err *err);

/* Remove every trace of the lab of that name, from any half state. Succeeds when there is none. */
int lab_down(const char *name, struct lab_err *err);

/* One thing that a lab has left on the machine. */
enum lab_trace_kind {
	LAB_TRACE_NAMESPACE,
	LAB_TRACE_DEVICE,
	LAB_TRACE_PROCESS,
	LAB_TRACE_FILE,
};
typedef void lab_trace_fn(void *arg, enum lab_trace_kind kind, const char *what);
/* Call `fn` for each thing of the lab that is there; returns how many (0: no trace). */
unsigned int lab_traces(const char *name, lab_trace_fn *fn, void *arg);

/* ---- names and paths ---------------------------------------------------------------------- */

void lab_netns_node(const struct lab *lab, unsigned int node, char out[LAB_NETNS_LEN]);
void lab_netns_wire(const struct lab *lab, unsigned int node, char out[LAB_NETNS_LEN]);
/* role: "bb", "ext" or "ctl" */
void lab_netns_role(const struct lab *lab, const char *role, char out[LAB_NETNS_LEN]);
void lab_netns_workload(const struct lab *lab, const char *workload, char out[LAB_NETNS_LEN]);
/*
 * Namespace of what a person names: a node, a workload, "controller", "backbone", "ext" or
 * NODE-wire. -ENOENT.
 */
int lab_netns_find(
	const struct lab *lab, const char *what, char out[LAB_NETNS_LEN], struct lab_err *err);
/* Run directory of the lab (file NULL) or a file in it. */
void lab_run_path(const char *lab, const char *file, char out[LAB_PATH_LEN]);
/* Run directory of a node (file NULL) or a file in it. */
void lab_node_path(
	const struct lab *lab, unsigned int node, const char *file, char out[LAB_PATH_LEN]);

/* ---- namespaces --------------------------------------------------------------------------- */

/*
 * Switch the calling thread to the namespace; returns a descriptor to go back with, or a negative
 * errno. Sockets opened meanwhile stay in that namespace.
 */
int lab_netns_enter(const char *netns);
/* Go back and close the descriptor. */
void lab_netns_leave(int back);
/* Run argv in the namespace in place of the calling program. Returns only on failure. */
int lab_exec(const char *netns, char *const argv[], struct lab_err *err);

/* ---- processes ---------------------------------------------------------------------------- */

struct lab_process {
	char name[64];  /* "lvrtc1/bgpd", "controller", "lvrtc1/dataplane" */
	pid_t pid;      /* 0 = not running */
	char state[16]; /* "running", "waiting", "backoff", "stopped" */
	unsigned int restarts;
	uint64_t uptime_ms;
	char last_exit[64]; /* "" = never, else "signal 9", "status 1" */
	uint64_t rss_kb;
	uint64_t cpu_ms; /* user and system, since it started */
};

/* The lab's processes as its supervisor knows them; free(*list) afterwards. */
int lab_processes(
	const char *lab, struct lab_process **list, unsigned int *count, struct lab_err *err);
/* Send a signal (number) to a process by name. It will be started again when it dies. */
int lab_process_kill(const char *lab, const char *process, int signal, struct lab_err *err);
/* Terminate a process, wait until it is gone and hold it down until lab_process_start(). */
int lab_process_stop(const char *lab, const char *process, struct lab_err *err);
int lab_process_start(const char *lab, const char *process, struct lab_err *err);
/* Wait until the process has another pid than `old` and runs (old 0: until it runs). */
int lab_process_wait(const char *lab, const char *process, pid_t old, unsigned int timeout_ms,
	struct lab_err *err);

/* ---- links -------------------------------------------------------------------------------- */

enum lab_link_state {
	LAB_LINK_UP,
	LAB_LINK_DOWN,   /* no carrier at either end */
	LAB_LINK_SILENT, /* carrier stays, frames vanish */
};
int lab_link_set(
	const struct lab *lab, const char *link, enum lab_link_state state, struct lab_err *err);
int lab_link_get(
	const struct lab *lab, const char *link, enum lab_link_state *state, struct lab_err *err);
const char *lab_link_state_name(enum lab_link_state state);

/* ---- workloads ---------------------------------------------------------------------------- */

struct lab_workload {
	char name[LAB_OBJECT_LEN];
	char node[LAB_OBJECT_LEN];
	char port[LAB_IFNAME_LEN];
	char group[LAB_OBJECT_LEN]; /* those with the same one are pinged among each other */
	char mac[18];               /* "" = chosen from the name */
	uint32_t mtu;               /* 0 = 1500 */
	unsigned int address_count;
	char addresses[LAB_ADDRESSES_MAX][64]; /* with prefix length */
};

/* Create a workload at an access port. -EBUSY: another one is there; -EEXIST: the name is taken. */
int lab_workload_add(const struct lab *lab, const struct lab_workload *w, struct lab_err *err);
/*
 * Move it: its interface disappears at the old port, one with the same MAC and addresses appears at
 * the new one, and a gratuitous ARP and an unsolicited NA are sent at once.
 */
int lab_workload_move(const struct lab *lab, const char *name, const char *node, const char *port,
	struct lab_err *err);
int lab_workload_remove(const struct lab *lab, const char *name, struct lab_err *err);
int lab_workload_get(
	const struct lab *lab, const char *name, struct lab_workload *w, struct lab_err *err);
/* All workloads, sorted by name; free(*list) afterwards. */
int lab_workload_list(const struct lab *lab, struct lab_workload **list, unsigned int *count,
	struct lab_err *err);
/* Send a gratuitous ARP and an unsolicited NA for each address of the workload. */
int lab_workload_announce(const struct lab *lab, const char *name, struct lab_err *err);

/* ---- measurement -------------------------------------------------------------------------- */

#define LAB_OUTAGES_MAX 64

struct lab_outage {
	double start_ms;    /* since the probe began */
	double duration_ms; /* from the first lost one to the first that came through again */
	uint64_t lost;
};

struct lab_probe_result {
	uint64_t sent;
	uint64_t received;     /* came back */
	uint64_t received_far; /* arrived at the other side */
	uint64_t lost;         /* did not come back */
	uint64_t duplicates;
	double longest_outage_ms;  /* round trip */
	double longest_far_ms;     /* towards the other side only */
	double longest_silence_ms; /* between two arrivals, losses or not */
	double rtt_min_us, rtt_p50_us, rtt_p99_us, rtt_max_us;
	double duration_ms;
	double longest_stall_ms;   /* this machine did not let the prober send for so long */
	unsigned int outage_count; /* outages seen, the first LAB_OUTAGES_MAX of them are listed */
	struct lab_outage outages[LAB_OUTAGES_MAX];
};

struct lab_probe_options {
	const char *from;         /* workload */
	const char *to;           /* workload */
	int family;               /* AF_INET or AF_INET6; 0 = AF_INET, or what both have */
	unsigned int rate;        /* a second; 0 = 1000, at most 10000 */
	unsigned int size;        /* octets of UDP payload; 0 = 64, at most 9000 */
	unsigned int duration_ms; /* 0 = until probe_stop, at most 600 s all the same */
};

struct lab_probe;
/*
 * Start UDP round trips between two workloads in a thread. It reads nothing from the lab any more
 * once started, and goes on through moves of either workload. The caller ends it with
 * lab_probe_stop().
 */
int lab_probe_start(const struct lab *lab, const struct lab_probe_options *opt,
	struct lab_probe **probe, struct lab_err *err);

/* One end of a probe that is no workload of a lab. */
struct lab_probe_end {
	char name[LAB_OBJECT_LEN]; /* for messages */
	char netns[LAB_NETNS_LEN];
	unsigned int address_count;
	char addresses[LAB_ADDRESSES_MAX][64]; /* with or without prefix length */
};
/* The same between any two namespaces; opt->from and opt->to are not looked at. */
int lab_probe_between(const struct lab_probe_end *from, const struct lab_probe_end *to,
	const struct lab_probe_options *opt, struct lab_probe **probe, struct lab_err *err);
/* Round trips that came back so far; with it a test waits until traffic flows. */
uint64_t lab_probe_received(const struct lab_probe *probe);
/* Whether it still sends (false after duration_ms, once the last answers had their time). */
bool lab_probe_running(const struct lab_probe *probe);
/* Stop sending, give the last packets 200 ms, and free the probe. */
void lab_probe_stop(struct lab_probe *probe, struct lab_probe_result *result);

struct lab_ping_pair {
	char from[LAB_OBJECT_LEN];
	char to[LAB_OBJECT_LEN];
	char address[INET6_ADDRSTRLEN];
	unsigned int size; /* octets of the whole IP packet */
	unsigned int sent;
	unsigned int received;
	double rtt_max_us;
};

struct lab_ping_options {
	const char *const *workloads; /* these only; NULL = all, within their groups */
	unsigned int workload_count;
	unsigned int count;        /* packets for each; 0 = 3 */
	unsigned int interval_ms;  /* 0 = 100 */
	unsigned int timeout_ms;   /* for the last answer; 0 = 1000 */
	const unsigned int *sizes; /* of the whole IP packet; NULL = 84 and the MTU */
	unsigned int size_count;
};

/*
 * ICMP echo, don't-fragment, between all ordered pairs of workloads, on every address of the
 * receiver. free(*pairs) afterwards. Losing packets is no failure of the function.
 */
int lab_ping(const struct lab *lab, const struct lab_ping_options *opt,
	struct lab_ping_pair **pairs, unsigned int *count, struct lab_err *err);

/*
 * The state of a node as sorted text: links, addresses, FDB, neighbours, routes, FRR's running
 * configuration. Without what changes by itself (ages, counters, indexes), so that two snapshots
 * can be compared. free(*text) afterwards.
 */
int lab_snapshot(const struct lab *lab, unsigned int node, char **text, struct lab_err *err);
