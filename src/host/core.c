/* SPDX-License-Identifier: MIT */
/* The module itself: a list of openers, each of which adds its part to the module table. */
#include <lua.h>

#include <lauxlib.h>

#include <bpf/libbpf.h>

#include "attach.h"
#include "batch.h"
#include "btfopen.h"
#include "descriptor.h"
#include "err.h"
#include "features.h"
#include "lbpf.h"
#include "iter.h"
#include "link.h"
#include "load.h"
#include "map.h"
#include "mapcreate.h"
#include "mapinfo.h"
#include "mapopen.h"
#include "mapops.h"
#include "mapset.h"
#include "memory.h"
#include "names.h"
#include "object.h"
#include "open.h"
#include "perfbuf.h"
#include "pins.h"
#include "posix.h"
#include "process.h"
#include "progopen.h"
#include "program.h"
#include "progrun.h"
#include "progset.h"
#include "ringbuf.h"
#include "stream.h"
#include "system.h"
#include "token.h"
#include "type.h"
#include "user_ringbuf.h"
#include "view.h"
#include "walk.h"

/* In this order: handles are collected in reverse, and later parts add to earlier ones. */
static void (*const openers[])(lua_State *L) = {
	lbpf_process_open,   lbpf_err_open,	     lbpf_type_open,	lbpf_btf_open,	    lbpf_map_open,
	lbpf_mapcreate_open, lbpf_descriptor_open,   lbpf_mapopen_open, lbpf_mapops_open,   lbpf_walk_open,
	lbpf_batch_open,     lbpf_view_open,	     lbpf_memory_open,	lbpf_link_open,	    lbpf_program_open,
	lbpf_progopen_open,  lbpf_progrun_open,	     lbpf_attach_open,	lbpf_stream_open,   lbpf_iter_open,
	lbpf_object_open,    lbpf_pins_open,	     lbpf_load_open,	lbpf_open_open,	    lbpf_ringbuf_open,
	lbpf_perfbuf_open,   lbpf_user_ringbuf_open, lbpf_system_open,	lbpf_features_open, lbpf_names_open,
	lbpf_posix_open,     lbpf_mapset_open,	     lbpf_progset_open, lbpf_mapinfo_open,  lbpf_token_open,
};

int luaopen_bpf_core(lua_State *L)
{
	luaL_checkversion(L); /* a module for another version of Lua would crash it */
	luaL_checkstack(L, 16, NULL);
	lua_newtable(L);
	lua_pushliteral(L, LBPF_VERSION);
	lua_setfield(L, -2, "_VERSION");
	lua_pushstring(L, libbpf_version_string());
	lua_setfield(L, -2, "libbpf_version");
	for (size_t i = 0; i < sizeof(openers) / sizeof(*openers); i++)
		openers[i](L);
	return 1;
}
