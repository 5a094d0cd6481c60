/*
 * What differs between the DPDK releases Audums builds with (22.11 to 24.11), in one place.
 *
 * Include it before any other rte_ header in files that use rte_graph, rte_fib's or rte_rib's
 * experimental calls.
 */
#pragma once

#ifndef ALLOW_EXPERIMENTAL_API
#define ALLOW_EXPERIMENTAL_API
#endif

#include <rte_version.h>

#if RTE_VERSION < RTE_VERSION_NUM(22, 11, 0, 0)
#error "DPDK 22.11 or later is needed"
#endif

/* telemetry's unsigned numbers were renamed in 23.03 */
#if RTE_VERSION >= RTE_VERSION_NUM(23, 3, 0, 0)
#define tel_dict_u64 rte_tel_data_add_dict_uint
#else
#define tel_dict_u64 rte_tel_data_add_dict_u64
#endif
