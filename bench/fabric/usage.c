/* Reads /proc. See usage.h. */
#include "bench/fabric/usage.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void read_cpu(struct usage *u)
{
	unsigned long user, system;
	char path[64], line[1024], *after;
	FILE *in;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)u->pid);
	in = fopen(path, "re");
	if (!in)
		return;
	/* proc_pid_stat(5): the name in brackets may hold anything, fields 14 and 15 follow it */
	if (fgets(line, sizeof(line), in)) {
		after = strrchr(line, ')');
		if (after &&
			sscanf(after + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
				&user, &system) == 2)
			u->cpu_ticks = user + system;
	}
	fclose(in);
}

static void read_memory(struct usage *u)
{
	char path[64], line[256];
	unsigned long kb;
	FILE *in;

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)u->pid);
	in = fopen(path, "re");
	if (!in)
		return;
	while (fgets(line, sizeof(line), in)) {
		if (sscanf(line, "Rss: %lu kB", &kb) == 1)
			u->rss_kb = kb;
		else if (sscanf(line, "Pss: %lu kB", &kb) == 1)
			u->pss_kb = kb;
	}
	fclose(in);
}

int usage_read(const char *lab, struct usage **list, unsigned int *count, struct lab_err *err)
{
	struct lab_process *processes = NULL;
	unsigned int n = 0;
	int r;

	*list = NULL;
	*count = 0;
	r = lab_processes(lab, &processes, &n, err);
	if (r)
		return r;
	*list = calloc(n + 1, sizeof(**list));
	if (!*list) {
		free(processes);
		snprintf(err->text, sizeof(err->text), "out of memory");
		return -ENOMEM;
	}
	for (unsigned int i = 0; i < n; i++) {
		const char *name = processes[i].name;
		const char *slash = strchr(name, '/');
		struct usage *u = &(*list)[*count];

		if (processes[i].pid == 0)
			continue;
		u->pid = processes[i].pid;
		snprintf(u->program, sizeof(u->program), "%.31s", slash ? slash + 1 : name);
		if (slash)
			snprintf(u->node, sizeof(u->node), "%.*s", (int)(slash - name), name);
		read_cpu(u);
		read_memory(u);
		(*count)++;
	}
	free(processes);
	return 0;
}

const struct usage *usage_find(const struct usage *list, unsigned int count, pid_t pid)
{
	for (unsigned int i = 0; i < count; i++)
		if (list[i].pid == pid)
			return &list[i];
	return NULL;
}
