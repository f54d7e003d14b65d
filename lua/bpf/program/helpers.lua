-- SPDX-License-Identifier: MIT
-- The kernel's helpers, made by `make helpers` from libbpf's bpf_helper_defs.h; please change build-aux/helpers.lua.
--
-- `helpers.probe_read` is a row, or nil if there is no such helper: { id, name, result, type, parameters };
-- `ipairs(helpers)` goes over the names, in the order of their ids.
--
-- - result: "int", "u64", "u32", "void", or "pointer", whose C type is `type`: "void", "struct task_struct"
-- - parameters: a list of { class, type, optional, writes, uninitialised }; the last three are true or nil
--
-- The class of a parameter is one of:
-- - "context": the program's context
-- - "map"
-- - "map key", "map value": pointers to memory of the size that the map's keys and values have
-- - "memory": a pointer to memory, to a struct if `type` is set. The next parameter is its size; without one, the size
--   is the struct's
-- - "size": the size of the memory before
-- - "number": a pointer to an integer, whose `type` is "u32", "u64" or "s64"
-- - "pointer": any other pointer to a `type`
-- - "address": a number; the helper fails if there is no memory at that address
-- - "string": a constant string
-- - "flags", "value": integers
-- - "function", "callback context": a callback, and the pointer that it gets
-- - "...": up to three values
--
-- `optional` says that the pointer may be 0. `writes` says that the helper writes to the memory. `uninitialised` says
-- that the program need not have written to the memory before; elsewhere, the verifier of some kernels wants that.

local ROWS = {
  "1 map_lookup_elem void * (map, map key)",
  "2 map_update_elem int (map, map key, map value, flags)",
  "3 map_delete_elem int (map, map key)",
  "4 probe_read int (output, size, address)",
  "5 ktime_get_ns u64 ()",
  "6 trace_printk int (memory, size, ...)",
  "7 get_prandom_u32 u32 ()",
  "8 get_smp_processor_id u32 ()",
  "9 skb_store_bytes int (context, value, memory, size, flags)",
  "10 l3_csum_replace int (context, value, value, value, value)",
  "11 l4_csum_replace int (context, value, value, value, flags)",
  "12 tail_call int (context, map, value)",
  "13 clone_redirect int (context, value, flags)",
  "14 get_current_pid_tgid u64 ()",
  "15 get_current_uid_gid u64 ()",
  "16 get_current_comm int (output, size)",
  "17 get_cgroup_classid u32 (context)",
  "18 skb_vlan_push int (context, value, value)",
  "19 skb_vlan_pop int (context)",
  "20 skb_get_tunnel_key int (context, output struct bpf_tunnel_key, size, flags)",
  "21 skb_set_tunnel_key int (context, memory struct bpf_tunnel_key, size, flags)",
  "22 perf_event_read u64 (map, flags)",
  "23 redirect int (value, flags)",
  "24 get_route_realm u32 (context)",
  "25 perf_event_output int (context, map, flags, memory, size)",
  "26 skb_load_bytes int (context, value, output, size)",
  "27 get_stackid int (context, map, flags)",
  "28 csum_diff int (memory?, size, memory?, size, value)",
  "29 skb_get_tunnel_opt int (context, output, size)",
  "30 skb_set_tunnel_opt int (context, memory, size)",
  "31 skb_change_proto int (context, value, flags)",
  "32 skb_change_type int (context, value)",
  "33 skb_under_cgroup int (context, map, value)",
  "34 get_hash_recalc u32 (context)",
  "35 get_current_task u64 ()",
  "36 probe_write_user int (address, memory, size)",
  "37 current_task_under_cgroup int (map, value)",
  "38 skb_change_tail int (context, value, flags)",
  "39 skb_pull_data int (context, value)",
  "40 csum_update int (context, value)",
  "41 set_hash_invalid void (context)",
  "42 get_numa_node_id int ()",
  "43 skb_change_head int (context, value, flags)",
  "44 xdp_adjust_head int (context, value)",
  "45 probe_read_str int (output, size, address)",
  "46 get_socket_cookie u64 (context)",
  "47 get_socket_uid u32 (context)",
  "48 set_hash int (context, value)",
  "49 setsockopt int (void *, value, value, memory, size)",
  "50 skb_adjust_room int (context, value, value, flags)",
  "51 redirect_map int (map, value, flags)",
  "52 sk_redirect_map int (context, map, value, flags)",
  "53 sock_map_update int (context, map, map key, flags)",
  "54 xdp_adjust_meta int (context, value)",
  "55 perf_event_read_value int (map, flags, output struct bpf_perf_event_value, size)",
  "56 perf_prog_read_value int (context, output struct bpf_perf_event_value, size)",
  "57 getsockopt int (void *, value, value, output, size)",
  "58 override_return int (context, value)",
  "59 sock_ops_cb_flags_set int (context, value)",
  "60 msg_redirect_map int (context, map, value, flags)",
  "61 msg_apply_bytes int (context, value)",
  "62 msg_cork_bytes int (context, value)",
  "63 msg_pull_data int (context, value, value, flags)",
  "64 bind int (context, memory struct sockaddr, size)",
  "65 xdp_adjust_tail int (context, value)",
  "66 skb_get_xfrm_state int (context, value, output struct bpf_xfrm_state, size, flags)",
  "67 get_stack int (context, output, size, flags)",
  "68 skb_load_bytes_relative int (context, value, output, size, value)",
  "69 fib_lookup int (context, buffer struct bpf_fib_lookup, size, flags)",
  "70 sock_hash_update int (context, map, map key, flags)",
  "71 msg_redirect_hash int (context, map, map key, flags)",
  "72 sk_redirect_hash int (context, map, map key, flags)",
  "73 lwt_push_encap int (context, value, memory, size)",
  "74 lwt_seg6_store_bytes int (context, value, memory, size)",
  "75 lwt_seg6_adjust_srh int (context, value, value)",
  "76 lwt_seg6_action int (context, value, memory, size)",
  "77 rc_repeat int (context)",
  "78 rc_keydown int (context, value, value, value)",
  "79 skb_cgroup_id u64 (context)",
  "80 get_current_cgroup_id u64 ()",
  "81 get_local_storage void * (map, flags)",
  "82 sk_select_reuseport int (context, map, map key, flags)",
  "83 skb_ancestor_cgroup_id u64 (context, value)",
  "84 sk_lookup_tcp struct bpf_sock * (context, memory struct bpf_sock_tuple, size, value, flags)",
  "85 sk_lookup_udp struct bpf_sock * (context, memory struct bpf_sock_tuple, size, value, flags)",
  "86 sk_release int (void *)",
  "87 map_push_elem int (map, map value, flags)",
  "88 map_pop_elem int (map, map output)",
  "89 map_peek_elem int (map, map output)",
  "90 msg_push_data int (context, value, value, flags)",
  "91 msg_pop_data int (context, value, value, flags)",
  "92 rc_pointer_rel int (context, value, value)",
  "93 spin_lock int (struct bpf_spin_lock *)",
  "94 spin_unlock int (struct bpf_spin_lock *)",
  "95 sk_fullsock struct bpf_sock * (struct bpf_sock *)",
  "96 tcp_sock struct bpf_tcp_sock * (struct bpf_sock *)",
  "97 skb_ecn_set_ce int (context)",
  "98 get_listener_sock struct bpf_sock * (struct bpf_sock *)",
  "99 skc_lookup_tcp struct bpf_sock * (context, memory struct bpf_sock_tuple, size, value, flags)",
  "100 tcp_check_syncookie int (void *, memory, size, memory struct tcphdr, size)",
  "101 sysctl_get_name int (context, output, size, flags)",
  "102 sysctl_get_current_value int (context, output, size)",
  "103 sysctl_get_new_value int (context, output, size)",
  "104 sysctl_set_new_value int (context, memory, size)",
  "105 strtol int (memory, size, flags, buffer s64)",
  "106 strtoul int (memory, size, flags, buffer u64)",
  "107 sk_storage_get void * (map, void *, map value?, flags)",
  "108 sk_storage_delete int (map, void *)",
  "109 send_signal int (value)",
  "110 tcp_gen_syncookie int (void *, memory, size, memory struct tcphdr, size)",
  "111 skb_output int (context, map, flags, memory, size)",
  "112 probe_read_user int (output, size, address)",
  "113 probe_read_kernel int (output, size, address)",
  "114 probe_read_user_str int (output, size, address)",
  "115 probe_read_kernel_str int (output, size, address)",
  "116 tcp_send_ack int (void *, value)",
  "117 send_signal_thread int (value)",
  "118 jiffies64 u64 ()",
  "119 read_branch_records int (context, buffer?, size, flags)",
  "120 get_ns_current_pid_tgid int (value, value, output struct bpf_pidns_info, size)",
  "121 xdp_output int (context, map, flags, memory, size)",
  "122 get_netns_cookie u64 (context)",
  "123 get_current_ancestor_cgroup_id u64 (value)",
  "124 sk_assign int (context, void *?, flags)",
  "125 ktime_get_boot_ns u64 ()",
  "126 seq_printf int (struct seq_file *, memory, size, memory?, size)",
  "127 seq_write int (struct seq_file *, memory, size)",
  "128 sk_cgroup_id u64 (void *)",
  "129 sk_ancestor_cgroup_id u64 (void *, value)",
  "130 ringbuf_output int (map, memory, size, flags)",
  "131 ringbuf_reserve void * (map, value, flags)",
  "132 ringbuf_submit void (void *, flags)",
  "133 ringbuf_discard void (void *, flags)",
  "134 ringbuf_query u64 (map, flags)",
  "135 csum_level int (context, value)",
  "136 skc_to_tcp6_sock struct tcp6_sock * (void *)",
  "137 skc_to_tcp_sock struct tcp_sock * (void *)",
  "138 skc_to_tcp_timewait_sock struct tcp_timewait_sock * (void *)",
  "139 skc_to_tcp_request_sock struct tcp_request_sock * (void *)",
  "140 skc_to_udp6_sock struct udp6_sock * (void *)",
  "141 get_task_stack int (struct task_struct *, output, size, flags)",
  "142 load_hdr_opt int (context, buffer, size, flags)",
  "143 store_hdr_opt int (context, memory, size, flags)",
  "144 reserve_hdr_opt int (context, value, flags)",
  "145 inode_storage_get void * (map, void *, map value?, flags)",
  "146 inode_storage_delete int (map, void *)",
  "147 d_path int (struct path *, buffer, size)",
  "148 copy_from_user int (output, size, address)",
  "149 snprintf_btf int (buffer, size, memory struct btf_ptr, size, flags)",
  "150 seq_printf_btf int (struct seq_file *, memory struct btf_ptr, size, flags)",
  "151 skb_cgroup_classid u64 (context)",
  "152 redirect_neigh int (value, memory struct bpf_redir_neigh?, size, flags)",
  "153 per_cpu_ptr void * (void *, value)",
  "154 this_cpu_ptr void * (void *)",
  "155 redirect_peer int (value, flags)",
  "156 task_storage_get void * (map, struct task_struct *, map value?, flags)",
  "157 task_storage_delete int (map, struct task_struct *)",
  "158 get_current_task_btf struct task_struct * ()",
  "159 bprm_opts_set int (struct linux_binprm *, flags)",
  "160 ktime_get_coarse_ns u64 ()",
  "161 ima_inode_hash int (struct inode *, output, size)",
  "162 sock_from_file struct socket * (struct file *)",
  "163 check_mtu int (context, value, buffer u32, value, flags)",
  "164 for_each_map_elem int (map, function, callback context, flags)",
  "165 snprintf int (buffer?, size, string, memory?, size)",
  "166 sys_bpf int (value, buffer, size)",
  "167 btf_find_by_name_kind int (memory, size, value, flags)",
  "168 sys_close int (value)",
  "169 timer_init int (struct bpf_timer *, map, flags)",
  "170 timer_set_callback int (struct bpf_timer *, function)",
  "171 timer_start int (struct bpf_timer *, value, flags)",
  "172 timer_cancel int (struct bpf_timer *)",
  "173 get_func_ip u64 (context)",
  "174 get_attach_cookie u64 (context)",
  "175 task_pt_regs int (struct task_struct *)",
  "176 get_branch_snapshot int (output, size, flags)",
  "177 trace_vprintk int (memory, size, memory?, size)",
  "178 skc_to_unix_sock struct unix_sock * (void *)",
  "179 kallsyms_lookup_name int (memory, size, flags, buffer u64)",
  "180 find_vma int (struct task_struct *, value, function, callback context, flags)",
  "181 loop int (value, function, callback context, flags)",
  "182 strncmp int (memory, size, string)",
  "183 get_func_arg int (context, value, buffer u64)",
  "184 get_func_ret int (context, buffer u64)",
  "185 get_func_arg_cnt int (context)",
  "186 get_retval int ()",
  "187 set_retval int (value)",
  "188 xdp_get_buff_len u64 (context)",
  "189 xdp_load_bytes int (context, value, output, size)",
  "190 xdp_store_bytes int (context, value, memory, size)",
  "191 copy_from_user_task int (output, size, address, struct task_struct *, flags)",
  "192 skb_set_tstamp int (context, value, value)",
  "193 ima_file_hash int (struct file *, output, size)",
  "194 kptr_xchg void * (void *, void *?)",
  "195 map_lookup_percpu_elem void * (map, map key, value)",
  "196 skc_to_mptcp_sock struct mptcp_sock * (void *)",
  "197 dynptr_from_mem int (memory, size, flags, struct bpf_dynptr *)",
  "198 ringbuf_reserve_dynptr int (map, value, flags, struct bpf_dynptr *)",
  "199 ringbuf_submit_dynptr void (struct bpf_dynptr *, flags)",
  "200 ringbuf_discard_dynptr void (struct bpf_dynptr *, flags)",
  "201 dynptr_read int (output, size, struct bpf_dynptr *, value, flags)",
  "202 dynptr_write int (struct bpf_dynptr *, value, memory, size, flags)",
  "203 dynptr_data void * (struct bpf_dynptr *, value, value)",
  "204 tcp_raw_gen_syncookie_ipv4 int (memory struct iphdr, memory struct tcphdr, size)",
  "205 tcp_raw_gen_syncookie_ipv6 int (memory struct ipv6hdr, memory struct tcphdr, size)",
  "206 tcp_raw_check_syncookie_ipv4 int (memory struct iphdr, memory struct tcphdr)",
  "207 tcp_raw_check_syncookie_ipv6 int (memory struct ipv6hdr, memory struct tcphdr)",
  "208 ktime_get_tai_ns u64 ()",
  "209 user_ringbuf_drain int (map, function, callback context, flags)",
  "210 cgrp_storage_get void * (map, struct cgroup *, map value?, flags)",
  "211 cgrp_storage_delete int (map, struct cgroup *)",
}

local MEMORY = {
  memory = {},
  output = { writes = true, uninitialised = true },
  buffer = { writes = true },
}

-- A parameter: "map", "output struct bpf_tunnel_key", "struct bpf_sock *"; "?" behind it means optional.
local function decode_parameter(text)
  local pointer = text:match("^(.*) %*$")
  if pointer then
    return { class = "pointer", type = pointer }
  elseif text == "map output" then
    return { class = "map value", writes = true, uninitialised = true }
  end
  local use, type = text:match("^([a-z]+) ?(.*)$")
  if not MEMORY[use] then
    return { class = text }
  end
  return {
    class = (type == "" or type:find("^struct")) and "memory" or "number",
    type = type ~= "" and type or nil,
    writes = MEMORY[use].writes,
    uninitialised = MEMORY[use].uninitialised,
  }
end

local function decode(row)
  local id, name, result, list = row:match("^(%d+) ([a-z_0-9]+) (.-) %((.*)%)$")
  local parameters = {}
  for text, optional in list:gmatch(" ?([^,?]+)(%??)") do
    local parameter = decode_parameter(text)
    parameter.optional = optional == "?" or nil
    parameters[#parameters + 1] = parameter
  end
  local type = result:match("^(.*) %*$")
  return {
    id = math.tointeger(id), name = name, result = type and "pointer" or result, type = type, parameters = parameters,
  }
end

local helpers, by_name = {}, {}
for i, row in ipairs(ROWS) do
  helpers[i] = row:match(" ([a-z_0-9]+)")
  by_name[helpers[i]] = row
end

return setmetatable(helpers, { __index = function(_, name)
  local row = by_name[name]
  if not row then
    return nil
  end
  helpers[name] = decode(row)
  return helpers[name]
end })
