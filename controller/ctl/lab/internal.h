/*
 * What the files of the lab library share among themselves and nobody else needs.
 */
#pragma once

#include <jansson.h>
#include <stdarg.h>

#include "controller/ctl/lab/lab.h"

/* Put a sentence into err (may be NULL) and return `code`. */
int lab_fail(struct lab_err *err, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Append a line to err, for checks that find several things. */
void lab_err_add(struct lab_err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ---- netns.c ------------------------------------------------------------------------------ */

/* Create a named namespace as `ip netns add` does, with lo up. -EEXIST. */
int netns_create(const char *name);
/* Remove the name; what lives in the namespace goes with the last process in it. */
int netns_delete(const char *name);
bool netns_exists(const char *name);
/* Open descriptor of a named namespace, or a negative errno. */
int netns_open(const char *name);
/* Write a file below /proc/sys of the namespace, e.g. "net/ipv4/ip_forward". */
int netns_sysctl(const char *name, const char *key, const char *value);
/*
 * Wait until the device can ask for its neighbours by IPv6, in the namespace that the thread is in.
 * The kernel makes it ready some time after its carrier came, on a busy machine a second later, and
 * what is sent before is lost. -ETIMEDOUT.
 */
int netns_ipv6_wait(const char *device, unsigned int timeout_ms);
#define IPV6_READY_MS 10000
/* Inode of the namespace, 0 when there is none: what /proc/PID/ns/net is compared with. */
ino_t netns_inode(const char *name);

/* ---- files.c ------------------------------------------------------------------------------ */

/* Create a directory and its parents with mode 0755. */
int path_make(const char *path);
/* Remove a file or a whole directory; not following links, not leaving its file system. */
int path_remove(const char *path);
/* Write a file whole: to PATH.tmp first, then rename. */
int file_write(const char *path, const char *text, mode_t mode);
/* Read a file of at most `max` bytes into a NUL-terminated buffer (free it), NULL when not. */
char *file_read(const char *path, size_t max);
/*
 * Where a program is: beside the running one in the build tree, beside it in one directory, in
 * ../libexec/audums, or in the system's places. -ENOENT.
 */
int program_find(const char *program, char out[LAB_PATH_LEN * 2]);
/* Where FRR's daemons are ("zebra"); -ENOENT. */
int frr_find(const char *daemon, char out[LAB_PATH_LEN]);

/* ---- plan.c ------------------------------------------------------------------------------- */

/* Save the plan into the run directory, for lab_open(). */
int lab_save(const struct lab *lab);
/* Devices of a link in the backbone namespace: its bridge and its two ends. */
void lab_link_bridge(const struct lab *lab, unsigned int link, char out[LAB_IFNAME_LEN]);
void lab_link_dev(
	const struct lab *lab, unsigned int link, unsigned int end, char out[LAB_IFNAME_LEN]);
/* Name of an access port's far end while it is parked. */
void lab_parked_dev(
	const struct lab *lab, unsigned int node, unsigned int port, char out[LAB_IFNAME_LEN]);
/* Index of an access port, or -1. */
int lab_access_find(const struct lab *lab, unsigned int node, const char *port);

/* ---- build.c ------------------------------------------------------------------------------ */

/* Namespaces, wires, access ports, management network. */
int lab_build(const struct lab *lab, struct lab_err *err);
/* Port inventories. */
int lab_inventories(const struct lab *lab, struct lab_err *err);

/* ---- pki.c -------------------------------------------------------------------------------- */

/* Certificate authority, certificates and the context file. */
int lab_pki(const struct lab *lab, struct lab_err *err);

/* ---- services.c, supervisor.c ------------------------------------------------------------- */

#define SERVICE_ARGS_MAX 40

/* A process that the supervisor keeps alive. */
struct service {
	char name[64];
	char netns[LAB_NETNS_LEN];
	char log[LAB_PATH_LEN];
	char wait_path[LAB_PATH_LEN];  /* not started before this exists (5 s at most); "" = at once
					*/
	char ready_path[LAB_PATH_LEN]; /* exists when it listens; "" = nothing to see */
	char program[LAB_PATH_LEN * 2];
	char *argv[SERVICE_ARGS_MAX];
	int argc;
};

struct service_list {
	struct service *items;
	unsigned int count;
};

/* The processes of a lab, in the order in which they are started. */
int services_plan(const struct lab *lab, struct service_list *list, struct lab_err *err);
void services_free(struct service_list *list);

/*
 * Start the supervisor in the background; returns when it listens on `socket_path`. It works on a
 * copy of the list. `mark` becomes the AUDUMS_LAB variable of all it starts.
 */
int supervisor_start(const struct service_list *list, const char *mark, const char *socket_path,
	const char *log_path, struct lab_err *err);
/* One request line, one reply object (json_decref it). The reply's "error" becomes a failure. */
int supervisor_ask(
	const char *socket_path, const char *request, json_t **reply, struct lab_err *err);

/* ---- vty.c -------------------------------------------------------------------------------- */

/* Output of one command of an FRR daemon (free it), NULL when it cannot be asked. */
char *vty_show(const char *pathspace, const char *daemon, const char *command);

static inline uint64_t timespec_ms(int64_t sec, int64_t nsec)
{
	return (uint64_t)sec * 1000 + (uint64_t)nsec / 1000000;
}
uint64_t clock_ms(void);
