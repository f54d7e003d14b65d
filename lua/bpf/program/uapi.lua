-- SPDX-License-Identifier: MIT
-- Structs that no kernel lays out differently, as C: contexts of programs, what helpers take, headers of packets.
-- Programs that need no others do without the kernel's BTF, which takes long to read. Pointers that the kernel declares
-- by __bpf_md_ptr are plain ones here: they are 8 bytes, and aligned, on every machine that runs BPF. Members of later
-- kernels are here as well: the verifier refuses those that the running one lacks.
local core = require("bpf.core")

-- Contexts ------------------------------------------------------------------------------------------------------------

-- Registers that perf_event programs see, by machine, as the kernel's own struct names them.
local REGISTERS = {
  x86_64 = [[struct pt_regs {
    unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
  }]],
  aarch64 = "struct user_pt_regs { __u64 regs[31], sp, pc, pstate; }",
}

local function perf_event_data()
  local registers = REGISTERS[core.posix.machine()]
  return registers and registers .. [[;
    struct bpf_perf_event_data { ]] .. registers:match("^struct [A-Za-z_]+") .. [[ regs; __u64 sample_period, addr; }]]
end

-- What is known of a TCP connection, at the end of two structs.
local TCP_COUNTERS = [[
  rcv_nxt, snd_nxt, snd_una, mss_cache, ecn_flags, rate_delivered, rate_interval_us, packets_out, retrans_out,
  total_retrans, segs_in, data_segs_in, segs_out, data_segs_out, lost_out, sacked_out]]

local structs = {
  xdp_md = "__u32 data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex;",
  __sk_buff = [[
    __u32 len, pkt_type, mark, queue_mapping, protocol, vlan_present, vlan_tci, vlan_proto, priority, ingress_ifindex,
      ifindex, tc_index, cb[5], hash, tc_classid, data, data_end, napi_id, family, remote_ip4, local_ip4, remote_ip6[4],
      local_ip6[4], remote_port, local_port, data_meta;
    struct bpf_flow_keys *flow_keys;
    __u64 tstamp;
    __u32 wire_len, gso_segs;
    struct bpf_sock *sk;
    __u32 gso_size;
    __u8 tstamp_type;
    __u64 hwtstamp;]],
  bpf_flow_keys = [[
    __u16 nhoff, thoff, addr_proto;
    __u8 is_frag, is_first_frag, is_encap, ip_proto;
    __be16 n_proto, sport, dport;
    union {
      struct { __be32 ipv4_src, ipv4_dst; };
      struct { __u32 ipv6_src[4], ipv6_dst[4]; };
    };
    __u32 flags;
    __be32 flow_label;]],
  bpf_sock = [[
    __u32 bound_dev_if, family, type, protocol, mark, priority, src_ip4, src_ip6[4], src_port;
    __be16 dst_port;
    __u32 dst_ip4, dst_ip6[4], state;
    __s32 rx_queue_mapping;]],
  bpf_tcp_sock = "__u32 snd_cwnd, srtt_us, rtt_min, snd_ssthresh, " .. TCP_COUNTERS .. [[;
    __u64 bytes_received, bytes_acked;
    __u32 dsack_dups, delivered, delivered_ce, icsk_retransmits;]],
  bpf_sock_addr = [[
    __u32 user_family, user_ip4, user_ip6[4], user_port, family, type, protocol, msg_src_ip4, msg_src_ip6[4];
    struct bpf_sock *sk;]],
  bpf_sock_ops = [[
    __u32 op;
    union { __u32 args[4], reply, replylong[4]; };
    __u32 family, remote_ip4, local_ip4, remote_ip6[4], local_ip6[4], remote_port, local_port, is_fullsock, snd_cwnd,
      srtt_us, bpf_sock_ops_cb_flags, state, rtt_min, snd_ssthresh,]] .. TCP_COUNTERS .. [[, sk_txhash;
    __u64 bytes_received, bytes_acked;
    struct bpf_sock *sk;
    void *skb_data, *skb_data_end;
    __u32 skb_len, skb_tcp_flags;
    __u64 skb_hwtstamp;]],
  sk_msg_md = [[
    void *data, *data_end;
    __u32 family, remote_ip4, local_ip4, remote_ip6[4], local_ip6[4], remote_port, local_port, size;
    struct bpf_sock *sk;]],
  sk_reuseport_md = [[
    void *data, *data_end;
    __u32 len, eth_protocol, ip_protocol, bind_inany, hash;
    struct bpf_sock *sk, *migrating_sk;]],
  bpf_sk_lookup = [[
    union { struct bpf_sock *sk; __u64 cookie; };
    __u32 family, protocol, remote_ip4, remote_ip6[4];
    __be16 remote_port;
    __u16 : 16;
    __u32 local_ip4, local_ip6[4], local_port, ingress_ifindex;]],
  bpf_sockopt = "struct bpf_sock *sk; void *optval, *optval_end; __s32 level, optname, optlen, retval;",
  bpf_sysctl = "__u32 write, file_pos;",
  bpf_cgroup_dev_ctx = "__u32 access_type, major, minor;",

  -- What helpers take and give ----------------------------------------------------------------------------------------

  bpf_sock_tuple = [[
    union {
      struct { __be32 saddr, daddr; __be16 sport, dport; } ipv4;
      struct { __be32 saddr[4], daddr[4]; __be16 sport, dport; } ipv6;
    };]],
  bpf_tunnel_key = [[
    __u32 tunnel_id;
    union { __u32 remote_ipv4, remote_ipv6[4]; };
    __u8 tunnel_tos, tunnel_ttl;
    union { __u16 tunnel_ext; __be16 tunnel_flags; };
    __u32 tunnel_label;
    union { __u32 local_ipv4, local_ipv6[4]; };]],
  bpf_perf_event_value = "__u64 counter, enabled, running;",
  bpf_pidns_info = "__u32 pid, tgid;",
  bpf_redir_neigh = "__u32 nh_family; union { __be32 ipv4_nh; __u32 ipv6_nh[4]; };",

  -- Headers of packets ------------------------------------------------------------------------------------------------

  ethhdr = "unsigned char h_dest[6], h_source[6]; __be16 h_proto;",
  vlan_hdr = "__be16 h_vlan_TCI, h_vlan_encapsulated_proto;",
  arphdr = "__be16 ar_hrd, ar_pro; unsigned char ar_hln, ar_pln; __be16 ar_op;",
  iphdr = [[
    __u8 ihl : 4, version : 4;
    __u8 tos;
    __be16 tot_len, id, frag_off;
    __u8 ttl, protocol;
    __sum16 check;
    __be32 saddr, daddr;]],
  in6_addr = "union { __u8 u6_addr8[16]; __be16 u6_addr16[8]; __be32 u6_addr32[4]; } in6_u;",
  ipv6hdr = [[
    __u8 priority : 4, version : 4;
    __u8 flow_lbl[3];
    __be16 payload_len;
    __u8 nexthdr, hop_limit;
    struct in6_addr saddr, daddr;]],
  tcphdr = [[
    __be16 source, dest;
    __be32 seq, ack_seq;
    __u16 ae : 1, res1 : 3, doff : 4, fin : 1, syn : 1, rst : 1, psh : 1, ack : 1, urg : 1, ece : 1, cwr : 1;
    __be16 window;
    __sum16 check;
    __be16 urg_ptr;]],
  udphdr = "__be16 source, dest, len; __sum16 check;",
  icmphdr = [[
    __u8 type, code;
    __sum16 checksum;
    union {
      struct { __be16 id, sequence; } echo;
      __be32 gateway;
      struct { __be16 __unused, mtu; } frag;
      __u8 reserved[4];
    } un;]],
  icmp6hdr = [[
    __u8 icmp6_type, icmp6_code;
    __sum16 icmp6_cksum;
    union {
      __be32 un_data32[1];
      __be16 un_data16[2];
      __u8 un_data8[4];
      struct { __be16 identifier, sequence; } u_echo;
      struct { __u32 reserved : 5, override : 1, solicited : 1, router : 1, reserved2 : 24; } u_nd_advt;
      struct {
        __u8 hop_limit;
        __u8 reserved : 3, router_pref : 2, home_agent : 1, other : 1, managed : 1;
        __be16 rt_lifetime;
      } u_nd_ra;
    } icmp6_dataun;]],
}

-- Structs that members of the others have, which C wants declared before.
local before = { ipv6hdr = "in6_addr" }

-- The names of all of them: "struct xdp_md".
local uapi = { names = { "struct bpf_perf_event_data" } }

for name in pairs(structs) do
  uapi.names[#uapi.names + 1] = "struct " .. name
end
table.sort(uapi.names)

local function declaration(tag)
  local members, first = structs[tag], before[tag]
  if tag == "bpf_perf_event_data" then
    return perf_event_data()
  elseif not members then
    return nil
  end
  return (first and declaration(first) .. "; " or "") .. ("struct %s { %s }"):format(tag, members)
end

-- The struct of a name as a `bpf.type`; nil if it isn't one of these.
function uapi.type(name)
  local text = declaration(name:match("^struct ([A-Za-z_0-9]+)$"))
  return text and core.btf.type(text)
end

-- Whether it is one of these.
function uapi.has(name)
  return structs[name:match("^struct ([A-Za-z_0-9]+)$")] ~= nil
end

return uapi
