-- SPDX-License-Identifier: MIT
-- What each section makes of a program: its type, and what it is to be attached to.
local bpf = require("bpf")
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")

local NONE = "cgroup_inet_ingress" -- the first attach type, which programs have that have none

-- The section, the type, what it is attached to if it has that, and the libbpf that knows it if 1.1 doesn't.
local sections = {
  { "action", "sched_act" },
  { "cgroup/bind4", "cgroup_sock_addr", "cgroup_inet4_bind" },
  { "cgroup/bind6", "cgroup_sock_addr", "cgroup_inet6_bind" },
  { "cgroup/connect4", "cgroup_sock_addr", "cgroup_inet4_connect" },
  { "cgroup/connect6", "cgroup_sock_addr", "cgroup_inet6_connect" },
  { "cgroup/connect_unix", "cgroup_sock_addr", "cgroup_unix_connect", "1.3" },
  { "cgroup/dev", "cgroup_device", "cgroup_device" },
  { "cgroup/getpeername4", "cgroup_sock_addr", "cgroup_inet4_getpeername" },
  { "cgroup/getpeername6", "cgroup_sock_addr", "cgroup_inet6_getpeername" },
  { "cgroup/getpeername_unix", "cgroup_sock_addr", "cgroup_unix_getpeername", "1.3" },
  { "cgroup/getsockname4", "cgroup_sock_addr", "cgroup_inet4_getsockname" },
  { "cgroup/getsockname6", "cgroup_sock_addr", "cgroup_inet6_getsockname" },
  { "cgroup/getsockname_unix", "cgroup_sock_addr", "cgroup_unix_getsockname", "1.3" },
  { "cgroup/getsockopt", "cgroup_sockopt", "cgroup_getsockopt" },
  { "cgroup/post_bind4", "cgroup_sock", "cgroup_inet4_post_bind" },
  { "cgroup/post_bind6", "cgroup_sock", "cgroup_inet6_post_bind" },
  { "cgroup/recvmsg4", "cgroup_sock_addr", "cgroup_udp4_recvmsg" },
  { "cgroup/recvmsg6", "cgroup_sock_addr", "cgroup_udp6_recvmsg" },
  { "cgroup/recvmsg_unix", "cgroup_sock_addr", "cgroup_unix_recvmsg", "1.3" },
  { "cgroup/sendmsg4", "cgroup_sock_addr", "cgroup_udp4_sendmsg" },
  { "cgroup/sendmsg6", "cgroup_sock_addr", "cgroup_udp6_sendmsg" },
  { "cgroup/sendmsg_unix", "cgroup_sock_addr", "cgroup_unix_sendmsg", "1.3" },
  { "cgroup/setsockopt", "cgroup_sockopt", "cgroup_setsockopt" },
  { "cgroup/skb", "cgroup_skb" },
  { "cgroup/sock", "cgroup_sock", "cgroup_inet_sock_create" },
  { "cgroup/sock_create", "cgroup_sock", "cgroup_inet_sock_create" },
  { "cgroup/sock_release", "cgroup_sock", "cgroup_inet_sock_release" },
  { "cgroup/sysctl", "cgroup_sysctl", "cgroup_sysctl" },
  { "cgroup_skb/egress", "cgroup_skb", "cgroup_inet_egress" },
  { "cgroup_skb/ingress", "cgroup_skb", "cgroup_inet_ingress" },
  { "classifier", "sched_cls" },
  { "fentry", "tracing", "trace_fentry" },
  { "fentry.s", "tracing", "trace_fentry" },
  { "fexit", "tracing", "trace_fexit" },
  { "fexit.s", "tracing", "trace_fexit" },
  { "flow_dissector", "flow_dissector", "flow_dissector" },
  { "fmod_ret", "tracing", "modify_return" },
  { "fmod_ret.s", "tracing", "modify_return" },
  { "freplace", "ext" },
  { "fsession", "tracing", "trace_fsession", "1.7" },
  { "fsession.s", "tracing", "trace_fsession", "1.7" },
  { "iter", "tracing", "trace_iter" },
  { "iter.s", "tracing", "trace_iter" },
  { "kprobe", "kprobe" },
  { "kprobe.multi", "kprobe", "trace_kprobe_multi" },
  { "kprobe.session", "kprobe", "trace_kprobe_session", "1.5" },
  { "kretprobe", "kprobe" },
  { "kretprobe.multi", "kprobe", "trace_kprobe_multi" },
  { "kretsyscall", "kprobe" },
  { "ksyscall", "kprobe" },
  { "lirc_mode2", "lirc_mode2", "lirc_mode2" },
  { "lsm", "lsm", "lsm_mac" },
  { "lsm.s", "lsm", "lsm_mac" },
  { "lsm_cgroup", "lsm", "lsm_cgroup" },
  { "lwt_in", "lwt_in" },
  { "lwt_out", "lwt_out" },
  { "lwt_seg6local", "lwt_seg6local" },
  { "lwt_xmit", "lwt_xmit" },
  { "netfilter", "netfilter", "netfilter", "1.3" },
  { "netkit/peer", "sched_cls", "netkit_peer", "1.3" },
  { "netkit/primary", "sched_cls", "netkit_primary", "1.3" },
  { "perf_event", "perf_event" },
  { "raw_tp", "raw_tracepoint" },
  { "raw_tp.w", "raw_tracepoint_writable" },
  { "raw_tracepoint", "raw_tracepoint" },
  { "raw_tracepoint.w", "raw_tracepoint_writable" },
  { "sk_lookup", "sk_lookup", "sk_lookup" },
  { "sk_msg", "sk_msg", "sk_msg_verdict" },
  { "sk_reuseport", "sk_reuseport", "sk_reuseport_select" },
  { "sk_reuseport/migrate", "sk_reuseport", "sk_reuseport_select_or_migrate" },
  { "sk_skb", "sk_skb" },
  { "sk_skb/stream_parser", "sk_skb", "sk_skb_stream_parser" },
  { "sk_skb/stream_verdict", "sk_skb", "sk_skb_stream_verdict" },
  { "sk_skb/verdict", "sk_skb", "sk_skb_verdict", "1.7" },
  { "socket", "socket_filter" },
  { "sockops", "sock_ops", "cgroup_sock_ops" },
  { "syscall", "syscall" },
  { "tc", "sched_cls" },
  { "tc/egress", "sched_cls", "tcx_egress", "1.3" },
  { "tc/ingress", "sched_cls", "tcx_ingress", "1.3" },
  { "tcx/egress", "sched_cls", "tcx_egress", "1.3" },
  { "tcx/ingress", "sched_cls", "tcx_ingress", "1.3" },
  { "tp", "tracepoint" },
  { "tp_btf", "tracing", "trace_raw_tp" },
  { "tracepoint", "tracepoint" },
  { "uprobe", "kprobe" },
  { "uprobe.multi", "kprobe", "trace_uprobe_multi", "1.3" },
  { "uprobe.multi.s", "kprobe", "trace_uprobe_multi", "1.3" },
  { "uprobe.s", "kprobe" },
  { "uprobe.session", "kprobe", "trace_uprobe_session", "1.6" },
  { "uprobe.session.s", "kprobe", "trace_uprobe_session", "1.6" },
  { "uretprobe", "kprobe" },
  { "uretprobe.multi", "kprobe", "trace_uprobe_multi", "1.3" },
  { "uretprobe.multi.s", "kprobe", "trace_uprobe_multi", "1.3" },
  { "uretprobe.s", "kprobe" },
  { "usdt", "kprobe" },
  { "usdt.s", "kprobe", nil, "1.3" },
  { "xdp", "xdp", "xdp" },
  { "xdp.frags", "xdp", "xdp" },
  { "xdp.frags/cpumap", "xdp", "xdp_cpumap" },
  { "xdp.frags/devmap", "xdp", "xdp_devmap" },
  { "xdp/cpumap", "xdp", "xdp_cpumap" },
  { "xdp/devmap", "xdp", "xdp_devmap" },
}

describe("a section", function()
  local obj, by_section

  setup(function()
    obj, by_section = assert(bpf.open(helper.obj("sections"))), {}
    for _, prog in pairs(obj.progs) do
      by_section[prog:section()] = prog
    end
  end)

  teardown(function() obj:close() end)

  for _, case in ipairs(sections) do
    local section, type, attach_type, libbpf = table.unpack(case, 1, 4)
    it(section .. " makes a program " .. type, function()
      if libbpf then
        kernel.libbpf("this section", libbpf)
      end
      local prog = by_section[section]
      assert.same({ type, attach_type or NONE }, { prog:type(), prog:expected_attach_type() })
    end)
  end

  it("is tested if the object has it", function()
    for _, case in ipairs(sections) do
      by_section[case[1]] = nil
    end
    assert.is_nil((next(by_section)))
  end)
end)
